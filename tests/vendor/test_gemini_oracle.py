"""The vendor's own SDK as the judge: what this dialect emits parses into its types with nothing left over, and what
it sends is understood without leftovers. Run with the interpreter that has the SDKs, `PYTHONPATH=src`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors as sdk_errors
from google.genai import types

from execution_platform.dialects.base import Downstream, ModelEntry, Upstream
from execution_platform.dialects.gemini import DIALECT
from execution_platform.dialects.gemini.wire import camel
from execution_platform.exceptions import (
    ERROR_TABLE,
    AuthenticationError,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    ProviderError,
    RateLimited,
)
from execution_platform.spi import (
    ChatRequest,
    ChatResponse,
    Citation,
    EmbeddingsResponse,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    Origin,
    Output,
    OutputFormat,
    Part,
    Reasoning,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import Failed

CORPUS = Path(__file__).parent.parent / "dialects" / "gemini" / "corpus"
AWAY = Origin(dialect="anthropic", provider="anthropic")
HOME = Origin(dialect="gemini", provider="gemini")
DOWN = Downstream("m", "r1")
USAGE = Usage(
    50, 20, cache_read_tokens=5, reasoning_tokens=9, tool_prompt_tokens=2, input_audio_tokens=3, output_audio_tokens=1
)
LOGPROB = {
    "token": "hi",
    "logprob": -0.5,
    "bytes": [104, 105],
    "top_logprobs": [{"token": "yo", "logprob": -2.0, "bytes": []}],
}
ANSWERS: dict[str, Sequence[Part]] = {
    "text": [TextPart("hi")],
    "cited": [TextPart("hi", citations=(Citation(kind="url", start=0, end=2, url="https://x.test", title="T"),))],
    "scored": [TextPart("hi", logprobs=[LOGPROB])],
    "calls": [TextPart("a"), ToolCallPart("c1", "f", '{"x":1}'), ToolCallPart("c2", "g", "not json")],
    "thinking": [
        ThinkingPart("hm", signature=Signature("ENC", AWAY)),
        ThinkingPart(redacted=True, signature=Signature("RED", AWAY, "redacted")),
        ThinkingPart(
            summary=("a", "b"), signature=Signature("E", Origin(dialect="openai_responses"), "encrypted"), id="rs_1"
        ),
        TextPart("x", signature=Signature("QUJD", HOME, "thought")),
    ],
    "media": [MediaPart("image", Inline("image/png", "QUJD"))],
    "nothing": [],
}


def answer(parts: Sequence[Part], reason: FinishReason = FinishReason.STOP) -> ChatResponse:
    return ChatResponse(
        (Output(Message("assistant", parts), Finish(reason)),), origin=AWAY, usage=USAGE, model="claude", id="msg_1"
    )


def dumped(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def client(handler: Callable[[httpx2.Request], httpx2.Response]) -> genai.Client:
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    options = types.HttpOptions(base_url="http://gateway.test", httpx_client=http)
    return genai.Client(api_key="k", http_options=options)


def capture(call: Callable[[genai.Client], object], reply: dict[str, Any] | None = None) -> tuple[str, bytes]:
    seen: list[tuple[str, bytes]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.url.raw_path.decode(), request.content))
        return httpx2.Response(200, json=reply or {"candidates": []})

    call(client(handler))
    return seen[0]


def replying(data: bytes, *, status: int = 200, kind: str = "application/json") -> genai.Client:
    return client(lambda _: httpx2.Response(status, content=data, headers={"content-type": kind}))


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_parse_with_nothing_left_over(name: str) -> None:
    wire = json.loads(DIALECT.encode_response(answer(ANSWERS[name]), DOWN).body)
    assert dumped(types.GenerateContentResponse.model_validate(wire)) == wire


@pytest.mark.parametrize("reason", FinishReason)
def test_every_finish_reason_is_one_of_the_sdks(reason: FinishReason) -> None:
    wire = json.loads(DIALECT.encode_response(answer([TextPart("x")], reason), DOWN).body)
    word = types.GenerateContentResponse.model_validate(wire).candidates[0].finish_reason
    assert word in list(types.FinishReason)
    assert word.name == word.value


def test_every_reason_of_the_sdk_is_read() -> None:
    def reason(word: str) -> FinishReason:
        body = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": word}]}
        return DIALECT.decode_response(json.dumps(body).encode(), Upstream(HOME)).finish.reason

    unread = {word.value for word in types.FinishReason if reason(word.value) is FinishReason.UNKNOWN}
    assert unread == {"FINISH_REASON_UNSPECIFIED", "OTHER", "ESCALATION", "PUP_LIMITED_DISABLED"}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_sdk_streams_what_the_encoder_writes(name: str) -> None:
    events = explode(answer(ANSWERS[name]))
    encoder = DIALECT.stream_encoder(DOWN)
    data = b"".join(encoder.send([event]) for event in events) + encoder.close()
    for frame in data.split(b"\n\n"):
        if frame:
            wire = json.loads(frame.removeprefix(b"data: "))
            assert dumped(types.GenerateContentResponse.model_validate(wire)) == wire
    chunks = list(replying(data, kind="text/event-stream").models.generate_content_stream(model="m", contents="x"))
    assert chunks[-1].usage_metadata.total_token_count == 70
    assert "".join(chunk.text or "" for chunk in chunks) == "".join(
        p.text for p in ANSWERS[name] if isinstance(p, TextPart)
    )
    calls = [call.name for chunk in chunks for call in chunk.function_calls or ()]
    assert calls == [part.name for part in ANSWERS[name] if isinstance(part, ToolCallPart)]


def test_a_heartbeat_is_nothing_to_the_sdk() -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    pieces = [encoder.send([event]) for event in explode(answer([TextPart("hi")]))]
    data = DIALECT.heartbeat.join([b"", *pieces, b""])
    chunks = list(replying(data, kind="text/event-stream").models.generate_content_stream(model="m", contents="x"))
    assert "".join(chunk.text or "" for chunk in chunks) == "hi"


def test_a_thought_of_another_provider_survives_the_sdks_history() -> None:
    parts = ANSWERS["thinking"]
    wire = DIALECT.encode_response(answer(parts), DOWN).body
    content = replying(wire).models.generate_content(model="m", contents="x").candidates[0].content
    _, sent = capture(lambda sdk: sdk.models.generate_content(model="m", contents=[types.UserContent("q"), content]))
    assert b"ZXAxL" in sent
    back = DIALECT.decode_request(sent).messages[1].parts
    assert [part.signature for part in back[:3]] == [part.signature for part in parts[:3]]
    assert back[0] == parts[0]
    assert back[3].signature.value == "QUJD"


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("bad", param="contents[0]"),
        AuthenticationError("who"),
        BudgetExceeded("broke"),
        RateLimited("slow", retry_after=2),
        *(ProviderError("x", kind=kind) for kind in ErrorKind if ERROR_TABLE[kind].status != 499),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.kind}",
)
def test_the_sdk_raises_what_an_error_body_says(error: ExecutionPlatformError) -> None:
    body = DIALECT.encode_error(error, "req_1")
    told = json.loads(body)["error"]
    types.GoogleRpcStatus.model_validate({name: told[name] for name in ("code", "message", "details")})
    with pytest.raises(sdk_errors.APIError) as caught:
        replying(body, status=error.status).models.generate_content(model="m", contents="x")
    assert (caught.value.code, caught.value.status, caught.value.message) == (
        error.status,
        told["status"],
        told["message"],
    )


def test_the_sdk_raises_what_an_error_in_a_stream_says() -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(answer([TextPart("a")]))[:3]) + encoder.send([Failed(RateLimited("slow"))])
    for stream in (data, DIALECT.error_frame(RateLimited("slow"), "r")):
        with pytest.raises(sdk_errors.APIError, match="slow"):
            list(replying(stream, kind="text/event-stream").models.generate_content_stream(model="m", contents="x"))


def test_listings_counts_and_vectors_parse() -> None:
    listing = DIALECT.encode_models([ModelEntry("a", display_name="A", context_window=9, max_output_tokens=3)])
    model = next(iter(replying(listing).models.list()))
    assert (model.name, model.display_name, model.input_token_limit, model.output_token_limit) == (
        "models/a",
        "A",
        9,
        3,
    )
    assert replying(DIALECT.count.encode_response(7)).models.count_tokens(model="m", contents="x").total_tokens == 7
    sent: list[bytes] = []

    def embed(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        asked = DIALECT.embeddings.decode_request(request.content)
        vectors = EmbeddingsResponse([[0.5]] * len(asked.inputs), usage=Usage(3))
        return httpx2.Response(200, content=DIALECT.embeddings.encode_response(vectors, asked))

    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=8, title="t")
    found = client(embed).models.embed_content(model="e", contents=["a", "b"], config=config)
    assert [entry.values for entry in found.embeddings] == [[0.5], [0.5]]
    asked = DIALECT.embeddings.decode_request(sent[0])
    assert (asked.inputs, asked.task, asked.dimensions, asked.title, asked.extra) == (
        ["a", "b"],
        "RETRIEVAL_QUERY",
        8,
        "t",
        {},
    )


def spelled(value: Any) -> Any:
    """Members in camelCase: the SDK writes those below the first levels in snake_case, which the API reads, too."""
    if isinstance(value, dict):
        return {name: spelled(inner) for name, inner in camel(value).items()}
    return [spelled(inner) for inner in value] if isinstance(value, list) else value


def weather(city: str, days: int | None = None):  # The SDK would send a return type as a member without a slot here.
    """The weather of a city."""
    return f"{city} {days}"


CONFIG = types.GenerateContentConfig(
    system_instruction="be kind",
    temperature=0.5,
    top_p=0.9,
    top_k=40,
    candidate_count=1,
    max_output_tokens=100,
    stop_sequences=["END"],
    response_logprobs=True,
    logprobs=2,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    seed=7,
    response_mime_type="application/json",
    response_schema={"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
    safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")],
    tools=[weather, types.Tool(google_search=types.GoogleSearch())],
    tool_config=types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
    ),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    labels={"team": "a"},
    cached_content="cachedContents/c",
    response_modalities=["TEXT"],
    speech_config="Kore",
    thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=-1),
    service_tier="flex",
    store=False,
)
HISTORY = [
    types.Content(
        role="user",
        parts=[
            types.Part(text="q"),
            types.Part.from_bytes(data=b"ABC", mime_type="image/png"),
            types.Part.from_uri(file_uri="gs://b/o", mime_type="image/png"),
        ],
    ),
    types.Content(
        role="model",
        parts=[
            types.Part(text="hm", thought=True),
            types.Part(
                function_call=types.FunctionCall(name="weather", args={"city": "Köln"}), thought_signature=b"sig"
            ),
            types.Part(executable_code=types.ExecutableCode(language="PYTHON", code="1")),
            types.Part(code_execution_result=types.CodeExecutionResult(outcome="OUTCOME_OK", output="1")),
        ],
    ),
    types.Content(role="user", parts=[types.Part.from_function_response(name="weather", response={"output": "rain"})]),
]


def test_what_the_sdk_sends_is_understood_without_leftovers_and_said_again() -> None:
    path, sent = capture(
        lambda sdk: sdk.models.generate_content(model="gemini-2.5-flash", contents=HISTORY, config=CONFIG)
    )
    assert path == f"/v1beta{DIALECT.chat_path('gemini-2.5-flash', stream=False)}" or path.endswith(":generateContent")
    request = DIALECT.decode_request(sent, model="gemini-2.5-flash", stream=False)
    assert request.extra == {}
    assert all(not message.extra and not part.extra for message in request.messages for part in message.parts)
    assert all(not tool.extra for tool in request.tools)
    assert request.messages[0].placement == "top"
    function = next(tool for tool in request.tools if tool.kind == "function")
    assert function.input_schema["properties"]["city"]["type"] == "string"
    encoded = DIALECT.encode_request(request, ModelProfile())
    assert spelled(json.loads(encoded.body)) == spelled(json.loads(sent))
    assert encoded.losses == ()
    assert DIALECT.peek(sent).has_tools


def test_the_sdk_asks_for_a_stream_at_the_path_of_this_dialect() -> None:
    path, _ = capture(lambda sdk: list(sdk.models.generate_content_stream(model="m", contents="x")))
    assert path.endswith(DIALECT.chat_path("m", stream=True))


def test_a_count_of_the_sdk_is_understood() -> None:
    path, sent = capture(lambda sdk: sdk.models.count_tokens(model="m", contents="x"), {"totalTokens": 1})
    assert path.endswith(DIALECT.count.path("m"))
    assert DIALECT.count.decode_request(sent, model="m").extra == {}


REQUEST = ChatRequest(
    [
        Message("system", "s"),
        Message("user", [TextPart("q"), MediaPart("image", Inline("image/png", "QUJD"))]),
        Message("assistant", [ThinkingPart("hm"), ToolCallPart("c1", "f", '{"a": 1}')]),
        Message("tool", [ToolResultPart("c1", (TextPart("r"), MediaPart("image", Inline("image/png", "QUJD"))))]),
    ],
    "gemini-3-pro",
    tools=[
        ToolDefinition(
            "f",
            "d",
            json_schema={
                "type": "object",
                "properties": {
                    "a": {"type": ["integer", "null"], "exclusiveMinimum": 1},
                    "b": {"oneOf": [{"type": "string"}, {"type": "array"}]},
                },
            },
        )
    ],
    tool_choice=ToolChoice("named", ("f",)),
    temperature=0.5,
    top_k=3,
    stop=["a"],
    n=2,
    reasoning=Reasoning(effort="high", include=True),
    output=OutputFormat(
        kind="json_schema",
        schema={"type": "object", "properties": {"x": {"type": "string"}}},
        modalities=("text",),
        audio={"voice": "Kore"},
    ),
    dialect="openai_chat",
)
PROFILES = [
    ModelProfile(),
    ModelProfile(schema_flavor="openapi", thinking_replay="native", tool_result_media=True, adaptive_thinking=True),
]


@pytest.mark.parametrize("profile", PROFILES)
def test_requests_to_the_vendor_parse_into_the_sdks_types(profile: ModelProfile) -> None:
    wire = json.loads(DIALECT.encode_request(REQUEST, profile).body)
    for name in ("systemInstruction",):
        types.Content.model_validate(wire.pop(name))
    for content in wire.pop("contents"):
        assert dumped(types.Content.model_validate(content)) == content
    for tool in wire.pop("tools"):
        types.Tool.model_validate(tool)
    assert dumped(types.ToolConfig.model_validate(wire["toolConfig"])) == wire.pop("toolConfig")
    types.GenerationConfig.model_validate(wire.pop("generationConfig"))
    assert wire == {}


@pytest.mark.parametrize("case", sorted(folder.parent.name for folder in CORPUS.glob("*/response.json")))
def test_the_corpus_is_what_the_sdk_knows(case: str) -> None:
    wire = json.loads((CORPUS / case / "response.json").read_text())
    if "error" in wire or case in FUTURE:
        return
    assert types.GenerateContentResponse.model_validate(wire).model_extra in (None, {})


FUTURE = {"answer_extras", "unknown_answer_part", "finish_unknown", "citations"}
"""Cases that say what the vendor may say one day, or in the wire's own spelling before the SDK renames it."""


def test_chats_of_the_sdk_run_through_the_dialect() -> None:
    """A second turn, with the first one's answer in the SDK's own history."""
    seen: list[ChatRequest] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked = DIALECT.decode_request(request.content, stream=True)
        seen.append(asked)
        events = explode(answer([ThinkingPart("hm", signature=Signature("S", AWAY)), TextPart(f"turn {len(seen)}")]))
        encoder = DIALECT.stream_encoder(DOWN)
        return httpx2.Response(
            200,
            content=b"".join(encoder.send([event]) for event in events),
            headers={"content-type": "text/event-stream"},
        )

    chat = client(handler).chats.create(model="m")
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("one")) == "turn 1"
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("two")) == "turn 2"
    history = [message for message in seen[1].messages if message.role == "assistant"]
    texts = "".join(message.text for message in history)
    thoughts = [part for message in history for part in message.parts if isinstance(part, ThinkingPart)]
    assert texts == "turn 1"
    assert [part.signature for part in thoughts if part.signature is not None] == [Signature("S", AWAY)]


def test_the_sdks_answer_decodes_to_the_same_answer() -> None:
    response = answer(ANSWERS["calls"])
    parsed = replying(DIALECT.encode_response(response, DOWN).body).models.generate_content(model="m", contents="x")
    wire = parsed.model_dump_json(by_alias=True, exclude_none=True, exclude={"sdk_http_response"})
    again = DIALECT.decode_response(wire.encode(), Upstream(HOME))
    assert again.message.parts == response.message.parts
    assert accumulate(explode(again)).usage == USAGE
