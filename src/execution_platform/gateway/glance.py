"""A request as one look into a socket's buffer shows it."""

from typing import NamedTuple

import httptools

from execution_platform.gateway.http import HeaderList


class Glance(NamedTuple):
    """What tells who asks for what."""

    method: str
    path: str
    query: bytes
    headers: HeaderList
    """Names in lower case."""


class _Reading:
    __slots__ = ("headers", "url", "whole")

    def __init__(self) -> None:
        self.url = b""
        self.headers: HeaderList = []
        self.whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.whole = True


def glance(data: bytes) -> Glance | None:
    """The request that `data` is; None when it is not there to its end, or is none."""
    reading = _Reading()
    try:
        parser = httptools.HttpRequestParser(reading)
        parser.feed_data(data)
        if not reading.whole:
            return None
        target = httptools.parse_url(reading.url)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    path = (target.path or b"/").decode("latin-1")
    return Glance(parser.get_method().decode("latin-1"), path, target.query or b"", reading.headers)
