"""Failpoints: R38 of the trust tests stands on them."""

import asyncio
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from execution_platform._failpoint import ARMED, EXIT_STATUS, FailpointError, hit, reach, read_failpoints
from failpoints import SOURCE, declared, passed


def points(text: str, log: Path | None = None):
    return read_failpoints({"FAILPOINT": text, "FAILPOINT_HITS": str(log or "")})


def test_nothing_is_armed_without_the_variables() -> None:
    assert ARMED is False
    hit("any.place")


def test_an_exception_is_raised_at_its_place_and_nowhere_else() -> None:
    found = points("kernel.before_plan:exception")
    hit("kernel.before_dispatch", found)
    with pytest.raises(FailpointError, match=r"kernel\.before_plan"):
        hit("kernel.before_plan", found)


def test_a_full_disk_and_a_lost_reply_are_the_errors_of_the_system() -> None:
    found = points("a.write:ENOSPC,a.commit:lost_reply")
    with pytest.raises(OSError) as full:
        hit("a.write", found)
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(ConnectionResetError):
        hit("a.commit", found)


def test_the_nth_pass_fails_alone() -> None:
    found = points("a.write:exception@3")
    hit("a.write", found)
    hit("a.write", found)
    with pytest.raises(FailpointError):
        hit("a.write", found)
    hit("a.write", found)


@pytest.mark.parametrize("text", ["a", "a:", ":exit", "a:explode", "a:exit@", "a:exit@0", "a:exit@x", "a:exit@-1"])
def test_an_order_nobody_can_obey_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="FAILPOINT has"):
        points(text)


def test_a_hanging_task_can_be_cancelled() -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reach("a.write", points("a.write:hang")), 0.01)

    asyncio.run(run())


def test_first_passes_are_logged_whether_something_fails_or_not(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    found = points("b:exception", log)
    hit("a", found)
    hit("a", found)
    with pytest.raises(FailpointError):
        asyncio.run(reach("b", found))
    assert log.read_text() == "a\nb\n"
    assert passed(log) == {"a", "b"}


def test_exit_ends_the_process_without_any_handler(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    code = "import atexit; atexit.register(print, 'handler'); from execution_platform._failpoint import ARMED, hit\nif ARMED: hit('a')\nprint('on')"
    environ = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "FAILPOINT": "a:exit", "FAILPOINT_HITS": str(log)}
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (EXIT_STATUS, b"")
    assert passed(log) == {"a"}


def test_every_place_has_a_name_of_its_own_that_begins_with_its_room() -> None:
    found = declared()
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
    assert [name for name in found if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []
