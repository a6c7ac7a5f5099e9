"""What is said and done where there is no memory left."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

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

_kept: list[object] = []
"""What C has a pointer to must not be freed."""


def is_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a library means that there is no memory left."""
    return any(sign in str(error) for sign in MEMORY_SIGNS)


def prepare_for_little_memory() -> None:
    """Where memory is limited, have libraries that meet the limit end with a line, not a core.

    glibc would end the process when it cannot load what it wants for a thread that cannot be made,
    OpenBLAS would interrupt it without room for threads of its own, and what is thrown in C++ where
    nothing may be thrown would abort it.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import ctypes

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1")
    with suppress(OSError, AttributeError):
        end = ctypes.CFUNCTYPE(None)(_end)
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(end)
        _kept.append(end)


def _end() -> None:
    os.write(2, f"{NO_MEMORY}\n".encode())
    os._exit(1)
