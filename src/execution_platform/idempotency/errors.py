"""What is told to who repeats a request under an idempotency key, where its answer cannot be given again."""

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError

_AGAIN_SECONDS = 1
PARAM = "idempotency-key"


class KeyReused(ExecutionPlatformError):
    """The key belongs to another request."""

    kind = ErrorKind.UNPROCESSABLE
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this idempotency key was used for a request with another path, query or body: "
            "repeat that request as it was, or give this one a key of its own",
            param=PARAM,
        )


class InProgress(ExecutionPlatformError):
    """The first request under the key is still being answered."""

    kind = ErrorKind.BAD_REQUEST
    code = "idempotency_in_progress"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request {request_id or 'under this idempotency key'} is still being answered: ask again",
            param=PARAM,
            retry_after=_AGAIN_SECONDS,
        )

    @property
    def status(self) -> int:
        """The request is right and comes too early, so 409."""
        return 409


class KeySpent(ExecutionPlatformError):
    """The request was carried out, and its answer is not there. To repeat it under this key never helps."""

    kind = ErrorKind.BAD_REQUEST

    @property
    def status(self) -> int:
        """A conflict with what has happened, so 409."""
        return 409


def outcome_unknown(request_id: str) -> KeySpent:
    """The process that carried the request out ended before it could say how that went."""
    return KeySpent(
        f"how request {request_id} ended is not known: the process that carried it out ended first. It may have been "
        f"answered and charged, see GET /v1/requests/{request_id}; to carry it out once more send it with a new key",
        code="outcome_unknown",
        param=PARAM,
    )


def answer_not_kept(request_id: str) -> KeySpent:
    """The answer was too large to be kept."""
    return KeySpent(
        f"request {request_id} was answered, and its answer was too large to be kept (idempotency.answer): "
        "to carry it out once more send it with a new key",
        code="answer_not_kept",
        param=PARAM,
    )
