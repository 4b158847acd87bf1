"""The vendor's own SDK as the judge: what this dialect emits parses into its types with nothing left over, and what
it sends is understood without leftovers. Run with the interpreter that has the SDKs, `PYTHONPATH=src`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceLogprobs
from pydantic import BaseModel

from execution_platform.dialects.base import Downstream, ModelEntry, Upstream
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    PermissionDenied,
    ProviderError,
    RateLimited,
    RouterError,
)
from execution_platform.spi import (
    ChatRequest,
    ChatResponse,
    Citation,
    EmbeddingsRequest,
    EmbeddingsResponse,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    Origin,
    Output,
    Part,
    TextPart,
    ToolCallPart,
    Usage,
    explode,
)

CORPUS = Path(__file__).parent.parent / "dialects" / "openai_chat" / "corpus"
AWAY = Origin(dialect="anthropic", provider="anthropic")
DOWN = Downstream("m", "r1", 7, include_usage=True)
UP = Upstream(Origin(dialect="openai_chat", provider="p"))
USAGE = Usage(
    50, 20, cache_read_tokens=5, cache_write_tokens=3, reasoning_tokens=4, input_audio_tokens=1, output_audio_tokens=2
)
TOKEN = {
    "token": "hi",
    "logprob": -0.5,
    "bytes": [104, 105],
    "top_logprobs": [{"token": "hi", "logprob": -0.5, "bytes": None}],
}

TOKENLESS = ChoiceLogprobs(content=None, refusal=None)
Handler = Callable[[httpx2.Request], httpx2.Response]


def client(handler: Handler) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="sk-test",
        base_url="http://gateway.test/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(handler)),
    )


def leftovers(value: object, path: str = "") -> Iterator[str]:
    """Members the SDK's types do not know."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from leftovers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leftovers(item, f"{path}[{index}]")


def answers() -> dict[str, ChatResponse]:
    def one(*parts: Part, reason: FinishReason = FinishReason.STOP, count: int = 1) -> ChatResponse:
        outputs = [Output(Message("assistant", parts), Finish(reason)) for _ in range(count)]
        return ChatResponse(outputs, origin=AWAY, usage=USAGE, service_tier="default", system_fingerprint="fp")

    cite = Citation(kind="url", url="https://x.test", title="T")
    return {
        "text": one(TextPart("hi", citations=(cite,), logprobs=[TOKEN])),
        "refusal": one(TextPart("no", refusal=True)),
        "calls": one(
            TextPart("a"),
            ToolCallPart("c1", "f", '{"x":1}'),
            ToolCallPart("c2", "g", ""),
            reason=FinishReason.TOOL_CALLS,
        ),
        "two": one(TextPart("a"), count=2),
        "audio": one(MediaPart("audio", Inline("audio/wav", "QUI="), id="audio_1", transcript="hi")),
        "nothing": one(reason=FinishReason.LENGTH),
    }


@pytest.mark.parametrize("name", list(answers()))
def test_a_whole_answer_parses_with_nothing_left_over(name: str) -> None:
    data = DIALECT.encode_response(answers()[name], DOWN).body
    parsed = ChatCompletion.model_validate_json(data, strict=True)
    assert list(leftovers(parsed)) == []
    assert json.loads(parsed.model_dump_json(exclude_unset=True)) == json.loads(data)


def test_a_free_text_call_parses() -> None:
    call = ToolCallPart("c1", "sh", "ls", kind="custom")
    response = ChatResponse([Output(Message("assistant", [call]), Finish(FinishReason.TOOL_CALLS))])
    parsed = ChatCompletion.model_validate_json(DIALECT.encode_response(response, DOWN).body, strict=True)
    assert parsed.choices[0].message.tool_calls[0].custom.input == "ls"
    assert list(leftovers(parsed)) == []


def stream_of(response: ChatResponse) -> bytes:
    encoder = DIALECT.stream_encoder(DOWN)
    return encoder.send(explode(response)) + encoder.close()


def answering(data: bytes, content_type: str = "text/event-stream", status: int = 200) -> Handler:
    return lambda _: httpx2.Response(status, content=data, headers={"content-type": content_type})


ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize("name", [name for name in answers() if name != "text"])
def test_a_stream_parses_with_nothing_left_over(name: str) -> None:
    chunks = list(client(answering(stream_of(answers()[name]))).chat.completions.create(**ASK, stream=True))
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    assert [path for chunk in chunks for path in leftovers(chunk)] == []
    assert chunks[-1].usage.total_tokens == 70
    assert chunks[-1].choices == []


def test_citations_in_a_stream_are_the_only_thing_the_types_do_not_know() -> None:
    chunks = list(client(answering(stream_of(answers()["text"]))).chat.completions.create(**ASK, stream=True))
    assert {path for chunk in chunks for path in leftovers(chunk)} == {".choices[0].delta.annotations"}
    tokens = [
        each.token
        for chunk in chunks
        if chunk.choices
        for each in (chunk.choices[0].logprobs or TOKENLESS).content or []
    ]
    assert tokens == ["hi"]


@pytest.mark.parametrize("name", ["text", "calls", "refusal", "nothing"])
def test_the_sdk_puts_the_stream_together_to_the_whole_answer(name: str) -> None:
    response = answers()[name]
    sdk = client(answering(stream_of(response)))
    if name == "nothing":
        with pytest.raises(openai.LengthFinishReasonError), sdk.chat.completions.stream(**ASK) as stream:
            stream.get_final_completion()
        return
    with sdk.chat.completions.stream(**ASK) as stream:
        final = stream.get_final_completion()
    whole = ChatCompletion.model_validate_json(DIALECT.encode_response(response, DOWN).body)
    told, expected = final.choices[0].message, whole.choices[0].message
    assert (told.content or None, told.refusal) == (expected.content, expected.refusal)
    calls = [(call.id, call.function.name, call.function.arguments) for call in told.tool_calls or []]
    assert calls == [(call.id, call.function.name, call.function.arguments) for call in expected.tool_calls or []]
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason
    assert final.usage == whole.usage


VENDORS = {
    "annotations", "audio", "call", "call_custom", "call_legacy", "calls_interleaved", "content_filter", "length", "logprobs",
    "refusal", "text", "two_choices", "usage_absent", "usage_details", "usage_zero",
}  # fmt: skip
"""Corpus answers in the API's own form."""


@pytest.mark.parametrize("case", sorted(VENDORS))
def test_corpus_answers_are_what_the_types_say_and_stay_so(case: str) -> None:
    data = (CORPUS / case / "response.json").read_bytes()
    given = ChatCompletion.model_validate_json(data, strict=True)
    again = ChatCompletion.model_validate_json(
        DIALECT.encode_response(DIALECT.decode_response(data, UP), DOWN).body, strict=True
    )
    assert list(leftovers(given)) == []
    assert again == given


ERRORS: list[tuple[ExecutionPlatformError, type[openai.APIStatusError]]] = [
    (InvalidRequest("n: wrong", param="n"), openai.BadRequestError),
    (AuthenticationError("no key"), openai.AuthenticationError),
    (PermissionDenied("not yours"), openai.PermissionDeniedError),
    (RouterError("no such model"), openai.NotFoundError),
    (RateLimited("slow down"), openai.RateLimitError),
    (BudgetExceeded("used up"), openai.APIStatusError),
    (ProviderError("boom", kind=ErrorKind.SERVER), openai.InternalServerError),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS)
def test_the_sdk_reads_our_errors(error: ExecutionPlatformError, expected: type[openai.APIStatusError]) -> None:
    sdk = client(answering(DIALECT.encode_error(error, "req_1"), "application/json", error.status))
    with pytest.raises(expected) as raised:
        sdk.chat.completions.create(**ASK)
    told = raised.value
    assert (told.code, told.param) == (error.code, error.param)
    assert error.message in told.message
    assert told.body["raised_by"] == error.raised_by


def test_an_error_in_a_stream_is_raised_by_the_sdk() -> None:
    text = DIALECT.stream_encoder(DOWN).send(explode(answers()["two"])[:3])
    data = text + DIALECT.error_frame(ProviderError("overloaded", kind=ErrorKind.OVERLOADED), "req_1")
    stream = client(answering(data)).chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIError, match="overloaded"):
        list(stream)


# What the SDK sends


def sent(use: Callable[[openai.OpenAI], object], answer: bytes) -> httpx2.Request:
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})

    use(client(handler))
    return seen[0]


def chat_body(**fields: Any) -> bytes:
    answer = DIALECT.encode_response(answers()["nothing"], DOWN).body
    request = sent(lambda sdk: sdk.chat.completions.create(**{**ASK, **fields}), answer)
    assert request.url.path == "/v1" + DIALECT.chat_path("m", stream=False)
    return request.content


def extras(request: ChatRequest) -> list[object]:
    found: list[object] = [dict(request.extra), *(dict(message.extra) for message in request.messages)]
    found += [dict(part.extra) for message in request.messages for part in message.parts]
    return [each for each in found if each] + [dict(tool.extra) for tool in request.tools or () if tool.extra]


FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True},
}
HISTORY = [
    {"role": "developer", "content": "d", "name": "n"},
    {"role": "system", "content": [{"type": "text", "text": "s", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ],
    },
    {"role": "assistant", "content": "y", "refusal": "r", "audio": {"id": "audio_1"}},
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "1"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
]


@pytest.mark.parametrize(
    "fields",
    [
        {
            "messages": HISTORY,
            "tools": [FUNCTION, {"type": "custom", "custom": {"name": "sh"}}],
            "tool_choice": "required",
        },
        {
            "temperature": 0.5,
            "top_p": 1,
            "max_completion_tokens": 5,
            "stop": ["a"],
            "seed": 1,
            "n": 2,
            "logit_bias": {"1": 2},
        },
        {
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "logprobs": True,
            "top_logprobs": 2,
            "max_tokens": 9,
            "stop": "a",
        },
        {"reasoning_effort": "high", "verbosity": "low", "service_tier": "flex", "store": True, "metadata": {"a": "b"}},
        {
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        },
        {"user": "u", "safety_identifier": "s", "moderation": {"model": "omni-moderation-latest"}},
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
            }
        },
        {"functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}},
        {
            "tools": [FUNCTION],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
        },
        {
            "tools": [FUNCTION],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        },
    ],
)
def test_what_the_sdk_sends_is_understood_without_leftovers(fields: dict[str, Any]) -> None:
    body = chat_body(**fields)
    request = DIALECT.decode_request(body)
    assert extras(request) == []
    encoded = DIALECT.encode_request(request, ModelProfile(developer_role=True))
    assert json.loads(encoded.body) == json.loads(body)


def test_predictions_and_web_search_are_kept_for_this_dialect() -> None:
    body = chat_body(prediction={"type": "content", "content": "z"}, web_search_options={"search_context_size": "low"})
    assert set(DIALECT.decode_request(body).extra) == {"prediction", "web_search_options"}


def test_a_stream_is_asked_for_as_the_sdk_says() -> None:
    data = stream_of(answers()["text"])
    seen: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200, content=data, headers={"content-type": "text/event-stream"})

    list(client(handler).chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    peek = DIALECT.peek(seen[0])
    assert (peek.stream, peek.include_usage, peek.model) == (True, True, "m")


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_the_sdk_reads_our_embeddings_in_the_form_it_asked_for(form: str | None) -> None:
    seen: list[EmbeddingsRequest] = []
    codec = DIALECT.embeddings
    assert codec is not None

    def handler(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v1" + codec.path("m")
        asked = codec.decode_request(request.content)
        seen.append(asked)
        body = codec.encode_response(EmbeddingsResponse([(1.0, -2.5), (0.5, 0.25)], "m", Usage(3)), asked)
        return httpx2.Response(200, content=body, headers={"content-type": "application/json"})

    extra: dict[str, Any] = {} if form is None else {"encoding_format": form}
    answer = client(handler).embeddings.create(model="m", input=["a", "b"], dimensions=2, user="u", **extra)
    assert isinstance(answer, CreateEmbeddingResponse)
    assert list(leftovers(answer)) == []
    if form != "base64":
        assert [list(each.embedding) for each in answer.data] == [[1.0, -2.5], [0.5, 0.25]]
    assert answer.usage.total_tokens == 3
    assert (seen[0].inputs, seen[0].dimensions, seen[0].extra) == (["a", "b"], 2, {})


def test_the_sdk_reads_our_models() -> None:
    listing = DIALECT.encode_models([ModelEntry("a/b", "acme", 7), ModelEntry("c")])
    models = list(client(answering(listing, "application/json")).models.list())
    assert [(model.id, model.owned_by, model.created) for model in models] == [
        ("a/b", "acme", 7),
        ("c", "execution-platform", 0),
    ]
    assert all(isinstance(model, Model) and not list(leftovers(model)) for model in models)
