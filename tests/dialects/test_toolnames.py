"""Tool names and call ids in forms every target takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.toolnames import NameMap, legal, legal_call_id

LEGAL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
odd_names = st.one_of(
    st.text(max_size=80), st.sampled_from(["a.b", "a/b", "a_b", "1a", "-a", "", "n" * 65, "n" * 64, "é", "a\n"])
)


@given(odd_names)
def test_every_name_becomes_a_legal_one_and_always_the_same(name):
    wire = legal(name)
    assert LEGAL.fullmatch(wire)
    assert legal(name) == wire
    assert legal(wire) == wire


@pytest.mark.parametrize("name", ["a", "_x", "get-weather", "A1_" + "n" * 61])
def test_a_legal_name_stays(name):
    assert legal(name) == name


@given(st.lists(odd_names, max_size=8))
def test_renaming_is_reversible(names):
    mapping = NameMap().add(names)
    sent = {name: mapping(name) for name in names}
    assert len(set(sent.values())) == len(set(names))
    for name, wire in sent.items():
        assert LEGAL.fullmatch(wire)
        assert mapping.declared.get(wire, wire) == name


def test_a_name_that_looks_like_a_renamed_one_stays_apart():
    renamed = legal("a.b")
    for names in (["a.b", renamed], [renamed, "a.b"]):
        mapping = NameMap().add(names)
        assert mapping("a.b") != mapping(renamed)


def test_a_longer_limit_is_used_where_the_target_has_one():
    assert legal("n" * 100, 128) == "n" * 100
    assert len(legal("n" * 200, 128)) == 128
    assert NameMap(limit=128).add(["n" * 100]).declared == {}


def test_a_call_of_a_tool_that_is_no_longer_declared_is_renamed_too():
    assert NameMap()("a.b") == legal("a.b")


@given(st.text(max_size=100))
def test_call_ids_are_legal_and_stable(call_id):
    wire = legal_call_id(call_id)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire)
    assert legal_call_id(call_id) == wire == legal_call_id(wire)


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_call_ids_stay_different(one, other):
    assert (legal_call_id(one) == legal_call_id(other)) == (one == other)
