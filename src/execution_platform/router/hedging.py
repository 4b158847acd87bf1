"""When a second target is asked beside the first."""

from collections.abc import Callable

from execution_platform.config.values import Hedge
from execution_platform.resilience.board import Deployment


def hedge_of(given: Hedge, *, stream: bool) -> Callable[[Deployment], float | None] | None:
    """Seconds of patience with a deployment as the configuration says; None where nothing is hedged.

    `True` waits as long as 19 of its last 20 answers took, and does not hedge a deployment of which fewer are known.
    """
    if given is False:
        return None
    if given is True:
        return _usual_first if stream else _usual_whole
    return lambda _: given


def _usual_first(deployment: Deployment) -> float | None:
    return deployment.first_content.p95()


def _usual_whole(deployment: Deployment) -> float | None:
    return deployment.whole.p95()
