"""Everything bertcli raises on purpose.

    BertcliError            exit code 1: the run failed
    ├── UsageError          exit code 2: the command line asks for something that cannot be
    ├── DataError           a file or a stream that cannot be read as what it claims to be
    │   └── EmptyError      one in which there is nothing
    ├── CheckpointError     a model that is missing, damaged, unsafe or of the wrong kind
    ├── IndexFolderError    an index: missing, newer, locked or of another model
    │   └── IndexDamagedError   one whose files contradict each other or themselves
    ├── OutputError         the result cannot be written where it should go
    └── RecordError         one record cannot be answered: an error row, and the run goes on

A message is one line and says what was wrong, what was expected and what to do next.
`bertcli.cli.app.main` turns what ends a run into a line on stderr and an exit code; a command that
goes on all the same, as a list of indexes over a damaged one, says so itself.
"""

from __future__ import annotations

import errno

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says of a full disk, and of a limit to what one may write."""


def first_line(error: Exception, most: int | None = None) -> str:
    """Return the first line of what another library says, its type where it says nothing.

    With `most` no more than so many characters of it.

    >>> first_line(ValueError("bad shape\\nat 3")), first_line(TimeoutError())
    ('bad shape', 'TimeoutError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a number with what it counts; of several things with an s, unless said otherwise.

    >>> counted(1, "document"), counted(1200, "query", "queries")
    ('1 document', '1,200 queries')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


class BertcliError(Exception):
    """The root: a failure with a message that a user can act on."""

    exit_code = 1


class UsageError(BertcliError):
    """The command line itself is wrong; nothing was read and nothing was written."""

    exit_code = 2


class DataError(BertcliError):
    """An input is missing, unreadable or not in the format it claims."""


class EmptyError(DataError):
    """An input has nothing in it: among others it is passed over as a bad record."""


class CheckpointError(BertcliError):
    """A checkpoint cannot be found, trusted or used for this task."""


class IndexFolderError(BertcliError):
    """An index folder cannot be opened, or does not belong to this model."""


class IndexDamagedError(IndexFolderError):
    """The files of an index contradict each other or themselves; `what` says in what."""

    def __init__(self, message: str, what: str) -> None:
        super().__init__(message)
        self.what = what


class OutputError(BertcliError):
    """A result cannot be written."""


class RecordError(BertcliError):
    """A single record cannot be answered; the others can."""
