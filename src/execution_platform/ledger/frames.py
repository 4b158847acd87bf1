"""Records on disk: how they are framed, and how they are found again after a crash.

A record is its length (4 bytes), a CRC-32 (4 bytes, the polynomial of zlib and Ethernet, started with the length so that it
covers both), and its payload; little-endian. Zero length is the end: space that was allocated and not yet written. What
follows a damaged record is searched for the next whole one, so that one bad sector costs one record.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

HEADER = b"EPJ1\x00\x00\x00\x00"
"""First bytes of every segment: format and version."""

LONGEST = 64 * 1024
"""Bytes of a payload; a longer one is not written."""

HEAD = struct.Struct("<II")
HEAD_SIZE = HEAD.size


class Record(NamedTuple):
    """A record that was read: its payload and the offset behind it."""

    payload: bytes
    end: int


def frame(payload: bytes) -> bytes:
    """`payload` as it is written."""
    size = len(payload)
    return HEAD.pack(size, zlib.crc32(payload, size)) + payload


def records(data: bytes) -> Iterator[Record]:
    """The whole records of `data`; damaged ones are passed over, one that is not complete is left for the next read."""
    at, end = 0, len(data)
    while at + HEAD_SIZE <= end:
        size, crc = HEAD.unpack_from(data, at)
        behind = at + HEAD_SIZE + size
        if 0 < size <= LONGEST:
            if behind > end:
                return
            if zlib.crc32(data[at + HEAD_SIZE : behind], size) == crc:
                yield Record(data[at + HEAD_SIZE : behind], behind)
                at = behind
                continue
        found = next_whole(data, at + 1) if size else None
        if found is None:
            return
        at = found


def next_whole(data: bytes, start: int) -> int | None:
    """The offset of the next record whose checksum is right; None when there is none."""
    # Space that was never written is zeros, and there may be megabytes of it.
    for at in range(start, len(data.rstrip(b"\0")) - HEAD_SIZE):
        size, crc = HEAD.unpack_from(data, at)
        behind = at + HEAD_SIZE + size
        if 0 < size <= LONGEST and behind <= len(data) and zlib.crc32(data[at + HEAD_SIZE : behind], size) == crc:
            return at
    return None
