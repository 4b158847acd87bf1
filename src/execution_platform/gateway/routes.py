"""The table of LLM paths: which path is which operation in which dialect.

Exact paths are looked up in a dictionary; Gemini's paths hold the model and the method and are split
at the last colon. Every path here needs a principal: there is no public LLM path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qs

import msgspec

from execution_platform.dialects import dialect
from execution_platform.dialects.base import Dialect
from execution_platform.gateway.admission import Priority
from execution_platform.gateway.matrix import Access, access_of
from execution_platform.runtime.call import Operation


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One LLM path."""

    path: str
    dialect: Dialect
    operation: Operation
    summary: str
    streams: bool | None = None
    """Whether the path itself says that the answer streams."""
    access: Access = field(init=False)
    """Who may use it: its row in `roles.toml`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "access", access_of("POST", self.path))

    @property
    def priority(self) -> Priority:
        """Vectors and counts are the work of batches; somebody waits for a chat."""
        return Priority.CHAT if self.operation == "chat" else Priority.BATCH


class Match(msgspec.Struct, frozen=True, gc=False):
    """A request's path, understood."""

    spec: EndpointSpec
    model: str | None = None
    sse: bool = True


def _table() -> dict[str, EndpointSpec]:
    openai, anthropic, native = dialect("openai_chat"), dialect("anthropic"), dialect("native")
    responses = dialect("openai_responses")
    chat = EndpointSpec("/v1/chat/completions", openai, "chat", "Chat completions (OpenAI)")
    embeddings = EndpointSpec("/v1/embeddings", openai, "embeddings", "Embeddings (OpenAI)")
    respond = EndpointSpec("/v1/responses", responses, "chat", "Responses (OpenAI)")
    tokens = EndpointSpec("/v1/responses/input_tokens", responses, "count", "Count input tokens (OpenAI)")
    messages = EndpointSpec("/v1/messages", anthropic, "chat", "Messages (Anthropic)")
    count = EndpointSpec("/v1/messages/count_tokens", anthropic, "count", "Count input tokens (Anthropic)")
    own = EndpointSpec("/v1/chat", native, "chat", "Chat (native events)")
    table = {spec.path: spec for spec in (chat, embeddings, respond, tokens, messages, count, own)}
    table["/chat"] = own
    for spec in (chat, embeddings, respond, tokens):
        table[f"/openai{spec.path}"] = spec
        table[f"/openai{spec.path.removeprefix('/v1')}"] = spec
    for spec in (messages, count):
        table[f"/anthropic{spec.path}"] = spec
    return table


def _gemini() -> dict[str, EndpointSpec]:
    gemini = dialect("gemini")
    path = "/v1beta/models/{model}:"
    specs = (
        EndpointSpec(path + "generateContent", gemini, "chat", "Generate content (Gemini)", streams=False),
        EndpointSpec(path + "streamGenerateContent", gemini, "chat", "Stream content (Gemini)", streams=True),
        EndpointSpec(path + "countTokens", gemini, "count", "Count input tokens (Gemini)"),
        EndpointSpec(path + "embedContent", gemini, "embeddings", "Embed one content (Gemini)"),
        EndpointSpec(path + "batchEmbedContents", gemini, "embeddings", "Embed contents (Gemini)"),
    )
    return {spec.path.rpartition(":")[2]: spec for spec in specs}


GEMINI_ROOTS = ("/v1beta/models/", "/v1/models/", "/genai/v1beta/models/", "/genai/v1/models/")


class Routes:
    """The LLM paths of the gateway."""

    def __init__(self) -> None:
        self.exact: Mapping[str, EndpointSpec] = MappingProxyType(_table())
        self.gemini: Mapping[str, EndpointSpec] = MappingProxyType(_gemini())

    def specs(self) -> Iterator[EndpointSpec]:
        """Every endpoint, some more than once because it has several paths."""
        yield from self.exact.values()
        yield from self.gemini.values()

    def match(self, path: str, query: bytes) -> Match | None:
        """What `path` asks for; None when it is no LLM path."""
        spec = self.exact.get(path)
        if spec is not None:
            return Match(spec)
        for root in GEMINI_ROOTS:
            if path.startswith(root):
                model, colon, method = path[len(root) :].rpartition(":")
                spec = self.gemini.get(method) if colon and model else None
                if spec is not None:
                    return Match(spec, model, b"alt=sse" in query or not spec.streams)
        return None


def query_value(query: bytes, *names: str) -> str | None:
    """The first of `names` that the query string gives."""
    if not query:
        return None
    values = parse_qs(query.decode("latin-1"))
    return next((values[name][0] for name in names if name in values), None)
