"""Runs whose gateway is killed: they go on at the next start, and nothing is done twice."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from child import SOURCE, ChildGateway
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script
from run_tools import publish

STEPS = 10


def post(gateway: ChildGateway, path: str, body: dict[str, Any]) -> Any:
    """POST JSON and read the answer."""
    request = urllib.request.Request(
        gateway.url + path, data=_json.dumps(body), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return _json.loads(answer.read())


def run_of(gateway: ChildGateway, run_id: str) -> dict[str, Any]:
    """How the run stands."""
    found: Any = _json.loads(gateway.get(f"/v1/runs/{run_id}"))
    return found


def wait(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def config(url: str, tool: str) -> dict[str, Any]:
    """One persona with one tool."""
    return {
        "retry": {"base_seconds": 0.001},
        "runs": {"steps": 30},
        "providers": {"openai": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-1", "models": ["gpt-4o"]}},
        "personas": {"dev": {"prefer": ["openai/gpt-4o"], "tools": [tool], "permission_mode": "acceptEdits"}},
    }


def is_over(gateway: ChildGateway, run_id: str) -> bool:
    """Whether the run has ended."""
    return run_of(gateway, run_id)["status"] not in {"running", "waiting"}


@pytest.mark.parametrize("tool", ["append", "keyed"])
def test_a_run_of_ten_steps_that_is_killed_after_every_effect_has_each_effect_once(tool: str, tmp_path: Path) -> None:
    """A3: kill -9 between effect and journal: a tool that heeds the call's id is run again, any other call is `outcome_unknown`."""
    environ = publish(tmp_path)
    environ["PYTHONPATH"] = f"{SOURCE}:{tmp_path}"
    with FakeUpstream.in_thread() as upstream:
        calls = [Script(Call(tool, {"step": step})) for step in range(STEPS)]
        upstream.upstream.script(*calls, Script("all done"))
        gateway = ChildGateway(
            config(upstream.upstream.url, tool), environ={**environ, "FAILPOINT": "run.after_effect:exit@1"}
        )
        gateway.start()
        try:
            run_id = post(gateway, "/v1/runs", {"persona": "dev", "task": "Ten steps"})["id"]
            # A call that is run again dies once more on its way: it is let through every second time.
            for _ in range(STEPS * 2):
                assert gateway.wait(60) == 86, gateway.said()
                lines = Path(environ["TEST_EFFECTS"]).read_text().splitlines()
                if len(lines) == STEPS:
                    break
                if tool == "keyed":
                    gateway.environ["FAILPOINT"] = "run.after_effect:exit@2"
                gateway.start()
            gateway.environ.pop("FAILPOINT")
            gateway.start()
            wait(lambda: is_over(gateway, run_id))
            row = run_of(gateway, run_id)
            assert (row["status"], row["answer"], row["steps"]) == ("done", "all done", STEPS + 1)
            steps = [int(line.split()[0]) for line in Path(environ["TEST_EFFECTS"]).read_text().splitlines()]
            assert steps == list(range(STEPS))
            events = gateway.get(f"/v1/runs/{run_id}/events").decode()
            assert events.count("event: outcome_unknown") == (STEPS if tool == "append" else 0)
            assert events.count("event: run_resumed") >= STEPS
            told = str(upstream.upstream.meter[-1].body)
            assert told.count("outcome_unknown") == (STEPS if tool == "append" else 0)
        finally:
            gateway.__exit__()


@pytest.mark.parametrize(
    "place", ["run.before_journal", "run.after_turn", "run.before_effect", "run.after_effect", "run.after_result"]
)
def test_a_run_that_is_killed_anywhere_goes_on_and_does_nothing_twice(place: str, tmp_path: Path) -> None:
    """A3: at every place of the journal."""
    environ = publish(tmp_path)
    environ["PYTHONPATH"] = f"{SOURCE}:{tmp_path}"
    with FakeUpstream.in_thread() as upstream:
        calls = [Script(Call("append", {"step": step})) for step in range(3)]
        upstream.upstream.script(*calls, Script("all done"))
        gateway = ChildGateway(
            config(upstream.upstream.url, "append"), environ={**environ, "FAILPOINT": f"{place}:exit@2"}
        )
        gateway.start()
        try:
            run_id = post(gateway, "/v1/runs", {"persona": "dev", "task": "Three steps"})["id"]
            assert gateway.wait(60) == 86, gateway.said()
            gateway.environ.pop("FAILPOINT")
            gateway.start()
            wait(lambda: is_over(gateway, run_id))
            assert run_of(gateway, run_id)["status"] == "done"
            path = Path(environ["TEST_EFFECTS"])
            steps = [int(line) for line in path.read_text().splitlines()]
            assert len(steps) == len(set(steps))
        finally:
            gateway.__exit__()
