"""The log: JSON lines that never stop a request."""

import json
import os

from execution_platform.observability.logging import LineLog


def test_lines_are_json_one_each_and_cannot_be_forged() -> None:
    reader, writer = os.pipe()
    log = LineLog(writer)
    log.write({"event": "request", "model": 'x\r\n{"event": "forged"}\x1b[31m'})
    log.event("started", providers=["a"])
    log.close()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [line["event"] for line in lines] == ["request", "started"]


def test_a_reader_that_stopped_costs_lines_and_not_requests() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = LineLog(writer)
    for _ in range(200):
        log.write({"event": "request", "padding": "x" * 2000})
    log.close()
    assert log.dropped > 0
    os.close(reader)
    os.close(writer)
