"""Design, implement, review: three personas over two providers, each working on what the one before wrote.

    ANTHROPIC_API_KEY=... OPENAI_API_KEY=... python examples/design_implement_review.py "A URL shortener"

`architect` and `reviewer` ask Anthropic first, `code_writer_openai` asks OpenAI first. Which provider serves which persona is
configuration: nothing here names one. `EP_PROVIDER=mock` simulates the providers that have no key.
"""

import argparse
import asyncio
import sys

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.router import PersonaRouter
from execution_platform.spi import ChatRequest, ChatResponse, Message


async def ask(router: PersonaRouter, persona: str, prompt: str) -> str:
    """One persona's whole answer, announced with the provider that gave it."""
    response: ChatResponse = await router.get_client(persona).chat(ChatRequest([Message("user", prompt)]))
    provider = response.origin.provider if response.origin else "?"
    print(f"\n== {persona} ({provider}/{response.model})\n{response.text}")
    return response.text


async def build(task: str) -> None:
    """Carry `task` through the three steps."""
    async with PersonaRouter() as router:
        design = await ask(router, "architect", f"Design this in one page: {task}")
        code = await ask(router, "code_writer_openai", f"Implement this design:\n\n{design}")
        await ask(router, "reviewer", f"Review this code against its design.\n\nDesign:\n{design}\n\nCode:\n{code}")


def main() -> int:
    """Run the command line; 1 when one of the three could not answer."""
    parser = argparse.ArgumentParser(description="Design, implement and review.")
    parser.add_argument("task", nargs="?", default="A URL shortener")
    given = parser.parse_args()
    try:
        asyncio.run(build(given.task))
    except ExecutionPlatformError as error:
        print(f"\n{error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
