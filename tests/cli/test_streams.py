"""stdin, stdout, stderr, files and signals: what the shell sees of a run."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from bertcli.cli.app import main

from .conftest import Run

BERTCLI = (sys.executable, "-m", "bertcli")


@contextmanager
def terminal(columns: int = 80) -> Iterator[tuple[io.TextIOWrapper, list[bytes]]]:
    """Yield a stream that is a terminal, and a list that holds what came out of it afterwards."""
    master, slave = pty.openpty()
    shown: list[bytes] = []
    os.environ["COLUMNS"] = str(columns)
    with open(slave, "w", encoding="utf-8") as stream:  # noqa: PTH123
        yield stream, shown
        stream.flush()
        os.set_blocking(master, False)
        with open(master, "rb", buffering=0) as reader:  # noqa: PTH123
            shown.append(reader.read() or b"")
    del os.environ["COLUMNS"]


def shown_on_terminal(arguments: list[str], columns: int) -> str:
    """Return what a command line shows where stdout is a terminal."""
    with pytest.MonkeyPatch.context() as patch, terminal(columns) as (stream, shown):
        patch.setattr("sys.stdout", stream)
        assert main(arguments) == 0
    return shown[0].decode().replace("\r\n", "\n")


# --- exit codes and errors -------------------------------------------------------------------


def test_the_exit_code_tells_how_it_went(classify: Run, here: Path) -> None:
    """0 done, 1 failed, 2 used wrongly, 3 finished but some records failed."""
    (here / "some.txt").write_bytes(b"fine\n\xff\n")
    codes = [
        classify("text").code,
        classify("-i", "none.txt").code,
        classify("--nonsense").code,
        classify("-i", "some.txt").code,
    ]
    assert codes == [0, 1, 2, 3]


@pytest.mark.parametrize(("allowed", "code"), [(0, 1), (1, 1), (2, 3), (9, 3)])
def test_max_errors_stops_a_run_that_goes_wrong(
    classify: Run, here: Path, allowed: int, code: int
) -> None:
    """More bad records than --max-errors end the run; as many are put up with."""
    (here / "a.txt").write_bytes(b"one\n\xff\ntwo\n\xff\nthree\n")
    ran = classify("-i", "a.txt", "--max-errors", allowed)
    assert ran.code == code
    assert ("stopped after" in ran.err) == (code == 1)


@pytest.mark.parametrize("line", [("--seed", 1), ("--max-errors", 2, "--on-error", "stop")])
def test_an_option_that_would_do_nothing_is_refused(
    classify: Run, here: Path, line: tuple[object, ...]
) -> None:
    """One that is given without what it is for is a mistake, and no silence."""
    (here / "a.txt").write_text("fine\n")
    ran = classify("-i", "a.txt", *line)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"bertcli: {line[0]}: ")


def test_only_the_first_errors_are_named(classify: Run, here: Path) -> None:
    """A file with thousands of bad lines does not flood the screen; the output has them all."""
    (here / "a.txt").write_bytes(b"\xff\n" * 50 + b"fine\n")
    ran = classify("-i", "a.txt")
    assert len(ran.err.splitlines()) == 12
    assert sum("error" in record for record in ran.records) == 50
    assert classify("-i", "a.txt", "-q").err == ""


# --- what goes in ----------------------------------------------------------------------------


def test_records_keep_their_order(classify: Run, here: Path) -> None:
    """Texts are batched by length, and answered in the order in which they came."""
    texts = [f"{'word ' * (n * 7 % 40)}number {n}" for n in range(120)]
    (here / "a.txt").write_text("\n".join(texts))
    ran = classify("first", "-i", "a.txt")
    assert [record["text"] for record in ran.records] == ["first", *texts]


ROWS = [{"text": "one", "id": 7, "tag": None}, {"text": "two, or", "id": 8, "tag": "x"}]


def test_own_columns_come_back_from_csv(classify: Run, here: Path) -> None:
    """CSV in, CSV out: the row's own columns stand first, in their order, with their values."""
    (here / "a.csv").write_text('id,text,label\n7,one,mine\n8,"two, or",\n')
    rows = list(csv.DictReader(io.StringIO(classify("-i", "a.csv", "-f", "csv").out)))
    assert list(rows[0])[:4] == ["id", "text", "label", "predicted_label"]
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [
        ("7", "one", "mine"),
        ("8", "two, or", ""),
    ]


def test_own_columns_come_back_from_jsonl(classify: Run, here: Path) -> None:
    """JSON lines in, JSON lines out: numbers, nulls and lists are what they were."""
    rows = [row | {"list": [1, {"a": 2}]} for row in ROWS]
    (here / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row, record in zip(rows, classify("-i", "a.jsonl").records, strict=True):
        assert record.items() >= row.items()
        assert record["label"]


def test_own_columns_come_back_from_parquet(classify: Run, here: Path) -> None:
    """Parquet in, Parquet out: the columns keep their types."""
    pq.write_table(pa.Table.from_pylist(ROWS), here / "a.parquet")
    assert classify("-i", "a.parquet", "-o", "b.parquet").code == 0
    table = pq.read_table(here / "b.parquet")
    assert table.select(["text", "id", "tag"]).to_pylist() == ROWS
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("score").type == pa.float64()


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "json", "csv", "tsv"])
@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
def test_every_format_comes_in_packed_or_not(
    classify: Run, here: Path, suffix: str, packed: str
) -> None:
    """The suffix tells the format, and .gz or .xz after it the compression."""
    texts = {
        "txt": "the cat\n",
        "jsonl": '{"text": "the cat"}\n',
        "json": '[{"text": "the cat"}]',
        "csv": "text,n\nthe cat,1\n",
        "tsv": "n\ttext\n1\tthe cat\n",
    }
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[packed]
    (here / f"a.{suffix}{packed}").write_bytes(pack(texts[suffix].encode()))
    (record,) = classify("-i", f"a.{suffix}{packed}").records
    assert record["text"] == "the cat"


def test_globs_are_expanded_by_bertcli_too(classify: Run, here: Path) -> None:
    """A quoted glob finds its files, sorted; one that finds nothing is an error."""
    for name in ("b.txt", "a.txt", "c.csv"):
        (here / name).write_text(name)
    assert [r["text"] for r in classify("-i", "*.txt").records] == ["a.txt", "b.txt"]
    assert classify("-i", "*.tsv").said("*.tsv: no file matches")


def test_stdin_is_read_with_a_dash_and_without_anything(classify: Run) -> None:
    """`-i -` and no input at all both read stdin, packed or not, in the format that is said."""
    assert [r["text"] for r in classify("-i", "-", stdin=b"a\nb\n").records] == ["a", "b"]
    assert [r["text"] for r in classify(stdin=b"a\nb\n").records] == ["a", "b"]
    assert classify(stdin=gzip.compress(b"a\n")).records[0]["text"] == "a"
    ran = classify("--input-format", "jsonl", "--field", "t", stdin=b'{"t": "x", "n": 1}\n')
    assert ran.records[0]["n"] == 1


def test_nothing_to_read_on_a_terminal_shows_the_help(
    classify: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare command does not sit and wait for what nobody knows to type."""
    with terminal() as (stream, _):
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["classify", "--labels", "a,b"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Usage: bertcli classify")


@pytest.mark.parametrize("group", ["index", "models", "train", "eval"])
def test_a_group_without_a_command_shows_its_commands(run: Run, group: str) -> None:
    """`bertcli index` alone lists what there is, and is a wrong use."""
    ran = run(group)
    assert (ran.code, ran.out) == (2, "")
    assert f"Usage: bertcli {group}" in ran.err
    assert "Commands:" in ran.err


def test_a_text_that_is_a_file_gets_a_hint(classify: Run, here: Path) -> None:
    """A positional is text, always; whoever gave a file's name is told about -i."""
    (here / "a.txt").write_text("one")
    ran = classify("a.txt")
    assert ran.records[0]["text"] == "a.txt"
    assert ran.said("-i a.txt")


def test_a_whole_file_is_named_and_not_repeated(classify: Run, here: Path) -> None:
    """With --whole-file an answer says which file it is about, and does not repeat the file."""
    (here / "a.txt").write_text("one\ntwo\n")
    (record,) = classify("--whole-file", "-i", "a.txt").records
    assert record["source"] == "a.txt"
    assert "text" not in record


# --- what comes out --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.jsonl", b'{"text": "x"'),
        ("a.json", b"[\n"),
        ("a.csv", b"text,label,score,error\n"),
        ("a.tsv", b"text\tlabel"),
        ("a.txt", b""),
        ("a.parquet", b"PAR1"),
        ("a.out", b""),
        ("a.csv.gz", b"\x1f\x8b"),
        ("a.csv.xz", b"\xfd7zXZ"),
    ],
)
def test_the_name_of_the_output_decides_its_format(
    classify: Run, here: Path, name: str, start: bytes
) -> None:
    """-o answers.csv is CSV; -f has the last word; a suffix nobody knows is refused."""
    ran = classify("x", "-o", name)
    if name == "a.out":
        assert ran.code == 2
        ran = classify("x", "-o", name, "-f", "csv")
    assert (ran.code, ran.out) == (0, "")
    assert (here / name).read_bytes().startswith(start)


def test_packed_output_can_be_read_again(classify: Run, here: Path) -> None:
    """What is written with .gz is input for the next command."""
    classify("x", "y", "-o", "a.jsonl.gz")
    ran = classify("-i", "a.jsonl.gz")
    assert [record["text"] for record in ran.records] == ["x", "y"]


def test_tables_are_for_terminals(classifier: Path, classify: Run) -> None:
    """On a terminal a table in its width, in a pipe JSON lines without escapes."""
    line = ["classify", "-m", str(classifier), "去東京タワー " * 20, "short"]
    for columns in (60, 120):
        table = re.sub(r"\x1b\[[0-9;]*m", "", shown_on_terminal(line, columns))
        titles = table.splitlines()[0].split()
        assert titles == ["#", "text", "label", "score"]
        assert max(map(cell_len, table.split("\n"))) <= columns
    assert classify("short").out.startswith('{"text"')


def test_no_color_is_honoured(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour on a terminal, unless NO_COLOR is set."""
    line = ["classify", "-m", str(classifier), "short"]
    assert "\x1b[" in shown_on_terminal(line, 80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown_on_terminal(line, 80)


def test_an_error_on_a_terminal_is_shown_once(
    classifier: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has the bad record in its place; stderr, on the same screen, only counts."""
    (here / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.MonkeyPatch.context() as patch, terminal() as (stream, shown):
        patch.setattr("sys.stdout", stream)
        assert main(["classify", "-m", str(classifier), "-i", "a.txt"]) == 3
    assert "a.txt:2" in shown[0].decode()
    assert capsys.readouterr().err == "bertcli: 1 of 2 records failed\n"


def test_progress_is_for_terminals(
    classifier: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count is drawn on stderr where that is a terminal, and not with --no-progress or -q."""
    monkeypatch.setattr("bertcli.outputs.progress.PAUSE_SECONDS", 0.0)
    line = ["classify", "-m", str(classifier), "a", "b", "-o", "a.csv"]
    for options, drawn in (([], True), (["--no-progress"], False), (["-q"], False)):
        with pytest.MonkeyPatch.context() as patch, terminal() as (stream, shown):
            patch.setattr("sys.stderr", stream)
            main([*line, *options])
        assert ("\x1b[K" in shown[0].decode()) == drawn


def test_verbose_counts(classify: Run) -> None:
    """-v ends with records, tokens and rate, on stderr."""
    assert re.search(r"bertcli: 2 records, \d+ tokens, [\d.]+ s, ", classify("a", "b", "-v").err)


# --- real processes --------------------------------------------------------------------------


@pytest.fixture
def endless(here: Path) -> Path:
    """A file that takes a minute to classify."""
    path = here / "endless.txt"
    path.write_text("some words here for testing\n" * 400_000)
    return path


@pytest.mark.parametrize(("gigabytes", "send"), [(None, os.kill), (8, os.kill), (8, os.killpg)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_cleans_up(
    classifier: Path,
    endless: Path,
    number: signal.Signals,
    code: int,
    gigabytes: int | None,
    send: Callable[[int, int], None],
) -> None:
    """Ctrl-C and kill leave the older file as it was and no temporary one, and say little.

    So do they within a limit of memory, where the work is done by a child, which what is sent to
    both reaches twice.
    """

    def start() -> None:
        _heeds_ctrl_c()
        if gigabytes:
            resource.setrlimit(resource.RLIMIT_AS, (gigabytes << 30, gigabytes << 30))

    old = endless.with_name("answers.jsonl")
    old.write_text("old\n")
    line = [*BERTCLI, "classify", "-m", classifier, "-i", endless, "-o", old]
    with subprocess.Popen(
        line, stderr=subprocess.PIPE, preexec_fn=start, start_new_session=True
    ) as running:
        _wait_for(lambda: any(path.stat().st_size for path in old.parent.glob(".bertcli-*.tmp")))
        send(running.pid, number)
        assert running.wait(20) == code
        assert running.stderr is not None
        said = running.stderr.read().decode()
    assert said == ("bertcli: interrupted\n" if number is signal.SIGINT else "")
    assert old.read_text() == "old\n"
    assert sorted(path.name for path in old.parent.iterdir()) == ["answers.jsonl", "endless.txt"]


def _heeds_ctrl_c() -> None:
    """Undo what a shell does to a job in the background, of which the tests may be one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_for(happened: object) -> None:
    end = time.monotonic() + 30
    while not happened() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    assert happened()  # type: ignore[operator]


def test_a_closed_pipe_ends_the_run_quietly(classifier: Path, endless: Path) -> None:
    """`| head -1` gets its line; the rest is not computed and nothing is said."""
    line = [*BERTCLI, "classify", "-m", classifier, "-i", endless]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["label"]
        running.stdout.close()
        assert running.wait(20) == 0
        assert running.stderr.read() == b""


def test_a_live_pipe_is_answered_line_by_line(classifier: Path) -> None:
    """The first answer is there before the second line is written: `tail -f log | bertcli …`."""
    line = [*BERTCLI, "classify", "-m", classifier]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(line, **pipes, bufsize=0) as running:  # type: ignore[call-overload]
        for text in ("one", "two"):
            running.stdin.write(f"{text}\n".encode())
            assert json.loads(running.stdout.readline())["text"] == text
        running.stdin.close()
        assert running.wait(20) == 0


def test_a_full_disk_is_told(classifier: Path, endless: Path) -> None:
    """When nothing more fits, the run stops with one line and leaves nothing half-written."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    line = [*BERTCLI, "classify", "-m", classifier, "-i", endless, "-o", "answers.jsonl"]
    ran = subprocess.run(line, capture_output=True, preexec_fn=limited, cwd=endless.parent)
    assert ran.returncode == 1
    (said,) = ran.stderr.decode().splitlines()
    assert said.startswith("bertcli: cannot write answers.jsonl")
    assert [path.name for path in endless.parent.iterdir()] == ["endless.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_stdout_on_a_full_disk_is_told_once(classifier: Path) -> None:
    """A failing stdout is one line and exit code 1, without the interpreter's own complaint."""
    line = [*BERTCLI, "classify", "-m", classifier, "a", "b"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(line, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 1
    (said,) = ran.stderr.decode().splitlines()
    assert said.startswith("bertcli: cannot write stdout: the disk is full")


@pytest.mark.parametrize(("closed", "code"), [(">&-", 1), ("2>&-", 0), ("<&-", 0)])
def test_closed_streams_do_not_confuse(classifier: Path, closed: str, code: int) -> None:
    """A stream that is closed from the start is no reason for a traceback."""
    line = f"{sys.executable} -m bertcli classify -m {classifier} text {closed}"
    ran = subprocess.run(["bash", "-c", line], capture_output=True)
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr


def test_memory_does_not_grow_with_the_input(classifier: Path, here: Path) -> None:
    """Ten times as many records take the same memory, to within a few batches."""
    script = (  # ru_maxrss would be the test's own peak, which a child inherits
        "import re, sys\n"
        "from bertcli.cli.app import main\n"
        "main(sys.argv[1:])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    peaks = []
    for records in (600, 6_000):
        blob = "x" * 2_000
        rows = (json.dumps({"text": "some words", "n": n, "x": blob}) for n in range(records))
        (here / "a.jsonl").write_text("\n".join(rows))
        options = ["classify", "-m", classifier, "-i", "a.jsonl", "-o", "b.jsonl", "-q"]
        line = [sys.executable, "-c", script, *options]
        peaks.append(int(subprocess.run(line, capture_output=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 10_000  # KB; the input itself is 12 MB
