"""Ranking scores by hand, TREC files back and forth, and BEIR folders."""

from __future__ import annotations

import gzip
import json
from math import log2
from pathlib import Path

import pytest

from bertcli.cli.app import main
from bertcli.errors import DataError
from bertcli.evaluate.search import run_lines, score_run
from bertcli.inputs.beir import read_run

JUDGED = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"a": 0}}
RUN = {"q1": {"b": 0.9, "c": 0.8, "a": 0.7}, "q9": {"a": 1.0}}


def test_scores_by_hand() -> None:
    """A query with nothing found scores 0, one without anything relevant is left out."""
    score = score_run(RUN, JUDGED)
    assert score.queries == ("q1", "q2")
    ideal = 2 + 1 / log2(3)
    assert score.values["ndcg@10"] == pytest.approx([(1 + 2 / log2(4)) / ideal, 0])
    assert score.values["map"] == pytest.approx([(1 + 2 / 3) / 2, 0])
    assert score.values["recall@10"] == pytest.approx([1, 0])
    assert score.values["mrr@10"] == pytest.approx([1, 0])
    assert score.mean("mrr@10") == 0.5
    assert score_run(RUN, JUDGED, [1, 2]).values["recall@1"] == pytest.approx([0.5, 0])


def test_mrr_is_cut_at_ten() -> None:
    """A first relevant passage on rank 10 counts a tenth, on rank 11 nothing."""
    run = {"q": {f"{i:02}": -float(i) for i in range(20)}}
    values = [score_run(run, {"q": {f"{i:02}": 1}}).mean("mrr@10") for i in (9, 10)]
    assert values == [pytest.approx(0.1), 0]


def test_all_measures_see_one_order() -> None:
    """trec_eval compares scores as float32, and takes equal ones by name backwards."""
    score = score_run({"q": {"a": 1.00000001, "b": 1.0}}, {"q": {"a": 1}})
    assert (score.mean("map"), score.mean("mrr@10")) == (0.5, 0.5)


def test_runs_go_through_trec_files(tmp_path: Path) -> None:
    """What is written is read back, best first."""
    path = tmp_path / "run.trec"
    path.write_text("\n".join(run_lines(RUN, "name")) + "\n")
    assert path.read_text().splitlines()[0] == "q1 Q0 b 1 0.900000 name"
    assert read_run(path) == RUN


def test_names_with_blanks_go_through_runs(
    beir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saved by eval or written by search, a run is measured as if its names had none."""
    (beir / "corpus.jsonl").write_text(
        '{"_id": "p 1", "text": "Refunds take five days."}\n{"_id": "", "text": "Parcels."}\n'
    )
    (beir / "queries.jsonl").write_text('{"_id": "q\\t7", "text": "refunds"}\n')
    (beir / "qrels" / "test.tsv").write_text('query-id\tcorpus-id\tscore\n"q\t7"\tp 1\t1\n')
    saved, found, index = (str(beir / name) for name in ("saved.trec", "found.trec", "index"))
    words = ["--mode", "keyword"]
    assert main(["eval", "search", str(beir), *words, "--save-run", saved]) == 0
    assert Path(saved).read_text() == "q%097 Q0 p%201 1 1.000000 bertcli\n"
    assert main(["index", "build", index, "-i", str(beir / "corpus.jsonl"), "-q"]) == 0
    asked = ["-i", str(beir / "queries.jsonl"), "--index", index, "-o", found]
    assert main(["search", *asked, *words]) == 0
    assert Path(found).read_text() == Path(saved).read_text()
    capsys.readouterr()
    assert main(["eval", "search", str(beir), "--run", found]) == 0
    assert json.loads(capsys.readouterr().out)["ndcg@10"] == 1.0


def test_recall_is_told_at_the_numbers_asked_for(
    beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In place of 10 and 100; for more than 100 as many passages are found."""
    texts = "".join(json.dumps({"_id": f"d{i}", "text": "back"}) + "\n" for i in range(150))
    (beir / "corpus.jsonl").write_text(texts)
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\td149\t1\n")
    line = ["eval", "search", str(beir), "--mode", "keyword"]
    assert main([*line, "--recall-at", "150", "--recall-at", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [key for key in found if key.startswith("recall") and "95" not in key] == [
        "recall@3",
        "recall@150",
    ]
    assert (found["recall@3"], found["recall@150"]) == (0, 1)


@pytest.mark.parametrize("line", ["q1 Q0 a 1 high name", "q1 Q0 a", "q1 Q0 a 2 0.4 name"])
def test_a_broken_run_is_told_with_its_line(line: str, tmp_path: Path) -> None:
    """The line says where, and what was expected."""
    path = tmp_path / "run.trec"
    path.write_text(f"q1 Q0 a 1 0.5 name\n{line}\n")
    with pytest.raises(DataError, match=r"run\.trec:2"):
        read_run(path)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A small BEIR folder."""
    texts = {"p1": "Refunds take five days.", "p2": "Parcels travel two days.", "p3": ""}
    rows = [{"_id": name, "title": "", "text": text} for name, text in texts.items()]
    asked = [{"_id": "7", "text": "how do I get my money back"}]
    for name, content in (("corpus", rows), ("queries", asked)):
        lines = [json.dumps(row) + "\n" for row in content]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\tp1\t1\n")
    return tmp_path


def test_eval_search_reads_a_beir_folder(beir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The base finds the right passage; its saved run scores the same, with TREC's qrels too."""
    run, qrels = beir / "run.trec", beir / "qrels.trec"
    qrels.write_text("7 0 p1 1\n")
    assert main(["eval", "search", str(beir), "--save-run", str(run)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["queries"], found["ndcg@10"], found["recall@10"]) == (1, 1.0, 1.0)
    assert main(["eval", "search", str(beir), "--run", str(run), "--qrels", str(qrels)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ndcg@10"] == 1.0
    packed = beir / "run.trec.gz"
    packed.write_bytes(gzip.compress(run.read_bytes()))
    assert main(["eval", "search", str(beir), "--run", str(packed)]) == 0
    assert json.loads(capsys.readouterr().out)["ndcg@10"] == 1.0


def test_queries_without_a_hit_are_written(beir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is relevant on rank 11 is no hit; what grade 0 judged is not relevant."""
    (beir / "qrels.tsv").write_text("7\t0\tp1\t1\n7\t0\tp2\t0\n")
    wrong, run = beir / "wrong.jsonl", beir / "run.trec"
    line = ["eval", "search", str(beir), "--run", str(run), "--errors", str(wrong)]
    others = [f"7 Q0 x{i} {i} {20 - i} name" for i in range(1, 11)]
    run.write_text("\n".join([*others, "7 Q0 p1 11 1 name"]))
    assert main(line) == 0
    assert json.loads(wrong.read_text()) == {
        "query": "7",
        "relevant": ["p1"],
        "found": [f"x{i}" for i in range(1, 11)],
    }
    assert f"1 query without a hit in {wrong}" in capsys.readouterr().err
    run.write_text("\n".join([*others[1:], "7 Q0 p1 10 1 name"]))
    assert main(line) == 0
    assert wrong.read_text() == ""


@pytest.mark.parametrize(
    "idle", [["-m", "embed"], ["--precision", "int8", "--mode", "dense"], ["--batch-tokens", "64"]]
)
def test_a_run_asks_no_checkpoint(
    idle: list[str], beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would choose one is refused, and named."""
    (beir / "run.trec").write_text("7 Q0 p1 1 0.5 name\n")
    assert main(["eval", "search", str(beir), "--run", str(beir / "run.trec"), *idle]) == 2
    assert "no checkpoint is asked where --run is measured" in capsys.readouterr().err


def test_judgements_of_something_else_are_told(
    beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zero for every query would read as a bad checkpoint."""
    qrels, run = beir / "qrels.trec", beir / "run.trec"
    run.write_text("7 Q0 p1 1 0.5 name\n")
    line = ["eval", "search", str(beir), "--qrels", str(qrels)]
    qrels.write_text("q7 0 p1 1\n")
    for more in ([], ["--run", str(run)]):
        assert main([*line, *more]) == 1
        assert "judges none of the queries of" in capsys.readouterr().err
    qrels.write_text("7 0 doc1 1\n")
    assert main([*line, "--run", str(run)]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["ndcg@10"] == 0
    assert "judges none of the passages that were found" in shown.err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("corpus.jsonl", None, "no corpus.jsonl"),
        ("corpus.jsonl", '{"text": "a"}\n', 'no column "_id"'),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\tp1\tgood\n", "not a whole number"),
        ("qrels/test.tsv", "a\tb\n1\t2\n", "expected the columns query-id"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\tp1\t0\n", "nothing can be measured"),
    ],
)
def test_broken_folders_are_told_in_a_line(
    file: str, text: str | None, said: str, beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing or malformed is named."""
    if text is None:
        (beir / file).unlink()
    else:
        (beir / file).write_text(text)
    assert main(["eval", "search", str(beir)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
