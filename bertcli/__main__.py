"""`python -m bertcli`, and the entry point of the `bertcli` command."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

from bertcli.cli.memory import work_within_little_memory
from bertcli.cli.signals import asked_to_end, heed_signals


def run() -> None:
    """Run the command line and leave with its exit code."""
    _replace_closed_streams()
    work_within_little_memory()
    heed_signals()
    try:
        from bertcli.cli.app import main
    except (KeyboardInterrupt, ImportError):
        if asked_to_end() is None:
            raise
        sys.stderr.write("bertcli: interrupted\n")
        _leave(asked_to_end())
    try:
        code: object = main(sys.argv[1:])
    except SystemExit as leaving:
        code = leaving.code
    except KeyboardInterrupt:  # once more, while the first one was told
        code = asked_to_end()
    _leave(code)


def _leave(code: object) -> NoReturn:
    """End at once with an exit code.

    Python would first wait for the batches that are still computed, of which nobody wants the
    answers any more, and then take down module by module what ends with the process anyway: a
    fifth of a cold start.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # `main` has told what there is to tell
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _replace_closed_streams() -> None:
    """Put something in the place of a stdout or stderr that was closed before the start.

    Writing to this stdout fails with an error, as it should; notes to this stderr vanish.
    """
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


if __name__ == "__main__":
    run()
