"""Everything of a request that is neither turns nor tools: limits, sampling, thinking, output, identifiers."""

from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.blocks import Target
from execution_platform.dialects.anthropic.closed_schema import close
from execution_platform.dialects.anthropic.wire import NAME
from execution_platform.dialects.losses import dropped
from execution_platform.dialects.schema import fit
from execution_platform.dialects.take import Object, put
from execution_platform.spi.profile import EFFORT_TOKENS
from execution_platform.spi.request import OutputFormat, Reasoning

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_DISPLAY: Mapping[str, str] = {
    "auto": "summarized",
    "concise": "summarized",
    "detailed": "summarized",
    "none": "omitted",
}
_TIERS: Mapping[str, str] = {
    "auto": "auto",
    "standard_only": "standard_only",
    "default": "standard_only",
    "standard": "standard_only",
}
_MIN_TOP_P = 0.95
"""The least top_p that goes with thinking (extended thinking guide, read 2026-11)."""


def encode_settings(target: Target, body: Object, *, forced: bool, broken_loop: bool) -> None:
    """Add the settings to `body`. `forced`: a tool must be called; `broken_loop`: the turn under way began without thinking."""
    _limit(target, body)
    _thinking(target, body, forced=forced, broken_loop=broken_loop)
    _sampling(target, body)
    _stop(target, body)
    _output(target, body)
    _routing(target, body)
    _identity(target, body)
    _state(target, body)


def _limit(target: Target, body: Object) -> None:
    asked, most = target.request.max_tokens, target.profile.max_output_tokens
    limit = asked if asked is not None else target.profile.default_max_tokens
    if most is not None and limit > most:
        if asked is not None:
            target.lose("max_tokens", f"{asked} is more than the {most} the model can write")
        limit = most
    body["max_tokens"] = limit


def _thinking(target: Target, body: Object, *, forced: bool, broken_loop: bool) -> None:
    reasoning = target.request.reasoning
    if reasoning is None:
        return
    if target.same:
        _same_thinking(reasoning, body)
        return
    off = reasoning.mode == "disabled" or reasoning.effort == "none" or reasoning.budget_tokens == 0
    if off:
        body["thinking"] = {"type": "disabled"}
        return
    if reasoning.effort is None and reasoning.budget_tokens is None and reasoning.mode is None:
        return
    if forced:
        target.lose("reasoning", "thinking does not go with a tool that must be called")
    elif target.profile.adaptive_thinking:
        _adaptive(target, reasoning, body)
    elif broken_loop:
        target.lose("reasoning", "the turn under way began without thinking of this provider, so it goes on without")
    else:
        _budget(target, reasoning, body)


def _same_thinking(reasoning: Reasoning, body: Object) -> None:
    if reasoning.mode is not None or reasoning.budget_tokens is not None:
        block: Object = {"type": reasoning.mode or "enabled"}
        put(block, budget_tokens=reasoning.budget_tokens)
        if reasoning.summary is not None:
            block["display"] = _DISPLAY.get(reasoning.summary, reasoning.summary)
        body["thinking"] = block
    if reasoning.effort is not None:
        body["output_config"] = {"effort": reasoning.effort}


def _displayed(reasoning: Reasoning, block: Object) -> Object:
    if reasoning.summary is not None:
        block["display"] = _DISPLAY.get(reasoning.summary, "summarized")
    elif reasoning.include is not None:
        block["display"] = "summarized" if reasoning.include else "omitted"
    return block


def _adaptive(target: Target, reasoning: Reasoning, body: Object) -> None:
    body["thinking"] = _displayed(reasoning, {"type": "adaptive"})
    effort = reasoning.effort
    budget = reasoning.budget_tokens
    if effort is None and budget is not None and budget > 0:
        effort = next((word for word in _EFFORTS if EFFORT_TOKENS[word] >= budget), "max")
        target.lose("reasoning.budget_tokens", f"a budget of {budget} tokens became effort {effort}")
    if effort is not None:
        body["output_config"] = {"effort": _known_effort(target, effort)}


def _known_effort(target: Target, effort: str) -> str:
    """The nearest effort that both the API and the model know."""
    levels = [word for word in _EFFORTS if word in target.profile.effort_levels] or list(_EFFORTS)
    if effort in levels:
        return effort
    wanted = EFFORT_TOKENS.get(effort, EFFORT_TOKENS["medium"])
    near = min(levels, key=lambda word: abs(EFFORT_TOKENS[word] - wanted))
    target.lose("reasoning.effort", f"effort {effort} became {near}")
    return near


def _budget(target: Target, reasoning: Reasoning, body: Object) -> None:
    """A token budget below `max_tokens`; the caller's limit counts for more than the wish to think."""
    profile, least = target.profile, target.profile.thinking_budget_min
    wanted = reasoning.budget_tokens
    if wanted is None or wanted < 0:
        effort = reasoning.effort or "medium"
        if effort not in EFFORT_TOKENS:
            target.lose("reasoning.effort", f"effort {effort} is not known; medium was used")
        wanted = EFFORT_TOKENS.get(effort, EFFORT_TOKENS["medium"])
    limit = cast("int", body["max_tokens"])
    if target.request.max_tokens is None:
        limit = wanted + profile.default_max_tokens
        limit = min(limit, profile.max_output_tokens) if profile.max_output_tokens is not None else limit
        body["max_tokens"] = limit
    budget = max(wanted, least)
    if budget >= limit:
        # Leaves a quarter of the limit for the answer itself.
        budget = max(least, limit * 3 // 4)
    if budget >= limit:
        target.lose("reasoning", f"max_tokens of {limit} leaves no room for {least} tokens of thinking")
        return
    if budget != wanted:
        target.lose("reasoning", f"a thinking budget of {wanted} tokens became {budget}")
    body["thinking"] = _displayed(reasoning, {"type": "enabled", "budget_tokens": budget})


def thinks(body: Mapping[str, object]) -> bool:
    """Whether a body asks for thinking."""
    block = body.get("thinking")
    return isinstance(block, Mapping) and cast("Mapping[str, object]", block).get("type") != "disabled"


def _sampling(target: Target, body: Object) -> None:
    request, profile = target.request, target.profile
    given: Object = {}
    put(given, temperature=request.temperature, top_p=request.top_p, top_k=request.top_k)
    if not profile.sampling:
        for name in given:
            target.lose(name, "the model does not let sampling be set")
        return
    thinking = thinks(body)
    if target.same:
        if thinking and not profile.sampling_with_reasoning:
            _without_thinking(target, given)
        body.update(given)
        return
    temperature = request.temperature
    if temperature is not None and temperature > 1:
        target.lose("temperature", f"{temperature} became 1, the highest there is")
        given["temperature"] = 1
    if temperature is not None and "top_p" in given:
        if given["top_p"] != 1:
            target.lose("top_p", "the target takes temperature or top_p, not both")
        del given["top_p"]
    if thinking:
        _without_thinking(target, given)
    body.update(given)


def _without_thinking(target: Target, given: Object) -> None:
    top_p = given.get("top_p")
    keep_top_p = isinstance(top_p, int | float) and top_p >= _MIN_TOP_P
    for name in list(given):
        if (name == "temperature" and given[name] == 1) or (name == "top_p" and keep_top_p):
            continue
        target.lose(name, "it does not go with thinking")
        del given[name]


def _stop(target: Target, body: Object) -> None:
    stop = target.request.stop
    if stop is None:
        return
    if target.same:
        body["stop_sequences"] = list(stop)
        return
    kept = [sequence for sequence in stop if sequence.strip()]
    if len(kept) < len(stop):
        target.lose("stop", "a stop sequence of white space alone")
    most = target.profile.max_stop_sequences
    if most is not None and len(kept) > most:
        target.lose("stop", f"only {most} stop sequences are taken")
        kept = kept[:most]
    if kept:
        body["stop_sequences"] = kept


def _output(target: Target, body: Object) -> None:
    output = target.request.output
    if output is None:
        return
    _output_losses(target, output)
    if output.kind == "json_schema" and (target.same or (output.schema is not None and target.profile.json_schema)):
        form: Object = {"type": "json_schema"}
        if target.same:
            put(form, schema=output.schema)
        else:
            fitted = fit(output.schema, target.profile.schema_flavor, path="output.schema")
            target.losses.extend(fitted.losses)
            form["schema"] = close(fitted.schema, "output.schema", target.losses)
        config = cast("Object", body.setdefault("output_config", {}))
        config["format"] = form
    elif output.kind != "text":
        _ask_for_json(target, output, body)


def _output_losses(target: Target, output: OutputFormat) -> None:
    if output.verbosity is not None:
        target.lose("output.verbosity", "the target has no such setting")
    if output.description:
        target.lose("output.description", "a schema has no description beside it")
    for name in ("audio", "image"):
        if getattr(output, name) is not None:
            target.lose(f"output.{name}", f"the target does not answer with {name}", "content")
    for word in output.modalities or ():
        if word.lower() != "text":
            target.lose("output.modalities", f"the target does not answer with {word}", "content")


def _ask_for_json(target: Target, output: OutputFormat, body: Object) -> None:
    """There is no JSON mode without a schema here: an instruction stands in for it."""
    target.lose("output", "JSON is asked for by an instruction, not enforced")
    sentence = "Answer with one JSON object and nothing else: no code fence, no text before or after it."
    if output.schema is not None:
        sentence += f" It must match this JSON Schema: {_json.dumps(output.schema).decode()}"
    system = body.get("system")
    if isinstance(system, list):
        cast("list[object]", system).append({"type": "text", "text": sentence})
    else:
        body["system"] = f"{system}\n\n{sentence}" if system else sentence


def _routing(target: Target, body: Object) -> None:
    request = target.request
    put(body, speed=request.speed, inference_geo=request.region)
    tier = request.service_tier
    if tier is None:
        return
    if target.same or tier in _TIERS:
        body["service_tier"] = tier if target.same else _TIERS[tier]
    else:
        target.lose("service_tier", f"there is no tier {tier!r}")


def _identity(target: Target, body: Object) -> None:
    request = target.request
    user: str | None = None
    safety = request.safety
    if safety is not None:
        user = safety.identifier or safety.user
        if safety.settings is not None:
            target.lose("safety.settings", "safety settings belong to their provider")
        if safety.moderation is not None:
            target.lose("safety.moderation", "moderation belongs to its provider")
    for name, value in (request.metadata or {}).items():
        if name == "user_id" and user is None and isinstance(value, str):
            user = value
        else:
            target.lose(f"metadata.{name}", "the target keeps no metadata")
    if user is not None:
        body["metadata"] = {"user_id": user}


def _state(target: Target, body: Object) -> None:
    request = target.request
    cache = request.cache
    if cache is not None:
        if cache.mark is not None:
            body["cache_control"] = target.cache(cache.mark, "cache.mark")
        for name in ("key", "retention", "mode"):
            if getattr(cache, name) is not None:
                target.lose(f"cache.{name}", "the target caches by marks only")
        if cache.cached_content is not None:
            target.lose("cache.cached_content", "content stored at another provider", "content")
    _continuation(target, body)
    if request.n is not None and request.n > 1:
        target.lose("n", "the target gives one answer", "content")
    target.losses.extend(dropped(request, ("seed", "logit_bias")))
    for name in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        if getattr(request, name):
            target.lose(name, "the target has no such setting")


def _continuation(target: Target, body: Object) -> None:
    state = target.request.continuation
    if state is None:
        return
    own = target.request.dialect in (None, NAME)
    for name in ("container", "context_management"):
        value = getattr(state, name)
        if value is not None and own:
            body[name] = value
        elif value is not None:
            target.lose(f"continuation.{name}", "state kept at another provider", "content")
    for name in ("previous_id", "conversation", "background", "store"):
        if getattr(state, name):
            target.lose(f"continuation.{name}", "the target keeps no state between requests", "content")
    if state.truncation not in (None, "disabled"):
        target.lose("continuation.truncation", "the target does not shorten requests")
