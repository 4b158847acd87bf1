"""`/docs`: the OpenAPI document as one page that loads nothing from anywhere.

The usual pages take their scripts from a content network: a browser that shows them would run foreign code beside a
gateway key, and shows nothing where there is no network.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

from execution_platform import _json

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ccc}
details{margin:.3rem 0;padding:.3rem .6rem;border:1px solid #ddd;border-radius:.3rem}
summary{cursor:pointer}code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#f5f5f5;padding:.6rem}
b{display:inline-block;min-width:4.5rem;text-transform:uppercase}td,th{text-align:left;padding:.1rem 1rem .1rem 0}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#222}details{border-color:#444}}
"""
PAGE_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_METHODS = ("get", "post", "put", "patch", "delete", "head")


def page(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI document."""
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(info.get('summary', ''))} "
    yield "The same as data: <code>/openapi.json</code>.</p>"
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                groups.setdefault((operation.get("tags") or ["other"])[0], []).append((method, path, operation))
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag)}</h2>"
        for operation in operations:
            yield from _operation(*operation)
    yield "</body></html>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    summary = operation.get("description") or operation.get("summary", "")
    yield f"<details><summary><b>{method}</b> <code>{escape(path)}</code> {escape(summary)}</summary>"
    parameters = operation.get("parameters", ())
    if parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th></th></tr>"
        for given in parameters:
            told = (given["name"], given["in"], given.get("description", ""))
            yield "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in told) + "</tr>"
        yield "</table>"
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"<p>Body</p><pre>{_pretty(media.get('schema', {}))}</pre>"
    yield "<table><tr><th>answer</th><th></th></tr>"
    for status, answer in operation.get("responses", {}).items():
        yield f"<tr><td>{escape(str(status))}</td><td>{escape(answer.get('description', ''))}</td></tr>"
    yield "</table></details>"


def _pretty(schema: object) -> str:
    return escape(_json.pretty(schema))
