"""Secrets never leave, whatever sentence they stand in."""

import pytest

from execution_platform.observability.redaction import Redactor


def test_a_known_value_is_replaced_wherever_it_stands() -> None:
    redactor = Redactor(["s3cr3t-value", "s3cr3t-value-longer"])
    assert redactor.text("a s3cr3t-value-longer b s3cr3t-value c") == "a *** b *** c"


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefgh1234",
        "sk-ant-api03-abcdefgh",
        "AIzaSyA1234567890abcdefgh",
        "gsk_abcdefghijklmnop",
        "sk-ep-id-secret99",
    ],
)
def test_what_looks_like_a_vendors_key_is_replaced(key: str) -> None:
    assert key not in Redactor().text(f"invalid key {key} given")


def test_a_bearer_token_is_replaced() -> None:
    assert Redactor().text("Authorization: Bearer abcdefgh.ijkl") == "Authorization: ***"


def test_short_values_do_not_tear_words_out() -> None:
    assert Redactor(["abc"]).text("abcde") == "abcde"


def test_text_without_secrets_stays_as_it_is() -> None:
    assert Redactor(["s3cr3t-value"]).text("schön, 'quoted' and plain") == "schön, 'quoted' and plain"
