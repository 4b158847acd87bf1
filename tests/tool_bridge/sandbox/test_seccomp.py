"""The filter of system calls: as a program, and as the kernel keeps it."""

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform import _json
from execution_platform.tool_bridge.sandbox import seccomp
from loops import in_loop
from sandboxes import Box, needs_bubblewrap

MACHINES: tuple[seccomp.Machine, ...] = ("x86_64", "aarch64")
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NEVER = [
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "bpf",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "ptrace",
    "process_vm_readv",
    "perf_event_open",
    "open_by_handle_at",
    "kexec_load",
    "init_module",
    "memfd_create",
    "shmget",
]


def answer(machine: seccomp.Machine, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the program says, by the kernel's rules for it (linux/filter.h)."""
    given = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, AUDIT[machine] if audit is None else audit, 0, *given)
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    at, loaded = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x15:
                at += yes if loaded == value else no
            case 0x35:
                at += yes if loaded >= value else no
            case 0x45:
                at += yes if loaded & value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_listed_calls_are_allowed_or_refused_as_listed(machine: seccomp.Machine) -> None:
    calls = seccomp.system_calls(machine)
    assert {name: answer(machine, number) for name, number in calls["allowed"].items()} == dict.fromkeys(
        calls["allowed"], seccomp.ALLOW
    )
    assert {name: answer(machine, number) for name, number in calls["denied"].items()} == dict.fromkeys(
        calls["denied"], seccomp.REFUSE
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_what_reaches_into_the_kernel_is_among_the_refused(machine: seccomp.Machine) -> None:
    """X8: the calls of the threat table are refused, on every architecture."""
    assert set(NEVER) <= seccomp.system_calls(machine)["denied"].keys()


@pytest.mark.parametrize("machine", MACHINES)
def test_no_call_is_listed_twice(machine: seccomp.Machine) -> None:
    tables = seccomp.system_calls(machine)
    numbers = [number for rows in tables.values() for number in rows.values()]
    assert len(numbers) == len(set(numbers))


@given(st.sampled_from(MACHINES), st.integers(0, 0xFFFFFFFF))
def test_calls_that_are_not_listed_do_not_exist(machine: seccomp.Machine, number: int) -> None:
    listed = {number for rows in seccomp.system_calls(machine).values() for number in rows.values()}
    if number not in listed:
        assert answer(machine, number) == seccomp.UNKNOWN


@given(st.sampled_from(MACHINES), st.integers(0, 500), st.integers(0, 0xFFFFFFFF))
def test_another_architectures_calls_end_the_process(machine: seccomp.Machine, number: int, audit: int) -> None:
    if audit != AUDIT[machine]:
        assert answer(machine, number, audit=audit) == seccomp.KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_some_calls_are_judged_by_an_argument(machine: seccomp.Machine) -> None:
    judged = seccomp.system_calls(machine)["judged"]
    assert answer(machine, judged["clone"], 0x01200011) == seccomp.ALLOW
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(machine, judged["clone"], flag | 17) == seccomp.REFUSE
    assert answer(machine, judged["clone3"]) == seccomp.UNKNOWN
    for family in range(64):
        expected = seccomp.ALLOW if family in {1, 2, 10} else seccomp.NO_FAMILY
        assert answer(machine, judged["socket"], family, 1) == expected
        assert answer(machine, judged["socketpair"], family, 1) == expected
    assert answer(machine, judged["ioctl"], 0, 0x5401) == seccomp.ALLOW
    for request in (0x5412, 0x541C, 0x5423, 0x5412 | 0xABCD00000000):
        assert answer(machine, judged["ioctl"], 0, request) == seccomp.REFUSE
    assert answer(machine, judged["personality"], 0xFFFFFFFF) == seccomp.ALLOW
    assert answer(machine, judged["personality"], 0x0400000) == seccomp.REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_would_take_the_program(machine: seccomp.Machine) -> None:
    assert len(seccomp.program(machine)) // 8 < 4096


CALL = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, (number, *arguments) in json.loads(sys.stdin.read()).items():
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]))
    found[name] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(found))
"""


@needs_bubblewrap
@in_loop
async def test_the_kernel_refuses_every_listed_call(tmp_path: Path) -> None:
    """X8: every call of the refused list answers EPERM inside, unknown ones ENOSYS, and judged ones by their arguments."""
    machine = seccomp.MACHINES[__import__("platform").machine()]
    calls = seccomp.system_calls(machine)
    judged = calls["judged"]
    tried = {name: [number] for name, number in calls["denied"].items()}
    tried |= {
        "clone3": [judged["clone3"]],
        "clone into a user namespace": [judged["clone"], 0x10000000 | 17],
        "vsock": [judged["socket"], 40, 1],
        "netlink": [judged["socket"], 16, 3],
        "alg": [judged["socket"], 38, 5],
        "TIOCSTI": [judged["ioctl"], 0, 0x5412],
        "personality": [judged["personality"], 0x0400000],
        "a call of the future": [2000],
        "x32": [0x40000000 | 39],
    }
    outcome = await Box(tmp_path).python(CALL, stdin=_json.dumps(tried))
    found = _json.loads(outcome.stdout)
    expected = dict.fromkeys(tried, errno.EPERM) | {
        "clone3": errno.ENOSYS,
        "vsock": errno.EAFNOSUPPORT,
        "netlink": errno.EAFNOSUPPORT,
        "alg": errno.EAFNOSUPPORT,
        "a call of the future": errno.ENOSYS,
        "x32": errno.ENOSYS,
    }
    assert found == expected


@needs_bubblewrap
@pytest.mark.skipif(__import__("platform").machine() != "x86_64", reason="the older convention is x86's")
@in_loop
async def test_the_older_calling_convention_ends_the_process(tmp_path: Path) -> None:
    """X8: int 0x80 would number the calls otherwise, past the filter."""
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""
    outcome = await Box(tmp_path).python(code)
    assert (outcome.status, outcome.stdout) == (128 + 31, b"")
