"""The texts that the built-in checkpoints learnt are as the readers want them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bertcli.inputs.labelled import read_labelled, read_questions, read_tagged

TEXTS = Path(__file__).parent.parent / "recipes" / "texts"
PARTS = ("", "-dev", "-test")


def same_in_two(parts: list[set[str]]) -> set[str]:
    """Return what stands in more than one part."""
    return set().union(*(one & other for i, one in enumerate(parts) for other in parts[:i]))


def test_half_of_the_opinions_are_negative() -> None:
    """In every part; and no text stands in two."""
    names = [f"sentiment{part}.jsonl" for part in (*PARTS, "-more")]
    parts = [list(read_labelled([str(TEXTS / name)])) for name in names]
    for texts in parts:
        negative = sum(text.labels == ("negative",) for text in texts)
        assert negative == pytest.approx(len(texts) / 2, rel=0.02)
        assert {text.labels for text in texts} == {("negative",), ("positive",)}
    assert not same_in_two([{text.text.lower() for text in texts} for texts in parts])


def test_names_are_of_three_kinds() -> None:
    """In every part, some texts have none; and no text stands in two."""
    parts = [list(read_tagged([str(TEXTS / f"ner{part}.jsonl")])) for part in PARTS]
    for texts in parts:
        assert {label for text in texts for *_, label in text.spans} == {"PER", "ORG", "LOC"}
        assert any(not text.spans for text in texts)
    assert not same_in_two([{text.text for text in texts} for texts in parts])


def test_a_third_of_the_questions_have_no_answer() -> None:
    """In every part, where the others' answers stand in the text; and no text stands in two."""
    parts = [list(read_questions([str(TEXTS / f"qa{part}.json")])) for part in PARTS]
    for asked in parts:
        none = sum(not one.answers for one in asked)
        assert none == pytest.approx(len(asked) / 3, rel=0.15)
        for one in asked:
            assert all(one.context[at : at + len(text)] == text for text, at in one.answers)
    assert not same_in_two([{one.context for one in asked} for asked in parts])


def test_sentences_are_there_once() -> None:
    """Each is one line, without blanks around it."""
    lines = (TEXTS / "everyday.txt").read_text("utf-8").splitlines()
    assert all(line == line.strip() != "" for line in lines)
    assert len({line.lower() for line in lines}) == len(lines)


@pytest.mark.parametrize("name", ["mask-test.jsonl", "mask-test-2.jsonl"])
def test_no_masked_sentence_stands_in_what_is_learnt(name: str) -> None:
    """With none of its answers, whatever signs and capitals it has; nor is it there twice."""
    learnt = {words(line) for line in (TEXTS / "everyday.txt").read_text("utf-8").splitlines()}
    rows = [json.loads(line) for line in (TEXTS / name).read_text("utf-8").splitlines()]
    for row in rows:
        assert row["text"].count("[MASK]") == 1 and row["answers"]
        assert learnt.isdisjoint(words(row["text"].replace("[MASK]", a)) for a in row["answers"])
    assert len({words(row["text"]) for row in rows}) == len(rows)


def words(text: str) -> str:
    """Return the words of a text alone, in lower case."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))
