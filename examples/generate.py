"""Simple generation: one question to one persona, in this process, printed as it is written.

    python examples/generate.py "Design a REST API for a library" --persona architect

No gateway is needed. Without a provider's key, name the configuration beside this file, whose personas fall back to the
embedded model (`EP_CONFIG=examples/platform.yaml`), or simulate every provider (`EP_PROVIDER=mock`).
"""

import argparse
import asyncio
import sys

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.router import PersonaRouter
from execution_platform.spi import ChatRequest, Message


async def generate(prompt: str, persona: str) -> None:
    """Print the persona's answer."""
    async with PersonaRouter() as router:
        client = router.get_client(persona)
        request = ChatRequest([Message("user", prompt)], max_tokens=1000)
        async for chunk in client.chat(request):
            if chunk.delta_text:
                print(chunk.delta_text, end="", flush=True)
            if chunk.usage:
                print(f"\n[{chunk.usage.prompt_tokens} + {chunk.usage.completion_tokens} tokens]", file=sys.stderr)
    print()


def main() -> int:
    """Run the command line; 1 when nobody could answer."""
    parser = argparse.ArgumentParser(description="Ask one persona.")
    parser.add_argument("prompt", nargs="?", default="Design a REST API for a library.")
    parser.add_argument("--persona", default="architect")
    given = parser.parse_args()
    try:
        asyncio.run(generate(given.prompt, given.persona))
    except ExecutionPlatformError as error:
        print(f"\n{error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
