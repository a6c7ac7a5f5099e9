"""Live pipes: what was written comes out before more is written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from bertcli.errors import DataError
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.live import is_live, with_pauses
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.records import PAUSE, BadRecord, Item, Record


def texts(items: Iterable[Item]) -> list[str]:
    """Return the texts, and PAUSE where there is one."""
    return [item.text if isinstance(item, Record) else str(item) for item in items]


def records(*names: str) -> Iterator[Record]:
    """Yield a record per text."""
    yield from (Record(number, text) for number, text in enumerate(names))


@pytest.mark.parametrize(
    ("input_format", "chunks"),
    [
        (InputFormat.TXT, [b"one\n", b"two\n"]),
        (InputFormat.JSONL, [b'{"text": "one"}\n', b'"two"\n']),
        (InputFormat.CSV, [b"n,text\n1,one\n", b"2,two\n"]),
        (InputFormat.TSV, [b"n\ttext\n1\tone\n", b"2\ttwo\n"]),
    ],
)
def test_a_line_comes_out_before_the_next_is_written(
    input_format: InputFormat, chunks: list[bytes]
) -> None:
    """The writer waits for the first answer before it writes again; no buffer may hold it back."""
    reading, writing = os.pipe()
    answers: Queue[str] = Queue()

    def write() -> None:
        os.write(writing, chunks[0])
        answers.put("first " + answered.get(timeout=5))
        os.write(writing, chunks[1])
        os.close(writing)

    answered: Queue[str] = Queue()
    writer = Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as stdin:
        items = with_pauses(read_records(InputOptions(input_format=input_format), stdin))
        first = next(items)
        assert isinstance(first, Record)
        assert next(items) is PAUSE
        answered.put(first.text)
        rest = [item for item in items if item is not PAUSE]
    writer.join()
    assert answers.get() == "first one"
    assert texts(rest) == ["two"]


def test_half_a_line_waits_for_its_end() -> None:
    """A line in two writes is one record; without pauses, the plain reader is live too."""
    reading, writing = os.pipe()
    os.write(writing, b"one\ntw")
    with os.fdopen(reading, "rb") as stdin:
        items = read_records(InputOptions(), stdin)
        first = next(items)
        os.write(writing, b"o\n")
        second = next(items)
        os.close(writing)
        assert texts([first, second, *items]) == ["one", "two"]


def test_pauses_stand_between_and_never_twice() -> None:
    """No pause before the first item, one where the source is slow, none where it is fast."""

    def slow() -> Iterator[Record]:
        time.sleep(0.05)
        yield from records("a", "b")
        time.sleep(0.2)
        yield Record(2, "c")

    found = list(with_pauses(slow()))
    assert texts(found) == ["a", "b", str(PAUSE), "c"]


def test_a_fast_source_is_not_broken_up() -> None:
    """Ten thousand items without waiting come in order, more than the queue holds, unpaused."""
    found = list(with_pauses(records(*map(str, range(10_000)))))
    assert texts([item for item in found if item is not PAUSE]) == [*map(str, range(10_000))]
    assert found.count(PAUSE) < 100


def test_an_error_comes_after_what_was_read_before_it() -> None:
    """The reader's exception is raised in the consumer, in order."""

    def failing() -> Iterator[Record | BadRecord]:
        yield from records("a")
        raise DataError("a.txt: is damaged")

    items = with_pauses(failing())
    assert isinstance(next(items), Record)
    with pytest.raises(DataError, match="is damaged"):
        list(items)


def test_a_consumer_may_leave_early() -> None:
    """The thread behind a full queue ends when nobody reads any more."""
    ended: Queue[bool] = Queue()

    def endless() -> Iterator[Record]:
        try:
            while True:
                yield Record(0, "again")
        finally:
            ended.put(True)

    items = with_pauses(endless())
    next(items)
    items.close()  # type: ignore[attr-defined]
    del items
    assert ended.get(timeout=5)


def test_live_is_a_pipe_and_not_a_file(tmp_path: Path) -> None:
    """Pipes and devices are live; files, memory and nothing at all are not."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        assert is_live(pipe)
    with Path(os.devnull).open("rb") as device:
        assert is_live(device)
    (tmp_path / "a.txt").write_text("one")
    with (tmp_path / "a.txt").open("rb") as file:
        assert not is_live(file)
    assert not is_live(io.BytesIO(b"one"))
    assert not is_live(None)


def test_the_program_can_end_while_stdin_is_waited_for() -> None:
    """A thread waiting on the real stdin does not make the interpreter abort at its end."""
    code = (
        "import sys\n"
        "from bertcli.inputs.live import with_pauses\n"
        "from bertcli.inputs.records import read_records\n"
        "from bertcli.inputs.source import InputOptions\n"
        "items = with_pauses(read_records(InputOptions(), sys.stdin.buffer))\n"
        "sys.stdout.write(next(items).text)\n"
        "next(items)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == b"one"
        assert process.stderr.read() == b""
