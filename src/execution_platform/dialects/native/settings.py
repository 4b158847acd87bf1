"""Grouped settings of a native request (`reasoning`, `cache`, `safety`, `continuation`), both ways."""

from collections.abc import Mapping
from typing import NamedTuple, cast

from execution_platform.dialects.native.parts import decode_cache, encode_cache
from execution_platform.dialects.native.tools import drop_nulls
from execution_platform.dialects.take import Object, Taker, merged, put, wrong
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, Reasoning, Safety


class Wish(NamedTuple):
    """The groups a request has."""

    reasoning: Reasoning | None
    cache: CachePolicy | None
    safety: Safety | None
    continuation: Continuation | None


def decode(take: Taker) -> Wish:
    """Read the groups; what a group does not know goes back to the request's leftovers."""
    return Wish(_reasoning(take), _cache(take), _safety(take), _continuation(take))


def _reasoning(take: Taker) -> Reasoning | None:
    group = take.child("reasoning")
    if group is None:
        return None
    return Reasoning(
        effort=group.str("effort"),
        budget_tokens=group.int("budget_tokens"),
        summary=group.str("summary"),
        include=group.bool("include"),
        mode=group.str("mode"),
        extra=drop_nulls(group.rest),
    )


def _cache(take: Taker) -> CachePolicy | None:
    group = take.child("cache")
    if group is None:
        return None
    mark = group.child("mark")
    policy = CachePolicy(
        key=group.str("key"),
        retention=group.str("retention"),
        mode=group.str("mode"),
        cached_content=group.str("cached_content"),
        mark=None if mark is None else decode_cache(mark),
    )
    drop_nulls(group.rest)
    take.keep("cache", group)
    return policy


def _safety(take: Taker) -> Safety | None:
    group = take.child("safety")
    if group is None:
        return None
    safety = Safety(
        settings=group.any("settings"),
        identifier=group.str("identifier"),
        user=group.str("user"),
        moderation=group.any("moderation"),
    )
    drop_nulls(group.rest)
    take.keep("safety", group)
    return safety


def _continuation(take: Taker) -> Continuation | None:
    group = take.child("continuation")
    if group is None:
        return None
    continuation = Continuation(
        previous_id=group.str("previous_id"),
        conversation=group.any("conversation"),
        store=group.bool("store"),
        background=group.bool("background"),
        truncation=group.any("truncation"),
        context_management=group.any("context_management"),
        container=group.any("container"),
    )
    drop_nulls(group.rest)
    take.keep("continuation", group)
    return continuation


def decode_bias(take: Taker) -> Mapping[str, float] | None:
    """`logit_bias`: token to number."""
    values = take.object("logit_bias")
    for token, value in (values or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(f"{take.at('logit_bias')}.{token}", "a number", value)
    return cast("Mapping[str, float] | None", values)


def encode(request: ChatRequest, body: Object) -> None:
    """Write the groups `request` has."""
    if request.reasoning is not None:
        body["reasoning"] = _encode_reasoning(request.reasoning)
    if request.cache is not None:
        body["cache"] = _encode_cache(request.cache)
    if request.safety is not None:
        safety, out = request.safety, cast("Object", {})
        put(
            out,
            settings=safety.settings,
            identifier=safety.identifier,
            user=safety.user,
            moderation=safety.moderation,
        )
        body["safety"] = out
    if request.continuation is not None:
        body["continuation"] = _encode_continuation(request.continuation)


def _encode_reasoning(reasoning: Reasoning) -> Object:
    out: Object = {}
    put(
        out,
        effort=reasoning.effort,
        budget_tokens=reasoning.budget_tokens,
        summary=reasoning.summary,
        include=reasoning.include,
        mode=reasoning.mode,
    )
    return merged(out, reasoning.extra)


def _encode_cache(policy: CachePolicy) -> Object:
    out: Object = {}
    put(
        out,
        key=policy.key,
        retention=policy.retention,
        mode=policy.mode,
        cached_content=policy.cached_content,
        mark=None if policy.mark is None else encode_cache(policy.mark),
    )
    return out


def _encode_continuation(continuation: Continuation) -> Object:
    out: Object = {}
    put(
        out,
        previous_id=continuation.previous_id,
        conversation=continuation.conversation,
        store=continuation.store,
        background=continuation.background,
        truncation=continuation.truncation,
        context_management=continuation.context_management,
        container=continuation.container,
    )
    return out
