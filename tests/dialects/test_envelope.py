"""Opaque tokens on their way through clients of another dialect."""

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.envelope import MARK, PREFIX, is_home, read, seal, unseal
from execution_platform.spi import Origin, Signature

texts = st.text(max_size=20)
maybe = st.none() | texts
origins = st.builds(Origin, dialect=texts, provider=maybe, deployment=maybe, model=maybe)
signatures = st.builds(Signature, texts, origins, texts)


@given(signatures, maybe)
def test_what_is_sealed_opens_as_it_was(signature, item_id):
    token = seal(signature, item_id)
    opened = unseal(token)
    assert opened is not None
    assert (opened.signature, opened.item_id) == (signature, item_id)
    assert MARK in token.encode()
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")


@given(
    st.text()
    | st.text().map(lambda text: PREFIX + text)
    | st.binary().map(lambda raw: PREFIX + base64.urlsafe_b64encode(raw).decode())
)
def test_anything_else_is_a_native_token(token):
    opened = unseal(token)
    signature = read(token, "gemini", "thought")
    if opened is None:
        assert signature == Signature(token, Origin(dialect="gemini"), "thought")
    else:
        assert signature == opened.signature


@pytest.mark.parametrize(
    "fields",
    [
        {},
        [],
        ["d", None, None, None, "k", None],
        ["d", None, None, None, "k", None, 5],
        [None, None, None, None, "k", None, "v"],
        ["d", None, None, None, None, None, "v"],
        ["d", None, None, None, "k", None, None],
        ["d", [], None, None, "k", None, "v"],
    ],
)
def test_a_forged_envelope_opens_nothing(fields):
    token = PREFIX + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    assert unseal(token) is None


@pytest.mark.parametrize(
    ("provider", "target", "expected"),
    [
        ("p", ("d", "p"), True),
        ("p", ("d", None), True),
        (None, ("d", "q"), True),
        ("p", ("d", "q"), False),
        ("p", ("e", "p"), False),
    ],
)
def test_a_token_is_at_home_where_it_was_issued(provider, target, expected):
    assert is_home(Signature("v", Origin(dialect="d", provider=provider)), *target) is expected
