"""The section `tools.exec` at run time."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """How commands of models run. Sizes are bytes."""

    enabled: bool = False
    allowed_commands: tuple[str, ...] = ("*",)
    """`*`: all that are installed."""
    seconds: float = 30.0
    cpu_seconds: int = 10
    memory: int = 512 * _MIB
    processes: int = 64
    file_size: int = 256 * _MIB
    scratch: int = 64 * _MIB
    workspace: int = 1024 * _MIB
    output: int = 64 * 1024
    concurrency: int = 4
    visible: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
