"""The guards hold where Python leaves out assertions."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
SELECTED = (
    "gateway/test_access.py::test_every_wrong_key_gets_the_same_answer",
    "gateway/test_access.py::test_a_key_uses_only_its_models_and_personas",
    "gateway/test_access.py::test_without_a_key_every_route_but_health_is_401_and_changes_need_an_admin",
    "gateway/test_access.py::test_no_spelling_of_a_path_or_host_gets_past_the_key",
    "gateway/test_literal.py",
    "transport/test_auth.py",
    "transport/test_egress.py",
    "config/test_yaml.py",
)
CANARY = """
def test_python_leaves_out_assertions_and_the_tests_keep_theirs():
    assert not __debug__
    try:
        assert False
    except AssertionError:
        return
    raise RuntimeError("the assertions of tests are gone too")
"""


def test_the_guards_hold_under_python_o(tmp_path: Path) -> None:
    """K12: tests of the trust suite in an interpreter that ignores `assert`; their own are rewritten and stay."""
    canary = tmp_path / "test_canary.py"
    canary.write_text(CANARY)
    done = subprocess.run(
        [sys.executable, "-O", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", str(canary)]
        + [str(TESTS / each) for each in SELECTED],
        cwd=TESTS.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()[-4000:]
