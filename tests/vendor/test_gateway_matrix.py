"""The vendors' own SDKs through the gateway to every vendor's dialect: what a caller who only changed a base URL gets."""

from collections.abc import Sequence
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from sdks import FINISH, KEY, MOUNTS, PIXEL, SDKS, AnthropicSdk, Ask, GenaiSdk, OpenAiSdk

from execution_platform.dialects import dialect
from execution_platform.spi import (
    ChatRequest,
    Inline,
    MediaPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from execution_platform.testing import Call, EndAfter, FakeUpstream, Script, Status, StreamError, Text, Thinking, Tokens

TARGETS = {
    "openai_chat": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-pro",
}
PARIS = Call("get_weather", {"city": "Paris"})
ROME = Call("get_weather", {"city": "Rome"})
SIGNED = "+++/c2lnbmVkIGJ5IHRoZSB2ZW5kb3I="

each_client = pytest.mark.parametrize("client", SDKS)
each_target = pytest.mark.parametrize("target", TARGETS)
each_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def sent(upstream: FakeUpstream, target: str, index: int = -1) -> ChatRequest:
    """What the upstream was asked last, understood."""
    exchange = upstream.meter[index]
    assert exchange.dialect == target
    return dialect(target).decode_request(exchange.raw_body, model=exchange.model, stream=exchange.stream)


def parts_of(request: ChatRequest, kind: type[Any]) -> list[Any]:
    return [part for message in request.messages for part in message.parts if isinstance(part, kind)]


def losses_told(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-ep-loss", "")


# Text


@each_target
@each_client
def test_a_plain_request_loses_nothing_on_its_way(
    client: str, target: str, gateway: str, upstream: FakeUpstream
) -> None:
    """The bytes are those that each SDK writes for its plainest call, with what it adds unasked."""
    hello = [{"role": "user", "content": "hello"}]
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "openai_chat": ("/v1/chat/completions", {"model": TARGETS[target], "messages": hello, "stream": False}),
        "anthropic": (
            "/v1/messages",
            {"model": TARGETS[target], "messages": hello, "max_tokens": 9, "stream": False},
        ),
        "gemini": (
            f"/v1beta/models/{TARGETS[target]}:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": {}},
        ),
    }
    upstream.script(Script("hello"))
    path, body = calls[client]
    told = losses_told(httpx2.post(gateway + path, json=body, headers={"x-api-key": KEY}))
    of_the_request = [path for path in told.split(", ") if path.partition(":")[2] in {"stream", "generationConfig"}]
    assert of_the_request == []


@each_way
@each_target
@each_client
def test_text_usage_and_finish_arrive(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script(Text("Grüße: eins 🦜 zwei drei", chunks=5), usage=Tokens(input=11, output=5)))
    answer = SDKS[client](gateway).ask(Ask(TARGETS[target], "say hello", stream=stream, system="Be kind."))
    assert answer.text == "Grüße: eins 🦜 zwei drei"
    assert answer.finish == FINISH["stop"][client]
    assert (answer.input, answer.output) == (11, 5)
    assert answer.id
    assert answer.model
    if stream:
        assert answer.pieces >= 4
    request = sent(upstream, target)
    assert [message.text for message in request.messages if message.role == "user"] == ["say hello"]
    assert [message.text for message in request.messages if message.role in {"system", "developer"}] == ["Be kind."]
    assert upstream.meter[-1].stream is stream


@each_way
@each_target
@each_client
def test_cached_tokens_are_told(client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script("fine", usage=Tokens(input=100, output=1, cached=60)))
    answer = SDKS[client](gateway).ask(Ask(TARGETS[target], stream=stream))
    assert (answer.input, answer.output, answer.cached) == (100, 1, 60)


@each_way
@each_target
@each_client
def test_limits_stop_sequences_and_temperature_are_kept(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("one two", finish="length"))
    ask = Ask(TARGETS[target], stream=stream, max_tokens=7, stop="END", temperature=0.25)
    assert SDKS[client](gateway).ask(ask).finish == FINISH["length"][client]
    request = sent(upstream, target)
    assert (request.max_tokens, request.stop, request.temperature) == (7, ("END",), 0.25)


@each_way
@each_target
@each_client
def test_a_stop_sequence_ends_the_answer(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("one two", finish="stop_sequence", stop_sequence="END"))
    answer = SDKS[client](gateway).ask(Ask(TARGETS[target], stream=stream, stop="END"))
    # Only Anthropic tells a matched sequence from any other end.
    told = "stop_sequence" if target == "anthropic" else "stop"
    assert answer.finish == FINISH[told][client]
    assert answer.text == "one two"


@each_target
@each_client
def test_a_conversation_keeps_its_turns(client: str, target: str, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script("Hello Ada."), Script("You are Ada."))
    sdk = SDKS[client](gateway)
    sdk.ask(Ask(TARGETS[target], "I am Ada."))
    assert sdk.ask(Ask(TARGETS[target], "Who am I?")).text == "You are Ada."
    turns = [(message.role, message.text) for message in sent(upstream, target).messages]
    assert turns == [("user", "I am Ada."), ("assistant", "Hello Ada."), ("user", "Who am I?")]


# Tools


@each_way
@each_target
@each_client
def test_a_forced_tool_is_called(client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script(PARIS))
    answer = SDKS[client](gateway).ask(Ask(TARGETS[target], stream=stream, tools=True, force=True))
    assert answer.calls == [("get_weather", {"city": "Paris"})]
    request = sent(upstream, target)
    assert request.tools is not None
    tool = request.tools[0]
    assert (tool.name, tool.description) == ("get_weather", "The weather in a city.")
    assert tool.input_schema is not None
    assert dict(tool.input_schema)["required"] == ["city"]
    assert request.tool_choice is not None
    assert request.tool_choice.names == ("get_weather",)


@each_way
@each_target
@each_client
@pytest.mark.parametrize("calls", [[PARIS], [PARIS, ROME]], ids=["one", "two"])
def test_calls_arrive_and_their_results_go_back(
    client: str, target: str, stream: bool, calls: Sequence[Call], gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script([Text("Let me look."), *calls]), Script("It is warm."))
    sdk = SDKS[client](gateway)
    first = sdk.ask(Ask(TARGETS[target], "weather?", stream=stream, tools=True))
    assert first.text == "Let me look."
    assert first.calls == [("get_weather", call.arguments) for call in calls]
    assert first.finish == FINISH["tool_calls"][client]
    results = [f"{number + 18} degrees" for number in range(len(calls))]
    second = sdk.ask(Ask(TARGETS[target], stream=stream, tools=True, results=results))
    assert second.text == "It is warm."
    request = sent(upstream, target)
    made = parts_of(request, ToolCallPart)
    given = parts_of(request, ToolResultPart)
    assert [call.arguments.replace(" ", "") for call in made] == ['{"city":"Paris"}', '{"city":"Rome"}'][: len(calls)]
    assert [call.call_id for call in made] == [result.call_id for result in given]
    assert all(text in str(result) for text, result in zip(results, given, strict=True))
    assert "".join(part.text for part in parts_of(request, TextPart)) == "weather?Let me look."


@each_target
@each_client
def test_parallel_calls_can_be_forbidden_where_the_target_knows_it(
    client: str, target: str, gateway: str, upstream: FakeUpstream
) -> None:
    if client == "gemini":
        pytest.skip("the Gemini API has no such setting")
    upstream.script(Script(PARIS))
    SDKS[client](gateway).ask(Ask(TARGETS[target], tools=True, one_call=True))
    if target != "gemini":
        choice = sent(upstream, target).tool_choice
        assert choice is not None
        assert choice.parallel is False


# Thinking


@each_way
@pytest.mark.parametrize("target", ["anthropic", "gemini"])
@each_client
def test_thinking_is_shown_and_goes_back_to_the_one_who_signed_it(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(
        Script([Thinking("Let me see.", signature=SIGNED), PARIS], usage=Tokens(5, 20, reasoning=10)),
        Script("It is warm."),
    )
    sdk = SDKS[client](gateway)
    first = sdk.ask(Ask(TARGETS[target], stream=stream, tools=True, effort=True))
    assert first.thinking == "Let me see."
    assert first.output == 20
    assert first.calls == [("get_weather", {"city": "Paris"})]
    assert sent(upstream, target).reasoning is not None
    second = sdk.ask(Ask(TARGETS[target], stream=stream, tools=True, effort=True, results=["18 degrees"]))
    assert second.text == "It is warm."
    request = sent(upstream, target)
    signed = [part.signature.value for message in request.messages for part in message.parts if part.signature]
    # google-genai reads the token as bytes and writes it in the URL-safe alphabet, which its vendor takes.
    respelled = client == target == "gemini"
    assert signed == [SIGNED.translate(str.maketrans("+/", "-_")) if respelled else SIGNED]
    if target == "anthropic":
        assert [part.text for part in parts_of(request, ThinkingPart)] == ["Let me see."]


@each_client
def test_reasoning_effort_reaches_a_model_that_does_not_show_its_thoughts(
    client: str, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("done", usage=Tokens(5, 20, reasoning=10)))
    answer = SDKS[client](gateway).ask(Ask("openai/gpt-5.1", effort=True))
    assert answer.output == 20
    reasoning = sent(upstream, "openai_chat").reasoning
    assert reasoning is not None
    assert reasoning.effort == "low"


# Form and media


@each_way
@each_target
@each_client
def test_a_schema_reaches_the_target(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    text = '{"name": "Paris", "people": 2100000}'
    upstream.script(Script(text))
    assert SDKS[client](gateway).ask(Ask(TARGETS[target], stream=stream, schema=True)).text == text
    output = sent(upstream, target).output
    assert output is not None
    assert output.kind == "json_schema"
    assert output.schema is not None
    properties: Any = output.schema["properties"]
    assert list(properties) == ["name", "people"]


@each_way
@each_target
@each_client
def test_an_image_reaches_the_target(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("a dot"))
    assert SDKS[client](gateway).ask(Ask(TARGETS[target], "what is it?", stream=stream, image=True)).text == "a dot"
    request = sent(upstream, target)
    images = parts_of(request, MediaPart)
    assert [(image.kind, image.source) for image in images] == [("image", Inline("image/png", PIXEL))]
    if target != "gemini":
        # google-genai writes base64 in the URL-safe alphabet, which only its own vendor takes.
        assert PIXEL.encode() in upstream.meter[-1].raw_body
    assert [part.text for part in parts_of(request, TextPart)] == ["what is it?"]


# Errors


@each_way
@each_target
@each_client
@pytest.mark.parametrize(
    ("status", "expected"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502), (503, 503), (529, 503)]
)
def test_a_refusal_is_the_sdks_own_exception(
    client: str, target: str, stream: bool, status: int, expected: int, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script(Status(status, message="the vendor says no", retry_after=7 if status == 429 else None)))
    sdk = SDKS[client](gateway)
    with pytest.raises(sdk.errors()[expected]) as caught:
        sdk.ask(Ask(TARGETS[target], stream=stream))
    assert sdk.status_of(caught.value) == expected
    assert "canary" not in str(caught.value)
    if status in {400, 429}:
        assert "the vendor says no" in str(caught.value)
    if status == 429:
        assert headers_of(caught.value)["retry-after"] == "7"
    assert len(upstream.meter) == 1


def headers_of(error: Any) -> Any:
    return error.response.headers


@each_client
def test_a_wrong_key_is_401(client: str, gateway: str, upstream: FakeUpstream) -> None:
    sdk = SDKS[client](gateway, key="ep-wrong-key")
    with pytest.raises(sdk.errors()[401]) as caught:
        sdk.ask(Ask(TARGETS["openai_chat"]))
    assert sdk.status_of(caught.value) == 401
    assert len(upstream.meter) == 0


@each_way
@each_client
def test_an_unknown_model_is_404_with_the_nearest_names(
    client: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    sdk = SDKS[client](gateway)
    with pytest.raises(sdk.errors()[404]) as caught:
        sdk.ask(Ask("gpt-4oo", stream=stream))
    assert "gpt-4o" in str(caught.value).replace("gpt-4oo", "")
    assert len(upstream.meter) == 0


@each_client
def test_what_no_target_can_carry_is_400_and_names_it(client: str, gateway: str, upstream: FakeUpstream) -> None:
    sdk = SDKS[client](gateway)
    target = TARGETS["anthropic"]
    with pytest.raises(sdk.errors()[400]) as caught:
        if client == "openai_chat":
            sdk.client.chat.completions.create(model=target, n=2, messages=[{"role": "user", "content": "hi"}])
        elif client == "gemini":
            config = types.GenerateContentConfig(candidate_count=2)
            sdk.client.models.generate_content(model=target, contents="hi", config=config)
        else:
            sdk.client.messages.create(
                model="openai/gpt-4o",
                max_tokens=9,
                messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well,"}],
            )
    assert "cannot carry" in str(caught.value)
    assert len(upstream.meter) == 0


@each_target
@each_client
@pytest.mark.parametrize(
    "fault", [EndAfter(after=2, of="content"), StreamError(after=2, of="content")], ids=lambda f: type(f).__name__
)
def test_a_stream_that_breaks_raises_after_its_first_words(
    client: str, target: str, fault: Any, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script(Text("eins zwei drei vier fünf", chunks=5), faults=[fault]))
    sdk = SDKS[client](gateway)
    with pytest.raises(
        (openai.APIError, anthropic.APIError, genai_errors.APIError, genai_errors.UnknownApiResponseError)
    ):
        sdk.ask(Ask(TARGETS[target], stream=True))


def test_an_sdk_that_retries_gets_through(gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script(Status(429, retry_after_ms=1)), Script("at last"))
    sdk = OpenAiSdk(gateway, max_retries=2)
    assert sdk.ask(Ask(TARGETS["openai_chat"])).text == "at last"
    assert len(upstream.meter) == 2


# Names, mounts, versions


@each_way
@each_client
def test_a_persona_is_a_model(client: str, stream: bool, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script("a design"))
    answer = SDKS[client](gateway).ask(Ask("persona/architect", "design it", stream=stream))
    assert answer.text == "a design"
    texts = [message.text for message in sent(upstream, "openai_chat").messages]
    assert texts == ["You are an architect.", "design it"]


@each_client
def test_a_persona_goes_to_its_next_provider(client: str, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script(Status(500)), model="gpt-4o")
    upstream.script(Script("from the second"), model="claude-*")
    assert SDKS[client](gateway).ask(Ask("persona/architect")).text == "from the second"
    assert [exchange.dialect for exchange in upstream.meter.exchanges] == ["openai_chat", "anthropic"]


@each_way
@each_target
@each_client
def test_every_dialect_is_also_below_its_vendors_name(
    client: str, target: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("hello"))
    assert SDKS[client](gateway, MOUNTS[client]).ask(Ask(TARGETS[target], stream=stream)).text == "hello"


@each_target
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
@each_way
def test_both_versions_of_anthropic_are_served(
    target: str, version: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("hello"))
    sdk = AnthropicSdk(gateway, default_headers={"anthropic-version": version, "anthropic-beta": "unknown-2099-01-01"})
    assert sdk.ask(Ask(TARGETS[target], stream=stream)).text == "hello"
    if target == "anthropic":
        assert upstream.meter[-1].headers["anthropic-version"] == version
        assert upstream.meter[-1].headers["anthropic-beta"] == "unknown-2099-01-01"


@each_target
@pytest.mark.parametrize("version", ["v1", "v1beta"])
@each_way
def test_both_versions_of_gemini_are_served(
    target: str, version: str, stream: bool, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("hello"))
    assert GenaiSdk(gateway, api_version=version).ask(Ask(TARGETS[target], stream=stream)).text == "hello"


@each_client
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro"])
def test_a_bare_name_that_one_provider_lists_is_enough(
    client: str, model: str, gateway: str, upstream: FakeUpstream
) -> None:
    upstream.script(Script("hello"))
    assert SDKS[client](gateway).ask(Ask(model)).text == "hello"
    assert upstream.meter[-1].model == model


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key", "api-key"])
@pytest.mark.parametrize("path", ["/v1/models", "/anthropic/v1/models", "/v1beta/models"])
def test_the_key_is_taken_from_any_vendors_header(header: str, path: str, gateway: str) -> None:
    value = f"Bearer {KEY}" if header == "authorization" else KEY
    assert httpx2.get(gateway + path, headers={header: value}).status_code == 200
    assert httpx2.get(gateway + path, headers={header: value + "x"}).status_code == 401


# Other operations


def test_models_are_listed_to_every_sdk(gateway: str) -> None:
    wanted = set(TARGETS.values())
    assert wanted <= {model.id for model in OpenAiSdk(gateway).client.models.list()}
    assert wanted <= {model.id for model in AnthropicSdk(gateway).client.models.list()}
    client = GenaiSdk(gateway).client
    assert {f"models/{name}" for name in wanted} <= {model.name for model in client.models.list()}


@each_target
def test_anthropic_counts_tokens(target: str, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script("", usage=Tokens(input=42)), operation="count_tokens")
    count = AnthropicSdk(gateway).client.messages.count_tokens(
        model=TARGETS[target], messages=[{"role": "user", "content": "how many words are these"}]
    )
    if target == "openai_chat":
        assert count.input_tokens > 0
    else:
        assert count.input_tokens == 42


@each_target
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_counts_tokens(target: str, version: str, gateway: str, upstream: FakeUpstream) -> None:
    upstream.script(Script("", usage=Tokens(input=42)), operation="count_tokens")
    client = GenaiSdk(gateway, api_version=version).client
    count = client.models.count_tokens(model=TARGETS[target], contents="how many words are these")
    if target == "openai_chat":
        assert (count.total_tokens or 0) > 0
    else:
        assert count.total_tokens == 42


EMBEDDERS = {"openai_chat": "openai/text-embedding-3-small", "gemini": "gemini/gemini-embedding-001"}


@pytest.mark.parametrize("target", EMBEDDERS)
@pytest.mark.parametrize("form", ["float", "base64", None])
def test_openai_embeds(target: str, form: Any, gateway: str, upstream: FakeUpstream) -> None:
    options = {} if form is None else {"encoding_format": form}
    client = OpenAiSdk(gateway).client
    answer = client.embeddings.create(model=EMBEDDERS[target], input=["one", "two"], dimensions=4, **options)
    exchange = upstream.meter[-1]
    assert (exchange.dialect, exchange.operation) == (target, "embeddings")
    assert [entry.index for entry in answer.data] == [0, 1]
    vectors = [entry.embedding for entry in answer.data]
    if form == "base64":
        assert all(isinstance(vector, str) for vector in vectors)
    else:
        assert [len(vector) for vector in vectors] == [4, 4]
    assert answer.usage.prompt_tokens == 2


@pytest.mark.parametrize("target", EMBEDDERS)
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_embeds(target: str, version: str, gateway: str, upstream: FakeUpstream) -> None:
    client = GenaiSdk(gateway, api_version=version).client
    answer = client.models.embed_content(model=EMBEDDERS[target], contents=["one", "two"])
    assert [len(entry.values or ()) for entry in answer.embeddings or ()] == [8, 8]
    assert upstream.meter[-1].dialect == target


def test_embeddings_at_a_provider_without_them_are_refused(gateway: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        OpenAiSdk(gateway).client.embeddings.create(model=TARGETS["anthropic"], input="one")
    assert caught.value.status_code == 412
    client = GenaiSdk(gateway).client
    with pytest.raises(genai_errors.ClientError):
        client.models.embed_content(model=TARGETS["anthropic"], contents="one")


# The asynchronous clients, once: they share the parsing but not the transport


@each_target
def test_asynchronous_clients_stream_at_the_same_time(target: str, gateway: str, upstream: FakeUpstream) -> None:
    import asyncio

    upstream.script(Script(Text("one two three", chunks=3)))

    async def with_openai() -> str:
        async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key=KEY, max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=TARGETS[target], messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def with_anthropic() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=gateway, api_key=KEY, max_retries=0) as client,
            client.messages.stream(
                model=TARGETS[target], max_tokens=99, messages=[{"role": "user", "content": "hi"}]
            ) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    async def with_genai() -> str:
        client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=gateway))
        stream = await client.aio.models.generate_content_stream(model=TARGETS[target], contents="hi")
        return "".join([chunk.text or "" async for chunk in stream])

    async def run() -> None:
        asked = [make() for make in (with_openai, with_anthropic, with_genai) for _ in range(3)]
        assert await asyncio.gather(*asked) == ["one two three"] * 9

    asyncio.run(run())
