"""E-mail by SMTP, for messages to an operator's own addresses."""

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError, ErrorKind, ProviderError

_SECONDS = 10.0
_PORTS = {"smtp": 25, "smtps": 465}


def letter(*, sender: str, to: Sequence[str], subject: str, text: str, identity: str) -> EmailMessage:
    """A plain letter. `identity` makes its Message-ID the same at every delivery, so that readers show it once."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject.replace("\n", " ").replace("\r", " ")
    message["Date"] = formatdate()
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    message["Message-ID"] = f"<{identity}@{domain}>" if identity.isascii() else make_msgid()
    message.set_content(text)
    return message


async def post_letter(server: Secret, message: EmailMessage) -> None:
    """Hand a letter to the server `smtp://user:password@host:port` (or `smtps://`); STARTTLS where it is offered.

    Raises `ConfigError` for an address that is none, `ProviderError` when the server does not take the letter.
    """
    await asyncio.to_thread(_post, server.reveal(), message)


def _post(server: str, message: EmailMessage) -> None:
    try:
        parts = urlsplit(server)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise ConfigError("the mail server is no smtp:// or smtps:// address") from None
    host = parts.hostname or "localhost"
    try:
        if parts.scheme == "smtps":
            client: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=ssl.create_default_context())
        else:
            client = smtplib.SMTP(host, port, timeout=_SECONDS)
        with client:
            _introduce(client, parts.scheme, unquote(parts.username or ""), unquote(parts.password or ""))
            client.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise ProviderError(
            f"the mail server did not take the letter: {type(error).__name__}", kind=ErrorKind.CONNECTION
        ) from None


def _introduce(client: smtplib.SMTP, scheme: str, user: str, password: str) -> None:
    client.ehlo()
    if scheme == "smtp" and client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context())
        client.ehlo()
    if user:
        client.login(user, password)
