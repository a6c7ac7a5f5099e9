"""Every text format of every task, compared with a file that a person has read."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from bertcli.errors import UsageError
from bertcli.outputs.formats import OutputFormat
from bertcli.outputs.sink import GuardedStream
from bertcli.outputs.write import WRITERS, Destination
from bertcli.results import Answer

from .samples import SAMPLES

GOLDEN = Path(__file__).parent / "golden"
ANY_TASK = ("jsonl", "json", "csv", "tsv", "text", "table")


def written(answers: list[Answer], fmt: str, destination: Destination | None = None) -> str:
    """Return what a format makes of the answers."""
    stream = io.BytesIO()
    sink = GuardedStream(stream, "memory")
    WRITERS[OutputFormat(fmt)](answers, sink, destination or Destination())
    return stream.getvalue().decode()


def compare(name: str, text: str) -> None:
    """Compare with a golden file; UPDATE_GOLDEN=1 writes it anew, to be read before a commit."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(text.encode())
    assert text == path.read_bytes().decode()


@pytest.mark.parametrize("fmt", ANY_TASK)
@pytest.mark.parametrize("task", SAMPLES)
def test_several_records_look_like_the_golden_file(task: str, fmt: str) -> None:
    """A format does not change unseen: scripts read it."""
    compare(f"{task}.{fmt}", written(SAMPLES[task](), fmt))


@pytest.mark.parametrize("task", SAMPLES)
def test_one_record_has_a_table_of_its_own(task: str) -> None:
    """Somebody who asks about one text sees the answer without number and repetition."""
    compare(f"{task}-alone.table", written(SAMPLES[task]()[:1], "table"))


@pytest.mark.parametrize("task", SAMPLES)
def test_live_records_look_like_the_golden_file(task: str) -> None:
    """Records that come while one watches are shown one by one, in columns that stay put."""
    compare(f"{task}-live.table", written(SAMPLES[task](), "table", Destination(live=True)))


def test_colour_marks_entities_and_errors() -> None:
    """With colour, entities stand on a background and failures are red."""
    compare("ner-colour.table", written(SAMPLES["ner"](), "table", Destination(color=True)))


def test_search_in_colour() -> None:
    """Matching words and the best sentence are marked."""
    shown = written(SAMPLES["searched"](), "table", Destination(color=True))
    compare("searched-colour.table", re.sub(r"id=\d+", "id=", shown))


def test_trec() -> None:
    """A run has each document once, with falling scores; other tasks have none."""
    compare("searched.trec", written(SAMPLES["searched"](), "trec"))
    with pytest.raises(UsageError, match="trec is a format for search"):
        written(SAMPLES["ner"](), "trec")


def test_conll_is_for_ner() -> None:
    """CoNLL columns are written for ner and refused, as a usage error, for anything else."""
    compare("ner.conll", written(SAMPLES["ner"](), "conll"))
    with pytest.raises(UsageError, match="ner only"):
        written(SAMPLES["classify"](), "conll")
