"""Whatever the canonical language can say, a native request carries from the SDK to the gateway."""

import pytest

from execution_platform import _json
from execution_platform.dialects.base import Downstream, Peek, Upstream
from execution_platform.dialects.native import DIALECT
from execution_platform.spi import (
    CacheMark,
    CachePolicy,
    ChatRequest,
    ChatResponse,
    Citation,
    CompactionPart,
    Continuation,
    FileRef,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    OpaquePart,
    Origin,
    Output,
    OutputFormat,
    PartsSource,
    Reasoning,
    Safety,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    Url,
    Usage,
    accumulate,
    explode,
)

ORIGIN = Origin(dialect="gemini", provider="p", deployment="d", model="m")
SIGNED = Signature("s\r\n", ORIGIN, "thought")
PARTS = [
    TextPart("x", citations=(Citation(kind="page", cited_text="c", start=1, end=2, document_index=0, raw={"a": 1}),)),
    TextPart("x", logprobs=[{"token": "x", "logprob": -1.0}], cache=CacheMark(ttl="1h", scope="s", extra={"a": 1})),
    TextPart("no", refusal=True),
    TextPart("x", signature=SIGNED, id="i", group="g", phase="final"),
    ThinkingPart("t", summary=("a", "b"), signature=SIGNED),
    ThinkingPart(redacted=True, signature=SIGNED),
    MediaPart("image", Url("https://x.test/a.png"), detail="high"),
    MediaPart("image", Url("https://x.test/a", "image/webp")),
    MediaPart("image", Inline("image/png", "AA=="), title="t"),
    MediaPart("image", Url("data:odd")),
    MediaPart("image", FileRef("f", ORIGIN, "image/png")),
    MediaPart("audio", Inline("audio/wav", "AA=="), transcript="t"),
    MediaPart("audio", Inline("audio/flac", "AA==")),
    MediaPart("video", Inline("video/mp4", "AA=="), options={"fps": 2}),
    MediaPart("document", Inline("application/pdf", "AA=="), title="a.pdf", citations_enabled=True, context="c"),
    MediaPart("document", TextSource("plain", "text/markdown")),
    MediaPart("document", PartsSource((TextPart("inside"),))),
    MediaPart("document", Url("https://x.test/a.pdf"), title="a"),
    MediaPart("document", Url("https://x.test/a.pdf"), detail="low"),
    MediaPart("document", FileRef("f", Origin(dialect="native"))),
    ToolCallPart("c", "f", '{"a":', kind="custom", namespace="n", caller={"type": "direct"}, synthetic_id=True),
    ToolCallPart("c", "f", signature=SIGNED, extra={"odd": 1}),
    ToolResultPart("c", (TextPart("a"), MediaPart("image", Inline("image/png", "AA=="))), name="f", is_error=True),
    ToolResultPart("c", (), kind="mcp", raw={"any": ["thing"]}),
    CompactionPart(text="sum", signature=SIGNED),
    OpaquePart("anthropic", {"type": "container_upload", "file_id": "f"}),
]


def across(request):
    return DIALECT.decode_request(DIALECT.encode_request(request, ModelProfile()).body)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_every_part_arrives_as_it_was_sent(role, part):
    call_id = "c" if role == "tool" else None
    message = Message(role, (TextPart("before"), part, TextPart("after")), tool_call_id=call_id)
    if role == "tool":
        message = Message("tool", (ToolResultPart("c", message.content, name="f"),), tool_call_id="c")
    assert across(ChatRequest([message])).messages == (message,)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_every_part_of_an_answer_arrives_in_one_piece(part):
    response = ChatResponse(
        (Output(Message("assistant", (part, TextPart("after"))), Finish(FinishReason.STOP)),),
        id="r",
        created=5,
        service_tier="flex",
        system_fingerprint="f",
        safety=[1],
        grounding={"a": 1},
        diagnostics="d",
    )
    encoded = DIALECT.encode_response(response, Downstream(model="m", id="x"))
    again = DIALECT.decode_response(encoded.body, Upstream(Origin(dialect="native")))
    assert encoded.losses == ()
    assert again.message == response.message
    for name in ("id", "created", "service_tier", "system_fingerprint", "safety", "grounding", "diagnostics"):
        assert getattr(again, name) == getattr(response, name)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_a_stream_cannot_tell_is_always_a_loss(part):
    response = ChatResponse((Output(Message("assistant", (part,)), Finish(FinishReason.STOP)),))
    encoder = DIALECT.stream_encoder(Downstream(model="m", id="x"))
    data = encoder.send(explode(response)) + encoder.close()
    decoder = DIALECT.stream_decoder(Upstream(Origin(dialect="native")))
    again = accumulate([*decoder.feed(data), *decoder.close()])
    told = isinstance(part, TextPart | ThinkingPart | ToolCallPart | ToolResultPart)
    assert len(again.message.parts) == told
    lossy = isinstance(part, MediaPart | OpaquePart | CompactionPart) or bool(getattr(part, "citations", ()))
    assert bool(encoder.losses) is (lossy or getattr(part, "logprobs", None) is not None)
    if told and part.signature is not None:
        assert again.message.parts[0].signature == part.signature


def test_every_setting_arrives_as_it_was_sent():
    request = ChatRequest(
        [Message("system", "top", placement="top"), Message("developer", "d"), Message("user", "u", name="n")],
        "p/m",
        persona="architect",
        max_tokens=1,
        temperature=0.5,
        top_p=0.5,
        top_k=2,
        stop=["a", ""],
        seed=0,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        logit_bias={"5": 1.5},
        logprobs=True,
        top_logprobs=2,
        tools=[
            ToolDefinition("f", "d", json_schema={"type": "object", "properties": {"z": {}, "a": {}}}, strict=True),
            ToolDefinition(
                "s", kind="server", dialect="anthropic", raw={"type": "web_search"}, cache=CacheMark(ttl="5m")
            ),
        ],
        tool_choice=ToolChoice("allowed", ("f",), parallel=False, forced=True, extra={"odd": 1}),
        reasoning=Reasoning(
            effort="high", budget_tokens=5, summary="auto", include=True, mode="adaptive", extra={"o": 1}
        ),
        output=OutputFormat(
            kind="json_schema",
            schema={"a": 1},
            name="n",
            description="d",
            strict=False,
            verbosity="low",
            modalities=("text",),
        ),
        cache=CachePolicy(key="k", retention="24h", mode="m", cached_content="c", mark=CacheMark(ttl="1h")),
        service_tier="flex",
        speed="fast",
        region="eu",
        safety=Safety(settings=[1], identifier="i", user="u", moderation={"m": 1}),
        continuation=Continuation(
            previous_id="p",
            conversation="c",
            store=True,
            background=False,
            truncation="auto",
            context_management=[1],
            container={},
        ),
        metadata={"a": 1},
        stream=True,
        stream_options={"include_usage": True},
        requires=["vision"],
        provider_options={"openai": {"x": 1}, "native": {"provider": "p"}},
        dialect="native",
        extra={"odd": 1},
    )
    assert across(request) == request


def test_system_text_in_the_middle_keeps_its_placement():
    request = ChatRequest(
        [Message("user", "u"), Message("system", "late", placement="top"), Message("system", (TextPart("inline"),))],
        dialect="native",
        stream=True,
    )
    assert across(request) == request


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice("auto", extra={"a": 1}), {"tool_choice": {"type": "auto", "a": 1}}),
        (ToolChoice("required", parallel=True), {"tool_choice": "required", "parallel_tool_calls": True}),
        (ToolChoice("named", ("f",)), {"tool_choice": {"name": "f"}}),
        (None, {}),
    ],
)
def test_tool_choice_is_written_in_its_shortest_form(choice, wire):
    body = _json.loads(
        DIALECT.encode_request(ChatRequest([Message("user", "u")], tool_choice=choice), ModelProfile()).body
    )
    assert {name: value for name, value in body.items() if "tool" in name} == wire


def test_leftovers_of_a_choice_without_a_mode_are_a_loss():
    request = ChatRequest([Message("user", "u")], tool_choice=ToolChoice(None, extra={"a": 1}))
    assert [loss.path for loss in DIALECT.encode_request(request, ModelProfile()).losses] == ["tool_choice"]


def test_usage_keeps_every_bucket_that_is_known():
    usage = Usage(
        9,
        8,
        0.25,
        cache_read_tokens=1,
        cache_write_tokens=2,
        cache_write_by_ttl={"5m": 2},
        input_audio_tokens=3,
        input_image_tokens=4,
        tool_prompt_tokens=5,
        reasoning_tokens=6,
        output_audio_tokens=7,
        accepted_prediction_tokens=0,
        rejected_prediction_tokens=1,
        units={"web_search": 1},
        tier="flex",
        speed="fast",
        region="eu",
        estimated=True,
    )
    response = ChatResponse((Output(Message("assistant", "x"), Finish(FinishReason.STOP)),), usage=usage)
    body = DIALECT.encode_response(response, Downstream(model="m", id="x")).body
    assert DIALECT.meter(body).usage == usage


def test_names_of_tools_are_given_back_in_a_whole_answer():
    upstream = Upstream(Origin(dialect="native"), {"a_b": "a.b"})
    flat = b'{"reason": "stop", "tool_calls": [{"id": "c", "name": "a_b", "args": {}}]}'
    full = _json.dumps(
        {
            "reason": "stop",
            "message": {
                "role": "assistant",
                "content": "x",
                "tool_calls": [{"id": "c", "name": "a_b"}, {"id": "d", "name": "e"}],
            },
        }
    )
    assert [call.name for call in DIALECT.decode_response(flat, upstream).tool_calls] == ["a.b"]
    assert [call.name for call in DIALECT.decode_response(full, upstream).tool_calls] == ["a.b", "e"]


@pytest.mark.parametrize("junk", [b"event: usage\ndata: nonsense\n\n", b"event: done\ndata: [1]\n\n", b"data: {x}\n\n"])
@pytest.mark.parametrize("before", [b"", b'event: token\ndata: {"text":"a"}\n\n'])
def test_nothing_is_passed_on_from_the_first_broken_event(junk, before):
    """R7 T3: before the first content another target can still answer, later the gateway tells the failure."""
    relay = DIALECT.relay(Peek(model=None))
    relay.feed(before)
    assert relay.feed(before + junk + before) == before
    assert relay.metered.broken is not None
    assert relay.close() == b""
    assert (relay.metered.usage, relay.metered.finished) == (None, False)
