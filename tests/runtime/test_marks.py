from hypothesis import given
from hypothesis import strategies as st

from execution_platform.runtime.marks import contains, contains_any

BYTES = st.lists(st.sampled_from([b"ep", b"1.", b"Wy", b"e", b" ", b"cache"]), max_size=12).map(b"".join)
MARKS = st.sampled_from([b"ep1.Wy", b"cache", b"e", b"1.W"])


@given(BYTES, MARKS)
def test_a_body_contains_a_mark_wherever_it_stands(body: bytes, mark: bytes) -> None:
    assert contains(body, mark) is (mark in body)


@given(BYTES, st.lists(MARKS, max_size=3))
def test_one_mark_of_several_is_enough(body: bytes, marks: list[bytes]) -> None:
    assert contains_any(body, marks) is any(mark in body for mark in marks)
