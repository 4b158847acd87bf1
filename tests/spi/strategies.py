"""Canonical answers made by chance."""

from hypothesis import strategies as st

from execution_platform.spi import (
    ChatResponse,
    Citation,
    CompactionPart,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    OpaquePart,
    Origin,
    Output,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
    Usage,
)

texts = st.text(max_size=8)
some = st.text(min_size=1, max_size=8)
extras = st.dictionaries(some, st.integers() | texts, max_size=2)
origins = st.builds(Origin, dialect=some, provider=st.none() | some)
signatures = st.none() | st.builds(Signature, some, origins)
citations = st.lists(st.builds(Citation, kind=st.just("url"), url=some, start=st.integers(0, 9)), max_size=2).map(tuple)
logprobs = st.none() | st.lists(st.just({"token": "a", "logprob": -1}), max_size=2)

texts_parts = st.builds(
    TextPart, texts, citations=citations, logprobs=logprobs, refusal=st.booleans(), signature=signatures, extra=extras
)
thinking_parts = st.one_of(
    st.builds(
        ThinkingPart, texts, summary=st.lists(texts, max_size=3).map(tuple), signature=signatures, id=st.none() | some
    ),
    st.builds(ThinkingPart, redacted=st.just(True), signature=signatures),
)
call_parts = st.builds(
    ToolCallPart,
    some,
    some,
    texts,
    kind=st.sampled_from(["function", "custom"]),
    signature=signatures,
    synthetic_id=st.booleans(),
    extra=extras,
)
media_parts = st.builds(
    MediaPart,
    st.sampled_from(["image", "audio"]),
    st.builds(Inline, some, texts) | st.builds(Url, some),
    transcript=st.none() | texts,
    signature=signatures,
)
other_parts = st.one_of(
    st.builds(ToolResultPart, some, st.lists(texts_parts, max_size=2).map(tuple)),
    st.builds(CompactionPart, texts, signature=signatures),
    st.builds(OpaquePart, some, extras),
)
parts = st.one_of(texts_parts, thinking_parts, call_parts, media_parts, other_parts)
finishes = st.builds(Finish, st.sampled_from(list(FinishReason)), st.none() | some, st.none() | some)
outputs = st.builds(
    Output, st.builds(Message, st.just("assistant"), st.lists(parts, max_size=4)), finishes, extra=extras
)
usages = st.none() | st.builds(Usage, st.none() | st.integers(0, 99), st.none() | st.integers(0, 99))
responses = st.builds(
    ChatResponse,
    st.lists(outputs, min_size=1, max_size=3).map(tuple),
    id=st.none() | some,
    model=st.none() | some,
    created=st.none() | st.integers(0, 9),
    usage=usages,
    origin=st.none() | origins,
    service_tier=st.none() | some,
    system_fingerprint=st.none() | some,
    safety=st.none() | extras,
    grounding=st.none() | extras,
    diagnostics=st.none() | extras,
    extra=extras,
)
