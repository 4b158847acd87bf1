"""Images, documents and sound in a request."""

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Inline, MediaPart, MediaSource, Part, TextPart, Url
from execution_platform.spi.request import ChatRequest
from execution_platform.testing.scenario import Expected, Scenario, holds, like
from execution_platform.testing.scenarios.tools import PIXEL
from execution_platform.testing.script import Script

_PAGE = "JVBERi0xLjQKJcOkw7zDtsOfCjEgMCBvYmoKPDw+PgplbmRvYmoKJSVFT0Y="
_SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
_ADDRESS = "https://images.example.com/a.png"
_QUESTION = "What is this?"


def _about(part: Part) -> ChatRequest:
    return ChatRequest([Message("user", [TextPart(_QUESTION), part])])


def _image(source: MediaSource) -> ChatRequest:
    return _about(MediaPart("image", source))


MEDIA = (
    Scenario(
        id="image_inline",
        title="Image in the request",
        request=_image(Inline("image/png", PIXEL)),
        reply=Script("A dot."),
        expect=Expected(text="A dot."),
        sent={
            "openai_chat": {
                "messages.0.content.0.text": _QUESTION,
                "messages.0.content.1.image_url.url": f"data:image/png;base64,{PIXEL}",
            },
            "anthropic": {
                "messages.0.content.1.source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
            },
            "gemini": {"contents.0.parts.1.inlineData": {"mimeType": "image/png", "data": PIXEL}},
        },
        about=("messages[0]",),
        need="vision",
    ),
    Scenario(
        id="image_url",
        title="Image by its address",
        request=_image(Url(_ADDRESS, "image/png")),
        reply=Script("A picture."),
        expect=Expected(text="A picture."),
        sent={
            "openai_chat": {"messages.0.content.1.image_url.url": _ADDRESS},
            "anthropic": {"messages.0.content.1.source": like({"type": "url", "url": _ADDRESS})},
            "gemini": {"contents.0.parts.1": holds(_ADDRESS)},
        },
        about=("messages[0]",),
        need="vision",
    ),
    Scenario(
        id="pdf",
        title="PDF in the request",
        request=_about(MediaPart("document", Inline("application/pdf", _PAGE))),
        reply=Script("An empty page."),
        expect=Expected(text="An empty page."),
        sent={
            "openai_chat": {"messages.0.content.1.file.file_data": holds(_PAGE)},
            "anthropic": {"messages.0.content.1.type": "document", "messages.0.content.1.source.data": _PAGE},
            "gemini": {"contents.0.parts.1.inlineData": like({"mimeType": "application/pdf", "data": _PAGE})},
        },
        about=("messages[0]",),
        need="vision",
    ),
    Scenario(
        id="audio",
        title="Sound in the request",
        request=_about(MediaPart("audio", Inline("audio/wav", _SOUND))),
        reply=Script("Silence."),
        expect=Expected(text="Silence."),
        sent={
            "openai_chat": {"messages.0.content.1.input_audio": {"data": _SOUND, "format": "wav"}},
            "gemini": {"contents.0.parts.1.inlineData": like({"mimeType": "audio/wav", "data": _SOUND})},
        },
        about=("messages[0]",),
        need="audio",
    ),
)
