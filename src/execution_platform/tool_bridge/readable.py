"""A page as text a model can read: no markup, no scripts, nothing that loads by itself.

The markup is first reduced by nh3 (an HTML5 parser in Rust) to the few elements that say something of the text, with every
tag closed; only that is walked here.
"""

import re
from html.parser import HTMLParser
from typing import Final

_BLOCKS: Final = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "blockquote",
        "pre",
        "table",
        "tr",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "br",
        "hr",
    ]
)
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_TAGS: Final = {*_BLOCKS, *_HEADINGS, "a", "td", "th", "code", "title"}
_GONE: Final = {"script", "style", "noscript", "template", "svg", "iframe", "object", "head"}
_BLANKS: Final = re.compile(r"[ \t\f\v\u00a0]+")
_LINES: Final = re.compile(r"\s*\n\s*\n\s*")
_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,1000})\]")


def readable(html: str, base: str) -> str:
    """The text of a page, its headings marked, its links as `[text](address)`."""
    import nh3

    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel=None,
        strip_comments=True,
    )
    walker = _Walker(base)
    walker.feed(clean)
    walker.close()
    lines = (_BLANKS.sub(" ", line).strip() for line in "".join(walker.parts).split("\n"))
    return _LINES.sub("\n\n", "\n".join(lines)).strip()


def without_images(text: str) -> str:
    """Markdown whose images have become links: nobody's screen fetches them."""
    return _IMAGE.sub(r"[image: \1]", text)


class _Walker(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._base = base
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS:
            self.parts.append("\n\n" + "#" * int(tag[1]) + " ")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in _BLOCKS:
            self.parts.append("\n" if tag in ("br", "tr") else "\n\n")
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag == "a":
            href = next((value for name, value in attrs if name == "href" and value), "")
            self._links.append(_absolute(href, self._base))
            if self._links[-1]:
                self.parts.append("[")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            link = self._links.pop()
            if link:
                self.parts.append(f"]({link})")
        elif tag in _HEADINGS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def _absolute(href: str, base: str) -> str:
    from urllib.parse import urljoin

    try:
        found = urljoin(base, href.strip())
    except ValueError:
        return ""
    return found if found.startswith(("http://", "https://")) and " " not in found else ""
