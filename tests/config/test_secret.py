import copy
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel

from execution_platform.config.secret import (
    Secret,
    SecretRef,
    has_secret,
    literal_secret,
    parse_secret,
    resolve_secret,
)
from execution_platform.exceptions import ConfigError

CANARY = "sk-canary-5f1c"


@pytest.mark.parametrize("show", [str, repr, lambda s: f"{s}", lambda s: f"{s:>40}", lambda s: f"{[s]} { ({'k': s}) }"])
def test_no_way_of_printing_shows_a_secret(show):
    assert CANARY not in show(Secret(CANARY))
    assert "***" in show(Secret(CANARY))


@pytest.mark.parametrize("show", [str, repr, lambda s: f"{s}", lambda s: f"{[s]} { ({'k': s}) }"])
def test_no_way_of_printing_shows_what_a_reference_holds(show):
    assert CANARY not in show(literal_secret(CANARY))


def test_reveal_gives_the_text():
    assert Secret(CANARY).reveal() == CANARY


def test_a_secret_is_neither_pickled_nor_hashed_and_has_no_dictionary():
    secret = Secret(CANARY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(literal_secret(CANARY))
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(TypeError):
        vars(secret)


def test_copies_of_a_secret_are_the_secret():
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"k": secret})["k"] is secret


def test_secrets_are_equal_by_text_and_never_to_plain_text():
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(CANARY + "x")
    assert Secret(CANARY) != CANARY
    assert not Secret("")
    assert Secret("é") == Secret("é")


def test_references_serve_as_keys_and_differ_by_their_literal():
    assert {parse_secret("${A}"): 1}[parse_secret("${A}")] == 1
    assert literal_secret("a") != literal_secret("b")


class Holder(BaseModel):
    secret: Secret
    ref: SecretRef


def test_pydantic_models_dump_and_print_secrets_hidden():
    holder = Holder.model_validate({"secret": CANARY, "ref": CANARY})
    assert CANARY not in repr(holder)
    assert CANARY not in str(holder.model_dump())
    assert CANARY not in holder.model_dump_json()
    assert holder.secret.reveal() == CANARY
    assert Holder.model_json_schema()["properties"]["secret"]["writeOnly"] is True
    assert Holder.model_validate({"secret": Secret("a"), "ref": parse_secret("${A}")}).ref.locator == "A"


@pytest.mark.parametrize(
    ("text", "scheme", "locator", "part"),
    [
        ("${OPENAI_API_KEY}", "env", "OPENAI_API_KEY", None),
        ("file:///run/secrets/key", "file", "/run/secrets/key", None),
        ("aws-sm://prod/anthropic#key", "aws-sm", "prod/anthropic", "key"),
        ("aws-sm://prod/anthropic", "aws-sm", "prod/anthropic", None),
        ("vault://secret/llm/openai#api_key", "vault", "secret/llm/openai", "api_key"),
    ],
)
def test_a_reference_is_read_into_its_parts_and_shows_its_source(text, scheme, locator, part):
    ref = parse_secret(text)
    assert (ref.scheme, ref.locator, ref.part) == (scheme, locator, part)
    assert ref.source == text
    assert repr(ref) == "SecretRef(***)"


def test_plain_text_is_a_literal_whose_source_does_not_show_it():
    ref = parse_secret(CANARY)
    assert ref.scheme == "literal"
    assert ref.source == "a literal value"
    assert resolve_secret(ref, {}).reveal() == CANARY


@pytest.mark.parametrize(
    "text", ["${", "${A", "${A-B}", "$(cmd)", "aws-sm://", "vault:x", "file://relative", "file:x", ""]
)
def test_a_broken_reference_is_refused(text):
    with pytest.raises(ValueError, match=r"reference|empty|absolute"):
        parse_secret(text)


def test_a_broken_reference_is_not_repeated():
    with pytest.raises(ValueError, match="not a complete reference") as caught:
        parse_secret("${" + CANARY)
    assert CANARY not in str(caught.value)


def test_an_environment_reference_is_resolved_at_use():
    ref = parse_secret("${A}")
    assert resolve_secret(ref, {"A": "one"}).reveal() == "one"
    assert resolve_secret(ref, {"A": "two"}).reveal() == "two"


def test_a_missing_variable_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"\$\{NOT_THERE\}.*not set.*\.env"):
        resolve_secret(parse_secret("${NOT_THERE}"), {"NOT_THERE": ""})


def test_a_file_reference_reads_the_file_and_drops_the_line_end(tmp_path: Path):
    path = tmp_path / "key"
    path.write_text(f"{CANARY}\n")
    assert resolve_secret(parse_secret(f"file://{path}"), {}).reveal() == CANARY


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"x" * 65_537, "over"), (b"\xff\xfe", "not text")])
def test_a_file_without_one_secret_is_refused_without_its_content(tmp_path: Path, content, said):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        resolve_secret(parse_secret(f"file://{path}"), {})
    assert caught.value.__cause__ is None


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere.*cannot be read"):
        resolve_secret(parse_secret(f"file://{tmp_path}/nowhere"), {})


@pytest.mark.parametrize(("text", "extra"), [("aws-sm://a#b", "aws"), ("vault://a/b#c", "vault")])
def test_a_store_without_its_extra_says_how_to_install_it(text, extra):
    with pytest.raises(ConfigError, match=rf"needs the extra '{extra}'.*execution-platform\[{extra}\]"):
        resolve_secret(parse_secret(text), {})


def test_whether_a_secret_can_be_expected_is_told_without_reading_it(tmp_path: Path):
    path = tmp_path / "key"
    assert not has_secret(None, {})
    assert not has_secret(parse_secret("${A}"), {})
    assert has_secret(parse_secret("${A}"), {"A": "x"})
    assert not has_secret(parse_secret(f"file://{path}"), {})
    path.write_text("x")
    assert has_secret(parse_secret(f"file://{path}"), {})
    assert has_secret(literal_secret("x"), {})
    assert has_secret(parse_secret("vault://a#b"), {})
