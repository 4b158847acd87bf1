"""The verdict on one cell: what the client saw, against what was expected and against the upstreams' own meters."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chaos.clients import Seen
from chaos.raw import wrong_on_the_wire
from chaos.scenario import Expect
from chaos.stage import Cell

MOST_ATTEMPTS = 3
MOST_LOAD = 1.2
_SETTLING = 2.0


@dataclass
class Verdict:
    """The result of one cell. No problems: it is green."""

    cell: Cell
    problems: list[str] = field(default_factory=list)
    first: float | None = None
    """Seconds to the first content, the slowest of all requests."""
    ended: float = 0.0
    closed: float | None = None
    """Seconds from the client's leaving to the end of the upstream's connection."""

    @property
    def is_green(self) -> bool:
        """Whether all was as expected."""
        return not self.problems


def judge(cell: Cell, seen: Sequence[Seen]) -> Verdict:
    """Judge what the requests of one cell brought."""
    expect = cell.scenario.expected(cell.way)
    verdict = Verdict(cell)
    verdict.problems += _at_rest(cell)
    verdict.first = max((one.first for one in seen if one.first is not None), default=None)
    verdict.ended = max((one.ended for one in seen), default=0.0)
    failed = 0
    for one in seen:
        problems = list(_seen_problems(cell, expect, one))
        failed += bool(problems)
        if problems and (expect.success == 1.0 or _is_wrong(one)):
            verdict.problems += problems
        if cell.is_raw and cell.way == "stream" and expect.outcome != "left":
            verdict.problems += wrong_on_the_wire(cell.client, one)
    if seen and (len(seen) - failed) / len(seen) < expect.success:
        verdict.problems.append(f"{failed} of {len(seen)} requests failed")
    verdict.problems += _meters(cell, expect, seen)
    if expect.outcome == "left":
        verdict.closed, late = _left(cell, expect, seen)
        verdict.problems += late
    verdict.problems = list(dict.fromkeys(verdict.problems))[:6]
    return verdict


def _is_wrong(seen: Seen) -> bool:
    """A request that neither failed honestly nor is an answer."""
    return not seen.error


def _seen_problems(cell: Cell, expect: Expect, seen: Seen) -> Iterator[str]:
    if "canary" in seen.error or any("canary" in value for value in seen.headers.values()):
        yield "a secret is shown"
    match expect.outcome:
        case "answer":
            yield from _answered(cell, expect, seen)
        case "error":
            yield from _refused(expect, seen)
        case "cut":
            yield from _was_cut(cell, expect, seen)
        case "continued":
            yield from _continued(cell, seen)
        case "left":
            return


def _answered(cell: Cell, expect: Expect, seen: Seen) -> Iterator[str]:
    if seen.error:
        yield f"error instead of an answer: {seen.status} {seen.headers.get('x-ep-error', '')} {seen.error}"
        return
    if seen.finish is None:
        yield "the answer has no end"
    speakers = cell.posts if expect.by is None else [cell.posts[expect.by]]
    texts = [post.text for post in speakers]
    if seen.text not in texts:
        yield f"the text is {seen.text!r}"
        return
    if cell.scenario.chain and expect.by is not None:
        yield from _headers(cell, expect.by, seen)


def _headers(cell: Cell, by: int, seen: Seen) -> Iterator[str]:
    """Whether the headers tell who answered, instead of whom, and how often it was tried."""
    headers = seen.headers
    provider = cell.posts[by].provider
    if headers.get("x-ep-provider") != provider:
        yield f"x-ep-provider is {headers.get('x-ep-provider')}, and {provider} answered"
    fallback = headers.get("x-ep-fallback-from", "").partition("/")[0]
    is_failover = by > 0 and "hedge" not in cell.scenario.model
    if cell.scenario.times == 1 and is_failover and fallback != cell.posts[0].provider:
        yield f"x-ep-fallback-from is {fallback or 'absent'} and should be {cell.posts[0].provider}"
    for name in ("x-request-id", "x-ep-config", "x-ep-attempts"):
        if not headers.get(name):
            yield f"{name} is absent"
    attempts = int(headers.get("x-ep-attempts") or 0)
    counted = sum(len(post.exchanges) for post in cell.posts)
    if cell.scenario.times == 1 and not cell.scenario.sdk_retries:
        if not counted <= attempts:
            yield f"x-ep-attempts is {attempts}, and the upstreams counted {counted}"
        if attempts > MOST_ATTEMPTS:
            yield f"{attempts} attempts; {MOST_ATTEMPTS} are the most"


def _refused(expect: Expect, seen: Seen) -> Iterator[str]:
    if not seen.error:
        yield f"an answer instead of an error: {seen.text[:60]!r} finish {seen.finish}"
        return
    if seen.text:
        yield f"text before the error: {seen.text[:60]!r}"
    if expect.status and seen.status not in expect.status:
        yield f"status {seen.status} ({seen.error[:80]}), expected {' or '.join(map(str, expect.status))}"
    code = seen.headers.get("x-ep-error", "")
    if expect.code and code not in expect.code:
        yield f"x-ep-error is {code!r}, expected {' or '.join(expect.code)}"
    if expect.retry_after and "retry-after" not in seen.headers:
        yield "retry-after is absent"


def _was_cut(cell: Cell, expect: Expect, seen: Seen) -> Iterator[str]:
    whole = cell.posts[0].text
    if not seen.error:
        yield f"the cut is not told: finish {seen.finish}, text {seen.text[-40:]!r}"
    elif "wire broke" in seen.error or seen.status != 200:
        yield f"the stream broke instead of ending with an error event: {seen.status} {seen.error}"
    if not whole.startswith(seen.text.rstrip()) or len(seen.text) > len(whole):
        yield f"the text before the cut is {seen.text!r}"
    if expect.words is not None and len(seen.text.split()) != expect.words:
        yield f"{len(seen.text.split())} words before the cut, {expect.words} were sent"


def _continued(cell: Cell, seen: Seen) -> Iterator[str]:
    if seen.error:
        yield f"error instead of a continuation: {seen.error}"
    first, second = cell.posts[0].text, cell.posts[1].text
    kept = seen.text.removesuffix(second)
    if kept == seen.text or not first.startswith(kept.rstrip()) or not kept:
        yield f"the text is {seen.text!r}"


def _meters(cell: Cell, expect: Expect, seen: Sequence[Seen]) -> Iterator[str]:
    for index, (least, most) in expect.requests.items():
        count = len(cell.posts[index].exchanges)
        if not least <= count <= most:
            yield f"link {index} got {count} requests, expected {least} to {most}"
    if expect.last_by is not None and seen:
        provider = seen[-1].headers.get("x-ep-provider")
        wanted = cell.posts if expect.last_by < 0 else [cell.posts[expect.last_by]]
        if provider not in [post.provider for post in wanted]:
            yield f"the last request was answered by {provider}"
    for index, post in enumerate(cell.posts):
        count = len(post.exchanges)
        allowed = max(MOST_LOAD * len(seen), MOST_ATTEMPTS if len(seen) == 1 else 0)
        if index not in expect.requests and count > allowed + 1e-9:
            yield f"link {index} got {count} requests for {len(seen)} offered"


def _at_rest(cell: Cell) -> list[str]:
    """Whether every upstream has been left in peace, a little after the last answer."""
    until = time.monotonic() + _SETTLING
    while time.monotonic() < until:
        open_ = [post.provider for post in cell.posts if post.upstream.meter.requests_open]
        if not open_:
            return []
        time.sleep(0.01)
    return [f"{name} still works for nobody" for name in open_]


def _left(cell: Cell, expect: Expect, seen: Sequence[Seen]) -> tuple[float | None, list[str]]:
    """How long after the client had left the upstream's connection ended."""
    left = [one.left_at for one in seen if one.left_at is not None]
    if len(left) != len(seen):
        return None, [f"the client did not come to leave: {seen[0].status} {seen[0].error or seen[0].text!r}"]
    ends = [one.closed_at for post in cell.posts for one in post.exchanges if one.end == "client"]
    if not any(post.exchanges for post in cell.posts):
        return None, []
    if not ends:
        return None, [] if expect.closed_within is None else ["no upstream saw the client leave"]
    closed = max(ends) - min(left)
    if expect.closed_within is not None and closed > expect.closed_within:
        return closed, [f"the upstream was left after {closed:.2f} s"]
    return closed, []
