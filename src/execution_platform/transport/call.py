"""One request to an upstream, as a value: free of the HTTP library, which is loaded when something is sent."""

from collections.abc import Mapping
from typing import NamedTuple


class HttpCall(NamedTuple):
    """One request. `stream` tells that the answer comes in pieces, so that silence is judged between two of them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    stream: bool = False
