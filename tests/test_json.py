import json
import time
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from execution_platform import _json
from execution_platform._json import UNSET, JsonError, Raw


class Pairs(list[tuple[str, object]]):
    """An object of the reference reader, which keeps every pair."""


def has_equal_keys(text: str | bytes) -> bool:
    def visit(node: object) -> bool:
        if isinstance(node, Pairs):
            keys = [key for key, _ in node]
            return len(set(keys)) < len(keys) or any(visit(value) for _, value in node)
        return isinstance(node, list) and any(visit(item) for item in node)

    return visit(json.loads(text, object_pairs_hook=Pairs))


def reason_of(body: bytes) -> str:
    with pytest.raises(JsonError) as caught:
        _json.read(body)
    assert caught.value.message == str(caught.value)
    return caught.value.reason


SPACE = st.sampled_from(["", "", "", " ", "\n\t", "  "])
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1",
        "1e5",
        "1E2",
        "1.50",
        "12345678901234567.0",
        "1e15",
        "0.00001",
        "123456789012345678901234",
        "5e-324",
    ]
)
CHARACTERS = st.sampled_from(
    [
        *'ab:,{}[]"\\/ é\U0001f600',
        "\\n",
        "\\u003a",
        "\\u003A",
        "\\u0041",
        "\\/",
        "\\\\",
        '\\"',
        "\\u003c",
        "\\ud83d\\ude00",
        "u003a",
    ]
)


@st.composite
def strings(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(CHARACTERS, max_size=5))
    return '"' + "".join({"\\": "\\\\", '"': '\\"'}.get(piece, piece) for piece in pieces) + '"'


KEYS = st.one_of(st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a:"', '"a\\u003a"']), strings())


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(SPACE, KEYS, SPACE, SPACE, inner, SPACE).map(lambda t: f"{t[0]}{t[1]}{t[2]}:{t[3]}{t[4]}{t[5]}")
    objects = st.lists(member, max_size=4).map(lambda items: "{" + ",".join(items) + "}")
    return st.one_of(objects, st.lists(inner, max_size=4).map(lambda items: "[" + ",".join(items) + "]"))


DOCUMENTS = st.recursive(st.one_of(NUMBERS, strings(), st.sampled_from(["true", "null"])), containers, max_leaves=12)


@settings(max_examples=600, deadline=None)
@given(DOCUMENTS)
@example('{"a":1,"a":2}')
@example('{"a":1,"b":"\\u003a","a":2}')
@example('{"a":1,"b":[1e5,1e5,1e5],"a":2}')
@example('{"a":{"b":1,"b":2},"a":{}}')
@example('{"a" :1,"\\u0061":"12345678901234567.0"}')
@example('[{"x":"a:b"},{"y":":","y":""}]')
def test_check_refuses_exactly_the_documents_with_equal_keys(text: str) -> None:
    body = text.encode()
    if has_equal_keys(body):
        assert reason_of(body) == "duplicate_key"
    else:
        _json.read(body)
        assert _json.read(body).value == json.loads(text)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 9), st.integers(0, 60), st.sampled_from(["1e5", '"\\u003a"', "12345678901234567.0", '":"', '"\\/"'])
)
def test_no_growth_elsewhere_hides_a_dropped_member(dropped: int, grown: int, filler: str) -> None:
    members = ['"k":0'] * (dropped + 1) + ['"z":[' + ",".join([filler] * grown) + "]"]
    assert reason_of(("{" + ",".join(members) + "}").encode()) == "duplicate_key"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"\xed\xa0\x80":1}', "not_utf8"),
        (b"", "not_json"),
        (b'{"a":1', "not_json"),
        (b"{'a':1}", "not_json"),
        (b'{"a":01}', "not_json"),
        (b'{"a":1,}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'{"a":1} {}', "trailing"),
        (b'{"a":NaN}', "number"),
        (b'{"a":-Infinity}', "number"),
        (b"[1, Infinity]", "number"),
        (b'{"a":1e400}', "number"),
        (b'{"a":' + b"1" * 5000 + b"}", "number"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'{"a":"\\ud800\\u0041"}', "surrogate"),
        (b'{"model":"cheap","model":"dear"}', "duplicate_key"),
        (b'{"model":"cheap","mod\\u0065l":"dear"}', "duplicate_key"),
    ],
)
def test_an_unfit_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    assert reason_of(body) == reason


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud83d\\ude00"',
        b"123456789012345678901234567890",
        b"0.7",
        b'{"a":"NaN"}',
        b"[[], {}, null, true]",
        b' {"a" : 1 } \n',
    ],
)
def test_a_fit_body_is_decoded_as_it_says(body: bytes) -> None:
    assert _json.read(body).value == json.loads(body) == _json.loads(body)


def test_the_place_of_a_nested_duplicate_is_named() -> None:
    with pytest.raises(JsonError, match="twice") as caught:
        _json.read(b'{"tools":[{},{"parameters":{"x":1,"x":2}}]}')
    assert caught.value.path == "$.tools[1].parameters.x"


@pytest.mark.parametrize("padding", [b"", b" " * 10_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_sixty_four_levels_are_the_most(opening: bytes, closing: bytes, padding: bytes) -> None:
    core = b"[]" if opening == b"[" else b"{}"
    deepest = opening * 63 + core + closing * 63
    _json.read(padding + deepest)
    too_deep = opening * 64 + core + closing * 64
    with pytest.raises(JsonError) as caught:
        _json.read(padding + too_deep)
    assert caught.value.reason == "too_deep"


def test_brackets_in_text_do_not_count_as_depth() -> None:
    for value in ({"content": "[{" * 5000}, [{"x": ["[{"]} for _ in range(500)]):
        assert _json.read(_json.dumps(value)).value == value


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_endless_nesting_is_a_quick_and_clean_error(body: bytes) -> None:
    start = time.process_time()
    assert reason_of(body) == "too_deep"
    assert time.process_time() - start < 0.05
    with pytest.raises(JsonError):
        _json.loads(body)


def test_members_keep_their_order_and_their_bytes() -> None:
    parts = _json.members(b'{ "z" : [1,  2] , "a":"x" }')
    assert {key: bytes(value) for key, value in parts.items()} == {"z": b"[1,  2]", "a": b'"x"'}
    assert list(parts) == ["z", "a"]
    assert _json.dumps(parts) == b'{"z":[1,  2],"a":"x"}'


@pytest.mark.parametrize(("body", "reason"), [(b"[1]", "not_an_object"), (b"{", "not_json"), (b'"x"', "not_an_object")])
def test_members_of_no_object_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(JsonError) as caught:
        _json.members(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("body", "changes", "patched"),
    [
        (b' { "model" : "a" , "x":[1] } \n', {"model": "b"}, b' { "model" : "b" , "x":[1] } \n'),
        (b'{"model":"a"}', {"y": Raw(b"[1 ]")}, b'{"model":"a","y":[1 ]}'),
        (b"{ }", {"model": "b", "n": 1}, b'{"model":"b","n":1 }'),
        (b'{"a":1, "b":2 ,"c":3}', {"b": UNSET}, b'{"a":1 ,"c":3}'),
        (b'{"a":1, "b":2, "c":3 }', {"a": UNSET}, b'{"b":2, "c":3 }'),
        (b'{"a":1, "b":2, "c":3 }', {"c": UNSET, "z": 1}, b'{"a":1, "b":2,"z":1 }'),
        (b'{"a":1 }', {"a": UNSET}, b"{ }"),
        (b'{"a":1,"b":2 }', {"a": UNSET, "b": UNSET, "c": 3}, b'{"c":3 }'),
        (b'{"a":1,"b":2,"c":3}', {"b": UNSET, "c": UNSET}, b'{"a":1}'),
        (b'{"mod\\u0065l":1}', {"model": 2}, b'{"mod\\u0065l":2}'),
        (b'{"a":1}', {"missing": UNSET}, b'{"a":1}'),
        (b'{ "say": "model", "model" : "a" }', {"model": "b"}, b'{ "say": "model", "model" : "b" }'),
        (b'{ "say": "a\\"model" , "model":"a"}', {"model": "b"}, b'{ "say": "a\\"model" , "model":"b"}'),
        (b'{"x": {"model": 1}, "model":1}', {"model": 2}, b'{"x": {"model": 1}, "model":2}'),
        (b'{"x": {"model": 1} }', {"model": 2}, b'{"x": {"model": 1},"model":2 }'),
        (b'{"n": 1.50 }', {"n": 2}, b'{"n": 2 }'),
        (b'{"n": -0, "s": "\\/"}', {"n": 2, "s": 3}, b'{"n": 2, "s": 3}'),
    ],
)
def test_patch_changes_the_named_members_only(body: bytes, changes: dict[str, object], patched: bytes) -> None:
    assert _json.patch(body, changes) == patched
    assert _json.patch(body, changes, split=_json.members(body)) == patched
    assert _json.patch(_json.read(body), changes) == patched


OBJECTS = st.lists(st.tuples(SPACE, KEYS, SPACE, SPACE, DOCUMENTS, SPACE), max_size=5)


@settings(max_examples=300, deadline=None)
@given(OBJECTS, st.dictionaries(st.sampled_from("ab:z"), st.one_of(st.integers(), st.just(UNSET))), SPACE)
def test_patch_equals_an_update_of_the_decoded_object(
    parts: list[tuple[str, str, str, str, str, str]], changes: dict[str, object], space: str
) -> None:
    members = [f"{a}{key}{b}:{c}{value}{d}" for a, key, b, c, value, d in parts]
    body = (space + "{" + ",".join(members) + "}" + space).encode()
    keys = [json.loads(part[1]) for part in parts]
    if len(set(keys)) < len(keys):
        with pytest.raises(JsonError) as caught:
            _json.patch(body, changes)
        assert caught.value.reason == "duplicate_key"
        return
    patched = _json.patch(body, changes)
    with suppress(JsonError):  # a key twice further inside: such a body is not read at all
        assert _json.patch(_json.read(body), changes) == patched
    expected = {**json.loads(body), **changes}
    assert json.loads(patched) == {key: value for key, value in expected.items() if value is not UNSET}
    if not set(changes) & set(keys):
        kept = body.rstrip()[:-1].rstrip()
        assert patched.startswith(kept if parts else body[: body.index(b"{") + 1])


def test_a_duplicate_made_to_look_like_other_members_is_not_patched() -> None:
    body = b'{"a":1,"b":"x","a":1,"b":"x"}'
    with pytest.raises(JsonError) as caught:
        _json.patch(body, {"a": 2})
    assert caught.value.reason == "duplicate_key"


def test_a_split_of_another_body_is_refused() -> None:
    with pytest.raises(JsonError):
        _json.patch(b'{"a":1}', {"a": 2}, split=_json.members(b'{"a":22}'))


def test_what_is_encoded_keeps_order_and_copies_raw_members() -> None:
    assert _json.dumps({"b": 1, "a": Raw(b"[ 1 ]"), "c": "é"}) == '{"b":1,"a":[ 1 ],"c":"é"}'.encode()
    with pytest.raises(ValueError, match="surrogates"):
        _json.dumps("\ud800")


def test_text_and_bytes_decode_alike() -> None:
    assert _json.loads('{"a": "é"}') == _json.loads('{"a": "é"}'.encode()) == {"a": "é"}
    with pytest.raises(JsonError, match="not JSON"):
        _json.loads("{")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.text(max_size=3), VALUES, max_size=6), st.dictionaries(st.text(max_size=3), VALUES, max_size=3)
)
def test_a_compact_document_is_patched_as_any_other_body(value: dict[str, object], changes: dict[str, object]) -> None:
    body = _json.dumps(value)
    document = _json.read(body)
    assert document.is_compact
    assert _json.patch(document, changes) == _json.patch(body, changes)


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=6), st.data())
def test_removing_from_a_document_is_removing_from_a_body(value: dict[str, object], data: st.DataObject) -> None:
    body = _json.dumps(value)
    changes = {data.draw(st.sampled_from(sorted(value))): _json.UNSET}
    assert _json.patch(_json.read(body), changes) == _json.patch(body, changes)


def test_a_document_is_its_bytes_and_its_value() -> None:
    body = b'{ "a": [1.50, "\\u00e9"] }'
    document = _json.read(body)
    assert document == body
    assert not document.is_compact
    assert _json.loads(document) is document.value
    assert _json.patch(document, {"b": 1}) == b'{ "a": [1.50, "\\u00e9"],"b":1 }'


def test_a_list_is_no_object_to_patch() -> None:
    with pytest.raises(_json.JsonError):
        _json.patch(_json.read(b"[]"), {"a": 1})
