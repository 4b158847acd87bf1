"""One request to an upstream, as a value: free of the HTTP library, which is loaded when something is sent."""

from collections.abc import Mapping

import msgspec


class FixedHeaders(dict[str, str]):
    """Headers that many calls share. Nobody changes them: the transport keeps the text it has made of them."""

    __slots__ = ("text",)

    text: bytes

    def __repr__(self) -> str:
        return f"FixedHeaders({', '.join(self)})"


class HttpCall(msgspec.Struct, frozen=True, gc=False):
    """One request. `stream` tells that the answer comes in pieces, so that silence is judged between two of them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    stream: bool = False
