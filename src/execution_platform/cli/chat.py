"""`ep chat`: a conversation in the terminal.

Through a gateway if one is named (`--url` or EP_GATEWAY_URL), else in this process by `PersonaRouter`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from execution_platform.cli.asking import Running, key_of
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, plain, print_json
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from execution_platform.spi import Accumulator, ChatRequest, ChatResponse, LLMClient, Message


def chat(
    prompt: Annotated[str | None, typer.Argument(help="What to ask; without it a conversation begins.")] = None,
    persona: Annotated[str | None, typer.Option("--persona", "-p", help="Persona that answers.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model that answers.")] = None,
    system: Annotated[str | None, typer.Option(help="System text.")] = None,
    url: Running = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Ask, and read the answer as it is written."""
    from execution_platform.spi import ChatRequest

    with told():
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read().strip()
        request = ChatRequest((), model, persona=persona, system=system)
        asyncio.run(_converse(request, prompt, url=url, config=config, as_json=as_json))


async def _converse(
    request: "ChatRequest", prompt: str | None, *, url: str | None, config: str | None, as_json: bool
) -> None:
    async with AsyncExitStack() as stack:
        client = await _client(stack, request, url, config)
        if prompt is not None:
            await _answer(client, _asked(request, prompt), as_json=as_json)
            return
        while True:
            try:
                prompt = await asyncio.to_thread(input, "> ")
            except EOFError:
                return
            if prompt.strip():
                request = _asked(request, prompt)
                request = _with(request, await _answer(client, request, as_json=as_json))


async def _client(stack: AsyncExitStack, request: "ChatRequest", url: str | None, config: str | None) -> "LLMClient":
    if url is not None:
        from execution_platform.client import AsyncExecutionPlatformClient

        return await stack.enter_async_context(AsyncExecutionPlatformClient(url, api_key=key_of(read_settings(config))))
    from execution_platform.router import PersonaRouter, RoutedClient

    router = await stack.enter_async_context(PersonaRouter(settings=read_settings(config)))
    return RoutedClient(router, request.model, request.persona)


def _asked(request: "ChatRequest", prompt: str) -> "ChatRequest":
    from execution_platform.spi import Message

    return _with(request, Message("user", prompt))


def _with(request: "ChatRequest", message: "Message") -> "ChatRequest":
    from dataclasses import replace

    return replace(request, messages=(*request.messages, message))


async def _answer(client: "LLMClient", request: "ChatRequest", *, as_json: bool) -> "Message":
    """Print one answer; the message with which the conversation goes on."""
    from execution_platform.spi import Accumulator

    accumulator = Accumulator()
    async for text in _texts(client, request, accumulator):
        if not as_json:
            sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()
    response = accumulator.result()
    if as_json:
        print_json(_as_json(response))
    else:
        sys.stdout.write("\n")
        sys.stdout.flush()
        sys.stderr.write(_summary(response))
    return response.message


async def _texts(client: "LLMClient", request: "ChatRequest", accumulator: "Accumulator") -> AsyncIterator[str]:
    """The visible text as it comes. Raises what a failed stream carries."""
    from execution_platform.spi.events import PartDelta, RefusalDelta, TextDelta

    async for event in client.chat(request).events():
        accumulator.feed(event)
        if isinstance(event, PartDelta) and isinstance(event.delta, TextDelta | RefusalDelta):
            yield event.delta.text


def _as_json(response: "ChatResponse") -> dict[str, object]:
    usage = response.usage
    origin = response.origin
    return {
        "text": response.text,
        "tool_calls": [
            {"id": call.call_id, "name": call.name, "arguments": call.arguments} for call in response.tool_calls
        ],
        "reason": response.finish.reason.value,
        "provider": response.outputs[0].extra.get("provider") or (origin.provider if origin else None),
        "model": response.outputs[0].extra.get("model") or response.model,
        "usage": None
        if usage is None
        else {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost_usd,
        },
    }


def _summary(response: "ChatResponse") -> str:
    """One line for people: calls nobody ran here, who answered, what it used."""
    told_ = _as_json(response)
    words = [f"wants to call {call.name}({call.arguments})" for call in response.tool_calls]
    words.append(f"{told_['provider'] or '?'}/{told_['model'] or '?'}")
    usage = response.usage
    if usage is not None:
        words.append(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens")
        if usage.cost_usd is not None:
            words.append(f"${usage.cost_usd:.6f}")
    if response.finish.reason.value != "stop":
        words.append(f"ended by {response.finish.reason.value}")
    return plain(" · ".join(words)) + "\n"
