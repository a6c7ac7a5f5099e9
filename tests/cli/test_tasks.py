"""The six tasks from the command line: what each option does to what comes out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bertcli.cli.app import main
from bertcli.engine.families import Head

from .conftest import Run

# --- qa --------------------------------------------------------------------------------------

ALWAYS = ("--no-answer-threshold", 1)
BOOK = "Ada was born in London.\nShe wrote\nthe first program.\n"


@pytest.fixture
def qa(run: Run, tiny_checkpoint: Any, here: Path) -> Run:
    """Return a function that asks the tiny checkpoint."""
    (here / "book.txt").write_text(BOOK)
    (here / "other.txt").write_text("The cat sat on the mat.\n")
    model = tiny_checkpoint("bert", Head.QA)
    return lambda *arguments, **more: run("qa", *arguments, "-m", model, **more)


def test_every_question_is_asked_of_every_text(qa: Run) -> None:
    """Many questions over many files: each pair is one record, and names its file."""
    ran = qa("Who?", "Where?", "-i", "book.txt", "-i", "other.txt")
    pairs = [(record["source"], record["question"]) for record in ran.records]
    assert pairs == [
        ("book.txt", "Who?"),
        ("book.txt", "Where?"),
        ("other.txt", "Who?"),
        ("other.txt", "Where?"),
    ]
    assert ran.code == 0


def test_a_text_file_is_one_context_and_has_line_numbers(qa: Run) -> None:
    """An answer's offsets and its line are those of the file."""
    (record,) = qa("Who?", "-i", "book.txt", "-k", 4, *ALWAYS).records
    assert len(record["answers"]) == 4
    for answer in record["answers"]:
        assert BOOK[answer["start"] : answer["end"]] == answer["answer"]
        assert BOOK.count("\n", 0, answer["start"]) + 1 == answer["line"]


def test_per_line_makes_each_line_a_context(qa: Run) -> None:
    """With --per-line each line is asked by itself, and comes back with its answer."""
    ran = qa("Who?", "--per-line", "-i", "book.txt")
    assert [record["text"] for record in ran.records] == BOOK.splitlines()


def test_contexts_are_given_directly_or_through_stdin(qa: Run) -> None:
    """--context can be repeated; without it stdin is the context."""
    given = qa("Who?", "--context", "Ada slept.", "--context", "The cat.").records
    assert [record["text"] for record in given] == ["Ada slept.", "The cat."]
    assert qa("Who?", stdin=b"Ada slept.").records[0]["source"] == "stdin"


def test_questions_come_from_columns(qa: Run, here: Path) -> None:
    """A file with both columns is answered row by row; a broken row costs its own answer only."""
    rows = [
        {"question": "Who?", "context": "Ada slept.", "id": 5},
        {"question": " ", "context": "x", "id": 6},
        {"context": "The cat.", "id": 7},
    ]
    (here / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = qa("-i", "q.jsonl")
    assert [record["id"] for record in ran.records] == [5, 6, 7]
    assert ["error" in record for record in ran.records] == [False, True, True]
    assert ran.code == 3
    (here / "own.csv").write_text("ask,body\nWho?,Ada slept.\n")
    own = qa("-i", "own.csv", "--question-field", "ask", "--context-field", "body", "-f", "csv")
    (row,) = csv.DictReader(io.StringIO(own.out))
    assert (row["ask"], row["body"]) == ("Who?", "Ada slept.")
    assert qa("-i", "own.csv").said('no column "question"', '"ask", "body"', "--question-field")
    assert qa("-i", "book.txt").said("plain text has no columns")


def test_the_threshold_decides_between_answer_and_none(qa: Run) -> None:
    """0 refuses every answer, 1 always gives one; the probability of none is told in both."""
    (never,) = qa("Who?", "-i", "book.txt", "--no-answer-threshold", 0).records
    (always,) = qa("Who?", "-i", "book.txt", *ALWAYS).records
    assert (never["answer"], never["score"]) == (None, None)
    assert always["answer"]
    assert never["no_answer"] == always["no_answer"] > 0
    assert always["score"] + always["no_answer"] <= 1
    assert qa("Who?", "-i", "book.txt", "--no-answer-threshold", 2).code == 2


# --- ner -------------------------------------------------------------------------------------


def test_conll_has_a_line_a_word(run: Run, tiny_checkpoint: Any) -> None:
    """-f conll is word, tab, tag, with an empty line after each record and for a failed one."""
    model = tiny_checkpoint("bert", Head.TOKEN)
    ran = run("ner", "-m", model, "-f", "conll", "Ada was born in London.", "", "Alan Turing")
    assert ran.code == 3
    lines = [tuple(line.split("\t")) for line in ran.out.removesuffix("\n").split("\n")]
    words = ["Ada", "was", "born", "in", "London", ".", "", "", "Alan", "Turing", ""]
    assert [word for word, *_ in lines] == words
    assert {tag[0] for _, tag in filter(lambda line: len(line) == 2, lines)} <= set("OBI")
    assert run("embed", "x", "-f", "conll").said("conll is a format for ner only")


# --- embed -----------------------------------------------------------------------------------


def test_every_format_holds_the_same_vectors(run: Run, here: Path) -> None:
    """npy, Parquet, CSV and JSON lines give back the very same float32 numbers, in order."""
    (here / "a.jsonl").write_text('{"text": "one", "id": 1}\n{"text": "two longer texts"}\n')
    for name in ("a.npy", "a.parquet", "a.csv"):
        assert run("embed", "-i", "a.jsonl", "-o", name).code == 0
    vectors = np.load(here / "a.npy")
    assert (vectors.shape, vectors.dtype) == ((2, 384), np.float32)
    table = pq.read_table(here / "a.parquet")
    rows = list(csv.DictReader(io.StringIO((here / "a.csv").read_text())))
    records = run("embed", "-i", "a.jsonl").records
    for found in (
        np.array(table["embedding"].to_pylist(), np.float32),
        np.array([[row[f"d{i}"] for i in range(384)] for row in rows], np.float32),
        np.array([record["embedding"] for record in records], np.float32),
    ):
        np.testing.assert_array_equal(found, vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_failed_record_is_a_row_of_nan(run: Run, here: Path) -> None:
    """Row i of the array belongs to record i, whatever failed before."""
    ran = run("embed", "one", "", "three", "-o", "a.npy")
    vectors = np.load(here / "a.npy")
    assert ran.code == 3
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False]


def test_prompt_pooling_and_length_can_be_chosen(run: Run) -> None:
    """A prompt is text in front; pooling changes the direction, --no-normalize the length only."""

    def vector(*arguments: str) -> Any:
        return np.array(run("embed", *arguments).records[0]["embedding"], np.float32)

    plain = vector("query: the text")
    np.testing.assert_array_equal(vector("the text", "--prompt", "query: "), plain)
    long = vector("query: the text", "--no-normalize")
    assert np.linalg.norm(long) > 1.5
    np.testing.assert_allclose(long / np.linalg.norm(long), plain, atol=1e-6)
    assert float(plain @ vector("query: the text", "--pooling", "cls")) < 0.99


# --- classify --------------------------------------------------------------------------------


def test_many_words_for_several_masks(run: Run) -> None:
    """Each mask has as many as are asked for; together they are bounded, for memory's sake."""
    (found,) = run("fill-mask", "The [MASK] [MASK].", "-k", 3000).records
    assert [len(mask["fills"]) for mask in found["masks"]] == [3000, 3000]
    assert len(found["joint"]) == 100


def test_labels_are_chosen_by_meaning(run: Run, here: Path) -> None:
    """Zero-shot labels work without any checkpoint of one's own, from the option or a file."""
    lines = "sports\npolitics\tan election, parliament or government\n"
    (here / "labels.txt").write_text(lines, encoding="utf-8-sig")  # as Windows' editors save it
    ran = run("classify", "The striker scored twice.", "--labels-file", "labels.txt")
    assert ran.records[0]["label"] == "sports"
    both = run("classify", "The senate voted.", "--labels", "sports,politics", "-k", 2).records[0]
    assert [one["label"] for one in both["labels"]] == ["politics", "sports"]
    assert sum(one["score"] for one in both["labels"]) == pytest.approx(1, abs=1e-5)


def test_an_equals_sign_in_a_file_of_labels(run: Run, here: Path) -> None:
    """There a tab divides; a description needs a label."""
    (here / "labels.txt").write_text("E=mc2\nF=ma\n")
    ran = run("classify", "energy", "--labels-file", "labels.txt")
    assert ran.records[0]["label"] in ("E=mc2", "F=ma")
    assert run("classify", "energy", "--labels", "=x,b").said("without a label")


def test_a_number_of_labels_that_is_asked_for_is_given(run: Run, tiny_checkpoint: Any) -> None:
    """Also by a checkpoint of several labels a text, which gives all that are likely by itself."""
    settings = {"problem_type": "multi_label_classification"}
    model = tiny_checkpoint("bert", Head.SEQUENCE, **settings)
    (several,) = run("classify", "the cat", "-m", model, "-k", 9).records
    assert len(several["labels"]) > 1
    likely = [one["label"] for one in several["labels"] if one["score"] >= 0.5]
    (usual,) = run("classify", "the cat", "-m", model).records
    assert [one["label"] for one in usual.get("labels", [usual])] == likely
    assert 0 < len(likely) < len(several["labels"])
    (one,) = run("classify", "the cat", "-m", model, "-k", 1).records
    assert one["label"] == several["labels"][0]["label"] and len(one.get("labels", [1])) == 1


def test_all_targets_are_scored(run: Run) -> None:
    """As many as there are, unless fewer are asked for."""
    line = ("fill-mask", "The film was [MASK].", "--targets", "good,bad,fine,new,old,long,short")
    assert len(run(*line).records[0]["masks"][0]["fills"]) == 7
    assert len(run(*line, "-k", 2).records[0]["masks"][0]["fills"]) == 2


def test_multi_label_scores_each_label_by_itself(run: Run) -> None:
    """With --multi-label a score does not depend on what else is asked; a threshold filters."""
    line = ("classify", "The striker scored twice.", "--multi-label", "-k", 9)
    two = run(*line, "--labels", "sports,politics").records[0]["labels"]
    three = run(*line, "--labels", "sports,politics,food").records[0]["labels"]
    assert {one["label"]: one["score"] for one in two}.items() <= {
        one["label"]: one["score"] for one in three
    }.items()
    none = run(*line, "--labels", "sports,politics", "--threshold", "0.99").records[0]
    assert (none["label"], none["labels"]) == (None, [])


def test_an_nli_checkpoint_decides_by_entailment(run: Run, classifier: Path) -> None:
    """A checkpoint with an entailment label takes --labels; the template shapes the hypothesis."""
    line = ("classify", "Ada wrote programs.", "-m", classifier, "--labels", "a,b,c", "-k", 3)
    scores = [one["score"] for one in run(*line).records[0]["labels"]]
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    other = [one["score"] for one in run(*line, "--template", "{} it is.").records[0]["labels"]]
    assert scores != other


def test_of_two_nli_labels_either_may_be_first(run: Run, tiny_checkpoint: Any) -> None:
    """With --multi-label a label's own score comes from entailment and the other one."""
    scores = []
    for labels in (("entailment", "not_entailment"), ("not_entailment", "entailment")):
        model = tiny_checkpoint("bert", Head.SEQUENCE, labels=labels)
        line = ("classify", "Ada wrote programs.", "-m", model, "--multi-label")
        (record,) = run(*line, "--labels", "a,b", "-k", 2).records
        scores.append({one["label"]: one["score"] for one in record["labels"]}["a"])
    assert scores[0] != pytest.approx(0.5, abs=1e-3)
    assert sum(scores) == pytest.approx(1, abs=1e-4)


def test_labels_need_an_nli_checkpoint(run: Run, tiny_checkpoint: Any) -> None:
    """A classifier of another kind refuses --labels and names the labels that it has."""
    model = tiny_checkpoint("bert", Head.SEQUENCE, labels=("good", "bad"))
    ran = run("classify", "x", "-m", model, "--labels", "a,b")
    assert ran.code == 2
    assert ran.said("needs an NLI checkpoint", "good, bad")


def test_a_fine_tuned_checkpoint_gives_its_own_labels(run: Run, classifier: Path) -> None:
    """-k asks for more labels than the best, --threshold for those that are sure enough."""
    line = ("classify", "hello", "-m", classifier)
    assert "labels" not in run(*line).records[0]
    three = run(*line, "-k", 3).records[0]["labels"]
    assert sum(one["score"] for one in three) == pytest.approx(1, abs=1e-5)
    sure = run(*line, "--threshold", three[1]["score"] - 1e-6).records[0]["labels"]
    assert [one["label"] for one in sure] == [one["label"] for one in three[:2]]


# --- fill-mask -------------------------------------------------------------------------------


def test_masks_are_filled_alone_and_together(run: Run, tiny_checkpoint: Any) -> None:
    """Each mask has its words; several masks also have words for all of them at once."""
    model = tiny_checkpoint("bert", Head.MASKED_LM)
    (record,) = run("fill-mask", "the [MASK] sat on [MASK].", "-k", 3, "-m", model).records
    assert [(mask["start"], mask["end"]) for mask in record["masks"]] == [(4, 10), (18, 24)]
    assert [len(mask["fills"]) for mask in record["masks"]] == [3, 3]
    scores = [joint["score"] for joint in record["joint"]]
    assert scores == sorted(scores, reverse=True)
    assert "[MASK]" not in record["joint"][0]["text"]
    more = ("-k", 3, "-m", model, "--alone")
    (alone,) = run("fill-mask", "the [MASK] sat on [MASK].", *more).records
    assert alone["masks"] == record["masks"]
    assert not alone.get("joint")


def test_only_the_targets_are_scored(run: Run, tiny_checkpoint: Any) -> None:
    """--targets ranks the given words, one of several tokens among them."""
    model = tiny_checkpoint("bert", Head.MASKED_LM)
    ran = run("fill-mask", "the [MASK] sat", "-m", model, "--targets", "cat, watercat ,dog")
    fills = ran.records[0]["masks"][0]["fills"]
    assert {fill["token"] for fill in fills} == {"cat", "watercat", "dog"}
    assert [fill["score"] for fill in fills] == sorted((f["score"] for f in fills), reverse=True)


def test_a_record_without_mask_does_not_stop_a_file(
    run: Run, tiny_checkpoint: Any, here: Path
) -> None:
    """In a file, a text without a mask is an error of its record only."""
    (here / "a.txt").write_text("the [MASK] sat\nno mask here\n")
    ran = run("fill-mask", "-i", "a.txt", "-m", tiny_checkpoint("bert", Head.MASKED_LM))
    assert ["error" in record for record in ran.records] == [False, True]
    assert ran.code == 3


def test_a_label_is_the_mean_of_its_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    """Naming a description twice changes nothing, another one does; an empty one is refused."""
    text = "The striker scored twice."
    found = []
    for labels in ("a=sports,b=law", "a=sports|sports,b=law", "a=sports|a parliament,b=law"):
        assert main(["classify", text, "--labels", labels]) == 0
        found.append(json.loads(capsys.readouterr().out)["score"])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert abs(found[2] - found[0]) > 0.01
    assert main(["classify", text, "--labels", "a= | ,b=law"]) == 2
    assert "the label a has an empty description" in capsys.readouterr().err
