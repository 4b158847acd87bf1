"""X1: ways out of a Python process that was made safe, tried where the process is not what is trusted."""

import os
from pathlib import Path

import pytest

from loops import in_loop
from sandboxes import CANARY, Box, needs_bubblewrap

PRELUDE = """
import builtins, sys, os
SECRET = {secret!r}
GATEWAY = {gateway}
"""

ESCAPES = {
    "open": "print(open(SECRET).read())",
    "os.open": "print(os.read(os.open(SECRET, 0), 99))",
    "subclasses walk": """
for cls in ().__class__.__base__.__subclasses__():
    if cls.__name__ == "_wrap_close":
        print(cls.__init__.__globals__["popen"]("cat " + SECRET).read())
""",
    "warnings module globals": """
import warnings
w = [c for c in object.__subclasses__() if c.__name__ == "catch_warnings"][0]
print(w()._module.__builtins__["open"](SECRET).read())
""",
    "traceback frames": """
try:
    raise ValueError
except ValueError as error:
    frame = error.__traceback__.tb_frame
    while frame:
        print({k: v for k, v in frame.f_globals.items() if "canary" in str(v)}, frame.f_builtins["open"](SECRET).read())
        frame = frame.f_back
""",
    "generator frame": """
def g():
    yield f.gi_frame.f_back.f_builtins["open"](SECRET).read()
f = g()
print(next(f))
""",
    "string.Formatter": """
import string
class C: pass
C.__init__ = lambda self: None
print(string.Formatter().format("{0.__init__.__globals__}", C()))
print(string.Formatter().get_field("0.__init__.__globals__[os].environ", (C(),), {}))
""",
    "format string": 'print("{0.__class__.__base__.__subclasses__}".format(()), open(SECRET).read())',
    "bytecode rewrite": """
def f(): return SECRET
code = f.__code__.replace(co_names=("SECRET",))
print(type(f)(code, {"SECRET": open(SECRET).read()})())
""",
    "code object from scratch": 'exec(compile("print(open(SECRET).read())", "x", "exec"))',
    "eval with builtins removed": """
print(eval("[c for c in ().__class__.__base__.__subclasses__() if c.__name__=='_wrap_close'][0]"
    ".__init__.__globals__['popen']('cat '+s).read()", {"__builtins__": {}, "s": SECRET}))
""",
    "importlib machinery": """
import importlib.machinery
print(importlib.machinery.SourceFileLoader("x", SECRET).get_data(SECRET))
""",
    "linecache": "import linecache; print(linecache.getlines(SECRET))",
    "pickle": """
import pickle
class Run:
    def __reduce__(self): return (os.system, ("cat " + SECRET,))
pickle.loads(pickle.dumps(Run()))
""",
    "ctypes open": """
import ctypes
libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(200)
libc.read(libc.open(SECRET.encode(), 0), buffer, 200)
print(buffer.value)
""",
    "ctypes execve": """
import ctypes
libc = ctypes.CDLL(None)
argv = (ctypes.c_char_p * 3)(b"cat", SECRET.encode(), None)
libc.execv(b"/bin/cat", argv)
""",
    "ctypes gateway memory": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
class Vec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
print(libc.process_vm_readv(GATEWAY, ctypes.byref(Vec(ctypes.addressof(buffer), 4096)), 1, ctypes.byref(Vec(0x400000, 4096)), 1, 0))
print(buffer.raw)
""",
    "ptrace": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, GATEWAY, 0, 0), libc.ptrace(16, 1, 0, 0), ctypes.get_errno())
""",
    "/proc/1/environ": """
import glob
for path in glob.glob("/proc/*/environ") + ["/proc/1/environ", f"/proc/{GATEWAY}/environ"]:
    try: print(open(path).read())
    except OSError as error: print(error)
""",
    "/proc/1/root": """
for pid in (1, GATEWAY, os.getppid(), "self"):
    try: print(open(f"/proc/{pid}/root{SECRET}").read())
    except OSError as error: print(error)
""",
    "/proc/*/cwd": """
for pid in (1, os.getppid(), "self"):
    try: print(os.listdir(f"/proc/{pid}/cwd/.."), open(f"/proc/{pid}/cwd/../secret").read())
    except OSError as error: print(error)
""",
    "/proc/*/mem": """
for pid in (1, GATEWAY):
    try: print(open(f"/proc/{pid}/mem", "rb").read(10))
    except OSError as error: print(error)
""",
    "/proc/*/fd": """
import glob
for path in glob.glob("/proc/*/fd/*"):
    try: print(path, os.readlink(path), open(path, "rb", buffering=0).read(200) if path > "/proc/self/fd/3" else "")
    except OSError as error: print(error)
""",
    "/proc/*/map_files": """
import glob
print(glob.glob("/proc/1/map_files/*"))
print(open("/proc/1/maps").read())
""",
    "open descriptors": """
for fd in range(3, 256):
    try:
        os.lseek(fd, 0, 0)
        print(fd, os.read(fd, 4096))
    except OSError: pass
""",
    "environment": "print(dict(os.environ)); os.system('env')",
    "dot dot": """
for depth in range(12):
    try: print(open("../" * depth + SECRET).read())
    except OSError as error: print(error)
""",
    "symlink in the workspace": """
os.symlink(SECRET, "link"); os.symlink("/", "root")
for path in ("link", "root" + SECRET):
    try: print(open(path).read())
    except OSError as error: print(error)
""",
    "hard link": """
try:
    os.link(SECRET, "hard"); print(open("hard").read())
except OSError as error: print(error)
""",
    "chroot": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("jail", exist_ok=True)
print(libc.chroot(b"jail"), libc.chdir(b"../../../../../.."), os.listdir("."))
print(open(SECRET).read())
""",
    "pivot_root and mounts": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("m", exist_ok=True)
print(libc.unshare(0x10000000 | 0x20000), libc.mount(b"/dev/vda", b"m", b"ext4", 0, 0), libc.mount(b"/", b"m", 0, 4096, 0), libc.umount2(b"/workspace", 2))
print(os.listdir("/oldroot") if os.path.exists("/oldroot") else "no oldroot", open("m" + SECRET).read())
""",
    "namespaces of others": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for kind in ("mnt", "user", "pid", "net"):
    for pid in (1, os.getppid()):
        try: print(libc.setns(os.open(f"/proc/{pid}/ns/{kind}", 0), 0))
        except OSError as error: print(error)
print(open(SECRET).read())
""",
    "open by handle": """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
for inode in (2, 11, 12):
    handle = struct.pack("=IiII", 8, 1, inode, 0)
    print(libc.open_by_handle_at(os.open("/workspace", 0), handle, 0))
""",
    "block device": """
import stat
for make in (lambda: os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0)), lambda: os.mknod("/tmp/d", 0o600 | stat.S_IFBLK, os.makedev(254, 0))):
    try: make(); print(open("disk", "rb").read(4096))
    except OSError as error: print(error)
""",
    "setuid programs": """
import subprocess
for line in (["su", "-c", "cat " + SECRET], ["sudo", "-n", "cat", SECRET], ["mount"], ["newgrp"]):
    try: print(subprocess.run(line, capture_output=True, stdin=subprocess.DEVNULL, timeout=5))
    except Exception as error: print(type(error))
""",
    "become root": """
for call in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.chown("/usr/bin/env", 0, 0), lambda: os.chmod("/usr/bin/env", 0o4755)):
    try: print(call(), os.getresuid())
    except OSError as error: print(error)
print(open(SECRET).read())
""",
    "core pattern": """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
    try: open(path, "w").write("|/bin/cp " + SECRET + " /workspace/stolen"); print("written", path)
    except OSError as error: print(error)
os.abort()
""",
    "another module's globals": """
import gc
print([value for value in gc.get_objects() if isinstance(value, dict) and any("canary" in str(k) for k in value)])
print(open(SECRET).read())
""",
    "sitecustomize": """
import subprocess
open("sitecustomize.py", "w").write("print(open(%r).read())" % SECRET)
print(subprocess.run(["python3", "-c", "pass"], capture_output=True, env={"PYTHONPATH": "/workspace", "PATH": os.environ["PATH"]}))
""",
    "LD_PRELOAD": """
import subprocess
print(subprocess.run(["cat", SECRET], capture_output=True, env={"LD_PRELOAD": SECRET}))
""",
    "kill the gateway": """
for pid in (GATEWAY, -1, os.getppid()):
    try: os.kill(pid, 0) if pid == GATEWAY else None; print("alive" if pid == GATEWAY else "")
    except OSError as error: print(error)
""",
}


def test_there_are_enough_of_them() -> None:
    assert len(ESCAPES) >= 30


@needs_bubblewrap
@pytest.mark.parametrize("escape", ESCAPES)
@in_loop
async def test_no_escape_reaches_the_canary(escape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X1: neither the file outside nor the gateway's environment is ever seen, nor are they changed."""
    monkeypatch.setenv("CANARY_KEY", CANARY)
    box = Box(tmp_path)
    code = PRELUDE.format(secret=str(box.secret), gateway=os.getpid()) + ESCAPES[escape]
    outcome = await box.python(code)
    assert outcome.ended == "exit"
    assert CANARY.encode() not in outcome.stdout + outcome.stderr
    kept = [path.read_bytes() for path in box.workspace.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(CANARY.encode() in data for data in kept)
    assert box.secret.read_text() == CANARY
