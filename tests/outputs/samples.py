"""Answers made by hand, three records for each task: one plain case, one hard case, one failure."""

from __future__ import annotations

import numpy as np

from bertcli.records import BadRecord, Place, Record
from bertcli.results import (
    Answer,
    ClassifyResult,
    EmbedResult,
    Entity,
    Fill,
    FillMaskResult,
    FoundAnswer,
    FoundAnswers,
    GroupResult,
    Hit,
    JointFill,
    LabelScore,
    MaskFills,
    Member,
    NerResult,
    PairResult,
    QaResult,
    Reading,
    Result,
    SearchResult,
    Span,
    UniqueResult,
    Word,
)


def answered(number: int, text: str, result: Result, /, **columns: object) -> Answer:
    """Return a good answer for a text, or for a row where columns are given."""
    return Answer(Record(number, text, columns, Place("in.jsonl", number + 1)), result)


def failed(number: int, text: str, error: str, /, **columns: object) -> Answer:
    """Return a record that could be read but not answered."""
    return Answer(Record(number, text, columns, Place("in.jsonl", number + 1)), None, error)


def unreadable(number: int) -> Answer:
    """Return a row that is not even a record."""
    bad = BadRecord(number, "not JSON", place=Place("in.jsonl", number + 1))
    return Answer(bad, None, bad.error)


def fill_mask() -> list[Answer]:
    """One mask in plain text; two masks; no mask."""
    one = Fill("paris", 0.71234567, "Paris is nice, says paris.")
    two = Fill("lyon", 0.0004, "Paris is nice, says lyon.")
    red, blue = (
        Fill("red", 0.5, "a red and [MASK] flag"),
        Fill("blue", 0.25, "a [MASK] and blue flag"),
    )
    both = JointFill(("red", "blue"), 0.125, "a red and blue flag")
    single = FillMaskResult((MaskFills(20, 26, (one, two)),), Reading(9))
    double = FillMaskResult(
        (MaskFills(2, 8, (red,)), MaskFills(13, 19, (blue,))), Reading(8), (both,)
    )
    return [
        answered(0, "Paris is nice, says [MASK].", single),
        answered(1, "a [MASK] and [MASK] flag", double),
        failed(2, "no mask here", "no mask in the text; write [MASK] where a word is missing"),
    ]


def classify() -> list[Answer]:
    """Rows with columns of their own, of which two are called like the result's."""
    best = (LabelScore("positive", 0.9), LabelScore("negative", 0.1))
    return [
        answered(
            0,
            "A fine film.",
            ClassifyResult(best, Reading(5), several=True),
            text="A fine film.",
            label="gold",
            score=4,
        ),
        answered(
            1,
            'He said "no",\nthen\tleft.',
            ClassifyResult((), Reading(600, 1, 88), several=True),
            text='He said "no",\nthen\tleft.',
            label="gold",
            score=None,
        ),
        failed(2, "", "the text is empty", text="", label="tin", score=1),
        unreadable(3),
    ]


def ner() -> list[Answer]:
    """Two entities, one of them Chinese; none."""
    found = (Entity("PER", 0, 3, "Ada", 0.99), Entity("LOC", 13, 16, "北京市", 0.875))
    tags = (Word("Ada", "B-PER"), Word("lived", "O"), Word("in", "O"), Word("北京市", "B-LOC"))
    nothing = (Word("Nothing", "O"), Word("here", "O"))
    return [
        answered(0, "Ada lived in 北京市", NerResult(found, Reading(7), tags)),
        answered(1, "Nothing here", NerResult((), Reading(4), nothing)),
        unreadable(2),
    ]


def qa() -> list[Answer]:
    """Two answers; no answer; a failed record, which still tells its question."""
    context = "Ada Lovelace was born\nin London."
    spans = (Span("London", 25, 31, 2, 0.8), Span("in London", 22, 31, 2, 0.1))
    found = QaResult("Where was Ada born?", spans, 0.05, Reading(14))
    unknown = QaResult("Who is Bob?", (), 0.97, Reading(12))
    records = [
        Record(i, context, {}, Place("in.txt", 1), question)
        for i, question in enumerate(("Where was Ada born?", "Who is Bob?", ""))
    ]
    return [
        Answer(records[0], found),
        Answer(records[1], unknown),
        Answer(records[2], None, "the question is empty"),
    ]


def found() -> list[Answer]:
    """Two answers in passages of an index; none; a failed question."""
    answers = (
        FoundAnswer("Ann Lee", 0.9, "notes/mill.pdf", 12, 0.75, "Ann Lee built the mill.", 3),
        FoundAnswer("Bob", 0.2, "rows.csv", None, 0.5, "Bob ran it."),
    )
    return [
        answered(0, "Who built it?", FoundAnswers("Who built it?", answers, 0.05, Reading(30, 2))),
        answered(1, "Why?", FoundAnswers("Why?", (), 0.97, Reading(30, 2))),
        failed(2, "", "the question is empty"),
    ]


def embed() -> list[Answer]:
    """Two vectors around a failed record."""
    vector = np.array([0.1, -0.25, 1 / 3, 1e-8, 0.5], np.float32)
    return [
        answered(0, "a cat", EmbedResult(vector, Reading(4))),
        failed(1, "", "the text is empty"),
        answered(2, "一只猫", EmbedResult(-vector, Reading(5, 2))),
    ]


def search() -> list[Answer]:
    """Two hits, one with columns of its document; none."""
    hits = (
        Hit(0.87654321, "Cats sleep sixteen hours a day.", "notes/animals/cats.txt", 12),
        Hit(0.5, "Dogs bark.", "dogs.csv", None, {"id": 7, "tags": ["pet"]}),
    )
    return [
        answered(0, "sleepy cats", SearchResult("sleepy cats", hits, Reading(4))),
        answered(1, "xyzzy", SearchResult("xyzzy", (), Reading(4))),
        failed(2, "", "the query is empty"),
    ]


def searched() -> list[Answer]:
    """A hit with everything that can be said of one, and another of its file."""
    full = Hit(
        0.75,
        "Cats sleep. They eat fish.",
        "docs/pets.pdf",
        4,
        {},
        17,
        5,
        "Pets > Cats",
        2,
        100,
        126,
        "/docs/pets.pdf",
        "Line before.\n",
        "\nLine after.",
        ((21, 25),),
        (12, 26),
        0.9,
        ("copy.txt:1",),
        (12,),
    )
    plain = Hit(0.5, "Dogs bark.", "docs/pets.pdf", 9, heading="Pets", id=18, start=200, end=210)
    result = SearchResult("fish", (full, plain), Reading(3))
    return [answered(0, "fish", result), failed(1, "", "the query is empty")]


def similar() -> list[Answer]:
    """Pairs of texts."""
    one, other = Member("A cat.", "a.csv", 2), Member("The cat.", "notes/b.md", 7, 3)
    return [Answer(Record(i, ""), PairResult(0.875, one, other)) for i in range(2)]


def groups() -> list[Answer]:
    """Near-duplicates."""
    members = (Member("A cat.", "a.csv", 2), Member("A  cat.", "a.csv", 5))
    return [Answer(Record(0, ""), GroupResult(1, members, None, 0.97))]


def clusters() -> list[Answer]:
    """A cluster with its terms, and what fits nowhere."""
    members = tuple(Member(f"Cat {number}.", "a.csv", number) for number in range(2, 7))
    left = (Member("Something else.", "a.csv", 9),)
    return [
        Answer(Record(0, ""), GroupResult(1, members, ("cat", "fish"))),
        Answer(Record(1, ""), GroupResult(None, left, ("else",))),
    ]


def unique() -> list[Answer]:
    """Texts that stand for themselves and others."""
    return [
        answered(0, "A cat.", UniqueResult("A cat.", 3), label="pet"),
        answered(1, "A dog.", UniqueResult("A dog.", 1), label="pet"),
    ]


SAMPLES = {
    "fill-mask": fill_mask,
    "classify": classify,
    "ner": ner,
    "qa": qa,
    "found": found,
    "embed": embed,
    "search": search,
    "searched": searched,
    "similar": similar,
    "groups": groups,
    "clusters": clusters,
    "unique": unique,
}
