"""The address a gateway listens on: what keeps it from doing so, in words that say what to do."""

import socket


def obstacle(host: str, port: int) -> str | None:
    """Why nothing can listen on this address now; None when it is free."""
    try:
        with socket.socket(family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), port))
    except OSError as error:
        return error.strerror or str(error)
    return None


def refusal(host: str, port: int, reason: str) -> str:
    """What is told to who starts a gateway there all the same."""
    return f"cannot listen on {host} port {port}: {reason}. {advice(port)}\n"


def advice(port: int) -> str:
    """What to do about an address that is taken."""
    return f"Stop what listens there (perhaps another gateway), or use another: EP_PORT={port % 65535 + 1}."


def family(host: str) -> socket.AddressFamily:
    """Of the address `host`."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
