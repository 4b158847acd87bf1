"""The form of answers: JSON, citations, probabilities, alternatives, refusals; token counts and embeddings."""

from collections.abc import Iterable
from typing import cast

from execution_platform import _json
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import TextPart
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest, OutputFormat
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.testing.scenario import Expected, Scenario, holds
from execution_platform.testing.script import Citation, Refusal, Script, Text, Tokens, Vectors

_ASK = Message("user", "Describe Paris as JSON.")
_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
_JSON = '{"name": "Paris", "people": 2100000}'
_DECLINED = (FinishReason.REFUSAL, FinishReason.CONTENT_FILTER)


def _texts(response: ChatResponse) -> list[TextPart]:
    return [part for part in response.message.parts if isinstance(part, TextPart)]


def _is_object(response: ChatResponse) -> Iterable[str]:
    try:
        value = _json.loads(response.text.encode())
    except _json.JsonError as error:
        yield f"the text is not JSON: {error}"
        return
    if not isinstance(value, dict):
        yield f"the text is {type(value).__name__}, expected an object"


def _is_object_if_complete(response: ChatResponse) -> Iterable[str]:
    if response.finish.reason is FinishReason.STOP:
        yield from _is_object(response)
    elif not response.text.lstrip().startswith("{"):
        yield "the text does not begin an object"


def _fits_schema(response: ChatResponse) -> Iterable[str]:
    yield from (problems := list(_is_object(response)))
    if problems:
        return
    value = cast("dict[str, object]", _json.loads(response.text.encode()))
    if set(value) != {"name", "people"} or not isinstance(value["name"], str) or not isinstance(value["people"], int):
        yield f"{value} does not fit the schema"


def _cites(response: ChatResponse) -> Iterable[str]:
    urls = [citation.url for part in _texts(response) for citation in part.citations]
    if urls != ["https://example.com/paris"]:
        yield f"cited addresses are {urls}"


def _has_logprobs(response: ChatResponse) -> Iterable[str]:
    found = [cast("list[dict[str, object]]", part.logprobs) for part in _texts(response) if part.logprobs]
    if not found or not all(isinstance(token.get("logprob"), int | float) for token in found[0]):
        yield f"log probabilities are {found}"


def _declines(response: ChatResponse) -> Iterable[str]:
    if response.finish.reason not in _DECLINED and not any(part.refusal for part in _texts(response)):
        yield "nothing tells that the model declined"


ANSWERS = (
    Scenario(
        id="json_mode",
        title="JSON mode",
        request=ChatRequest([_ASK], output=OutputFormat(kind="json"), max_tokens=200),
        reply=Script(_JSON),
        expect=Expected(text=_JSON),
        sent={
            "openai_chat": {"response_format.type": "json_object"},
            "gemini": {"generationConfig.responseMimeType": "application/json"},
        },
        about=("output",),
        live=Expected(finish=(FinishReason.STOP, FinishReason.LENGTH), check=_is_object_if_complete),
    ),
    Scenario(
        id="json_schema",
        title="JSON by a schema",
        request=ChatRequest(
            [_ASK], output=OutputFormat(kind="json_schema", schema=_SCHEMA, name="city", strict=True), max_tokens=200
        ),
        reply=Script(_JSON),
        expect=Expected(text=_JSON, check=_fits_schema),
        sent={
            "openai_chat": {
                "response_format.type": "json_schema",
                "response_format.json_schema.name": "city",
                "response_format.json_schema.schema.required": ["name", "people"],
                "response_format.json_schema.strict": True,
            },
            "anthropic": {
                "output_config.format.type": "json_schema",
                "output_config.format.schema.properties.people.type": "integer",
            },
            "gemini": {"generationConfig.responseMimeType": "application/json"},
        },
        about=("output",),
        live=Expected(check=_fits_schema),
    ),
    Scenario(
        id="citations",
        title="Citations of web pages",
        request=ChatRequest([Message("user", "Where is Paris?")]),
        reply=Script(
            Text(
                "Paris is in France.",
                citations=[Citation("Paris is in France.", url="https://example.com/paris", title="Paris", end=19)],
            )
        ),
        expect=Expected(text="Paris is in France.", check=_cites),
    ),
    Scenario(
        id="logprobs",
        title="Log probabilities",
        request=ChatRequest([Message("user", "Say hello.")], logprobs=True, top_logprobs=1),
        reply=Script(Text("Hello there", logprobs=True)),
        expect=Expected(text="Hello there", check=_has_logprobs),
        sent={
            "openai_chat": {"logprobs": True, "top_logprobs": 1},
            "gemini": {"generationConfig.responseLogprobs": True, "generationConfig.logprobs": 1},
        },
        about=("logprobs", "top_logprobs"),
        live=Expected(finish=(FinishReason.STOP, FinishReason.LENGTH), check=_has_logprobs),
    ),
    Scenario(
        id="several_answers",
        title="Several answers (`n`)",
        request=ChatRequest([Message("user", "Say hello.")], n=2),
        reply=Script("Hello."),
        expect=Expected(text="Hello.", outputs=2),
        sent={"openai_chat": {"n": 2}, "gemini": {"generationConfig.candidateCount": 2}},
        about=("n",),
        ways=("whole",),
        live=Expected(outputs=2, finish=()),
    ),
    Scenario(
        id="cached_usage",
        title="Cached tokens in the usage",
        request=ChatRequest([Message("user", "Say hello.")]),
        reply=Script("Hello.", usage=Tokens(input=100, output=1, cached=60)),
        expect=Expected(text="Hello.", usage={"input_tokens": 100, "output_tokens": 1, "cache_read_tokens": 60}),
    ),
    Scenario(
        id="refusal",
        title="Refusal",
        request=ChatRequest([Message("user", "Do something bad.")]),
        reply=Script(Refusal("I cannot help with that.")),
        expect=Expected(finish=(FinishReason.STOP, *_DECLINED), check=_declines),
    ),
    Scenario(
        id="content_filter",
        title="Answer stopped by a content filter",
        request=ChatRequest([Message("user", "Say something.")]),
        reply=Script("Well,", finish="content_filter"),
        expect=Expected(text="Well,", finish=_DECLINED),
    ),
    Scenario(
        id="token_count",
        title="Token count",
        request=ChatRequest([Message("user", "Say hello.")], system="Answer in French."),
        reply=Script("", usage=Tokens(input=42)),
        expect=Expected(tokens=42),
        sent={"anthropic": {"messages.0.role": "user"}},
        operation="count",
        ways=("whole",),
        live=Expected(tokens=5),
    ),
    Scenario(
        id="embeddings",
        title="Embeddings",
        request=EmbeddingsRequest(["one", "two"]),
        reply=Script(Vectors([[0.5, 0.25], [1.0, -1.0]]), usage=Tokens(input=2)),
        expect=Expected(vectors=2),
        sent={"openai_chat": {"input": ["one", "two"]}, "gemini": {"requests": holds("two")}},
        operation="embed",
        ways=("whole",),
        need="embeddings",
        live=Expected(vectors=2),
    ),
)
