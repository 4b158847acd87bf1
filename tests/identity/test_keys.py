"""The form of gateway keys and what is kept of them."""

import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.config.secret import Secret
from execution_platform.identity.keys import digest, fingerprint, is_ours, key_for, key_id, new_key
from execution_platform.identity.pepper import FILE, Pepper, name_of

PEPPER = Secret("pepper")


def test_a_key_names_its_id_and_hides_its_text():
    issued = new_key(PEPPER)
    text = issued.text.reveal()
    assert text.startswith(f"sk-ep-{issued.id}-")
    assert key_id(text.encode()) == issued.id
    assert text not in repr(issued)


def test_no_two_keys_are_equal():
    keys = [new_key(PEPPER) for _ in range(1000)]
    assert len({key.id for key in keys}) == 1000
    assert len({key.text.reveal() for key in keys}) == 1000


@given(st.binary(max_size=200))
def test_what_is_no_key_has_no_id(token: bytes):
    assert key_id(token) is None


def test_near_misses_have_no_id():
    text = new_key(PEPPER).text.reveal()
    for wrong in (text + "a", text[:-1], text.upper(), text + "\n", " " + text, text.replace("sk-ep", "sk-eq")):
        assert key_id(wrong.encode()) is None


def test_an_id_is_told_from_one_that_somebody_made_up():
    """E1, E13: what is made up is refused from memory."""
    issued = new_key(PEPPER)
    assert is_ours(issued.id, PEPPER)
    assert not is_ours(issued.id, Secret("salt"))
    assert not is_ours("a" * 15, PEPPER)
    assert key_for(issued.id).id == issued.id


def test_the_digest_depends_on_the_whole_key_and_on_the_pepper():
    one, other = new_key(PEPPER).text.reveal().encode(), new_key(PEPPER).text.reveal().encode()
    assert digest(one, PEPPER) == digest(one, PEPPER)
    assert digest(one, PEPPER) != digest(other, PEPPER)
    assert digest(one, PEPPER) != digest(one, Secret("salt"))
    assert digest(one[:-1], PEPPER) != digest(one, PEPPER)


def test_a_fingerprint_is_short_and_not_a_part_of_the_digest():
    kept = digest(new_key(PEPPER).text.reveal().encode(), PEPPER)
    assert len(fingerprint(kept)) == 12
    assert fingerprint(kept) not in kept.hex()


def test_the_pepper_of_the_environment_is_before_that_of_the_master_key(tmp_path: Path):
    master = Secret("master")
    assert Pepper(PEPPER, master, tmp_path).make() == PEPPER
    derived = Pepper(None, master, tmp_path).make()
    assert derived == Pepper(None, Secret("master"), tmp_path).read()
    assert "master" not in derived.reveal()
    assert derived != Pepper(None, Secret("another"), tmp_path).read()
    assert not (tmp_path / FILE).exists()


def test_a_pepper_of_its_own_is_made_once_and_is_for_its_owner_alone(tmp_path: Path):
    workspace = tmp_path / "workspace"
    assert Pepper(None, None, workspace).read() is None
    made = Pepper(None, None, workspace).make()
    assert made == Pepper(None, None, workspace).make() == Pepper(None, None, workspace).read()
    assert stat.S_IMODE((workspace / FILE).stat().st_mode) == 0o600
    assert [path.name for path in workspace.iterdir()] == [FILE]


def test_the_name_of_a_pepper_says_nothing_about_it():
    assert name_of(PEPPER) != name_of(Secret("salt"))
    assert "pepper" not in name_of(PEPPER)
