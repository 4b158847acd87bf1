"""The settings of a request → wire: limits, sampling, reasoning, output form, caching, safety, state.

The same dialect gets its members back as they were, except where the profile states that this model refuses them. Another
dialect's settings are mapped where a slot means the same, and are losses where none does.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform import _json
from execution_platform.dialects import schema
from execution_platform.dialects.losses import dropped
from execution_platform.dialects.openai_chat.content import nearest_ttl
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.take import Object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.dialects.toolnames import legal
from execution_platform.spi.profile import EFFORT_TOKENS
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, OutputFormat, Reasoning, Safety

_TIERS: Mapping[str, str] = {"standard": "default", "standard_only": "default"}
_OWN_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


def encode(request: ChatRequest, body: Object, target: Target) -> None:
    """Set every setting of `request` in `body`."""
    _limits(request, body, target)
    _sampling(request, body, target)
    if request.reasoning is not None:
        _reasoning(request.reasoning, request.spelling, body, target)
    if request.output is not None:
        _output(request.output, request.spelling, body, target)
    if request.cache is not None:
        _cache(request.cache, body, target)
    if request.safety is not None:
        _safety(request.safety, body, target)
    if request.continuation is not None:
        _continuation(request.continuation, body, target)
    _tier(request, body, target)
    _metadata(request, body, target)
    _stream(request, body, target)
    target.losses.extend(dropped(request, ("speed", "region")))


def _limits(request: ChatRequest, body: Object, target: Target) -> None:
    profile, limit = target.profile, request.max_tokens
    if limit is not None:
        if profile.max_output_tokens is not None and limit > profile.max_output_tokens:
            target.lose("max_tokens", f"the model writes at most {profile.max_output_tokens} tokens")
            limit = profile.max_output_tokens
        name = profile.max_tokens_field
        if target.same and request.spelling.get("max_tokens") is not None:
            name = "max_completion_tokens"
        body[name] = limit
    if request.stop is not None:
        _stop(request.stop, request.spelling, body, target)
    if request.n is not None:
        if request.n > 1 and not profile.multiple_outputs:
            target.lose("n", "the target gives one answer only", "content")
        elif request.n != 1 or target.same:
            body["n"] = request.n


def _stop(stop: Sequence[str], spelling: Mapping[str, object], body: Object, target: Target) -> None:
    if not target.profile.stop_sequences:
        target.lose("stop", "the target has no stop sequences")
        return
    if not target.same:
        stop = [word for word in stop if word]
    most = target.profile.max_stop_sequences
    if most is not None and len(stop) > most:
        target.lose(f"stop[{most}]", f"the target takes at most {most} stop sequences")
        stop = stop[:most]
    if stop or target.same:
        body["stop"] = stop[0] if spelling.get("stop") == "string" and len(stop) == 1 else list(stop)


def _sampling(request: ChatRequest, body: Object, target: Target) -> None:
    profile = target.profile
    thinks = (
        request.reasoning is not None and request.reasoning.mode != "disabled" and request.reasoning.effort != "none"
    )
    allowed: dict[str, bool] = {
        "temperature": profile.sampling and (profile.sampling_with_reasoning or not thinks),
        "top_p": profile.sampling and (profile.sampling_with_reasoning or not thinks),
        "top_k": target.same or bool(profile.extra.get("top_k")),
        "seed": profile.seed,
        "presence_penalty": profile.penalties,
        "frequency_penalty": profile.penalties,
        "logit_bias": profile.logit_bias,
        "logprobs": target.same or profile.logprobs or not request.logprobs,
        "top_logprobs": target.same or profile.logprobs or not request.logprobs,
    }
    for name, is_allowed in allowed.items():
        value = getattr(request, name)
        if value is None:
            continue
        if is_allowed:
            body[profile.seed_field if name == "seed" else name] = value
        else:
            target.lose(name, "the target has no such setting, or refuses it here")


def _reasoning(reasoning: Reasoning, spelling: Mapping[str, object], body: Object, target: Target) -> None:
    if target.same:
        if spelling.get("reasoning") == "object":
            wire: Object = {}
            include, mode = reasoning.include, reasoning.mode
            put(wire, effort=reasoning.effort, max_tokens=reasoning.budget_tokens)
            put(
                wire,
                exclude=None if include is None else not include,
                enabled=None if mode is None else mode == "enabled",
            )
            body["reasoning"] = merged(wire, reasoning.extra)
        else:
            put(body, reasoning_effort=reasoning.effort)
        return
    if reasoning.summary not in (None, "none") or reasoning.include:
        target.lose("reasoning.summary", "the target does not choose which thoughts it shows")
    effort = _effort(reasoning, target)
    if effort is not None:
        body["reasoning_effort"] = effort


def _effort(reasoning: Reasoning, target: Target) -> str | None:
    """The effort level that is nearest to what the caller asked for."""
    wanted, budget = reasoning.effort, reasoning.budget_tokens
    if wanted is not None and budget is not None:
        target.lose("reasoning.budget_tokens", "the target knows an effort, not a budget")
    if reasoning.mode == "disabled" and wanted is None:
        wanted = "none"
    elif wanted is None and budget is not None and budget >= 0:
        # A negative budget is Gemini's way to leave it to the model.
        wanted = _nearest(tuple(EFFORT_TOKENS), budget)
    if wanted is None:
        return None
    levels = target.profile.effort_levels
    if not target.profile.reasoning:
        if wanted != "none":
            target.lose("reasoning.effort", "the model does not reason")
        return None
    if wanted in levels:
        return wanted
    tokens = EFFORT_TOKENS.get(wanted)
    known = [level for level in levels if level in EFFORT_TOKENS]
    if tokens is None or not known:
        target.lose("reasoning.effort", f"the target has no effort {wanted!r}")
        return None
    nearest = _nearest(known, tokens)
    target.lose("reasoning.effort", f"{wanted!r} goes as {nearest!r}")
    return nearest


def _nearest(levels: Sequence[str], tokens: int) -> str:
    """The level nearest to a number of tokens; a wish to think is never turned into none."""
    thinking = [level for level in levels if EFFORT_TOKENS[level] > 0]
    return min(thinking if tokens and thinking else levels, key=lambda level: abs(EFFORT_TOKENS[level] - tokens))


def _output(output: OutputFormat, spelling: Mapping[str, object], body: Object, target: Target) -> None:
    profile = target.profile
    if output.kind == "json_schema" and (profile.json_schema or target.same):
        body["response_format"] = _schema_format(output, target)
    elif output.kind != "text":
        if profile.json_mode or target.same:
            wire: Object = {"type": "json_object"}
            body["response_format"] = merged(wire, output.extra) if target.same else wire
        if output.kind == "json_schema" or not profile.json_mode:
            _ask(output, body, target)
    elif spelling.get("response_format") == "text" and target.same:
        body["response_format"] = merged({"type": "text"}, output.extra)
    if output.image is not None:
        target.lose("output.image", "the target has no image settings")
    if target.same or "text" not in (output.modalities or ()) or len(output.modalities or ()) > 1:
        put(body, modalities=None if output.modalities is None else list(output.modalities))
    put(body, audio=output.audio)
    if output.verbosity is not None:
        if target.same or profile.extra.get("verbosity"):
            body["verbosity"] = output.verbosity
        else:
            target.lose("output.verbosity", "the target has no verbosity setting")


def _schema_format(output: OutputFormat, target: Target) -> Object:
    inner: Object = {}
    if target.same:
        put(inner, name=output.name, description=output.description, schema=output.schema, strict=output.strict)
        return merged({"type": "json_schema", "json_schema": inner}, output.extra)
    inner["name"] = legal(output.name or "answer")
    put(inner, description=output.description)
    flavor = "openai_strict" if output.strict and target.profile.schema_flavor == "openai_strict" else "json_schema"
    fitted = schema.fit(output.schema, flavor, path="output.schema")
    target.losses.extend(fitted.losses)
    inner["schema"] = fitted.schema
    put(inner, strict=output.strict)
    return {"type": "json_schema", "json_schema": inner}


def _ask(output: OutputFormat, body: Object, target: Target) -> None:
    """A model without structured output is asked in words, ahead of everything else."""
    target.lose("output", "the target does not enforce the form; the model is asked for it")
    text = "Answer with one JSON object and nothing else."
    if output.schema is not None:
        text += f" It must match this JSON Schema: {_json.dumps(output.schema).decode()}"
    messages = cast("list[Object]", body["messages"])
    first = messages[0] if messages else None
    if first is not None and first["role"] in ("system", "developer") and isinstance(first["content"], str):
        messages[0] = {**first, "content": f"{first['content']}\n\n{text}"}
    else:
        messages.insert(0, {"role": "system", "content": text})


def _cache(cache: CachePolicy, body: Object, target: Target) -> None:
    if target.same or target.profile.prompt_caching:
        put(body, prompt_cache_key=cache.key, prompt_cache_retention=cache.retention)
    elif cache.key is not None or cache.retention is not None:
        target.lose("cache.key", "the target has no keyed prompt cache")
    ttl = None if cache.mark is None else cache.mark.ttl
    if target.same or target.profile.extra.get("cache_marks") == "openai":
        options: Object = {}
        put(options, mode=cache.mode, ttl=ttl if target.same else nearest_ttl(ttl))
        put(body, prompt_cache_options=options or None)
    elif cache.mark is not None:
        target.lose("cache.mark", "the target takes no cache marks")
    if cache.cached_content is not None:
        target.lose("cache.cached_content", "a prompt stored at another provider", "content")


def _safety(safety: Safety, body: Object, target: Target) -> None:
    put(body, user=safety.user)
    if target.same or target.profile.extra.get("safety_identifier"):
        put(body, safety_identifier=safety.identifier)
    elif safety.identifier is not None and safety.user is None:
        body["user"] = safety.identifier
    if safety.moderation is not None:
        if target.same:
            body["moderation"] = safety.moderation
        else:
            target.lose("safety.moderation", "moderation settings of another provider")
    if safety.settings is not None:
        target.lose("safety.settings", "safety settings of another provider")


def _continuation(state: Continuation, body: Object, target: Target) -> None:
    if target.same or state.store:
        put(body, store=state.store)
    for name in ("previous_id", "conversation", "background", "container"):
        if getattr(state, name):
            target.lose(f"continuation.{name}", "state kept at another provider", "content")
    for name in ("truncation", "context_management"):
        if getattr(state, name) is not None:
            target.lose(f"continuation.{name}", "the target does not manage the context")


def _tier(request: ChatRequest, body: Object, target: Target) -> None:
    tier = request.service_tier
    if tier is None:
        return
    if target.same or tier in _OWN_TIERS:
        body["service_tier"] = tier
    elif tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    else:
        target.lose("service_tier", f"the target has no service tier {tier!r}")


def _metadata(request: ChatRequest, body: Object, target: Target) -> None:
    metadata = request.metadata
    if metadata is None:
        return
    if target.same:
        body["metadata"] = metadata
        return
    # The API takes metadata only for answers it stores, and as strings.
    if body.get("store") is True and all(isinstance(value, str) for value in metadata.values()):
        body["metadata"] = metadata
    else:
        target.lose("metadata", "the target keeps metadata only with stored answers, as strings")


def _stream(request: ChatRequest, body: Object, target: Target) -> None:
    if not request.stream:
        return
    body["stream"] = True
    options: Object = dict(request.stream_options or {}) if request.dialect == NAME else {}
    if target.profile.include_usage:
        options["include_usage"] = True
    else:
        options.pop("include_usage", None)
    if options:
        body["stream_options"] = options
