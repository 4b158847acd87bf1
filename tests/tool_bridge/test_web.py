"""Where a redirect may lead, before anything is called."""

import pytest

from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge.web import WebCall, _next
from execution_platform.transport.egress import EgressReply


def test_a_redirect_is_taken_only_where_it_may_lead() -> None:
    """H3: never from https to http, whatever the host; within https with what belongs to the host it was for."""
    call = WebCall(method="GET", url="https://example.com/a", headers={"authorization": "x", "accept": "text/*"})

    def moved(to: str) -> WebCall | None:
        return _next(call, EgressReply(302, {"location": to}, b""))

    for target in ("http://example.com/a", "http://other.example/"):
        with pytest.raises(ToolDenied) as refused:
            moved(target)
        assert refused.value.code == "egress_blocked"
    assert moved("/b") == WebCall(method="GET", url="https://example.com/b", headers=call.headers)
    assert moved("https://other.example/") == WebCall(
        method="GET", url="https://other.example/", headers={"accept": "text/*"}
    )
