"""`bertcli eval`: scores of classifiers, taggers and answer finders over files."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from bertcli.cli.app import main
from bertcli.engine.families import Head
from bertcli.inputs.beir import read_judgements
from tiny import SENTENCES, change_config

from .conftest import Run

Eval = Callable[..., dict[str, Any]]
LABELS = ("contradiction", "neutral", "entailment")


@pytest.fixture
def models(tiny_checkpoint: Any) -> dict[str, Path]:
    """A tiny checkpoint for each task, of a seed with which it gives all its labels."""
    heads = {"classify": Head.SEQUENCE, "ner": Head.TOKEN, "qa": Head.QA}
    return {task: Path(tiny_checkpoint("bert", head, seed=6)) for task, head in heads.items()}


@pytest.fixture
def scores(run: Run, models: dict[str, Path], here: Path) -> Eval:
    """Return a function that measures a task's tiny checkpoint and gives the JSON object."""

    def measured(task: str, *more: object) -> dict[str, Any]:
        ran = run("eval", task, "-m", models[task], *more)
        assert ran.code == 0, ran.err
        (found,) = ran.records
        return found

    return measured


def lines(path: str, rows: list[Any]) -> str:
    """Write rows as JSON lines and return the file's name."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path: str) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# --- classify --------------------------------------------------------------------------------


@pytest.fixture
def given(run: Run, models: dict[str, Path]) -> list[str]:
    """The labels that `bertcli classify` gives to the sentences."""
    found = run("classify", "-m", models["classify"], *SENTENCES).records
    return [one["label"] for one in found]


def test_scores_are_those_of_what_classify_gives(scores: Eval, given: list[str]) -> None:
    """scikit-learn finds the same numbers in the answers of `bertcli classify`."""
    gold = [LABELS[i % 3] for i in range(len(SENTENCES))]
    rows = [{"text": t, "label": one} for t, one in zip(SENTENCES, gold, strict=True)]
    found = scores("classify", lines("a.jsonl", rows))
    assert found["records"] == len(SENTENCES)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, given), abs=1e-4)
    assert found["macro_f1"] == pytest.approx(
        metrics.f1_score(gold, given, average="macro"), abs=1e-4
    )
    low, high = found["accuracy_95"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    table = metrics.confusion_matrix(gold, given, labels=LABELS).tolist()
    assert found["confusion"] == {
        a: dict(zip(LABELS, row, strict=True)) for a, row in zip(LABELS, table, strict=True)
    }
    assert [one["label"] for one in found["labels"]] == list(LABELS)
    assert [one["support"] for one in found["labels"]] == [gold.count(one) for one in LABELS]


def test_csv_columns_and_labels_are_named(
    scores: Eval, given: list[str], run: Run, models: dict[str, Path]
) -> None:
    """Own columns, and the file's names of the labels, mapped to the checkpoint's."""
    with Path("a.csv").open("w", newline="") as file:
        rows = [(text, label.upper()) for text, label in zip(SENTENCES, given, strict=True)]
        csv.writer(file).writerows([("body", "is"), *rows])
    names = [part for label in LABELS for part in ("--map", f"{label.upper()}={label}")]
    found = scores("classify", "a.csv", "--field", "body", "--label-field", "is", *names)
    assert found["accuracy"] == 1
    line = ("eval", "classify", "a.csv", "--field", "body", "--label-field", "is")
    ran = run(*line, "-m", models["classify"])
    assert (ran.code, ran.said("a.csv:2", "none of the labels", "--map")) == (1, True)
    ran = run(*line, "-m", models["classify"], *names[:-1], f"{names[-1]}s")
    assert (ran.code, ran.said("has no label", f"{LABELS[-1]}s")) == (2, True)


def test_labels_that_are_numbers(scores: Eval, given: list[str]) -> None:
    """GLUE's are: they are those of the checkpoint, which is told."""
    rows = zip(SENTENCES, map(str, map(LABELS.index, given)), strict=True)
    Path("dev.tsv").write_text("sentence\tlabel\n" + "".join(f"{t}\t{n}\n" for t, n in rows))
    found = scores("classify", "dev.tsv")
    assert found["accuracy"] == 1
    assert {row["label"] for row in found["labels"]} <= set(LABELS)


def test_wrong_records_are_written(scores: Eval, given: list[str]) -> None:
    """Each with its text, labels, what was given and how surely, and its place."""
    other = dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))
    gold = [other[given[0]], *given[1:]]
    rows = [{"text": t, "label": one} for t, one in zip(SENTENCES, gold, strict=True)]
    found = scores("classify", lines("a.jsonl", rows), "--errors", "wrong.jsonl")
    assert found["accuracy"] == pytest.approx(1 - 1 / len(gold), abs=1e-4)
    (wrong,) = read_lines("wrong.jsonl")
    score = wrong.pop("score")
    assert 1 / 3 <= score <= 1
    assert wrong == {
        "text": SENTENCES[0],
        "labels": [gold[0]],
        "given": [given[0]],
        "place": "a.jsonl:1",
    }


def test_another_order_of_labels_is_no_difference(
    scores: Eval, given: list[str], models: dict[str, Path], own_copy: Any
) -> None:
    """Answers are compared by their labels, whatever their numbers and however many there are."""
    rows = [{"text": t, "label": one} for t, one in zip(SENTENCES, given, strict=True)]
    file = lines("a.jsonl", rows)
    same = scores("classify", file, "--compare", models["classify"])
    assert (same["differ"], same["accuracy_minus_other"]) == (0, 0)
    assert same["accuracy_minus_other_95"] == [0, 0]
    turned = own_copy(models["classify"])
    names = {str(i): label for i, label in enumerate((LABELS[1], LABELS[0], LABELS[2]))}
    change_config(turned, id2label=names, label2id={b: int(a) for a, b in names.items()})
    changed = sum(label != LABELS[2] for label in given)
    assert changed > 0
    other = scores("classify", file, "--compare", turned, "--differences", "apart.jsonl")
    assert other["other"] == str(turned)
    assert other["differ"] == changed
    apart = read_lines("apart.jsonl")
    assert [one["text"] for one in apart] == [
        text for text, label in zip(SENTENCES, given, strict=True) if label != LABELS[2]
    ]
    assert all(one["given"] == one["labels"] != one["other"] for one in apart)
    assert other["accuracy_minus_other"] == pytest.approx(changed / len(given), abs=1e-4)


def test_checkpoints_with_other_labels_are_compared(
    scores: Eval, given: list[str], tiny_checkpoint: Any
) -> None:
    """A checkpoint that lacks a label gives it to nothing."""
    other = tiny_checkpoint("bert", Head.SEQUENCE, labels=("neutral", "x"))
    rows = [{"text": t, "label": one} for t, one in zip(SENTENCES, given, strict=True)]
    found = scores("classify", lines("a.jsonl", rows), "--compare", other)
    agree = [one == "neutral" for one in given]
    assert len(given) - sum(agree) <= found["differ"] <= len(given)


def test_a_map_is_for_the_checkpoint_that_has_its_names(
    scores: Eval, given: list[str], models: dict[str, Path], own_copy: Any
) -> None:
    """Of two that are compared the other one is measured by the names of the file, if it has them.

    What is wrong is written as it was compared.
    """
    turned = own_copy(models["classify"])
    names = {label: label.upper() for label in LABELS}
    change_config(
        turned,
        id2label={str(i): names[label] for i, label in enumerate(LABELS)},
        label2id={names[label]: i for i, label in enumerate(LABELS)},
    )
    other = dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))
    gold = [other[given[0]], *given[1:]]
    file = lines("a.jsonl", [{"text": t, "label": g} for t, g in zip(SENTENCES, gold, strict=True)])
    mapped = [part for old, new in names.items() for part in ("--map", f"{old}={new}")]
    found = scores("classify", file, "--compare", turned, *mapped, "--errors", "wrong.jsonl")
    assert found["accuracy"] == found["other_accuracy"] == pytest.approx(6 / 7, abs=1e-4)
    assert found["differ"] == 0
    (wrong,) = read_lines("wrong.jsonl")
    assert (wrong["labels"], wrong["given"]) == ([gold[0]], [given[0]])
    found = scores("classify", file, "-m", turned, *mapped, "--errors", "wrong.jsonl")
    assert found["accuracy"] == pytest.approx(6 / 7, abs=1e-4)
    (wrong,) = read_lines("wrong.jsonl")
    assert (wrong["labels"], wrong["given"]) == ([names[gold[0]]], [names[given[0]]])


@pytest.mark.parametrize("columns", [70, 90])
def test_a_confusion_that_is_too_wide_is_told_by_its_largest(
    columns: int, tiny_checkpoint: Any, here: Path, monkeypatch: Any, capsys: Any
) -> None:
    """A terminal shows the whole table where it has the room, else the most frequent confusions."""
    names = [f"[l{i:02}]" for i in range(8)]
    model = tiny_checkpoint("bert", Head.SEQUENCE, seed=6, labels=tuple(names))
    file = lines("a.jsonl", [{"text": t, "label": one} for t in SENTENCES for one in names])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["eval", "classify", file, "-m", str(model)]) == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    title, *rows = [line.split() for line in shown.split("\n\n")[-1].splitlines()]
    if columns == 90:
        assert title == ["right", "\\", "given", *names]
        assert [row[0] for row in rows] == names
        return
    assert title == ["right", "given", "count"]
    *wrong, (_, more, *_) = rows
    counts = [int(count) for _, _, count in wrong]
    assert len(counts) == 10 and counts == sorted(counts, reverse=True)
    assert all(right in names and right != given for right, given, _ in wrong)
    assert (10 + int(more)) % 7 == 0  # each label that is given at all, for the seven others


def test_several_labels_are_measured_each_by_itself(
    scores: Eval, run: Run, models: dict[str, Path]
) -> None:
    """Gold are the labels that `classify --multi-label` gives at 0.5: then all is right."""
    more = ("--multi-label", "--threshold", 0.5)
    answers = run("classify", "-m", models["classify"], *more, *SENTENCES).records
    gold = [[one["label"] for one in answer.get("labels", [answer])] for answer in answers]
    assert max(map(len, gold)) > 1
    rows = [{"text": t, "label": "|".join(g)} for t, g in zip(SENTENCES, gold, strict=True)]
    found = scores("classify", lines("a.jsonl", rows), "--label-sep", "|")
    assert (found["accuracy"], found["micro_f1"]) == (1, 1)
    assert "confusion" not in found


def test_zero_shot_labels_are_measured(run: Run, tiny_checkpoint: Any, here: Path) -> None:
    """With --labels any embedding checkpoint is measured, as `classify` labels with it."""
    how = ("-m", tiny_checkpoint(), "--labels", "water,cat", "--template", "about {}")
    given = [one["label"] for one in run("classify", *how, *SENTENCES).records]
    rows = [{"text": t, "label": one} for t, one in zip(SENTENCES, given, strict=True)]
    (found,) = run("eval", "classify", lines("a.jsonl", rows), *how).records
    assert found["accuracy"] == 1
    assert [one["label"] for one in found["labels"]] == ["water", "cat"]


# --- ner -------------------------------------------------------------------------------------


@pytest.fixture
def tagged(run: Run, models: dict[str, Path]) -> str:
    """A CoNLL file of what `bertcli ner` finds in the sentences."""
    return run("ner", "-m", models["ner"], "-f", "conll", *SENTENCES[:4]).out


def test_what_ner_writes_is_what_eval_finds(scores: Eval, tagged: str) -> None:
    """A CoNLL file of its own answers, measured sentence by sentence, is right throughout."""
    Path("a.conll").write_text(tagged)
    found = scores("ner", "a.conll")
    assert found["records"] == 4
    assert (found["f1"], found["precision"], found["recall"], found["partial_f1"]) == (1, 1, 1, 1)
    support = sum(one["support"] for one in found["labels"])
    assert support == sum("\tB-" in line for line in tagged.splitlines())


def test_a_tag_that_the_checkpoint_lacks_is_told(
    run: Run, models: dict[str, Path], tagged: str, here: Path
) -> None:
    """With its line and how to map it; not what is mapped, or ignored."""
    Path("a.conll").write_text(tagged.replace("PER", "person"))
    line = ("eval", "ner", "a.conll", "-m", models["ner"])
    ran = run(*line)
    first = next(n for n, one in enumerate(tagged.splitlines(), 1) if one.endswith("PER"))
    assert ran.said(f"a.conll:{first}: ", "no label 'person'", "--map person=NAME")
    assert run(*line, "--map", "person=PER").err == run(*line, "--ignore", "person").err == ""
    idle = run(*line, "--ignore", "Person", "--map", "person=PER")
    assert idle.said("--ignore Person: neither the data nor", '"PER"')
    assert '""' not in idle.err and '"O"' not in idle.err
    Path("a.conll").write_text(tagged.replace("PER", "person").replace("LOC", "place"))
    assert run(*line).code == run(*line, "--ignore", "place").code == 1
    assert run(*line).said("none of the labels of the data", '"person", "place"', "--map")
    assert run(*line, "--map", "place=").code == 1


def test_data_come_through_a_pipe(run: Run, models: dict[str, Path], here: Path) -> None:
    """As `-`, in the format that --input-format says; so do those of every other task."""
    data = json.dumps({"text": SENTENCES[0], "label": LABELS[0]}) + "\n"
    line = ("eval", "classify", "-", "-m", models["classify"])
    assert "use CSV, TSV, JSON" in run(*line, stdin=data.encode()).err
    found = run(*line, "--input-format", "jsonl", stdin=data.encode())
    assert (found.code, found.records[0]["records"]) == (0, 1), found.err
    tags = run("eval", "ner", "-", "-m", models["ner"], stdin=b"Ada\tB-PER\n")
    assert (tags.code, tags.records[0]["records"]) == (0, 1), tags.err
    asked = json.dumps({"question": "who?", "context": "Ada did.", "answers": "Ada"}).encode()
    answers = run("eval", "qa", "-", "--input-format", "jsonl", "-m", models["qa"], stdin=asked)
    assert (answers.code, answers.records[0]["records"]) == (0, 1), answers.err


def test_labels_are_mapped_and_ignored(scores: Eval, tagged: str) -> None:
    """A file with other names is right with --map, and what is ignored counts on neither side."""
    assert "PER" in tagged and "LOC" in tagged
    Path("a.conll").write_text(tagged.replace("PER", "person"))
    assert scores("ner", "a.conll")["f1"] < 1
    assert scores("ner", "a.conll", "--map", "person=PER")["f1"] == 1
    ignored = scores("ner", "a.conll", "--ignore", "person", "--ignore", "PER")
    assert ignored["f1"] == 1
    assert [one["label"] for one in ignored["labels"]] == ["LOC"]
    Path("b.conll").write_text(tagged)
    alone = scores("ner", "b.conll", "--map", "PER=")
    assert (alone["f1"], [one["label"] for one in alone["labels"]]) == (1, ["LOC"])
    renamed = scores("ner", "a.conll", "--map", "PER=", "--map", "person=PER")
    assert [one["label"] for one in renamed["labels"]] == ["LOC", "PER"]
    left_out = scores("ner", "a.conll", "--map", "person=", "--ignore", "PER")
    assert left_out["labels"] == ignored["labels"]


def test_wrong_spans_are_written(scores: Eval, run: Run, models: dict[str, Path]) -> None:
    """What was missed and what was found in vain, with its text and characters."""
    text = "Ada was born in London"
    (answer,) = run("ner", "-m", models["ner"], text).records
    spans = {(one["start"], one["end"], one["label"]) for one in answer["entities"]}
    row = {"tokens": text.split(), "tags": ["B-X", "O", "O", "O", "B-LOC"]}
    scores("ner", lines("a.jsonl", [row]), "--errors", "wrong.jsonl")
    (wrong,) = read_lines("wrong.jsonl")
    assert wrong["missed"][0] == {"label": "X", "text": "Ada", "start": 0, "end": 3}
    false = spans - {(16, 22, "LOC")}
    assert {(one["start"], one["end"], one["label"]) for one in wrong["false"]} == false
    assert all(text[one["start"] : one["end"]] == one["text"] for one in wrong["false"])
    assert (wrong["text"], wrong["place"]) == (text, "a.jsonl:1")


def test_taggers_are_compared(scores: Eval, tagged: str, tiny_checkpoint: Any) -> None:
    """On the same sentences, with the interval of the difference."""
    Path("a.conll").write_text(tagged)
    other = tiny_checkpoint("bert", Head.TOKEN, seed=5)
    found = scores("ner", "a.conll", "--compare", other, "--differences", "apart.jsonl")
    assert found["other"] == str(other)
    assert found["f1_minus_other"] == pytest.approx(1 - found["other_f1"], abs=1e-4)
    low, high = found["f1_minus_other_95"]
    assert low <= found["f1_minus_other"] <= high
    scores("ner", "a.conll", "-m", other, "--errors", "wrong.jsonl")
    assert found["differ"] == len(read_lines("wrong.jsonl")) > 0
    apart = read_lines("apart.jsonl")
    assert len(apart) == found["differ"]
    assert all(one["right"] == one["given"] != one["other"] for one in apart)


# --- qa --------------------------------------------------------------------------------------

CONTEXT = "Ada wrote the first program in London. The cat sat on the mat."
QUESTIONS = ("who wrote the first program?", "where?", "who sat on the mat?")


def squad(answers: list[str], impossible: bool) -> dict[str, Any]:
    """Return SQuAD's JSON of version 1, or with a fourth, impossible question of version 2."""
    asked: list[dict[str, Any]] = [
        {"id": f"{i}", "question": q, "answers": [{"text": a, "answer_start": CONTEXT.find(a)}]}
        for i, (q, a) in enumerate(zip(QUESTIONS, answers, strict=True))
    ]
    if impossible:
        asked = [one | {"is_impossible": False} for one in asked]
        asked.append({"id": "n", "question": "why?", "answers": [], "is_impossible": True})
    paragraph = {"context": CONTEXT, "qas": asked}
    return {"version": "x", "data": [{"title": "Ada", "paragraphs": [paragraph]}]}


@pytest.fixture
def answered(run: Run, models: dict[str, Path]) -> list[dict[str, Any]]:
    """What `bertcli qa` answers to the questions when it always does."""
    always = ("--no-answer-threshold", 1)
    return run("qa", *QUESTIONS, "--context", CONTEXT, "-m", models["qa"], *always).records


@pytest.mark.parametrize("impossible", [False, True])
def test_squad_files_of_both_versions_are_measured(
    impossible: bool, scores: Eval, answered: list[dict[str, Any]]
) -> None:
    """Gold are the own answers: always answering is right but for the impossible question."""
    gold = [one["answer"] for one in answered]
    Path("dev.json").write_text(json.dumps(squad(gold, impossible)))
    found = scores("qa", "dev.json", "--no-answer-threshold", 1)
    asked = 3 + impossible
    assert (found["records"], found["unanswerable"]) == (asked, int(impossible))
    for name in ("exact_match", "f1", "always_exact_match", "always_f1"):
        assert found[name] == pytest.approx(3 / asked)
    assert found["best_f1"] >= found["f1"]
    assert scores("qa", "dev.json", "--no-answer-threshold", 0)["f1"] == impossible / 4


def test_the_best_threshold_is_one_to_use(scores: Eval, answered: list[dict[str, Any]]) -> None:
    """Given to the command, it gives the score that was promised."""
    gold = [answered[0]["answer"], "Ada wrote the", "the mat"]
    Path("dev.json").write_text(json.dumps(squad(gold, True)))
    found = scores("qa", "dev.json")
    again = scores("qa", "dev.json", "--no-answer-threshold", found["best_threshold"])
    assert again["f1"] == pytest.approx(found["best_f1"], abs=1e-4)


def test_wrong_answers_are_written(scores: Eval, answered: list[dict[str, Any]]) -> None:
    """With what was given, or null where nothing was, and the probability of no answer."""
    gold = [answered[0]["answer"], answered[1]["answer"], "zebra"]
    rows = [
        {"q": q, "c": CONTEXT, "a": {"text": [a], "answer_start": [0]}}
        for q, a in zip(QUESTIONS, gold, strict=True)
    ]
    fields = ("--question-field", "q", "--context-field", "c", "--answers-field", "a")
    file = lines("a.jsonl", rows)
    scores("qa", file, *fields, "--no-answer-threshold", 1, "--errors", "wrong.jsonl")
    (wrong,) = read_lines("wrong.jsonl")
    assert wrong == {
        "question": QUESTIONS[2],
        "context": CONTEXT,
        "answers": ["zebra"],
        "given": answered[2]["answer"],
        "no_answer": pytest.approx(answered[2]["no_answer"], abs=1e-4),
        "place": "a.jsonl:3",
    }
    scores("qa", file, *fields, "--no-answer-threshold", 0, "--errors", "wrong.jsonl")
    assert [one["given"] for one in read_lines("wrong.jsonl")] == [None] * 3


def test_answers_that_the_context_has_not_are_told(
    run: Run, models: dict[str, Path], here: Path
) -> None:
    """No answer can be right there; SQuAD's definitions see neither capitals nor articles."""
    row = {"question": QUESTIONS[0], "context": CONTEXT}
    file = lines("a.jsonl", [row | {"answers": one} for one in (["ada"], [], ["The cat"])])
    line = ("eval", "qa", file, "-m", models["qa"])
    assert run(*line).err == ""
    lines("a.jsonl", [row | {"answers": one} for one in (["ada"], ["zebra", "x-ray"], ["gnu"])])
    assert run(*line).said("a.jsonl:2: the answer 'zebra'", "of 2 questions no answer can be")


def test_answer_finders_are_compared(
    scores: Eval, answered: list[dict[str, Any]], tiny_checkpoint: Any
) -> None:
    """At their own thresholds and at the best, with the intervals of the differences."""
    gold = [one["answer"] for one in answered]
    Path("dev.json").write_text(json.dumps(squad(gold, False)))
    other = tiny_checkpoint("bert", Head.QA, seed=5)
    found = scores("qa", "dev.json", "--compare", other, "--differences", "apart.jsonl")
    alone = scores("qa", "dev.json", "-m", other)
    assert found["other_best_f1"] == alone["best_f1"] < 1
    assert found["best_f1_minus_other"] == pytest.approx(1 - alone["best_f1"], abs=1e-4)
    assert found["other_f1"] == alone["f1"]
    assert found["f1_minus_other"] == pytest.approx(found["f1"] - alone["f1"], abs=2e-4)
    low, high = found["f1_minus_other_95"]
    assert low <= found["f1_minus_other"] <= high
    apart = read_lines("apart.jsonl")
    assert found["differ"] == len(apart) > 0
    assert all(one["given"] != one["other"] for one in apart)
    assert all(one["given"] in (None, *one["answers"]) for one in apart)


def test_differences_are_between_two(run: Run, here: Path) -> None:
    """Without a second checkpoint there are none to write, and that is said."""
    file = lines("a.jsonl", [{"text": "A lovely film.", "label": "positive"}])
    ran = run("eval", "classify", file, "--differences", "apart.jsonl")
    assert ran.code == 2
    assert ran.said("--differences needs --compare")
    assert ran.out == ""


# --- what cannot be measured -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "content", "more", "message"),
    [
        ("classify", '{"text": "x"}', (), 'a.jsonl:1: no column "label"'),
        ("classify", '{"text": "x", "label": ""}', (), 'a.jsonl:1: the column "label" is empty'),
        ("classify", '{"text": "", "label": "x"}', (), "a.jsonl:1: empty text"),
        ("classify", '{"text": ', (), "a.jsonl:1: not valid JSON"),
        ("classify", "", (), "a.jsonl: is empty"),
        ("classify", '{"text": "x", "label": "y"}', ("--map", "y"), "--map y: expected OLD=NEW"),
        (
            "classify",
            '{"text": "x", "label": "y"}',
            ("--map", "y=a", "--map", "y=b"),
            "--map y=b: y is called a already",
        ),
        (
            "ner",
            '{"tokens": ["x"], "tags": ["O"]}',
            ("--errors", "no/w"),
            "cannot write no/w: the folder",
        ),
        ("ner", '{"tokens": ["x"], "tags": ["PER"]}', (), 'a.jsonl:1: "PER" is not a tag'),
        ("ner", '{"tokens": ["x"], "tags": []}', (), "a.jsonl:1: 1 token, but 0 tags"),
        ("qa", '{"question": "x", "context": "y"}', (), 'a.jsonl:1: no column "answers"'),
        ("qa", '{"data": [{"title": "x"}]}', (), 'a.jsonl:1, article "x": no "paragraphs"'),
        ("qa", '{"data": []}', (), "a.jsonl: there is no question to go by"),
    ],
)
def test_wrong_data_are_told_in_one_line(
    task: str,
    content: str,
    more: tuple[str, ...],
    message: str,
    run: Run,
    models: dict[str, Path],
    here: Path,
) -> None:
    """With file and line, an exit code, nothing on stdout but what was measured, no traceback."""
    Path("a.jsonl").write_text(content)
    ran = run("eval", task, "a.jsonl", "-m", models[task], *more)
    assert ran.code in (1, 2)
    assert ran.said(message)
    assert "unexpected" not in ran.err


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (["eval", "classify"], "text"),
        (["eval", "ner"], "text"),
        (["eval", "embed"], "pair"),
        (["threshold", "fit", "-m", "sentiment"], "text"),
    ],
)
def test_a_header_without_rows_is_refused(
    command: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores of nothing are not told, and no threshold is chosen on nothing."""
    path = tmp_path / "empty.csv"
    path.write_text("text,label,tokens,tags,text1,text2,score\n")
    assert main([*command, str(path)]) == 1
    assert capsys.readouterr() == ("", f"bertcli: {path}: there is no {what} to go by\n")


def test_texts_without_masks_do_not_widen_the_interval() -> None:
    """A draw of them alone would count as a perplexity of one."""
    from bertcli.evaluate.fill_mask import FillMaskScore

    masks, first = np.array([0] * 40 + [4]), np.array([0] * 40 + [2])
    score = FillMaskScore(masks, first, first, np.array([0.0] * 40 + [8.0]))
    assert {*asdict(score.perplexity_interval).values()} == {math.exp(2)}
    assert {*asdict(score.top1_interval).values()} == {0.5}


def test_queries_that_are_judged_but_not_asked_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They count as nothing found; by words alone there is nothing to compare."""
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "a cat"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "cat"}\n')
    (tmp_path / "qrels.tsv").write_text("q1\t0\td1\t1\nq9\t0\td1\t1\n")
    line = ["eval", "search", str(tmp_path), "--mode", "keyword"]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "1 of its queries are not among those of" in said.err and '"q9"' in said.err
    assert json.loads(said.out)["ndcg@10"] == 0.5
    assert main([*line, "--compare", "all-MiniLM-L6-v2"]) == 2
    assert "every checkpoint finds the same" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--errors", "--differences"])
def test_what_is_measured_on_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """A file to be written that is read, or another one that is written, is refused."""
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA lovely film.,negative\n")
    line = ["eval", "classify", str(tmp_path), "--compare", "sentiment"]
    assert main([*line, option, str(path)]) == 2
    assert "that file is read" in capsys.readouterr().err
    assert main([*line, "--errors", "x.jsonl", "--differences", "./x.jsonl"]) == 2
    assert "two files" in capsys.readouterr().err
    assert path.read_text() == "text,label\nA lovely film.,negative\n"


def test_a_precision_that_is_just_reached() -> None:
    """14 of 25 are 0.56, though 0.56 · 25 is a little more than 14 to a computer."""
    from bertcli.evaluate.classify import ClassifyScore
    from bertcli.evaluate.thresholds import best_thresholds

    gold = np.arange(25)[:, None] < np.array([14, 0])
    score = ClassifyScore(("a", "b"), gold, gold, np.full((25, 2), 0.5))
    assert best_thresholds(score, True, 0.56)["a"] < 1


def test_equal_texts_have_equal_cosines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rounding does not order them: all ranks are the same, and there is no correlation."""
    path = tmp_path / "pairs.csv"
    texts = ("A quick fox", "hello there my friend", "stock market", "weather is nice today")
    lines = [f"{text},{text},{score}\n" for score, text in enumerate(texts)]
    path.write_text("text1,text2,score\n" + "".join(lines))
    assert main(["eval", "embed", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["spearman"] == 0


def test_nothing_masked_is_no_perplexity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text of one word has no mask: there is nothing to tell."""
    (tmp_path / "short.txt").write_text("Hi\n")
    assert main(["eval", "fill-mask", str(tmp_path / "short.txt")]) == 1
    assert "no token was masked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "qrels"),
    [
        ("qrels.tsv", "q1\t0\td1\t1\nq2\t0\td2\t1\n"),
        ("qrels.txt", "q1 0 d1 1\nq2 0 d2 1\n"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1.0\nq2\td2\t1\n"),
    ],
)
def test_judgements_come_in_either_layout(name: str, qrels: str, tmp_path: Path) -> None:
    """TREC's lines by whatever name, and grades that a table of floats made of whole numbers."""
    (tmp_path / name).write_text(qrels)
    assert read_judgements(tmp_path / name) == {"q1": {"d1": 1}, "q2": {"d2": 1}}


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        ("", "q 0 d 1\n", "run.trec: is empty"),
        ("q Q0 d 1 nan x\n", "q 0 d 1\n", 'run.trec:1: the score "nan" is not a number'),
        ("q Q0 d 1 1.0 x\n", "q 0 d 1\nq 0 e 3000000000\n", "qrels.txt:2: the grade"),
        ("q Q0 d 1 1.0 x\n", f"q 0 d {10**30}\n", "qrels.txt:1: the grade"),
    ],
)
def test_judgements_and_runs_that_cannot_be(
    run: str, qrels: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty run, a score that is none, and grades for which there is no memory."""
    paths = [tmp_path / name for name in ("run.trec", "qrels.txt")]
    for path, text in zip(paths, (run, qrels), strict=True):
        path.write_text(text)
    line = ["eval", "search", str(tmp_path), "--run", str(paths[0]), "--qrels", str(paths[1])]
    assert main(line) == 1
    assert message in capsys.readouterr().err


def test_a_no_break_space_is_part_of_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CoNLL's columns are parted by tabs and blanks alone."""
    path, wrong = tmp_path / "a.conll", tmp_path / "wrong.jsonl"
    path.write_text("Ada\tO\n10\u00a0000\tB-PER\n", encoding="utf-8")
    assert main(["eval", "ner", str(path), "--errors", str(wrong)]) == 0
    assert json.loads(wrong.read_text().splitlines()[0])["text"] == "Ada 10\u00a0000"


def test_a_checkpoint_of_several_labels_has_no_confusion(
    tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the data are: what is for one label a text is refused."""
    several = {"problem_type": "multi_label_classification"}
    model = str(tiny_checkpoint("bert", Head.SEQUENCE, **several))
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nthe cat,LABEL_0\n")
    assert main(["eval", "classify", str(path), "-m", model, "--abstain-below", "0.5"]) == 2
    assert "--abstain-below" in capsys.readouterr().err
    assert main(["eval", "classify", str(path), "--label-sep", ""]) == 2
    assert "--label-sep" in capsys.readouterr().err


def test_a_label_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--map neutral=` does not measure on what is neutral."""
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA lovely film.,positive\nIt is Monday.,neutral\n")
    assert main(["eval", "classify", str(path), "--map", "neutral="]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["accuracy"]) == (1, 1.0)
    assert [one["label"] for one in found["labels"]] == ["negative", "positive"]


def test_a_comparison_has_no_order(
    tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One label a text or several: what holds for one checkpoint holds for both."""
    one = str(tiny_checkpoint("bert", Head.SEQUENCE, seed=1))
    several = {"problem_type": "multi_label_classification"}
    other = str(tiny_checkpoint("bert", Head.SEQUENCE, seed=2, **several))
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nthe cat,neutral\nthe dog,entailment\n")
    found = []
    for first, second in ((one, other), (other, one)):
        assert main(["eval", "classify", str(path), "-m", first, "--compare", second]) == 0
        told = json.loads(capsys.readouterr().out)
        found.append((told["accuracy"], told["other_accuracy"]))
    assert found[0] == found[1][::-1]


def test_cosines_are_not_measured_as_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Texts with several labels need a checkpoint that was trained on such."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a ball", "label": ["sports", "toys"]}\n')
    assert main(["eval", "classify", str(path), "--labels", "sports,toys"]) == 2
    assert "no probabilities" in capsys.readouterr().err


def test_a_map_of_a_label_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told: most probably it is misspelt."""
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA lovely film.,positive\n")
    assert main(["eval", "classify", str(path), "--map", "postive=positive"]) == 0
    assert (
        '--map postive=…: no such label in the data, which has "positive"'
        in capsys.readouterr().err
    )


def test_a_label_may_have_an_equals_sign_or_a_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands before the sign is a label of the data; the hint can be pasted."""
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA lovely film.,a=b\nA bad film.,very bad\n")
    line = ["eval", "classify", str(path)]
    assert main([*line, "--map", "a=b=positive"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["accuracy"] == 0.5
    assert "with --map 'very bad=NAME'" in told.err and "a=b" not in told.err


def test_wrong_records_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line says so, and there is no half of a file."""
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nA lovely film.,negative\n")
    gone = tmp_path / "gone" / "wrong.jsonl"
    assert main(["eval", "classify", str(path), "--errors", str(gone)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["eval", "classify", str(path), "--errors", str(tmp_path / "wrong.jsonl")]) == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rows.csv", "wrong.jsonl"]
