"""Take the known, keep the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.take import Taker, as_list, as_object, as_str, kind_of, merged, put, wrong
from execution_platform.exceptions import InvalidRequest

VALUES = {"str": "s", "int": 3, "float": 2.5, "bool": True, "object": {"a": 1}, "list": [1]}


@pytest.mark.parametrize("kind", list(VALUES))
@pytest.mark.parametrize("given_", list(VALUES))
def test_each_reader_takes_its_own_type_and_names_the_path_of_others(kind, given_):
    taker = Taker({"m": VALUES[given_]}, "a[0]")
    read = getattr(taker, kind)
    if kind == given_ or (kind == "float" and given_ == "int"):
        assert read("m") == VALUES[given_]
        assert taker.rest == {}
    else:
        with pytest.raises(InvalidRequest) as raised:
            read("m")
        assert raised.value.param == "a[0].m"
        assert raised.value.message.startswith("a[0].m: expected ")
        assert kind_of(VALUES[given_]) in raised.value.message


@pytest.mark.parametrize("kind", [*VALUES, "any"])
def test_null_counts_as_absent_and_stays(kind):
    taker = Taker({"m": None})
    assert getattr(taker, kind)("m") is None
    assert getattr(taker, kind)("absent") is None
    assert taker.rest == {"m": None}


def test_a_whole_number_may_be_written_with_a_fraction():
    assert Taker({"m": 2.0}).int("m") == 2
    assert isinstance(Taker({"m": 2.0}).int("m"), int)
    assert repr(Taker({"m": 1}).float("m")) == "1"


def test_a_member_that_must_be_there():
    assert Taker({"m": ""}).need("m") == ""
    for value in ({}, {"m": None}):
        with pytest.raises(InvalidRequest, match=r"^x\.m: required member is missing$"):
            Taker(value, "x").need("m")


def test_only_objects_can_be_taken_from():
    with pytest.raises(InvalidRequest, match=r"^body: expected an object, got a list$"):
        Taker([])
    with pytest.raises(InvalidRequest, match=r"^a: expected an object, got null$"):
        Taker(None, "a")


def test_children_give_back_what_they_left():
    taker = Taker({"c": {"known": 1, "other": 2}, "d": {"known": 3}})
    for name in ("c", "d"):
        child = taker.child(name)
        assert child is not None
        assert child.path == name
        child.int("known")
        taker.keep(name, child)
    assert taker.rest == {"c": {"other": 2}}
    assert taker.child("absent") is None


def test_the_source_is_never_changed():
    source = {"m": 1}
    Taker(source).int("m")
    assert source == {"m": 1}


def test_single_values():
    assert as_object({"a": 1}, "p") == {"a": 1}
    assert as_list([1], "p") == [1]
    assert as_str("s", "p") == "s"
    for read in (as_object, as_list, as_str):
        with pytest.raises(InvalidRequest) as raised:
            read(5, "p")
        assert raised.value.param == "p"
    assert wrong("p", "a list", None).message == "p: expected a list, got null"


def test_put_sets_what_is_said():
    target = {"a": 1}
    put(target, a=None, b=0, c=False, d=None)
    assert target == {"a": 1, "b": 0, "c": False}


json_objects = st.recursive(
    st.integers() | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@given(json_objects, json_objects)
def test_merging_keeps_what_is_known_and_adds_the_rest(known, extra):
    before, leftovers = repr(known), repr(extra)
    out = merged(dict(known), extra)
    assert repr(extra) == leftovers
    assert repr(known) == before
    assert set(out) == {*known, *extra}
    for name, value in known.items():
        if isinstance(value, dict) and isinstance(extra.get(name), dict):
            assert out[name] == merged(dict(value), extra[name])
        else:
            assert out[name] == value
