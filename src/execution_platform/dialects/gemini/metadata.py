"""What stands beside a candidate's content: sources and log probabilities.

Source: ai.google.dev API reference, GroundingMetadata, CitationMetadata, LogprobsResult (2026-11). Offsets
on this wire count bytes of UTF-8, canonical offsets count code points.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from execution_platform.dialects.gemini.wire import items_of, member, objects, whole
from execution_platform.dialects.take import Object
from execution_platform.spi.parts import Citation


class Text(NamedTuple):
    """A text of an answer and where it stands among the parts (negative where that is not known)."""

    place: int
    text: str


def sources(candidate: Mapping[str, object], texts: Sequence[Text]) -> dict[int, list[Citation]]:
    """The sources that a candidate's metadata names, by the place of the text they belong to.

    A segment names its part by index, but not in every answer; so it belongs to the first text in which
    its bytes say what the segment says.
    """
    found: dict[int, list[Citation]] = {}
    grounded = member(candidate, "groundingMetadata")
    chunks = objects(grounded.get("groundingChunks"))
    for support in objects(grounded.get("groundingSupports")):
        segment = member(support, "segment")
        span = _Span.of(segment)
        home = next((text for text in texts if span.fits(text, segment)), None)
        for number in items_of(support.get("groundingChunkIndices")):
            place = whole(number)
            if home is not None and place is not None and 0 <= place < len(chunks):
                chunk = chunks[place]
                source = member(chunk, "web") or member(chunk, "retrievedContext") or member(chunk, "maps")
                found.setdefault(home.place, []).append(span.cite(home.text, source))
    cited = member(candidate, "citationMetadata")
    for source in objects(cited.get("citationSources") or cited.get("citations")):
        span = _Span.of(source)
        home = next((text for text in texts if span.end is not None and span.end <= len(text.text.encode())), None)
        if home is not None or texts:
            where = home or texts[-1]
            found.setdefault(where.place, []).append(span.cite(where.text, source))
    return found


class _Span(NamedTuple):
    """From byte to byte; what is zero is left out on the wire."""

    start: int
    end: int | None

    @staticmethod
    def of(wire: Object) -> "_Span":
        return _Span(max(0, whole(wire.get("startIndex")) or 0), whole(wire.get("endIndex")))

    def fits(self, text: Text, segment: Object) -> bool:
        """Whether the segment may be one of this text."""
        part, said = whole(segment.get("partIndex")), segment.get("text")
        if self.end is None or (part is not None and text.place >= 0 and part != text.place):
            return False
        return not isinstance(said, str) or _slice(text.text.encode(), self.start, self.end) == said

    def cite(self, text: str, source: Object) -> Citation:
        """The citation of a source for this stretch of the text."""
        data = text.encode()
        uri, title = source.get("uri"), source.get("title")
        return Citation(
            kind="url" if isinstance(uri, str) else "other",
            cited_text=None if self.end is None else _slice(data, self.start, self.end),
            start=_points(data, self.start),
            end=None if self.end is None else _points(data, self.end),
            url=uri if isinstance(uri, str) else None,
            title=title if isinstance(title, str) else None,
        )


def _slice(data: bytes, start: int, end: int) -> str:
    return data[max(0, start) : max(0, end)].decode("utf-8", "ignore")


def _points(data: bytes, offset: int) -> int:
    return len(data[: max(0, offset)].decode("utf-8", "ignore"))


def grounding(texts: Sequence[tuple[Text, Sequence[Citation]]]) -> Object:
    """Citations of other providers as `groundingMetadata`; empty when none has a URL."""
    urls: dict[str, str | None] = {}
    supports: list[object] = []
    for text, found in texts:
        for citation in found:
            if citation.url is None:
                continue
            urls.setdefault(citation.url, citation.title)
            if citation.start is not None and citation.end is not None:
                segment = _segment(text, citation.start, citation.end)
                supports.append({"segment": segment, "groundingChunkIndices": [list(urls).index(citation.url)]})
    if not urls:
        return {}
    chunks = [{"web": {"uri": url} if title is None else {"uri": url, "title": title}} for url, title in urls.items()]
    return {"groundingChunks": chunks, "groundingSupports": supports} if supports else {"groundingChunks": chunks}


def _segment(text: Text, start: int, end: int) -> Object:
    said = text.text[start:end]
    begin = len(text.text[:start].encode())
    segment: Object = {"startIndex": begin, "endIndex": begin + len(said.encode()), "text": said}
    if text.place > 0:
        segment["partIndex"] = text.place
    return segment


def decode_logprobs(result: Mapping[str, object]) -> list[object]:
    """A `logprobsResult` as a list in OpenAI's form."""
    tops = [objects(entry.get("candidates")) for entry in objects(result.get("topCandidates"))]
    found: list[object] = []
    for index, chosen in enumerate(objects(result.get("chosenCandidates"))):
        others = tops[index] if index < len(tops) else []
        found.append({**_token(chosen), "top_logprobs": [_token(other) for other in others]})
    return found


def _token(wire: Object) -> Object:
    token = wire.get("token")
    text = token if isinstance(token, str) else ""
    logprob = wire.get("logProbability")
    value = logprob if isinstance(logprob, int | float) else 0.0
    return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace"))}


def encode_logprobs(logprobs: object) -> Object:
    """OpenAI's list form as a `logprobsResult`; empty when it is not that form."""
    entries = objects(logprobs)
    if not entries:
        return {}
    tops = [[_wire_token(other) for other in objects(entry.get("top_logprobs"))] for entry in entries]
    wire: Object = {"chosenCandidates": [_wire_token(entry) for entry in entries]}
    if any(tops):
        wire["topCandidates"] = [{"candidates": top} for top in tops]
    return wire


def _wire_token(entry: Object) -> Object:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}
