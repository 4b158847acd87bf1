"""What a serving process asks of the system before it reads a secret."""

import ctypes
import resource
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_MOST_DESCRIPTORS = 65_536


def harden() -> None:
    """No core dump and no tracer gets at the keys in memory; as many descriptors as the system allows."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _control(_PR_SET_DUMPABLE, 0)


def end_with_parent() -> None:
    """Let a worker drain when its master dies without telling it."""
    _control(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _control(option: int, value: int) -> None:
    """`prctl(2)`, where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
