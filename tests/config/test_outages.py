"""The outage table says what the design says, cell by cell."""

import pytest

from execution_platform.config.outages import OUTAGES, Action, Concern, Lost, when

CELLS = {
    (Lost.REDIS, Concern.AUTH): (Action.AUTHORITY, None, None),
    (Lost.REDIS, Concern.BUDGET): (Action.AUTHORITY, None, None),
    (Lost.REDIS, Concern.RATE_LIMIT): (Action.LOCAL_SHARE, None, None),
    (Lost.REDIS, Concern.CACHE): (Action.OFF, None, None),
    (Lost.DATABASE, Concern.AUTH): (Action.CACHED, 600.0, Action.DENY),
    (Lost.DATABASE, Concern.BUDGET): (Action.LEASED, None, Action.DENY),
    (Lost.DATABASE, Concern.LEDGER): (Action.JOURNAL, None, Action.DENY),
    (Lost.DATABASE, Concern.TOOLS): (Action.INDEPENDENT, None, None),
    (Lost.BOTH, Concern.AUTH): (Action.STATIC, None, Action.DENY),
    (Lost.BOTH, Concern.BUDGET): (Action.DENY, None, None),
    (Lost.BOTH, Concern.RATE_LIMIT): (Action.LOCAL_SHARE, None, None),
    (Lost.BOTH, Concern.CACHE): (Action.OFF, None, None),
    (Lost.BOTH, Concern.LEDGER): (Action.JOURNAL, None, Action.DENY),
    (Lost.BOTH, Concern.TOOLS): (Action.OFF, None, None),
    (Lost.DISK, Concern.LEDGER): (Action.DENY, None, None),
    (Lost.DISK, Concern.TOOLS): (Action.OFF, None, None),
    (Lost.SECRETS, Concern.TOOLS): (Action.CACHED, 3600.0, Action.DENY),
    (Lost.PRICE, Concern.BUDGET): (Action.DENY, None, None),
    (Lost.SANDBOX, Concern.TOOLS): (Action.OFF, None, None),
    (Lost.TOOL_DEFINITION, Concern.TOOLS): (Action.DENY, None, None),
}
"""trust.md 2.5; every cell that is not here goes on as normal."""


@pytest.mark.parametrize("concern", Concern)
@pytest.mark.parametrize("lost", Lost)
def test_each_cell_is_as_designed(lost: Lost, concern: Concern) -> None:
    found = when(lost, concern)
    assert (found.action, found.seconds, found.then) == CELLS.get((lost, concern), (Action.NORMAL, None, None))


def test_every_loss_has_a_row() -> None:
    assert set(OUTAGES) == set(Lost)


def test_money_and_authority_never_end_open() -> None:
    """Authority fails closed, convenience fails open, money fails closed before dispatch."""
    for lost in Lost:
        for concern in (Concern.AUTH, Concern.BUDGET, Concern.LEDGER):
            found = when(lost, concern)
            assert found.action is not Action.OFF
            if found.action in {Action.CACHED, Action.LEASED, Action.JOURNAL, Action.STATIC}:
                assert found.then is Action.DENY
        assert when(lost, Concern.RATE_LIMIT).action in {Action.NORMAL, Action.LOCAL_SHARE}


def test_what_is_denied_has_a_code() -> None:
    for responses in OUTAGES.values():
        for found in responses.values():
            if Action.DENY in (found.action, found.then):
                assert found.code
