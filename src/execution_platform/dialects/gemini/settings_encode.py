"""Canonical settings → `generationConfig`."""

from collections.abc import Mapping
from typing import Final

from execution_platform.dialects.gemini.settings_decode import decode_output
from execution_platform.dialects.gemini.wire import NAME
from execution_platform.dialects.schema import fit
from execution_platform.dialects.take import Object, put
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.profile import EFFORT_TOKENS, ModelProfile
from execution_platform.spi.request import ChatRequest, OutputFormat, Reasoning

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class SettingsWriter:
    """Writes the settings of one request; what its model does not take becomes a loss."""

    def __init__(self, request: ChatRequest, profile: ModelProfile) -> None:
        self.request, self.profile = request, profile
        self.same = request.dialect == NAME
        self.losses: list[Loss] = []

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def config(self) -> Object:
        """The `generationConfig`, without leftovers."""
        request = self.request
        wire: Object = {}
        put(wire, temperature=request.temperature, topP=request.top_p, topK=request.top_k)
        put(wire, candidateCount=request.n, maxOutputTokens=self._max_tokens(), stopSequences=self._stop())
        put(wire, seed=request.seed, presencePenalty=request.presence_penalty)
        put(wire, frequencyPenalty=request.frequency_penalty)
        put(wire, responseLogprobs=request.logprobs, logprobs=request.top_logprobs)
        if not self.same:
            self._limit(wire)
        if request.reasoning is not None:
            thinking = self._thinking(request.reasoning)
            if thinking:
                wire["thinkingConfig"] = thinking
        if request.output is not None:
            wire |= self._output(request.output)
        return wire

    def _limit(self, wire: Object) -> None:
        """Take out what the profile says the model refuses."""
        profile = self.profile
        refused = [
            (not profile.sampling, ("temperature", "topP", "topK")),
            (not profile.seed, ("seed",)),
            (not profile.penalties, ("presencePenalty", "frequencyPenalty")),
            (not profile.logprobs, ("responseLogprobs", "logprobs")),
        ]
        for is_refused, members in refused:
            for name in members:
                if is_refused and wire.pop(name, None) not in (None, False):
                    self.lose(_FIELDS[name], "this model does not take it")
        if not profile.multiple_outputs and (self.request.n or 1) > 1:
            del wire["candidateCount"]
            self.lose("n", "this model gives one answer only", "content")

    def _max_tokens(self) -> int | None:
        wanted, most = self.request.max_tokens, self.profile.max_output_tokens
        if self.same or wanted is None or most is None or wanted <= most:
            return wanted
        self.lose("max_tokens", f"more than the model's limit of {most}; sent as that limit")
        return most

    def _stop(self) -> list[str] | None:
        if self.request.stop is None:
            return None
        if self.same:
            return list(self.request.stop)
        profile = self.profile
        words = [word for word in self.request.stop if word]
        most = profile.max_stop_sequences if profile.stop_sequences else 0
        kept = words if most is None else words[:most]
        if len(kept) < len(self.request.stop):
            self.lose("stop", f"the model takes {most if most is not None else 'any number of'} non-empty sequences")
        return kept or None

    # Reasoning

    def _thinking(self, reasoning: Reasoning) -> Object:
        if self.same:
            return {**self._as_said(reasoning), **reasoning.extra}
        wire: Object = {}
        if reasoning.include or reasoning.summary in ("auto", "concise", "detailed"):
            wire["includeThoughts"] = True
        elif reasoning.include is False or reasoning.summary == "none":
            wire["includeThoughts"] = False
        if reasoning.summary in ("concise", "detailed"):
            self.lose("reasoning.summary", "the target has one kind of summary")
        for name, value in reasoning.extra.items():
            if value is not None:
                self.lose(f"reasoning.{name}", "not known to the target")
        return {**wire, **(self._level(reasoning) if self.profile.adaptive_thinking else self._budget(reasoning))}

    def _as_said(self, reasoning: Reasoning) -> Object:
        wire: Object = {}
        budget = -1 if reasoning.mode == "adaptive" and reasoning.budget_tokens is None else reasoning.budget_tokens
        level = None if reasoning.effort is None else reasoning.effort.upper()
        put(wire, includeThoughts=reasoning.include, thinkingBudget=budget, thinkingLevel=level)
        return wire

    def _budget(self, reasoning: Reasoning) -> Object:
        """Reasoning as a number of tokens; -1 lets the model decide."""
        effort, budget = reasoning.effort, reasoning.budget_tokens
        if budget is not None and effort is not None:
            self.lose("reasoning.effort", "the budget says it")
        if budget is None:
            if reasoning.mode == "disabled":
                budget = 0
            elif effort is not None:
                budget = EFFORT_TOKENS.get(effort)
                if budget is None:
                    self.lose("reasoning.effort", f"the level {effort!r} is not known")
            if budget is None:
                return {"thinkingBudget": -1} if reasoning.mode in ("adaptive", "enabled") else {}
        least = self.profile.thinking_budget_min
        if budget < least and not (budget == 0 and least == 0):
            self.lose("reasoning", f"the model thinks with {least} tokens at least")
            budget = least
        return {"thinkingBudget": budget}

    def _level(self, reasoning: Reasoning) -> Object:
        """Reasoning as a level."""
        effort = reasoning.effort
        if reasoning.mode == "disabled":
            effort = "none"
        elif effort is None and reasoning.budget_tokens is not None:
            tokens = reasoning.budget_tokens
            effort = min(_EFFORTS, key=lambda word: abs(EFFORT_TOKENS[word] - tokens))
            self.lose("reasoning.budget_tokens", "sent as the nearest level")
        elif reasoning.budget_tokens is not None:
            self.lose("reasoning.budget_tokens", "the level says it")
        levels = self.profile.effort_levels
        if effort is None or not levels:
            return {}
        if effort not in levels:
            rank = _EFFORTS.index(effort) if effort in _EFFORTS else _EFFORTS.index("medium")
            known = [level for level in levels if level in _EFFORTS] or list(levels)
            nearest = min(known, key=lambda level: abs(_rank(level) - rank))
            self.lose("reasoning.effort", f"the model has no level {effort!r}; sent as {nearest!r}")
            effort = nearest
        return {"thinkingLevel": effort.upper()}

    # The form of the answer

    def _output(self, output: OutputFormat) -> Object:
        if output.raw is not None and self.same and decode_output(dict(output.raw), "generationConfig") == output:
            return dict(output.raw)
        wire = self._schema(output)
        if output.modalities is not None:
            wire["responseModalities"] = [word.upper() for word in output.modalities]
        if output.audio is not None:
            wire |= self._speech(output.audio)
        if output.image is not None and self.same:
            wire["imageConfig"] = dict(output.image)
        elif output.image is not None:
            self.lose("output.image", "the target has settings of its own for images")
        if output.verbosity is not None:
            self.lose("output.verbosity", "the target has no such setting")
        for name, value in output.extra.items():
            if value is not None:
                self.lose(f"output.{name}", "not known to the target")
        return wire

    def _schema(self, output: OutputFormat) -> Object:
        profile = self.profile
        if output.kind == "text":
            return {}
        if not profile.json_mode or (self.request.tools and profile.extra.get("json_with_tools") is False):
            self.lose("output", "this model cannot be held to JSON here")
            return {}
        wire: Object = {"responseMimeType": "application/json"}
        if output.schema is None:
            return wire
        if not profile.json_schema:
            self.lose("output.schema", "this model answers in JSON but follows no schema")
            return wire
        schema: Mapping[str, object] = output.schema
        if output.description is not None and "description" not in schema:
            schema = {**schema, "description": output.description}
        flavor = "json_schema" if profile.schema_flavor == "json_schema" else "openapi"
        fitted = fit(schema, flavor, path="output.schema")
        self.losses.extend(fitted.losses)
        wire["responseSchema" if flavor == "openapi" else "responseJsonSchema"] = fitted.schema
        return wire

    def _speech(self, audio: Mapping[str, object]) -> Object:
        voice = audio.get("voice")
        for name in audio:
            if name != "voice" or not isinstance(voice, str):
                self.lose(f"output.audio.{name}", "the target has no such setting")
        if not isinstance(voice, str):
            return {}
        return {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}}


_FIELDS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}


def _rank(level: str) -> int:
    return _EFFORTS.index(level) if level in _EFFORTS else _EFFORTS.index("medium")
