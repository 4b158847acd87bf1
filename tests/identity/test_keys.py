"""The form of gateway keys and what is kept of them."""

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.config.secret import Secret
from execution_platform.identity.keys import digest, fingerprint, key_id, new_key


def test_a_key_names_its_id_and_hides_its_text():
    issued = new_key()
    text = issued.text.reveal()
    assert text.startswith(f"sk-ep-{issued.id}-")
    assert key_id(text.encode()) == issued.id
    assert text not in repr(issued)


def test_no_two_keys_are_equal():
    keys = [new_key() for _ in range(1000)]
    assert len({key.id for key in keys}) == 1000
    assert len({key.text.reveal() for key in keys}) == 1000


@given(st.binary(max_size=200))
def test_what_is_no_key_has_no_id(token: bytes):
    assert key_id(token) is None


def test_near_misses_have_no_id():
    text = new_key().text.reveal()
    for wrong in (text + "a", text[:-1], text.upper(), text + "\n", " " + text, text.replace("sk-ep", "sk-eq")):
        assert key_id(wrong.encode()) is None


def test_the_digest_depends_on_the_whole_key_and_on_the_pepper():
    one, other = new_key().text.reveal().encode(), new_key().text.reveal().encode()
    pepper = Secret("pepper")
    assert digest(one, pepper) == digest(one, pepper)
    assert digest(one, pepper) != digest(other, pepper)
    assert digest(one, pepper) != digest(one, Secret("salt"))
    assert digest(one[:-1], pepper) != digest(one, pepper)


def test_a_fingerprint_is_short_and_not_a_part_of_the_digest():
    kept = digest(new_key().text.reveal().encode(), Secret("pepper"))
    assert len(fingerprint(kept)) == 12
    assert fingerprint(kept) not in kept.hex()
