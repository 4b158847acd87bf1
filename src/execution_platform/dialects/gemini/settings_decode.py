"""`generationConfig` and the other settings of a request → canonical fields."""

from dataclasses import dataclass, field
from typing import Final, cast

from execution_platform.dialects.gemini.wire import camel, member
from execution_platform.dialects.schema import from_openapi
from execution_platform.dialects.take import Object, Taker, as_object, wrong
from execution_platform.spi.request import OutputFormat, Reasoning

_OUTPUT: Final = (
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseFormat",
    "responseModalities",
    "speechConfig",
    "imageConfig",
)


@dataclass(slots=True)
class Settings:
    """What `generationConfig` says; `rest` is what nobody here understands."""

    fields: Object = field(default_factory=dict[str, object])
    output: OutputFormat | None = None
    reasoning: Reasoning | None = None
    rest: Object = field(default_factory=dict[str, object])


def decode_settings(value: object, path: str) -> Settings:
    """A `generationConfig`. Raises `InvalidRequest` where a known member has the wrong type."""
    take = Taker(camel(as_object(value, path)), path)
    settings = Settings()
    known = settings.fields
    known["max_tokens"] = take.int("maxOutputTokens")
    known["temperature"] = take.float("temperature")
    known["top_p"] = take.float("topP")
    known["top_k"] = take.int("topK")
    known["n"] = take.int("candidateCount")
    known["seed"] = take.int("seed")
    known["presence_penalty"] = take.float("presencePenalty")
    known["frequency_penalty"] = take.float("frequencyPenalty")
    known["logprobs"] = take.bool("responseLogprobs")
    known["top_logprobs"] = take.int("logprobs")
    known["stop"] = strings(take, "stopSequences")
    thinking = take.object("thinkingConfig")
    if thinking is not None:
        settings.reasoning = _reasoning(thinking, take)
    given = {name: take.rest.pop(name) for name in _OUTPUT if take.rest.get(name) is not None}
    if given:
        settings.output = decode_output(given, path)
    settings.rest = take.rest
    return settings


def strings(take: Taker, name: str) -> list[str] | None:
    """A list of strings."""
    values = take.list(name)
    for index, value in enumerate(values or ()):
        if not isinstance(value, str):
            raise wrong(f"{take.at(name)}[{index}]", "a string", value)
    return cast("list[str] | None", values)


def _reasoning(value: Object, parent: Taker) -> Reasoning:
    path = parent.at("thinkingConfig")
    take = Taker(camel(value), path)
    include, budget, level = take.bool("includeThoughts"), take.int("thinkingBudget"), take.str("thinkingLevel")
    mode = None
    if budget == -1:
        mode, budget = "adaptive", None
    elif budget == 0:
        mode = "disabled"
    extra: Object = take.rest
    effort = level.lower() if level is not None and level.upper() != "THINKING_LEVEL_UNSPECIFIED" else None
    if level is not None and level != (effort or "").upper():
        extra["thinkingLevel"] = level
    if not value:
        # An empty object is said again by the same dialect.
        parent.rest["thinkingConfig"] = {}
    return Reasoning(effort=effort, budget_tokens=budget, include=include, mode=mode, extra=extra)


def decode_output(given: Object, path: str) -> OutputFormat:
    """The members that say what the answer must look like; they are kept as received, too."""
    take = Taker(given, path)
    mime = take.str("responseMimeType")
    schema = take.object("responseJsonSchema")
    if schema is None:
        openapi = take.object("responseSchema")
        schema = from_openapi(openapi) if openapi is not None else _text_format(take)
    words = strings(take, "responseModalities")
    speech, image = take.object("speechConfig"), take.object("imageConfig")
    return OutputFormat(
        kind="json_schema" if schema is not None else "json" if mime == "application/json" else "text",
        schema=schema,
        modalities=None if words is None else tuple(word.lower() for word in words),
        audio=_voice(speech),
        image=image,
        raw=given,
    )


def _text_format(take: Taker) -> Object | None:
    """The schema of a `responseFormat` for text."""
    formats = take.any("responseFormat")
    items = cast("list[object]", formats) if isinstance(formats, list) else [formats]
    for item in items:
        if isinstance(item, dict):
            text = camel(cast("Object", item)).get("text")
            schema = cast("Object", text).get("schema") if isinstance(text, dict) else None
            if isinstance(schema, dict):
                return cast("Object", schema)
    return None


def _voice(speech: Object | None) -> Object | None:
    """A prebuilt voice, in the form other dialects know: `{"voice": name}`."""
    node = speech or {}
    for name in ("voiceConfig", "prebuiltVoiceConfig"):
        node = member(camel(node), name)
    voice = camel(node).get("voiceName")
    return {"voice": voice} if isinstance(voice, str) else None
