"""Several processes on one address: the master binds it, starts the workers, passes signals on and replaces the dead.

All workers accept from one socket, so that a worker that drains leaves no connection behind in a queue of its own.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from execution_platform.config.settings import Settings
from execution_platform.gateway.app import build, steady
from execution_platform.gateway.listening import family, refusal
from execution_platform.gateway.process import end_with_parent, harden
from execution_platform.gateway.screen import show_start
from execution_platform.gateway.server import STARTUP_FAILED, EdgeServer
from execution_platform.gateway.siblings import Siblings

_SPAWN = multiprocessing.get_context("spawn")
_ENDING = (signal.SIGTERM, signal.SIGINT)
_WAIT_SECONDS = 1.0
_YOUNG_SECONDS = 5.0
"""A worker that dies younger is replaced after a pause."""


class Master:
    """The parent of the workers. Serves nothing itself."""

    def __init__(self, sock: socket.socket, count: int, folder: Path) -> None:
        self._sock = sock
        self._folder = folder
        self._workers: dict[int, BaseProcess | None] = dict.fromkeys(range(count))
        self._since: dict[int, float] = {}
        self._ending = False
        self._status = 0

    def run(self) -> int:
        """Serve until all workers have ended after a signal; the exit status."""
        for number in (*_ENDING, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for number in self._workers:
            self._start(number)
        while any(worker is not None for worker in self._workers.values()):
            alive = [worker.sentinel for worker in self._workers.values() if worker is not None]
            wait(alive, _WAIT_SECONDS)
            for number, worker in self._workers.items():
                if worker is not None and worker.exitcode is not None:
                    self._replace(number, worker.exitcode)
        return self._status

    def _start(self, number: int) -> None:
        worker = _SPAWN.Process(
            target=work, args=(self._sock, number, len(self._workers), self._folder), name=f"worker-{number}"
        )
        worker.start()
        self._workers[number], self._since[number] = worker, time.monotonic()

    def _replace(self, number: int, status: int) -> None:
        """A worker is gone: another takes its place unless the end has come, or none could start."""
        self._workers[number] = None
        if self._ending:
            self._status = self._status or abs(status)
        elif status == STARTUP_FAILED:
            self._status = status
            self._pass_on(signal.SIGTERM, None)
        else:
            sys.stderr.write(f"worker {number} ended with {status}: another one is started\n")
            if time.monotonic() - self._since[number] < _YOUNG_SECONDS:
                time.sleep(_WAIT_SECONDS)
            self._start(number)

    def _pass_on(self, sig: int, frame: FrameType | None) -> None:
        if sig in _ENDING:
            self._ending = True
            # The workers have it too: when the last of them closes it, connections are refused and not left waiting.
            self._sock.close()
        for worker in self._workers.values():
            if worker is not None and worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, sig)


def work(sock: socket.socket, number: int, count: int, folder: Path) -> None:
    """The life of one worker. Its settings come from the environment."""
    harden()
    end_with_parent()
    # A terminal's ^C reaches its whole group: the workers are told once, by the master.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    gateway = build(Settings(), steady)
    state = gateway.state
    state.worker, state.siblings = number, Siblings(folder, number, count, state.metrics)
    EdgeServer(gateway, announce=show_start if number == 0 else None).run(sockets=[sock])


def run_workers(settings: Settings, count: int) -> int:
    """Serve with `count` processes until a signal comes; the exit status. Ends at once when the address is taken."""
    if settings.config is not None:
        os.environ["EP_CONFIG"] = str(settings.config)
    os.environ["EP_HOST"], os.environ["EP_PORT"] = settings.host, str(settings.port)
    try:
        sock = socket.create_server((settings.host, settings.port), family=family(settings.host), backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        sys.stderr.write(refusal(settings.host, settings.port, reason))
        return STARTUP_FAILED
    with sock, TemporaryDirectory(prefix="ep-workers-") as folder:
        return Master(sock, count, Path(folder)).run()
