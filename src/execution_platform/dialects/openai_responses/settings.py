"""The settings of a request → wire.

The same dialect gets its members back as they were. Another dialect's settings are mapped where a slot means the same, and are
losses where none does. What the caller of another dialect sends is not stored: `store` is false unless it says otherwise.
"""

from collections.abc import Mapping, Sequence

from execution_platform.dialects import schema
from execution_platform.dialects.losses import dropped
from execution_platform.dialects.take import Object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.dialects.toolnames import legal
from execution_platform.spi.profile import EFFORT_TOKENS
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, OutputFormat, Reasoning, Safety

_TIERS: Mapping[str, str] = {"standard": "default", "standard_only": "default"}
_OWN_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_ABSENT = (
    "top_k",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "speed",
    "region",
)


def encode(request: ChatRequest, body: Object, target: Target) -> None:
    """Set every setting of `request` in `body`."""
    _limits(request, body, target)
    if request.reasoning is not None:
        _reasoning(request.reasoning, body, target)
    if request.output is not None:
        _output(request.output, body, target)
    if request.cache is not None:
        _cache(request.cache, body, target)
    if request.safety is not None:
        _safety(request.safety, body, target)
    _continuation(request.continuation, body, target)
    tier = request.service_tier
    if tier is not None:
        if target.same or tier in _OWN_TIERS or tier in _TIERS:
            body["service_tier"] = _TIERS.get(tier, tier)
        else:
            target.lose("service_tier", f"the target has no service tier {tier!r}")
    _metadata(request, body, target)
    if request.stream:
        body["stream"] = True
        put(body, stream_options=request.stream_options if target.same else None)
    target.losses.extend(dropped(request, _ABSENT))


def _limits(request: ChatRequest, body: Object, target: Target) -> None:
    profile, limit = target.profile, request.max_tokens
    if limit is not None:
        if profile.max_output_tokens is not None and limit > profile.max_output_tokens:
            target.lose("max_tokens", f"the model writes at most {profile.max_output_tokens} tokens")
            limit = profile.max_output_tokens
        body["max_output_tokens"] = limit
    if request.n is not None and request.n > 1:
        target.lose("n", "the target gives one answer only", "content")
    thinks = request.reasoning is not None and request.reasoning.effort != "none"
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is None:
            continue
        if target.same or (profile.sampling and (profile.sampling_with_reasoning or not thinks)):
            body[name] = value
        else:
            target.lose(name, "the target refuses this setting here")
    include = request.spelling.get("include") if target.same else None
    if include is None and request.logprobs:
        include = ["message.output_text.logprobs"]
    put(body, include=include, top_logprobs=request.top_logprobs)


def _reasoning(reasoning: Reasoning, body: Object, target: Target) -> None:
    wire: Object = {}
    if target.same:
        put(wire, effort=reasoning.effort, summary=reasoning.summary)
        body["reasoning"] = merged(wire, reasoning.extra)
        return
    effort = _effort(reasoning, target)
    put(wire, effort=effort)
    summary = reasoning.summary
    if summary is None and reasoning.include:
        summary = "auto"
    if summary not in (None, "none") and target.profile.reasoning:
        wire["summary"] = summary
    if wire:
        body["reasoning"] = wire


def _effort(reasoning: Reasoning, target: Target) -> str | None:
    """The effort level that is nearest to what the caller asked for."""
    wanted, budget = reasoning.effort, reasoning.budget_tokens
    if reasoning.mode == "disabled" and wanted is None:
        wanted = "none"
    elif wanted is None and budget is not None and budget >= 0:
        wanted = _nearest(tuple(EFFORT_TOKENS), budget)
    if wanted is None:
        return None
    if not target.profile.reasoning:
        if wanted != "none":
            target.lose("reasoning.effort", "the model does not reason")
        return None
    levels = target.profile.effort_levels
    known = [level for level in levels if level in EFFORT_TOKENS]
    if wanted in levels or wanted not in EFFORT_TOKENS or not known:
        return wanted
    nearest = _nearest(known, EFFORT_TOKENS[wanted])
    target.lose("reasoning.effort", f"{wanted!r} goes as {nearest!r}")
    return nearest


def _nearest(levels: Sequence[str], tokens: int) -> str:
    thinking = [level for level in levels if EFFORT_TOKENS[level] > 0]
    return min(thinking if tokens and thinking else levels, key=lambda level: abs(EFFORT_TOKENS[level] - tokens))


def _output(output: OutputFormat, body: Object, target: Target) -> None:
    text: Object = {}
    if output.kind == "json_schema":
        text["format"] = _schema_format(output, target)
    elif output.kind == "json":
        text["format"] = merged({"type": "json_object"}, output.extra) if target.same else {"type": "json_object"}
    elif target.same and not output.verbosity:
        text["format"] = merged({"type": "text"}, output.extra)
    put(text, verbosity=output.verbosity)
    if text:
        body["text"] = text
    for name in ("audio", "image"):
        if getattr(output, name) is not None:
            target.lose(f"output.{name}", "the target answers in text only", "content")
    if any(word != "text" for word in output.modalities or ()):
        target.lose("output.modalities", "the target answers in text only", "content")


def _schema_format(output: OutputFormat, target: Target) -> Object:
    wire: Object = {"type": "json_schema"}
    if target.same:
        put(wire, name=output.name, description=output.description, schema=output.schema, strict=output.strict)
        return merged(wire, output.extra)
    flavor = "openai_strict" if output.strict and target.profile.schema_flavor == "openai_strict" else "json_schema"
    fitted = schema.fit(output.schema, flavor, path="output.schema")
    target.losses.extend(fitted.losses)
    wire["name"] = legal(output.name or "answer")
    put(wire, description=output.description, schema=fitted.schema or {}, strict=bool(output.strict))
    return wire


def _cache(cache: CachePolicy, body: Object, target: Target) -> None:
    put(body, prompt_cache_key=cache.key, prompt_cache_retention=cache.retention)
    options: Object = {}
    if target.same:
        put(options, mode=cache.mode, ttl=None if cache.mark is None else cache.mark.ttl)
    elif cache.mark is not None:
        target.lose("cache.mark", "the target takes no cache marks")
    put(body, prompt_cache_options=options or None)
    if cache.cached_content is not None:
        target.lose("cache.cached_content", "a prompt stored at another provider", "content")


def _safety(safety: Safety, body: Object, target: Target) -> None:
    put(body, user=safety.user, safety_identifier=safety.identifier)
    if safety.moderation is not None:
        if target.same:
            body["moderation"] = safety.moderation
        else:
            target.lose("safety.moderation", "moderation settings of another provider")
    if safety.settings is not None:
        target.lose("safety.settings", "safety settings of another provider")


def _continuation(state: Continuation | None, body: Object, target: Target) -> None:
    if not target.same:
        body["store"] = bool(state is not None and state.store)
    if state is None:
        return
    if target.same:
        put(
            body,
            previous_response_id=state.previous_id,
            conversation=state.conversation,
            store=state.store,
            background=state.background,
            truncation=state.truncation,
            context_management=state.context_management,
        )
        return
    for name in ("previous_id", "conversation", "background", "container"):
        if getattr(state, name):
            target.lose(f"continuation.{name}", "state kept at another provider", "content")
    for name in ("truncation", "context_management"):
        if getattr(state, name) is not None:
            target.lose(f"continuation.{name}", "the target does not manage the context in this way")


def _metadata(request: ChatRequest, body: Object, target: Target) -> None:
    metadata = request.metadata
    if metadata is None:
        return
    if target.same or all(isinstance(value, str) for value in metadata.values()):
        body["metadata"] = metadata
    else:
        target.lose("metadata", "the target keeps metadata as strings only")
