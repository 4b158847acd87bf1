"""The ASGI application under its older import path."""

from execution_platform.gateway import app as _app


def __getattr__(name: str) -> object:
    """`app`, as in `execution_platform.gateway.app`."""
    if name == "app":
        return _app.application()
    raise AttributeError(name)
