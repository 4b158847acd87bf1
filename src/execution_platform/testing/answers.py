"""From a request and a script to an answer in the request's dialect."""

from collections.abc import Callable, Mapping, Sequence

from execution_platform.testing import wire_anthropic, wire_gemini, wire_openai, wire_responses
from execution_platform.testing.frames import Answer, Dialect, Frame, WireRequest, resolve_echo
from execution_platform.testing.script import Raw, RawSocket, Script, Status
from execution_platform.testing.wire_auxiliary import answer_count, answer_embeddings, answer_models
from execution_platform.testing.wire_errors import answer_error

_CHAT: Mapping[Dialect, Callable[[WireRequest, Script], Answer]] = {
    "openai_chat": wire_openai.answer_chat,
    "anthropic": wire_anthropic.answer_chat,
    "gemini": wire_gemini.answer_chat,
}


def compose(request: WireRequest, script: Script, models: Sequence[str]) -> Answer:
    """Write the answer.

    Raises:
        ValueError: the script cannot be told in this dialect.
    """
    reply = script.reply
    if isinstance(reply, Status):
        return answer_error(request, reply)
    if isinstance(reply, Raw):
        body = reply.body or reply.text.encode()
        return Answer(reply.status, reply.content_type, [Frame(body)] if body else [], chunked=reply.chunked)
    if isinstance(reply, RawSocket):
        return Answer(0, "", [], socket=reply.data or reply.text.encode())
    if request.operation == "embeddings":
        return answer_embeddings(request, script)
    if request.operation == "count_tokens":
        return answer_count(request, script)
    if request.operation in {"models", "model"}:
        if request.operation == "model" and request.model not in models:
            return answer_error(request, Status(404))
        return answer_models(request, models)
    whole = resolve_echo(script, request.body)
    if request.variant == "responses":
        return wire_responses.answer_response(request, whole)
    return _CHAT[request.dialect](request, whole)
