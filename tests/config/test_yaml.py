import time

import pytest

from execution_platform.config.problems import ConfigProblems
from execution_platform.config.yaml import MAX_YAML_BYTES, load_yaml


def refused(text: str) -> str:
    with pytest.raises(ConfigProblems) as caught:
        load_yaml(text, name="platform.yaml")
    return str(caught.value)


def test_plain_data_is_read_with_the_line_of_each_path():
    document = load_yaml("a: 1\nb:\n  c: [x, y]\n")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"]}}
    assert document.line(("b", "c")) == 3
    assert document.line(("b", "missing")) == 2
    assert document.line(("nowhere",)) is None


def test_an_empty_file_is_no_data():
    assert load_yaml("").data is None
    assert load_yaml("# only a comment\n").data is None


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("2026-10-21", "2026-10-21"),
        ("1:30", "1:30"),
        ("0o17", "0o17"),
        ("017", "017"),
        ("1_000", 1000),
        ("0.50", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("-3", -3),
        (".5", 0.5),
    ],
)
def test_scalars_are_what_they_look_like(written, value):
    assert load_yaml(f"x: {written}\n").data == {"x": value}


def test_anchors_aliases_and_merge_keys_work_within_reason():
    data = load_yaml("base: &b {x: 1}\none: *b\ntwo: {<<: *b, y: 2}\n").data
    assert data == {"base": {"x": 1}, "one": {"x": 1}, "two": {"x": 1, "y": 2}}


def test_json_is_read_too_even_indented_by_tabs():
    assert load_yaml('{\n\t"a": [1, true, null],\n\t"b": "x"\n}').data == {"a": [1, True, None], "b": "x"}


def test_a_key_twice_is_refused_with_both_lines():
    message = refused("a: 1\nb:\n  c: 1\n  c: 2\n")
    assert "key c twice, first on line 3" in message
    assert "line 4, column 3" in message


@pytest.mark.parametrize(
    "text", ["x: !!python/object/apply:os.system [ls]", "x: !!str 5", "!include x", "x: !custom {}", "x: ! y"]
)
def test_tags_are_refused(text):
    """L8: no tag makes an object."""
    assert "uses a YAML tag" in refused(text)


def test_broken_yaml_is_refused_with_line_and_column():
    message = refused("version: 1\nproviders: [a, b\nx: 1\n")
    assert "not valid YAML" in message
    assert "line 3, column" in message


def test_a_broken_line_is_not_quoted():
    assert "sk-canary" not in refused("key: sk-canary: x\n  - sk-canary\n")


@pytest.mark.parametrize("text", ["a: \x00", "a: \x07"])
def test_control_characters_are_refused(text):
    assert "character" in refused(text)


def test_a_tab_for_indentation_is_refused():
    assert "not valid YAML" in refused("a:\n\tb: 1\n")


def test_an_alias_bomb_is_refused_at_once():
    """L8: what aliases unfold to is counted."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    started = time.process_time()
    assert "once its aliases are written out" in refused("\n".join(lines))
    assert time.process_time() - started < 1


def test_an_alias_inside_its_own_anchor_is_refused():
    """L8: nor without end."""
    assert "inside its own anchor" in refused("a: &a [*a]")


def test_an_undefined_alias_is_refused():
    assert "undefined alias" in refused("a: *nowhere")


def test_deep_nesting_is_refused():
    assert "nested deeper" in refused("[" * 200 + "]" * 200)


def test_a_huge_file_is_refused():
    assert "over" in refused("#" * (MAX_YAML_BYTES + 1))


def test_keys_that_are_not_words_are_refused():
    assert "key that is not a word" in refused("? [a, b]\n: 1\n")


def test_two_documents_are_refused():
    assert "not valid YAML" in refused("a: 1\n---\nb: 2\n")
