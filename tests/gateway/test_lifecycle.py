"""The configuration changes while it is served: reload, refusal, versions, rollback (trust.md R20, L5, K1)."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build
from execution_platform.testing import FakeUpstream, Script, Text
from gateway.test_personas import put
from gateway.watching import Log, metrics, streaming
from loops import until
from serving import MODELS, Served, chat_body, serving, three_vendors, write_config

OPENAI, ANTHROPIC, _ = MODELS.values()
WATCH = {"EP_CONFIG_WATCH": "true"}


def persona(upstream: FakeUpstream, target: str) -> dict[str, Any]:
    return three_vendors(upstream, personas={"dev": {"prefer": [target]}})


async def ask(gateway: Served, model: str = "persona/dev", **headers: str) -> tuple[str | None, str | None]:
    """Who answered, and by which configuration."""
    got = await gateway.post(*chat_body("openai_chat", "hi", model), **headers)
    assert got.status == 200, got.body
    return got.header("x-ep-provider"), got.header("x-ep-config")


def test_a_reload_serves_what_the_file_says_now(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            first = await ask(gateway)
            assert first[0] == "openai"
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            assert await ask(gateway) == first
            reloaded = (await gateway.post("/v1/config/reload", {})).json()
            assert reloaded["changed"] is True
            assert reloaded["before"] == first[1]
            assert await ask(gateway) == ("anthropic", reloaded["version"])
            again = (await gateway.post("/v1/config/reload", {})).json()
            assert (again["changed"], again["version"]) == (False, reloaded["version"])

    asyncio.run(run())


def test_a_changed_file_is_served_without_asking(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI), WATCH) as gateway:
            before = (await ask(gateway))[1]
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            await until(lambda: gateway.gateway.state.snapshot.version != before)
            assert (await ask(gateway))[0] == "anthropic"

    asyncio.run(run())


def test_a_file_behind_swapped_links_is_watched(tmp_path: Path) -> None:
    """The way Kubernetes replaces a ConfigMap: the file is a link into a folder that is itself a link, which is swapped."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            for name, target in (("one", OPENAI), ("two", ANTHROPIC)):
                (tmp_path / name).mkdir()
                write_config(tmp_path / name, persona(upstream, target))
            (tmp_path / "..data").symlink_to("one")
            (tmp_path / "mounted.yaml").symlink_to("..data/platform.yaml")
            environ = {**WATCH, "EP_CONFIG": str(tmp_path / "mounted.yaml")}
            async with serving(tmp_path, None, environ) as gateway:
                before = (await ask(gateway))[1]
                (tmp_path / "..data_new").symlink_to("two")
                (tmp_path / "..data_new").rename(tmp_path / "..data")
                await until(lambda: gateway.gateway.state.snapshot.version != before)
                assert (await ask(gateway))[0] == "anthropic"

    asyncio.run(run())


def test_sighup_reloads(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            before = (await ask(gateway))[1]
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: gateway.gateway.state.snapshot.version != before)
            listed = (await gateway.get("/v1/config/versions")).json()["versions"]
            assert [(row["cause"], row["in_force"]) for row in listed] == [("signal", True), ("start", False)]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    asyncio.run(run())


def test_a_stream_under_way_keeps_its_version_and_its_provider(tmp_path: Path) -> None:
    """A provider that vanishes is closed only when its last call has ended."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, persona(upstream, OPENAI)) as gateway:
                gate = upstream.gate("pace")
                upstream.script(Script(Text("one two three"), pace_gate=gate), model="gpt-4o")
                gate.step(3)
                closed = note_closing(gateway, "openai")
                kept = gateway.gateway.state.snapshot.providers["anthropic"]
                async with streaming(gateway, *chat_body("openai_chat", "hi", "persona/dev", stream=True)) as stream:
                    await stream.until(b"one")
                    without = persona(upstream, ANTHROPIC)
                    del without["providers"]["openai"]
                    write_config(tmp_path, without)
                    assert (await gateway.post("/v1/config/reload", {})).json()["changed"] is True
                    assert (await ask(gateway))[0] == "anthropic"
                    assert closed == []
                    assert gateway.gateway.state.snapshot.providers["anthropic"] is kept
                    gate.release()
                    assert b"three" in await stream.rest()
                await until(lambda: closed == ["openai"])

    asyncio.run(run())


def note_closing(gateway: Served, name: str) -> list[str]:
    """The names of providers that are closed from now on."""
    closed: list[str] = []
    provider: Any = gateway.gateway.state.snapshot.providers[name]
    close = provider.aclose

    async def aclose() -> None:
        closed.append(name)
        await close()

    provider.aclose = aclose
    return closed


def test_changed_gateway_keys_count_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        secret = tmp_path / "team.key"
        secret.write_text("sk-ep-old-0123456789")
        keys = [
            {"name": "team", "key": f"file://{secret}"},
            {"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True},
        ]
        boss = {"x_api_key": "sk-ep-boss-0123456789"}
        async with FakeUpstream() as upstream:
            config = {**persona(upstream, OPENAI), "keys": keys}
            async with serving(tmp_path, config) as gateway:
                await ask(gateway, x_api_key="sk-ep-old-0123456789")
                secret.write_text("sk-ep-new-0123456789")
                assert (await gateway.post("/v1/config/reload", {}, **boss)).json()["changed"] is False
                await ask(gateway, x_api_key="sk-ep-new-0123456789")
                refused = await gateway.post(*chat_body("openai_chat", "hi", OPENAI), x_api_key="sk-ep-old-0123456789")
                assert refused.status == 401
                write_config(tmp_path, {**config, "keys": keys[1:]})
                assert (await gateway.post("/v1/config/reload", {}, **boss)).status == 200
                refused = await gateway.post(*chat_body("openai_chat", "hi", OPENAI), x_api_key="sk-ep-new-0123456789")
                assert refused.status == 401

    asyncio.run(run())


def test_a_refused_reload_leaves_secrets_as_they_were(tmp_path: Path) -> None:
    """A provider whose key's file has gone goes on with the key that was read."""

    async def run() -> None:
        secret = tmp_path / "openai.key"
        secret.write_text("sk-openai-canary-1")
        async with FakeUpstream() as upstream:
            config = persona(upstream, OPENAI)
            config["providers"]["openai"]["api_key"] = f"file://{secret}"
            async with serving(tmp_path, config) as gateway:
                first = await ask(gateway)
                secret.unlink()
                (tmp_path / "platform.yaml").write_text("version: 1\nproviders: [")
                assert (await gateway.post("/v1/config/reload", {})).status == 422
                write_config(tmp_path, {**config, "keys": [{"name": "team", "key": "file:///nonexistent/secret"}]})
                assert (await gateway.post("/v1/config/reload", {})).status == 422
                assert await ask(gateway) == first

    asyncio.run(run())


def test_a_rollback_to_what_the_files_say_is_not_stale(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            one = (await ask(gateway))[1]
            await put(gateway, "dev", {"prefer": [ANTHROPIC]})
            back = (await gateway.post("/v1/config/rollback", {"version": one})).json()
            assert (back["version"], back["stale"]) == (one, False)

    asyncio.run(run())


def test_a_change_between_reading_and_watching_is_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            write_config(tmp_path, persona(upstream, OPENAI))
            gateway = build(Settings({"EP_CONFIG": str(tmp_path / "platform.yaml")}))
            before = gateway.state.snapshot.version
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            await gateway.state.start()
            await until(lambda: gateway.state.snapshot.version != before)
            assert gateway.state.snapshot.config.personas["dev"].chain == (ANTHROPIC,)
            await gateway.state.stop()

    asyncio.run(run())


def test_a_gateway_other_machines_reach_never_loses_its_last_key(tmp_path: Path) -> None:
    async def run() -> None:
        boss = {"x_api_key": "sk-ep-boss-0123456789"}
        async with FakeUpstream() as upstream:
            config = persona(upstream, OPENAI)
            keyed = {**config, "keys": [{"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True}]}
            async with serving(tmp_path, keyed, {"EP_HOST": "0.0.0.0"}) as gateway:
                write_config(tmp_path, config)
                refused = await gateway.post("/v1/config/reload", {}, **boss)
                assert refused.status == 422
                assert "gateway key" in refused.json()["error"]["message"]
                assert (await gateway.get("/v1/models")).status == 401

    asyncio.run(run())


def test_what_was_used_of_a_rate_limit_outlasts_a_reload(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            limits = {"rate_limits": {"keys": {"*": {"requests": 2}}}}
            async with serving(tmp_path, {**persona(upstream, OPENAI), **limits}) as gateway:
                await ask(gateway)
                write_config(tmp_path, {**persona(upstream, ANTHROPIC), **limits})
                assert (await gateway.post("/v1/config/reload", {})).json()["changed"] is True
                await ask(gateway)
                refused = await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))
                assert refused.status == 429

    asyncio.run(run())


# --- versions ---


def test_versions_are_listed_compared_and_returned_to(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            one = (await ask(gateway))[1]
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            ahead = (await gateway.get("/v1/config/diff")).json()
            assert (ahead["from"], ahead["to"]) == (one, "file")
            assert ahead["changes"] == [{"path": "personas.dev.chain", "from": [OPENAI], "to": [ANTHROPIC]}]
            two = (await gateway.post("/v1/config/reload", {})).json()["version"]
            assert (await gateway.get(f"/v1/config/diff?from={two}&to={one}")).json()["changes"] == [
                {"path": "personas.dev.chain", "from": [ANTHROPIC], "to": [OPENAI]}
            ]
            back = (await gateway.post("/v1/config/rollback", {"version": one})).json()
            assert (back["before"], back["version"], back["stale"]) == (two, one, True)
            assert await ask(gateway) == ("openai", one)
            listed = (await gateway.get("/v1/config/versions")).json()["versions"]
            assert [(row["version"], row["cause"], row["in_force"]) for row in listed] == [
                (one, "rollback", True),
                (two, "api", False),
                (one, "start", False),
            ]
            assert (await gateway.post("/v1/config/rollback", {"version": "0123"})).status == 404
            assert (await gateway.post("/v1/config/rollback", {"path": "/etc/passwd"})).status == 422

    asyncio.run(run())


def test_a_rollback_outlasts_a_touched_file_and_ends_with_new_content(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI), WATCH) as gateway:
            state = gateway.gateway.state
            one = state.snapshot.version
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            await until(lambda: state.snapshot.version != one)
            two = state.snapshot.version
            await gateway.post("/v1/config/rollback", {"version": one})
            unchanged = (await metrics(gateway))['ep_config_reload_total{outcome="unchanged"}']
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            async with asyncio.timeout(10):
                while (await metrics(gateway))['ep_config_reload_total{outcome="unchanged"}'] == unchanged:
                    await asyncio.sleep(0.01)
            assert state.snapshot.version == one
            assert (await metrics(gateway))["ep_config_stale"] == 1
            write_config(tmp_path, persona(upstream, MODELS["gemini"]))
            await until(lambda: state.snapshot.version not in {one, two})
            assert (await ask(gateway))[0] == "gemini"
            assert (await metrics(gateway))["ep_config_stale"] == 0

    asyncio.run(run())


def test_an_explicit_reload_ends_a_rollback(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            one = (await ask(gateway))[1]
            write_config(tmp_path, persona(upstream, ANTHROPIC))
            two = (await gateway.post("/v1/config/reload", {})).json()["version"]
            await gateway.post("/v1/config/rollback", {"version": one})
            shown = (await gateway.post("/v1/config/reload", {})).json()
            assert (shown["version"], shown["changed"], shown["stale"]) == (two, True, False)

    asyncio.run(run())


def test_a_switched_persona_survives_a_reload_and_is_a_version(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            one = (await ask(gateway))[1]
            assert (await put(gateway, "dev", {"prefer": [ANTHROPIC]})).status == 200
            two = (await ask(gateway))[1]
            assert (await put(gateway, "another", {"prefer": [OPENAI]})).status == 200
            assert (await ask(gateway))[0] == "anthropic"
            async with gateway.http.delete(gateway.url + "/v1/personas/another") as response:
                assert response.status == 200
            changed = persona(upstream, OPENAI)
            changed["personas"]["other"] = {"prefer": [OPENAI]}
            write_config(tmp_path, changed)
            await gateway.post("/v1/config/reload", {})
            assert (await ask(gateway))[0] == "anthropic"
            assert (await ask(gateway, "persona/other"))[0] == "openai"
            listed = (await gateway.get("/v1/config/versions")).json()["versions"]
            assert [row["cause"] for row in listed] == ["api", "persona", "persona", "persona", "start"]
            assert [row["switched_personas"] for row in listed] == [["dev"], ["dev"], ["another", "dev"], ["dev"], []]
            assert listed[1]["version"] == two
            assert listed[1]["by"] == "anonymous"
            async with gateway.http.delete(gateway.url + "/v1/personas/dev") as response:
                assert response.status == 200
            assert (await ask(gateway))[0] == "openai"
            await gateway.post("/v1/config/rollback", {"version": two})
            assert (await ask(gateway))[0] == "anthropic"
            await gateway.post("/v1/config/rollback", {"version": str(one)})
            assert await ask(gateway) == ("openai", one)
            async with gateway.http.delete(gateway.url + "/v1/personas/dev") as response:
                assert response.status == 404

    asyncio.run(run())


def test_secrets_are_never_part_of_a_version_or_a_difference(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = persona(upstream, OPENAI)
            config["providers"]["openai"]["headers"] = {"x-team": "canary-header-1"}
            config["keys"] = [{"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True}]
            boss = {"x_api_key": "sk-ep-boss-0123456789"}
            async with serving(tmp_path, config) as gateway:
                one = (await gateway.get("/v1/config", **boss)).json()["version"]
                config["providers"]["openai"] |= {"headers": {"x-team": "canary-header-2"}, "api_key": "sk-canary-new"}
                write_config(tmp_path, config)
                two = (await gateway.post("/v1/config/reload", {}, **boss)).json()
                # The same content but for secrets has the same name with a number.
                assert (two["changed"], two["version"]) == (True, f"{one}-2")
                texts = [
                    (await gateway.get(path, **boss)).body.decode()
                    for path in (
                        f"/v1/config/diff?from={one}&to=current",
                        f"/v1/config/versions/{one}",
                        "/v1/config/versions/current",
                        "/v1/config/versions",
                        "/v1/config",
                    )
                ]
                assert '"providers.openai.credential"' in texts[0]
                assert '"providers.openai.headers.x-team"' in texts[0]
                for text in texts:
                    assert "canary" not in text
                    assert "sk-ep-boss" not in text

    asyncio.run(run())


# --- refusals ---


def broken(upstream: FakeUpstream) -> dict[str, str | bytes]:
    """30 files that must never come into service."""
    good = {"version": 1, **persona(upstream, OPENAI)}

    def with_(**changes: Any) -> str:
        return yaml.safe_dump({**good, **changes}, sort_keys=False)

    def provider(**changes: Any) -> str:
        return with_(providers={**good["providers"], "openai": {**good["providers"]["openai"], **changes}})

    text = yaml.safe_dump(good, sort_keys=False)
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
    )
    return {
        "empty file": b"",
        "only a comment": b"# nothing\n",
        "too large": b"# " + b"x" * 5_000_000,
        "too many values": "version: 1\naliases: {" + ", ".join(f"a{n}: openai" for n in range(30_000)) + "}\n",
        "not UTF-8": b"version: 1\nproviders: {\xff\xfe: 1}\n",
        "not YAML": text + "\n  - : [",
        "cut in the middle": text[: len(text) // 2] + "\n    api_",
        "a tab where none may be": "version: 1\nproviders:\n\topenai: {}\n",
        "a list": "- 1\n- 2\n",
        "a word": "hello\n",
        "alias bomb": bomb,
        "alias in its own anchor": "version: 1\nmodels: &m {x: *m}\n",
        "a YAML tag": "version: 1\nproviders: !!python/object/apply:os.system ['true']\n",
        "duplicate section": text + "\nproviders: {}\n",
        "duplicate provider": "version: 1\nproviders:\n  openai: {api_key: a}\n  openai: {api_key: b}\n",
        "duplicate key name": with_(keys=[{"name": "a", "key": "sk-1"}, {"name": "a", "key": "sk-2"}]),
        "empty providers": with_(providers={}, personas={}),
        "providers of no type": with_(providers=None),
        "providers as a list": with_(providers=["openai"]),
        "unknown section": with_(provders={}),
        "unknown key": provider(api_kye="x"),
        "wrong version": with_(version=2),
        "unknown kind": provider(kind="opneai"),
        "address that is none": provider(base_url="file:///etc/passwd"),
        "half a reference": provider(api_key="${OPENAI"),
        "gateway key without a value": with_(keys=[{"name": "team", "key": "${NOT_SET_ANYWHERE}"}]),
        "secret file that is missing": with_(keys=[{"name": "team", "key": "file:///nonexistent/secret"}]),
        "persona of nobody": with_(personas={"dev": {"prefer": ["nobody/none"]}}),
        "persona nothing can serve": with_(
            personas={"dev": {"prefer": [OPENAI], "requires": {"context_window": 10**9}}}
        ),
        "limit of the wrong type": with_(limits={"body": "much"}),
        "logical model without targets": with_(models={"fast": {"targets": []}}),
        "deep nesting": "version: 1\nmodels: " + "[" * 60 + "]" * 60 + "\n",
    }


def test_broken_configurations_are_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    """R20, L5."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI)) as gateway:
            log = Log(gateway, tmp_path)
            first = await ask(gateway)
            files = broken(upstream)
            assert len(files) >= 30
            for count, (what, content) in enumerate(files.items(), 1):
                data = content if isinstance(content, bytes) else content.encode()
                (tmp_path / "platform.yaml").write_bytes(data)
                refused = await gateway.post("/v1/config/reload", {})
                assert refused.status == 422, what
                message = refused.json()["error"]["message"]
                assert message, what
                assert str(tmp_path) not in message, what
                assert await ask(gateway) == first, what
                shown = await metrics(gateway)
                assert shown['ep_config_reload_total{outcome="refused"}'] == count
                assert shown["ep_config_stale"] == 1
            (tmp_path / "platform.yaml").unlink()
            assert (await gateway.post("/v1/config/reload", {})).status == 422
            write_config(tmp_path, persona(upstream, OPENAI))
            healed = (await gateway.post("/v1/config/reload", {})).json()
            assert (healed["changed"], healed["stale"]) == (False, False)
            assert (await metrics(gateway))["ep_config_stale"] == 0
            told = log.events("config_refused")
            assert len(told) == len(files) + 1
            assert all(line["level"] == "error" and line["problems"] and line["config"] == first[1] for line in told)
            assert (await gateway.get("/v1/config/versions")).json()["versions"][-1]["cause"] == "start"

    asyncio.run(run())


def test_a_file_that_is_emptied_or_gone_is_refused_whatever_else_could_serve(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            environ = {"GROQ_API_KEY": "gsk-0123456789"}
            async with serving(tmp_path, persona(upstream, OPENAI), environ) as gateway:
                first = await ask(gateway)
                file = tmp_path / "platform.yaml"
                for change in (lambda: file.write_text(""), lambda: file.write_text("# later\n"), file.unlink):
                    change()
                    assert (await gateway.post("/v1/config/reload", {})).status == 422
                    assert await ask(gateway) == first

    asyncio.run(run())


def test_a_refused_file_is_told_by_the_watch_and_served_once_it_is_right(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, persona(upstream, OPENAI), WATCH) as gateway:
            state = gateway.gateway.state
            first = await ask(gateway)
            (tmp_path / "platform.yaml").write_text("version: 1\nproviders: [")
            await until(lambda: state.lifecycle.stale is not None)
            assert await ask(gateway) == first
            shown = (await gateway.get("/v1/config")).json()
            assert shown["stale"] is True
            assert "refused" in shown["stale_because"]
            write_config(tmp_path, persona(upstream, OPENAI))
            await until(lambda: state.lifecycle.stale is None)
            assert await ask(gateway) == first

    asyncio.run(run())


def test_a_configuration_that_cannot_start_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text("version: 1\nproviders: [")
    with pytest.raises(ConfigError, match="YAML"):
        build(Settings({"EP_CONFIG": str(tmp_path / "platform.yaml")}))


def test_only_admins_change_the_configuration(tmp_path: Path) -> None:
    """K1: no path of the API takes code, files or environment; settable keys are an allow-list."""

    async def run() -> None:
        keys = [
            {"name": "team", "key": "sk-ep-team-0123456789"},
            {"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True},
        ]
        team, boss = {"x_api_key": "sk-ep-team-0123456789"}, {"x_api_key": "sk-ep-boss-0123456789"}
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, {**persona(upstream, OPENAI), "keys": keys}) as gateway,
        ):
            for path in ("", "/versions", "/versions/current", "/diff"):
                assert (await gateway.get(f"/v1/config{path}", **team)).status == 403
            assert (await gateway.post("/v1/config/reload", {}, **team)).status == 403
            assert (await gateway.post("/v1/config/rollback", {"version": "x"}, **team)).status == 403
            assert (await put(gateway, "dev", {"prefer": [OPENAI]}, **team)).status == 403
            before = (await gateway.get("/v1/config", **boss)).json()["version"]
            for body in ({"callbacks": "os.system"}, {"logo": "/etc/passwd"}, {"env": {"PATH": "/tmp"}}):
                assert (await put(gateway, "dev", body, **boss)).status == 422
            assert (await gateway.get("/v1/config", **boss)).json()["version"] == before

    asyncio.run(run())


# --- under load ---


def test_reloads_under_load_fail_no_request_and_each_request_sees_one_version(tmp_path: Path) -> None:
    """R20, with less load than the measurement has."""

    async def run() -> None:
        async with FakeUpstream(lean=True) as upstream:
            variants = [persona(upstream, OPENAI), persona(upstream, ANTHROPIC)]
            async with serving(tmp_path, variants[0]) as gateway:
                log = Log(gateway, tmp_path)
                seen: list[tuple[str | None, str | None]] = []
                over = asyncio.Event()

                async def client() -> None:
                    while not over.is_set():
                        seen.append(await ask(gateway))

                async with asyncio.TaskGroup() as group:
                    clients = [group.create_task(client()) for _ in range(4)]
                    versions = {(await ask(gateway))[1]: "openai"}
                    for number in range(100):
                        write_config(tmp_path, variants[(number + 1) % 2])
                        reloaded = (await gateway.post("/v1/config/reload", {})).json()
                        assert reloaded["changed"] is True
                        versions[reloaded["version"]] = ("anthropic", "openai")[number % 2]
                    over.set()
                assert all(task.exception() is None for task in clients)
                assert len(versions) == 2
                assert len(seen) > 100
                # Whoever answered is whom that very version prefers.
                assert {(versions[config], config) for _, config in seen} == set(seen)
                logged = [line for line in log.events() if line["path"] == "/v1/chat/completions"]
                assert {(line["provider"], line["config"]) for line in logged} <= set(seen) | {
                    (provider, version) for version, provider in versions.items()
                }
                assert len(gateway.gateway.state.builder.fleet._generations) == 1

    asyncio.run(run())
