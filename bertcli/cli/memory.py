"""What is said and done where there is no memory left."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from typing import NoReturn

from bertcli.cli.signals import ENDED

NO_MEMORY = (
    "bertcli: out of memory: use a smaller --batch-tokens or shorter records, or raise the limit "
    "(ulimit -v)"
)
MEMORY_SIGNS = (
    "bad_alloc",
    "annot allocate memory",
    "ailed to allocate memory",
    "failed to map segment",
    "pthread_create failed",
    "can't allocate memory",
    "can't start new thread",
    "ThreadPoolBuildError",
)
"""What libraries say, in errors of all kinds, when there is no memory left."""
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
ONE_ARENA = (-8, 1)
"""`mallopt` of glibc: threads share what is allocated, where each would reserve 64 MB."""
PATIENCE_SECONDS = 10
"""How long a child that is asked to end may take over it: in a library it may hear nothing."""
ENDED_WITH_PARENT = 1
"""`prctl` of Linux: which signal a process gets when its parent ends."""

_kept: list[object] = []
"""What C has a pointer to must not be freed."""


def is_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a library means that there is no memory left."""
    return any(sign in str(error) for sign in MEMORY_SIGNS)


def work_within_little_memory() -> None:
    """Where memory is limited, go on in a child, and tell when the limit has crashed it.

    Libraries meet the limit in ways of their own: glibc ends the process when it cannot load what
    it wants for a thread that cannot be made, OpenBLAS runs into nothing while it is loaded, Rust
    aborts. The parent has nothing to do but to end as the child does, or with a line.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else its end could not be waited for
    parent, child = os.getpid(), 0
    with suppress(OSError):  # where there is no process to be had, this one does the work
        child = os.fork()
    if child:
        _end_as(child)
    _prepare(parent)


def _prepare(parent: int) -> None:
    """Do what keeps libraries from crashing, as far as there is something."""
    import ctypes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    c = ctypes.CDLL(None)
    with suppress(AttributeError):
        c.mallopt(*ONE_ARENA)
    if os.getpid() != parent:
        with suppress(AttributeError):
            c.prctl(ENDED_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    with suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1")
    with suppress(OSError, AttributeError):
        end = ctypes.CFUNCTYPE(None)(_end)
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(end)
        _kept.append(end)


def _end_as(child: int) -> NoReturn:
    """Wait for a child, handing on to it what is asked of this process, and end in its way.

    What is asked of a group of processes, as by Ctrl-C, comes to the child twice: see `signals`.
    A child that does not heed it is killed.
    """

    def hand_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)
        signal.alarm(PATIENCE_SECONDS)

    def kill(_: int, __: object) -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, hand_on)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if -code in CRASHES:
        _end()
    if code < 0:
        with suppress(OSError):  # of those that are never caught
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        code = ENDED - code  # where the first process of a container does not end by it
    os._exit(code)


def _end() -> NoReturn:
    os.write(2, f"{NO_MEMORY}\n".encode())
    os._exit(1)
