"""An approval is for one call as it was shown."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from agent_tools import ReadFile, Tool, WriteFile
from execution_platform.config.values import PermissionLevel, PermissionMode
from execution_platform.runtime.agent.asking import Asking
from execution_platform.runtime.agent.told import Note
from execution_platform.tool_bridge.approval import Asked, Permit, Sealed, judge

KEY = b"k" * 32
SHOWN = Sealed("run_1", "run_1.0.0", "write_file", {"path": "a", "content": "x"}, "ada", 1_800_000_000)


@pytest.mark.parametrize(
    "other",
    [
        replace(SHOWN, run_id="run_2"),
        replace(SHOWN, call_id="run_1.0.1"),
        replace(SHOWN, tool="fs_delete"),
        replace(SHOWN, arguments={"path": "a", "content": "y"}),
        replace(SHOWN, arguments={"path": "a"}),
        replace(SHOWN, owner="eve"),
        replace(SHOWN, expires=SHOWN.expires + 1),
    ],
    ids=["run", "call", "tool", "one letter", "an argument less", "owner", "time"],
)
def test_a_seal_is_for_exactly_one_call(other: Sealed) -> None:
    """A4."""
    seal = SHOWN.seal(KEY)
    assert SHOWN.is_sealed_by(seal, KEY)
    assert replace(SHOWN, arguments={"content": "x", "path": "a"}).is_sealed_by(seal, KEY), "the order says nothing"
    assert not other.is_sealed_by(seal, KEY)
    assert not SHOWN.is_sealed_by(seal, b"another key")


MODES: tuple[PermissionMode, ...] = ("default", "acceptEdits", "plan", "bypassPermissions")


def test_a_run_that_plans_changes_nothing_whatever_was_consented_to() -> None:
    """A1: a configured consent counts in other modes."""
    for tool in (WriteFile(), Tool("shell", "exec", {}), Tool("send_mail", "network", {})):
        permit = Permit(tool, consented=True)
        assert judge(Asked("c", permit, {}, "plan")).decision == "deny"
        assert judge(Asked("c", permit, {}, "default")).decision == "allow"
    assert judge(Asked("c", Permit(ReadFile()), {}, "plan")).decision == "allow"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", ["none", "read_only"])
def test_a_level_binds_in_every_mode(mode: PermissionMode, level: PermissionLevel) -> None:
    """A1: bypass asks nobody, and widens nothing."""
    assert judge(Asked("c", Permit(WriteFile(), level, consented=True), {}, mode)).decision == "deny"


class Forgetful:
    """A store that knows of no earlier question."""

    async def ask(self, run_id: str, call_key: str, seal: str, expires: datetime) -> None:
        """Nothing was decided before."""


def test_arguments_that_change_after_they_were_shown_do_not_run() -> None:
    """A4: what is allowed is what the owner saw, whoever holds the same object meanwhile."""
    arguments: dict[str, object] = {"path": "a", "content": "x"}

    async def decided(*, change: bool) -> str:
        async def tell(note: Note) -> None:
            if note.kind == "approval_required":
                if change:
                    arguments["path"] = ".env"
                asking.decided(str(note.data["token"]), "allow")

        async def waiting(count: int) -> None:
            """Nobody counts."""

        asking = Asking(Forgetful(), "run_1", "ada", KEY, tell=tell, waiting=waiting)  # type: ignore[arg-type]
        verdict = await asking.approve(Asked("run_1.0.0", Permit(WriteFile()), arguments), "needs an approval")
        return verdict.decision

    assert asyncio.run(decided(change=False)) == "allow"
    assert asyncio.run(decided(change=True)) == "deny"
