"""The section `tools.exec` as it is written."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from execution_platform.config.exec import ExecConfig
from execution_platform.config.facts import Raw
from execution_platform.config.units import Seconds, Size

_MIB = 1024 * 1024
_SYSTEM = ("/", "/bin", "/dev", "/etc", "/home", "/lib", "/proc", "/root", "/run", "/sys", "/tmp", "/var", "/workspace")  # noqa: S108


def _folder(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("must be an absolute path")
    if str(path) in _SYSTEM:
        raise ValueError("is more than tools are installed in; name the directory of the tool, such as /opt/node")
    return str(path)


Folder = Annotated[str, AfterValidator(_folder)]


class RawExec(Raw):
    """Commands and programs of models, in the sandbox."""

    enabled: bool = Field(default=False, description="Offer exec_cmd, exec_python and exec_sandbox.")
    allowed_commands: list[str] = Field(
        default=["*"], description="Names of the programs that commands may start; * is all that are installed."
    )
    seconds: Seconds = Field(default=30, description="Seconds a command may take; no call may ask for more.")
    cpu_seconds: int = Field(default=10, ge=1, description="Seconds of processor time of all its processes together.")
    memory: Size = Field(default=512 * _MIB, description="Memory of all its processes together, such as 512 MiB.")
    processes: int = Field(default=64, ge=4, description="Most processes and threads at a time.")
    file_size: Size = Field(default=256 * _MIB, description="Largest file it may write.")
    scratch: Size = Field(default=64 * _MIB, description="Size of its /tmp, which is gone afterwards.")
    workspace: Size = Field(default=1024 * _MIB, description="Most that everything in its workspace may occupy.")
    output: Size = Field(default=64 * 1024, description="Kept of each of stdout and stderr, the middle left out.")
    concurrency: int = Field(default=4, ge=1, description="Commands that run at a time; others wait.")
    visible: list[Folder] = Field(
        default_factory=list[str],
        description="Directories of the machine that commands can read besides /usr, for tools installed elsewhere.",
    )
    private: list[Folder] = Field(
        default_factory=list[str],
        description="Directories below /usr that commands cannot read; /usr/src, /usr/local/src and /usr/local/etc never.",
    )


def resolve_exec(raw: RawExec) -> ExecConfig:
    """The run-time values."""
    given: dict[str, Any] = raw.model_dump()
    for name in ("allowed_commands", "visible", "private"):
        given[name] = tuple(given[name])
    return ExecConfig(**given)
