"""A conversation of several turns through a running gateway; each turn carries everything said before.

    make run                                                  # in another terminal
    python examples/conversation.py --persona architect       # type; an empty line ends it

The gateway is `--url`, else EP_GATEWAY_URL, else http://127.0.0.1:8000; its key, if it wants one, is EP_API_KEY.
"""

import argparse
import os
import sys

from execution_platform.client import ExecutionPlatformClient
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi import Message


def answer(client: ExecutionPlatformClient, messages: list[Message], model: str | None) -> Message:
    """Print one answer as it is written; the message to go on with."""
    said: list[str] = []
    for chunk in client.stream(messages, model=model):
        if chunk.delta_text:
            print(chunk.delta_text, end="", flush=True)
            said.append(chunk.delta_text)
    print()
    return Message("assistant", "".join(said))


def converse(client: ExecutionPlatformClient, model: str | None) -> None:
    """Take turns until an empty line or the end of the input."""
    messages: list[Message] = []
    for line in sys.stdin:
        if not line.strip():
            return
        messages.append(Message("user", line.strip()))
        messages.append(answer(client, messages, model))


def main() -> int:
    """Run the command line; 1 when the gateway could not answer."""
    parser = argparse.ArgumentParser(description="Talk to a persona or a model.")
    parser.add_argument("--url", default=os.environ.get("EP_GATEWAY_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--persona")
    parser.add_argument("--model")
    given = parser.parse_args()
    try:
        with ExecutionPlatformClient(given.url, persona=given.persona) as client:
            converse(client, given.model)
    except ExecutionPlatformError as error:
        print(f"\n{error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
