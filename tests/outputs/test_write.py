"""Files appear whole or not at all, and failures say what to do."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertcli.errors import OutputError, UsageError
from bertcli.outputs.formats import OutputFormat
from bertcli.outputs.sink import GuardedStream
from bertcli.outputs.write import Destination, Tally, write_answers
from bertcli.records import Record
from bertcli.results import Answer, Hit, Reading, SearchResult

from .samples import SAMPLES, classify, embed

FILE_FORMATS = ["jsonl", "json", "csv", "text", "table", "parquet", "npy"]


def stopped(error: BaseException) -> Iterator[Answer]:
    """Yield some answers, then fail."""
    yield from embed()
    raise error


def test_the_tally_counts_records_errors_and_what_was_cut(tmp_path: Path) -> None:
    """What stderr says at the end is counted while writing."""
    tally = write_answers(classify(), OutputFormat.JSONL, Destination(str(tmp_path / "a.jsonl")))
    assert tally == Tally(records=4, errors=2, tokens=605, cut_texts=1, cut_tokens=88)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("midway")])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("fmt", FILE_FORMATS)
def test_a_stopped_run_leaves_the_older_file(
    fmt: str, suffix: str, error: BaseException, tmp_path: Path
) -> None:
    """Whatever stops a run, the older file is untouched and no temporary file stays."""
    path = tmp_path / f"answers.{fmt}{suffix}"
    path.write_text("older")
    with pytest.raises(type(error)):
        write_answers(stopped(error), OutputFormat(fmt), Destination(str(path)))
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_permissions_and_its_links(tmp_path: Path) -> None:
    """Replacing a file changes its contents only, also through a symbolic link."""
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_text("older")
    real.chmod(0o640)
    link.symlink_to(real)
    write_answers(embed(), OutputFormat.JSONL, Destination(str(link)))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_text().count("\n") == 3


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """A new file can be read by whom the umask allows, not by its owner alone."""
    before = os.umask(0o022)
    try:
        write_answers(embed(), OutputFormat.JSONL, Destination(str(tmp_path / "a.jsonl")))
    finally:
        os.umask(before)
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o644


HOSTILE = "a\x1b[31m\x9b2J\u202eb\tc\r"
TEXT_FORMATS = ["jsonl", "json", "csv", "tsv", "text", "trec", "table"]


@pytest.mark.parametrize("fmt", TEXT_FORMATS)
def test_a_terminal_obeys_nothing_that_is_printed(
    fmt: str, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """Names and texts are shown there, in every format; a pipe and a file get them as they are."""
    hits = (Hit(0.5, HOSTILE, HOSTILE, 1), Hit(0.5, "b", "b", 2))
    answers = [Answer(Record(0, "q"), SearchResult("q", hits, Reading(1)))]
    path = tmp_path / "out"
    for terminal, target in ((True, None), (False, None), (True, str(path))):
        write_answers(answers, OutputFormat(fmt), Destination(target, terminal=terminal))
    both = capfdbinary.readouterr().out.decode()
    raw = path.read_bytes().decode()
    assert both.endswith(raw)
    shown = both.removesuffix(raw)
    assert not set("\x1b\x9b\u202e\r") & set(shown)
    assert shown.count("\n") == raw.count("\n") and shown.count("\t") == raw.count("\t")
    assert fmt == "table" or "\u202e" in raw


def test_compressed_files_hold_the_same_bytes(tmp_path: Path) -> None:
    """.gz and .xz change the wrapping only, and the same answers give the same file."""
    names = ("a.jsonl", "a.jsonl.gz", "b.jsonl.gz", "a.jsonl.xz")
    for name in names:
        write_answers(classify(), OutputFormat.JSONL, Destination(str(tmp_path / name)))
    plain, zipped, again, packed = ((tmp_path / name).read_bytes() for name in names)
    assert gzip.decompress(zipped) == lzma.decompress(packed) == plain
    assert zipped == again


@pytest.mark.parametrize(
    ("name", "advice"),
    [("no/such/a.jsonl", "mkdir -p"), ("", "is a folder"), ("file.txt/a.jsonl", "not a folder")],
)
def test_an_impossible_place_is_explained(name: str, advice: str, tmp_path: Path) -> None:
    """Before the first record is read, one line says what is wrong and what to do."""
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(OutputError, match=advice) as raised:
        write_answers(stopped(ValueError()), OutputFormat.JSONL, Destination(str(tmp_path / name)))
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    """A rename could get past a file's protection; bertcli does not."""
    path = tmp_path / "a.jsonl"
    path.write_text("older")
    path.chmod(0o444)
    with pytest.raises(OutputError, match="no permission"):
        write_answers(embed(), OutputFormat.JSONL, Destination(str(path)))


LIMITED = """
import resource, sys
from bertcli.errors import OutputError
from bertcli.outputs.formats import OutputFormat
from bertcli.outputs.write import Destination, write_answers
from tests.outputs.samples import embed
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    write_answers(embed() * 2000, OutputFormat(sys.argv[1]), Destination(sys.argv[2]))
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("fmt", ["jsonl", "csv", "parquet", "npy"])
def test_a_file_that_cannot_grow_is_explained(fmt: str, tmp_path: Path) -> None:
    """Where the system stops a file from growing, one line says so and nothing is left behind."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-B", "-c", LIMITED, fmt, str(tmp_path / f"a.{fmt}")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert "larger than allowed" in run.stderr
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


class BrokenStream(io.BytesIO):
    """A stream that fails at the first byte."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, data: object, /) -> int:
        raise self.error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(code: int) -> None:
    """A full disk is one line with what to do."""
    stream = GuardedStream(BrokenStream(OSError(code, os.strerror(code))), "a.jsonl")
    with pytest.raises(OutputError, match="free some space"):
        stream.write(b"x")


def test_a_closed_pipe_is_no_output_error() -> None:
    """`| head` is not a failure to explain: it passes through to main."""
    stream = GuardedStream(BrokenStream(BrokenPipeError(errno.EPIPE, "closed")), "stdout")
    with pytest.raises(BrokenPipeError):
        stream.write(b"x")


def test_an_input_that_fails_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    """An OSError of whoever makes the answers is not turned into an OutputError."""
    with pytest.raises(FileNotFoundError):
        answers = stopped(FileNotFoundError("in.txt"))
        write_answers(answers, OutputFormat.JSONL, Destination(str(tmp_path / "a.jsonl")))


def test_an_open_file_keeps_what_it_has(tmp_path: Path) -> None:
    """/dev/fd/N goes on where a shell's redirection stands; the file behind is not replaced."""
    path = tmp_path / "log"
    path.write_text("old\n")
    with path.open("ab") as log:
        destination = Destination(f"/dev/fd/{log.fileno()}")
        write_answers(embed(), OutputFormat.JSONL, destination)
    assert path.read_text().startswith("old\n{")


def test_a_device_is_written_directly() -> None:
    """-o /dev/null works and is not replaced by a file."""
    write_answers(embed(), OutputFormat.JSONL, Destination("/dev/null"))
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("path", [None, "-"])
def test_stdout_is_utf8_whatever_the_locale(path: str | None) -> None:
    """A C locale does not change a byte, and a dash means stdout."""
    code = (
        "from bertcli.outputs.write import *\n"
        "from bertcli.outputs.formats import OutputFormat\n"
        "from tests.outputs.samples import ner\n"
        f"write_answers(ner(), OutputFormat.JSONL, Destination({path!r}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        check=True,
    )
    assert "北京市" in run.stdout.decode()


def test_live_records_are_flushed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who types a line sees its answer before typing the next."""
    seen: list[int] = []
    buffer = io.BytesIO()
    stdout = io.TextIOWrapper(io.BufferedWriter(buffer, 10**6))
    monkeypatch.setattr(sys, "stdout", stdout)

    def watched() -> Iterator[Answer]:
        for answer in embed():
            seen.append(buffer.getvalue().count(b"\n"))
            yield answer

    write_answers(watched(), OutputFormat.JSONL, Destination(live=True))
    assert seen == [0, 1, 2]


def test_binary_on_a_terminal_is_refused_here_too() -> None:
    """Whoever forgets to ask choose_format does not garble a terminal."""
    with pytest.raises(UsageError):
        write_answers(embed(), OutputFormat.NPY, Destination(terminal=True))


def test_json_lines_import_neither_rich_nor_pyarrow() -> None:
    """Start-up is felt: what a format does not need is not imported."""
    code = (
        "import sys, bertcli.outputs.write, bertcli.outputs.progress\n"
        "print(sorted({'rich', 'pyarrow', 'numpy', 'gzip', 'lzma'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("fmt", "task"), [("jsonl", "classify"), ("csv", "classify"), ("npy", "embed")]
)
def test_memory_stays_flat(fmt: str, task: str, tmp_path: Path) -> None:
    """Thousands of records need no more memory than a few: they are written as they come."""
    many = (answer for _ in range(2_000) for answer in SAMPLES[task]())
    tracemalloc.start()
    write_answers(many, OutputFormat(fmt), Destination(str(tmp_path / f"a.{fmt}")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000  # bytes; the records alone would be many times that
