"""OpenAI's SDK as the judge of the Responses dialect, and as a client of the gateway on upstreams of every dialect."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from sdks import KEY

from conftest import KEEPER
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.openai_responses import DIALECT
from execution_platform.spi import (
    ChatResponse,
    Citation,
    Finish,
    FinishReason,
    Message,
    Origin,
    Output,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
    explode,
)
from execution_platform.testing import Call, FakeUpstream, Script, Text, Thinking

AWAY = Origin(dialect="anthropic", provider="a")
DOWN = Downstream("m", "req_1", 7)
USAGE = Usage(50, 20, cache_read_tokens=5, cache_write_tokens=0, reasoning_tokens=4)
MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"]
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
UNTYPED = ".store"
"""A member that the API has and the SDK's type does not."""


def answer(*parts: Part, reason: FinishReason = FinishReason.STOP) -> ChatResponse:
    return ChatResponse([Output(Message("assistant", parts), Finish(reason))], origin=AWAY, usage=USAGE, model="m")


ANSWERS = {
    "text": answer(TextPart("hi", citations=(Citation(kind="url", url="https://x.test", title="T"),))),
    "refusal": answer(TextPart("no", refusal=True)),
    "thought": answer(ThinkingPart("hm", summary=("a",), signature=Signature("t", AWAY)), TextPart("so")),
    "calls": answer(ToolCallPart("c1", "f", "{}"), ToolCallPart("c2", "n.g", "{}"), reason=FinishReason.TOOL_CALLS),
    "free text": answer(ToolCallPart("c1", "sh", "ls", kind="custom")),
    "cut": answer(TextPart("half"), reason=FinishReason.LENGTH),
    "nothing": answer(),
}


def leftovers(value: object, path: str = "") -> Iterator[str]:
    """Members the SDK's types do not know."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from leftovers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leftovers(item, f"{path}[{index}]")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer_parses_with_nothing_left_over(name: str) -> None:
    parsed = Response.model_validate_json(DIALECT.encode_response(ANSWERS[name], DOWN).body)
    known = {".output[0].status"} if name == "free text" else set[str]()
    assert set(leftovers(parsed)) <= known | {UNTYPED}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_event_of_a_stream_parses(name: str) -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    data = (encoder.send(explode(ANSWERS[name])) + encoder.close()).decode()
    adapter = TypeAdapter[Any](ResponseStreamEvent)
    for frame in filter(None, data.split("\n\n")):
        adapter.validate_python(json.loads(frame.partition("data: ")[2]))


@pytest.fixture
def client(gateway: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY, max_retries=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_answer_arrives(model: str, client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script(Script([Thinking("let me see"), Text("hello there")]))
    response = client.responses.create(model=model, input="hi", instructions="Be brief.", store=False)
    assert response.output_text == "hello there"
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens == upstream.meter.totals()["output"]


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_arrives_piece_by_piece(model: str, client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script(Script(Text("one two three")))
    with client.responses.stream(model=model, input="hi") as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        whole = stream.get_final_response()
    assert "".join(pieces) == whole.output_text == "one two three"
    assert len(pieces) > 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_and_its_result_goes_back(
    model: str, stream: bool, client: openai.OpenAI, upstream: FakeUpstream
) -> None:
    upstream.script(Script(Call("get_weather", {"city": "Rome"})), Script(Text("sunny in Rome")))
    history: list[Any] = [{"role": "user", "content": "weather in Rome?"}]
    if stream:
        with client.responses.stream(model=model, input=history, tools=[TOOL]) as events:
            first: Any = events.get_final_response()
    else:
        first = client.responses.create(model=model, input=history, tools=[TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Rome"}
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    last = client.responses.create(model=model, input=history, tools=[TOOL])
    assert last.output_text == "sunny in Rome"
    assert b"sunny" in upstream.meter[len(upstream.meter) - 1].raw_body


@pytest.fixture
def keeper(gateway: str) -> openai.OpenAI:
    """A client whose tenant has its responses kept."""
    return openai.OpenAI(base_url=f"{gateway}/openai/v1", api_key=KEEPER, max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_goes_on_by_the_id_of_its_last_response(
    model: str, stream: bool, keeper: openai.OpenAI, upstream: FakeUpstream
) -> None:
    upstream.script(Script([Thinking("let me see"), Text("Hello Anna")]), Script(Call("get_weather", {"city": "Rome"})))

    def ask(**asked: Any) -> Any:
        if not stream:
            return keeper.responses.create(model=model, tools=[TOOL], **asked)
        with keeper.responses.stream(model=model, tools=[TOOL], **asked) as events:
            return events.get_final_response()

    first = ask(input="I am Anna")
    second = ask(input="Weather?", previous_response_id=first.id)
    [call] = [item for item in second.output if item.type == "function_call"]
    upstream.script(Script(Text("Sunny, Anna")))
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    third = ask(input=result, previous_response_id=second.id)
    assert third.output_text == "Sunny, Anna"
    assert b"I am Anna" in upstream.meter[len(upstream.meter) - 1].raw_body
    kept = keeper.responses.retrieve(third.id)
    assert (kept.id, kept.output_text, kept.previous_response_id) == (third.id, "Sunny, Anna", second.id)
    assert set(leftovers(kept)) <= {UNTYPED}
    items = list(keeper.responses.input_items.list(third.id, limit=2, order="asc"))
    kinds = [item.type for item in items if item.type != "reasoning"]
    assert kinds == ["message", "message", "message", "function_call", "function_call_output"]
    assert [list(leftovers(item)) for item in items] == [[]] * len(items)
    with pytest.raises(openai.BadRequestError):
        keeper.responses.cancel(third.id)
    keeper.responses.delete(third.id)
    with pytest.raises(openai.NotFoundError):
        keeper.responses.retrieve(third.id)
    with pytest.raises(openai.NotFoundError):
        ask(input="go on", previous_response_id=third.id)


def test_another_tenant_finds_none_of_it(client: openai.OpenAI, keeper: openai.OpenAI, upstream: FakeUpstream) -> None:
    """K4."""
    mine = keeper.responses.create(model=MODELS[0], input="our plan").id
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(mine)
    with pytest.raises(openai.BadRequestError, match="previous_response_id") as caught:
        client.responses.create(model=MODELS[0], input="go on", previous_response_id=mine)
    assert caught.value.code == "responses_not_kept"


def test_an_error_has_the_sdks_class(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="nobody/none-such", input="hi")
    assert caught.value.body is not None
    with pytest.raises(openai.BadRequestError, match="input"):
        client.responses.create(model=MODELS[1], input=3)  # type: ignore[call-overload]


def test_input_tokens_are_counted(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    assert client.responses.input_tokens.count(model=MODELS[1], input="hello").input_tokens > 0
