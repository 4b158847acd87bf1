"""`python -m execution_platform.testing --port P`: the fake upstream for tests in another process.

Prints its base URL as one line when it listens (`--port 0` picks a free port) and serves until it is stopped.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from execution_platform import _json
from execution_platform.testing.control import add_scripts
from execution_platform.testing.upstream import FakeUpstream


async def serve(upstream: FakeUpstream, scripts: object) -> None:
    """Serve until SIGINT or SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if scripts is not None:
        add_scripts(upstream, scripts)
    await upstream.start()
    sys.stdout.write(f"{upstream.url}\n")
    sys.stdout.flush()
    await stopping.wait()
    await upstream.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 when the script file or the port cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m execution_platform.testing", description="A scripted LLM upstream."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--api-key", default="", help="refuse every other key as the vendors do")
    parser.add_argument("--script", type=Path, help="JSON file with scripts, as POST /__script takes it")
    parser.add_argument("--lean", action="store_true", help="keep no headers and bodies of answered requests")
    options = parser.parse_args(arguments)
    try:
        scripts = None if options.script is None else _json.loads(options.script.read_bytes())
        with contextlib.suppress(KeyboardInterrupt):
            upstream = FakeUpstream(port=options.port, api_key=options.api_key, lean=options.lean)
            asyncio.run(serve(upstream, scripts))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
