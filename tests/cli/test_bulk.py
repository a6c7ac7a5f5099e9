"""Long runs over files: parts of the input, forecasts, going on after a kill, manifests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertcli.cli import bulk
from bertcli.cli.bulk import spread
from bertcli.engine.families import Head
from bertcli.outputs.journal import journal_of

from .conftest import Run

BERTCLI = (sys.executable, "-m", "bertcli")
ROWS = 1_400  # three groups of records

MADE_WITH = ("checkpoint", "settings of", "tokenizer of")

DYING = """
import os, signal, sys
import bertcli.tasks.run as run
from bertcli.cli.app import main

answer, asked = run._answered, []

def answer_or_die(*arguments):
    asked.append(1)
    if len(asked) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(*arguments)

run._answered = answer_or_die
main(sys.argv[1:])
"""  # bertcli, killed before it answers the third group


@pytest.fixture
def rows(here: Path) -> Path:
    """Rows of several lengths, one of them bad."""
    path = here / "rows.jsonl"
    lines = [json.dumps({"text": "a cat sat " * (1 + n % 7), "n": n}) for n in range(ROWS)]
    lines[700] = '{"n": 700}'
    path.write_text("\n".join(lines) + "\n")
    return path


# --- parts of the input ------------------------------------------------------------------------


def test_limit_reads_the_first_records(classify: Run, rows: Path) -> None:
    """So many records, bad ones among them, and no more of the file than that."""
    assert [one["n"] for one in classify("-i", rows, "--limit", 5).records] == [0, 1, 2, 3, 4]
    assert len(classify("-i", rows, "--limit", 9_999).records) == ROWS
    with rows.open("ab") as file:
        file.write(b"\xff broken\n")
    assert classify("-i", rows, "--limit", 3).code == 0


def test_a_sample_is_random_in_order_and_repeatable(classify: Run, rows: Path) -> None:
    """The same seed draws the same records; another one draws others."""
    drawn = [[one["n"] for one in _sample(classify, rows, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(one == sorted(set(one)) and len(one) == 40 for one in drawn)
    assert max(drawn[0]) > ROWS / 2  # not only the beginning
    assert [one["n"] for one in classify("a", "--sample", 9).records if "n" in one] == []


def _sample(classify: Run, rows: Path, seed: int) -> list[dict[str, Any]]:
    return classify("-i", rows, "--sample", 40, "--seed", seed).records


def test_every_record_is_as_likely_to_be_drawn(classify: Run, here: Path) -> None:
    """Over many seeds each of ten rows is drawn about as often."""
    from bertcli.cli.bulk import _sampled
    from bertcli.records import Record

    records = [Record(number, "text") for number in range(10)]
    counts = [0] * 10
    for seed in range(2_000):
        for one in _sampled(iter(records), 3, seed):
            assert isinstance(one, Record)
            counts[one.id] += 1
    assert all(500 < count < 700 for count in counts)  # 600 expected, deviation 20


# --- what a run reads and writes ---------------------------------------------------------------


def test_a_run_does_not_write_over_what_it_reads(classify: Run, here: Path) -> None:
    """Neither the input, also on stdin, nor a file of labels."""
    Path("a.txt").write_text("a cat\n")
    Path("labels.txt").write_text("pets\nnews\n")
    labels = ["--labels-file", "labels.txt"]
    assert classify("-i", "a.txt", "-o", "a.txt", "-f", "text").said("-o", "a.txt", "is read")
    assert classify("-i", "a.txt", *labels, "-o", "./labels.txt", "-f", "text").code == 2
    line = [sys.executable, "-m", "bertcli", "classify", "-o", "a.txt", "-f", "text"]
    with Path("a.txt").open("rb") as stdin:
        assert subprocess.run(line, stdin=stdin, capture_output=True).returncode == 2
    assert Path("a.txt").read_text() == "a cat\n"
    assert Path("labels.txt").read_text() == "pets\nnews\n"


@pytest.mark.parametrize("manifest", ["no/run.json", "."])
def test_a_manifest_that_cannot_be_written_is_told_first(
    classify: Run, rows: Path, manifest: str
) -> None:
    """Before any work is done."""
    ran = classify("-i", rows, "-o", "a.csv", "--manifest", manifest)
    assert ran.code == 1
    assert f"cannot write {manifest}" in ran.err
    assert not Path("a.csv").exists()


# --- bad records -------------------------------------------------------------------------------


def test_bad_records_are_written_left_out_or_the_end(classify: Run, rows: Path) -> None:
    """--on-error row is the default; skip leaves the row out but counts it; stop writes nothing."""
    kept = classify("-i", rows, "-o", "kept.jsonl")
    left = classify("-i", rows, "-o", "left.jsonl", "--on-error", "skip")
    stopped = classify("-i", rows, "-o", "none.jsonl", "--on-error", "stop")
    assert [kept.code, left.code, stopped.code] == [3, 3, 1]
    lines = [json.loads(line) for line in Path("kept.jsonl").read_text().splitlines()]
    good = [json.loads(line) for line in Path("left.jsonl").read_text().splitlines()]
    assert "error" in lines[700]
    assert good == [line for line in lines if "error" not in line]
    assert f"1 of {ROWS} records failed, and were left out" in left.err
    assert stopped.said("rows.jsonl:701", 'no column "text"', "--on-error stop", "nothing was")
    assert "nothing was" not in classify("-i", rows, "--on-error", "stop").err  # some lines were
    assert not Path("none.jsonl").exists()


def test_a_file_gets_a_summary(classify: Run, rows: Path) -> None:
    """Records, tokens, seconds and rate on stderr, unless quiet."""
    said = classify("-i", rows, "-o", "a.csv").err
    assert f"bertcli: {ROWS:,} records, " in said
    assert "records/s" in said
    assert "tokens" in said
    assert classify("-i", rows, "-o", "a.csv", "-q").err == ""


# --- forecasts ---------------------------------------------------------------------------------


def test_a_dry_run_predicts_and_writes_nothing(classify: Run, rows: Path) -> None:
    """Counts are those of the whole input; nothing is written."""
    ran = classify("-i", rows, "-o", "a.csv", "--dry-run")
    (facts,) = ran.records
    assert ran.code == 0
    assert facts["records"] == ROWS
    assert 0 < facts["probed_records"] <= ROWS
    assert facts["seconds"] > 0
    assert facts["tokens"] == pytest.approx(12 * ROWS, rel=0.5)
    assert classify("-i", rows, "--dry-run", "--limit", 10).records[0]["records"] == 10
    assert sorted(path.name for path in rows.parent.iterdir()) == ["rows.jsonl"]
    assert classify("a cat", "--dry-run").records[0]["tokens"] > 0  # what warms up counts too


def test_a_dry_run_looks_beyond_the_first_records(
    classify: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried comes from all that is soon read, not from its beginning."""
    monkeypatch.setattr(bulk, "PROBE_READ", 64)
    lines = [f"cat {i}" for i in range(200)] + [f"cat {i} " * 20 for i in range(200)]
    (here / "late.txt").write_text("\n".join(lines))
    (told,) = classify("-i", "late.txt", "--dry-run").records
    true = sum(one["tokens"] for one in classify("-i", "late.txt").records)
    assert told["records"] == 400
    assert true / 1.4 < told["tokens"] < true * 1.4


def test_a_dry_run_tries_the_beginning_of_long_records(
    classify: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of hours is not answered whole; what it would take is reckoned from its length."""
    import bertcli.cli.bulk as bulk

    monkeypatch.setattr(bulk, "PROBE_CHARACTERS", 60)
    Path("a.txt").write_text(
        "the cat sat on the mat\n" * 4 + "the cat sat on the mat " * 300 + "\n"
    )
    (facts,) = classify("-i", "a.txt", "--dry-run").records
    assert facts["probed_records"] == facts["records"] == 5
    assert facts["tokens"] == pytest.approx(304 * 6, rel=0.2)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9])
def test_spread_yields_everything_once(count: int) -> None:
    """Whatever the number of items."""
    assert sorted(spread(range(count))) == list(range(count))


# --- going on after a kill ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.parquet", "a.csv.gz"])
def test_a_killed_run_goes_on(classifier: Path, rows: Path, name: str) -> None:
    """After kill -9 the same command answers the rest; the bytes are those of an unbroken run."""
    line = [*BERTCLI, "classify", "-m", str(classifier), "-i", str(rows), "-q"]
    assert subprocess.run([*line, "-o", f"whole-{name}"]).returncode == 3
    dying = [sys.executable, "-c", DYING, *line[3:], "-o", name, "--resume"]
    assert subprocess.run(dying).returncode == -signal.SIGKILL
    assert not Path(name).exists()
    assert journal_of(name).exists()
    assert subprocess.run([*line, "-o", name, "--resume"]).returncode == 3
    assert Path(name).read_bytes() == Path(f"whole-{name}").read_bytes()
    assert not journal_of(name).exists()


@pytest.mark.parametrize(
    "line",
    [
        ("similar", "--threshold", "0.5"),
        ("dedupe", "--threshold", "0.99"),
        ("dedupe", "--threshold", "0.99", "--unique"),
        ("cluster", "-k", "3"),
    ],
)
def test_what_is_alike_goes_on_after_a_kill(
    tiny_checkpoint: Any, rows: Path, line: tuple[str, ...]
) -> None:
    """The vectors are kept, and the bytes are those of an unbroken run."""
    command = [*line, "-m", str(tiny_checkpoint("bert", Head.BASE)), "-i", str(rows), "-q"]
    assert subprocess.run([*BERTCLI, *command, "-o", "whole.jsonl"]).returncode == 3
    kept = [*command, "-o", "a.jsonl", "--resume"]
    assert subprocess.run([sys.executable, "-c", DYING, *kept]).returncode == -signal.SIGKILL
    assert journal_of("a.jsonl").exists()
    assert subprocess.run([*BERTCLI, *kept]).returncode == 3
    assert Path("a.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert not journal_of("a.jsonl").exists()


def test_what_was_answered_is_not_computed_again(
    classify: Run, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run asks the model for the groups that are missing, and for no other."""
    import bertcli.tasks.run as run

    answered: list[int] = []
    group = run._answered

    def counting(task: Any, records: Any) -> Any:
        answered.append(len(records.items))
        if len(answered) == 2:
            raise KeyboardInterrupt
        return group(task, records)

    monkeypatch.setattr(run, "_answered", counting)
    options = ["-i", rows, "-o", "a.jsonl", "--resume", "-q"]
    assert classify(*options).code == 130
    assert classify(*options).code == 3
    assert answered == [512, 512, 512, ROWS - 1024]


def test_another_command_does_not_go_on(
    classify: Run, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another option, another input or another checkpoint are told; the journal stays."""
    import bertcli.cli.bulk as bulk

    real = bulk.answers_with

    def interrupted(*arguments: Any) -> Any:
        for number, answer in enumerate(real(*arguments)):
            if number == 600:
                raise KeyboardInterrupt
            yield answer

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "answers_with", interrupted)
        assert classify("-i", rows, "-o", "a.csv", "--resume").code == 130
    assert classify("-i", rows, "-o", "a.csv", "--resume", "-k", 2).said("--top-k", "delete")
    old = rows.read_text()
    rows.write_text(old.replace("cat", "dog", 1))
    assert classify("-i", rows, "-o", "a.csv", "--resume").said("rows.jsonl:1", "--resume")
    rows.write_text(old)
    assert classify("-i", rows, "-o", "a.csv", "--resume", "-q").code == 3


def test_what_another_file_says_is_part_of_the_run(
    run: Run, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels in a file: others under the same name do not go on, and replay names the file."""
    labels = Path("labels.txt")
    labels.write_text("pets\nnews\n")
    line = ("classify", "--labels-file", "labels.txt", "-i", rows, "--limit", 20, "-q")
    assert run(*line, "-o", "a.csv", "--manifest", "run.json").code == 0
    import bertcli.outputs.write as writing

    with monkeypatch.context() as patch:
        patch.setattr(writing, "open_sink", _raise_interrupt)
        assert run(*line, "-o", "b.csv", "--resume").code == 130
    labels.write_text("pets\nsports\n")
    assert run(*line, "-o", "b.csv", "--resume").said("file labels.txt", "cannot resume")
    assert "made_with: file labels.txt was" in run("replay", "run.json").err


def _raise_interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_checkpoints_settings_are_part_of_the_run(
    run: Run, rows: Path, classifier: Path, own_copy: Any
) -> None:
    """Other thresholds in its config.json are named by replay, as other weights would be."""
    copy = own_copy(classifier)
    assert run("classify", "-m", copy, "a cat", "--manifest", "run.json").code == 0
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"thresholds": {"LABEL_0": 0.9}}))
    assert f"made_with: settings of {copy} was" in run("replay", "run.json").err


@pytest.mark.parametrize("output", ["no/a.csv", "a.unknown", "/dev/null", "-"])
def test_what_can_never_be_written_leaves_no_journal(
    classify: Run, rows: Path, output: str
) -> None:
    """It is told at once, with --resume too."""
    assert classify("-i", rows, "-o", output, "--resume").code in (1, 2)
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


def test_what_is_done_with_bad_records_may_change(classify: Run, rows: Path) -> None:
    """A run that stopped at a bad record goes on under more patience, and skips it if asked to."""
    line = ("-i", rows, "-o", "a.csv", "--resume")
    assert classify(*line, "--max-errors", 0).code == 1
    assert classify(*line, "--max-errors", 1, "--on-error", "skip").code == 3
    assert len(Path("a.csv").read_text().splitlines()) == ROWS  # header and all but the bad one


def test_resume_needs_files(classify: Run, rows: Path) -> None:
    """Without -o there is nothing to go on with."""
    ran = classify("-i", rows, "--resume")
    assert ran.code == 2
    assert ran.said("--resume", "-o")


# --- manifests ---------------------------------------------------------------------------------


def test_a_manifest_says_how_a_run_was_made(classify: Run, rows: Path, classifier: Path) -> None:
    """Versions, hashes, flags and counts, and replay makes the same bytes of it."""
    assert classify("-i", rows, "-o", "a.csv", "-k", 2, "--manifest", "run.json").code == 3
    told = json.loads(Path("run.json").read_text())
    assert told["flags"]["top_k"] == "2"
    assert told["records"]["records"] == ROWS
    assert told["records"]["errors"] == 1
    assert told["inputs"][0]["bytes"] == rows.stat().st_size
    assert list(told["made_with"]) == [f"{what} {classifier}" for what in MADE_WITH]
    assert told["output"]["sha256"] == _sha256("a.csv")


def test_names_that_are_not_utf8(classify: Run, run: Run, here: Path) -> None:
    """A run over such a file goes on, is noted and is made again like any other."""
    name, noted = os.fsdecode(b"caf\xe9.txt"), os.fsdecode(b"m\xe9.json")
    Path(name).write_text("a cat\n")
    assert classify("-i", name, "-o", "a.csv", "--resume", "--manifest", noted).code == 0
    assert name in json.loads(Path(noted).read_text())["command"]
    ran = run("replay", noted)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("reproduced: 1 record")


def test_a_manifest_names_what_qa_read(run: Run, here: Path) -> None:
    """Both where the files hold contexts and where they hold questions."""
    Path("a.txt").write_text("Ann Lee built it.")
    Path("b.jsonl").write_text('{"question": "Who?", "context": "Ann Lee built it."}\n')
    for line in (["Who built it?", "-i", "a.txt"], ["-i", "b.jsonl"]):
        assert run("qa", *line, "--manifest", "m.json").code == 0
        (read,) = json.loads(Path("m.json").read_text())["inputs"]
        assert read["path"] == line[-1]


def test_replay_tells_whether_it_is_the_same(
    classify: Run, run: Run, rows: Path, classifier: Path, own_copy: Any, monkeypatch: Any
) -> None:
    """The same files give the same bytes; a changed input or checkpoint is named."""
    classify("-i", rows, "-o", "a.csv", "--manifest", "run.json", "-q")
    same = run("replay", "run.json")
    assert same.code == 0
    assert same.out.startswith(f"reproduced: {ROWS:,} records")
    assert same.err == ""
    rows.write_text(rows.read_text().replace("cat", "dog", 1))
    other = run("replay", "run.json")
    assert other.code == 1
    assert other.out.startswith("not reproduced")
    assert "records: sha256 was" in other.err
    rows.unlink()
    assert run("replay", "run.json").said("the command failed", "no such file")


def test_replay_of_what_went_to_stdout(classify: Run, run: Run, here: Path) -> None:
    """Texts of the command line, and JSON lines on stdout."""
    for arguments in (["a cat", "--manifest", "m.json"], ["--manifest", "m.json", "--", "-cat"]):
        assert classify(*arguments).code == 0
        assert run("replay", "m.json").out.startswith("reproduced: 1 record,")


def test_replay_of_a_table_has_its_width(
    classify: Run, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table is as wide as the terminal was, wherever it is replayed."""
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", "140")
        long = "a cat and a dog and a fish and a bird and a cat and a dog and a fish and so on"
        assert classify(long, long, "-f", "table", "-o", "t.txt", "--manifest", "m.json").code == 0
    assert run("replay", "m.json").out.startswith("reproduced: 2 records")


@pytest.mark.parametrize("kind", ["pipe", "null"])
def test_replay_of_what_no_file_has(classify: Run, run: Run, here: Path, kind: str) -> None:
    """What went to a pipe or a device is hashed as it goes: nobody can read it again."""
    place = Path("pipe") if kind == "pipe" else Path("/dev/null")
    if kind == "pipe":
        os.mkfifo(place)
        reader = Thread(target=place.read_bytes, daemon=True)
        reader.start()
    assert classify("a cat", "-f", "csv", "-o", place, "--manifest", "m.json").code == 0
    assert run("replay", "m.json").out.startswith("reproduced: 1 record,")


def test_parquet_from_a_pipe_is_read_once(classify: Run, here: Path) -> None:
    """Nobody else opens the pipe, to look at its types."""
    pq.write_table(pa.table({"text": ["a cat"], "n": pa.array([1], pa.int8())}), "in.parquet")
    os.mkfifo("pipe")
    content = Path("in.parquet").read_bytes()
    Thread(target=Path("pipe").write_bytes, args=(content,), daemon=True).start()
    assert classify("-i", "pipe", "--input-format", "parquet", "-o", "out.parquet").code == 0
    assert pq.read_table("out.parquet")["n"].to_pylist() == [1]


def test_a_dry_run_of_nothing(classify: Run, here: Path) -> None:
    """Empty files alone are bad records, of no length."""
    for name in ("a.txt", "b.txt"):
        Path(name).touch()
    (told,) = classify("-i", "a.txt", "-i", "b.txt", "--dry-run").records
    assert (told["records"], told["bad_records"]) == (2, 2)


def test_parquet_keeps_the_types_of_parquet(classify: Run, here: Path) -> None:
    """Types that the first rows do not show: of the input's schema, in a column that stays."""
    rows = pa.table(
        {
            "text": ["a cat"] * 1001,
            "price": pa.array([Decimal("9.99")] * 1000 + [Decimal("149.00")], pa.decimal128(12, 2)),
            "sizes": pa.array([[]] * 1000 + [[1]], pa.list_(pa.int8())),
            "when": pa.array([None] * 1000 + [datetime(2024, 2, 29)], pa.timestamp("ns")),
        }
    )
    pq.write_table(rows, "in.parquet")
    assert classify("-i", "in.parquet", "-o", "out.parquet").code == 0
    found = pq.read_table("out.parquet")
    assert found.select(["text", "price", "sizes"]).equals(rows.select(["text", "price", "sizes"]))
    assert found["when"].to_pylist() == [None] * 1000 + [datetime(2024, 2, 29)]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"command": ["replay", "x"]}', "\x00", '{"command": [1], "bertcli": ""}'],
)
def test_what_is_no_manifest_is_told(run: Run, here: Path, content: str) -> None:
    """One line, exit code 1."""
    Path("m.json").write_text(content)
    ran = run("replay", "m.json")
    assert ran.code == 1
    assert ran.said("m.json", "manifest")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("command", ["classify", "\0"]),
        ("command", ["classify", "\ud800"]),
        ("output", {"path": 3, "format": "csv", "sha256": "0", "width": 80}),
        ("output", {"path": "a\0.csv", "format": "csv", "sha256": "0", "width": 80}),
        ("output", {"path": None, "format": ["csv"], "sha256": "0", "width": 80}),
        ("output", {"path": None, "format": "csv", "sha256": 0, "width": 80}),
        ("output", {"path": None, "format": "csv", "sha256": "0", "width": "80"}),
        ("records", {"records": "two"}),
    ],
)
def test_a_manifest_with_parts_of_other_kinds(
    classify: Run, run: Run, here: Path, part: str, value: object
) -> None:
    """One line, exit code 1."""
    classify("a cat", "--manifest", "m.json")
    told = json.loads(Path("m.json").read_text())
    Path("m.json").write_text(json.dumps(told | {part: value}))
    ran = run("replay", "m.json")
    assert ran.code == 1
    assert ran.said("m.json", "not the manifest of a run")


def test_a_manifest_of_a_dry_run_is_told(classify: Run, run: Run, here: Path) -> None:
    """Somebody wrote --dry-run into it: there is nothing to compare."""
    classify("a cat", "--manifest", "m.json")
    told = json.loads(Path("m.json").read_text())
    told["command"].append("--dry-run")
    Path("m.json").write_text(json.dumps(told))
    assert run("replay", "m.json").said("exit code 0", "no manifest")


def test_a_manifest_takes_no_other_files_place(classify: Run, rows: Path) -> None:
    """Neither the output's nor an input's; what was there is as it was."""
    before = rows.read_bytes()
    both = classify("-i", rows, "-o", "a.csv", "--manifest", "./a.csv")
    assert both.code == 2
    assert both.said("--manifest", "-o", "two files")
    over = classify("-i", "*.jsonl", "--manifest", rows)
    assert over.code == 2
    assert over.said("--manifest", "rows.jsonl", "is read")
    assert rows.read_bytes() == before
    assert not Path("a.csv").exists()


def test_a_manifest_never_runs_a_replay(classify: Run, run: Run, here: Path) -> None:
    """A manifest that names itself would go round for ever."""
    classify("a cat", "--manifest", "m.json")
    told = json.loads(Path("m.json").read_text())
    Path("m.json").write_text(json.dumps(told | {"command": ["replay", "m.json"]}))
    assert run("replay", "m.json").said("no command")


# --- what other runs leave behind --------------------------------------------------------------


def test_what_a_killed_run_left_is_removed(
    classifier: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run clears the temporary file of a killed one, but not of one that still writes."""
    monkeypatch.setattr("bertcli.outputs.sink.ABANDONED_SECONDS", 0.0)
    from bertcli.outputs.sink import Destination, open_sink

    abandoned = Path(".bertcli-0123456789ab.tmp")
    abandoned.write_bytes(b"half")
    with open_sink(Destination("one.txt")) as first:
        first.write(b"1")
        assert not abandoned.exists()
        with open_sink(Destination("two.txt")) as second:
            second.write(b"2")
    assert (Path("one.txt").read_bytes(), Path("two.txt").read_bytes()) == (b"1", b"2")


def test_all_tasks_go_on(tiny_checkpoint: Any, run: Run, here: Path) -> None:
    """Each task's results survive the journal: twice the same bytes, from it and without it."""
    Path("t.txt").write_text("a cat sat on the mat\nthe dog sat\n" * 300)
    Path("m.txt").write_text("a [MASK] sat\n" * 600)
    answerer = tiny_checkpoint("bert", Head.QA)
    lines = {
        "ner": ["ner", "-m", tiny_checkpoint("bert", Head.TOKEN), "-i", "t.txt"],
        "fill": ["fill-mask", "-m", tiny_checkpoint("bert", Head.MASKED_LM), "-i", "m.txt"],
        "embed": ["embed", "-m", tiny_checkpoint("bert", Head.BASE), "-i", "t.txt"],
        "qa": ["qa", "who sat", "--per-line", "-m", answerer, "-i", "t.txt"],
    }
    assert run("index", "build", "./docs", "-i", "t.txt").code == 0
    lines["search"] = ["search", "-i", "t.txt", "--index", "./docs", "-k", 3]
    for name, line in lines.items():
        for form in ("jsonl", "csv"):
            plain, kept = f"{name}-plain.{form}", f"{name}.{form}"
            assert run(*line, "-o", plain, "-q").code == 0
            assert _interrupted_then_resumed(run, [*line, "-o", kept, "-q", "--resume"])
            assert Path(kept).read_bytes() == Path(plain).read_bytes()


def _interrupted_then_resumed(run: Run, line: list[Any]) -> bool:
    import bertcli.cli.bulk as bulk

    real = bulk.answers_with

    def interrupted(*arguments: Any) -> Any:
        for number, answer in enumerate(real(*arguments)):
            if number == 520:
                raise KeyboardInterrupt
            yield answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "answers_with", interrupted)
        assert run(*line).code == 130
    assert journal_of(str(line[line.index("-o") + 1])).exists()
    return bool(run(*line).code == 0)


def _sha256(path: str) -> str:
    import hashlib

    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
