"""Passages, queries, judgements and runs, as BEIR's folders and TREC's files have them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from bertcli.errors import DataError
from bertcli.inputs.formats import InputFormat
from bertcli.inputs.records import sound_rows
from bertcli.records import one_word

GRADE = re.compile(r"([+-]?0*\d{1,6})(\.0*)?")
SUFFIXES = ("", ".gz", ".xz")
QRELS = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv")


def beir_file(folder: Path, *names: str) -> Path:
    """Return the first of these files that a folder has, also compressed."""
    for name in names:
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise DataError(
        f"{folder}: no {names[0]}; expected corpus.jsonl, queries.jsonl and qrels.tsv or "
        "qrels/test.tsv, as BEIR's folders have them"
    )


def read_passages(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the id, as one word, and the text of each passage or query, a title before the text.

    Raises DataError for an id that was there before: judgements could not tell the two apart.
    """
    seen = set[str]()
    for row in sound_rows([str(path)]):
        name = row.columns.get("_id", row.columns.get("id"))
        if name is None:
            raise DataError(f'{row.place}: no column "_id"')
        name = one_word(name)
        if name in seen:
            raise DataError(f'{row.place}: the _id "{name}" was there before')
        seen.add(name)
        parts = (str(row.columns.get(key) or "").strip() for key in ("title", "text"))
        yield name, " ".join(part for part in parts if part)


def read_judgements(
    path: Path, input_format: InputFormat | None = None
) -> dict[str, dict[str, int]]:
    """Return the grade of each judged passage by query, the names as those of a run: one word.

    From rows with query-id, corpus-id and score, or from TREC's lines of query, 0, passage, grade.
    Raises DataError where a passage is judged twice, and otherwise: which would count?
    """
    found: dict[str, dict[str, int]] = {}
    for row in sound_rows([str(path)], input_format):
        cells = row.columns
        if row.text is not None:
            parts = row.text.split()
            if len(parts) != 4:
                raise DataError(f"{row.place}: expected query, 0, passage and grade")
            query, passage, grade = parts[0], parts[2], parts[3]
        elif {"query-id", "corpus-id", "score"} <= set(cells):
            query, passage = (one_word(cells[key]) for key in ("query-id", "corpus-id"))
            grade = str(cells["score"])
        elif _is_judgement(list(cells)):
            return read_judgements(path, InputFormat.TXT)
        else:
            raise DataError(f"{row.place}: expected the columns query-id, corpus-id and score")
        whole = GRADE.fullmatch(grade)
        if not whole:  # pytrec_eval keeps a place for each up to the highest
            raise DataError(f'{row.place}: the grade "{grade}" is not a whole number under 10⁶')
        grade = whole[1]
        if found.setdefault(query, {}).setdefault(passage, int(grade)) != int(grade):
            raise DataError(
                f'{row.place}: "{passage}" had the grade {found[query][passage]} for the query '
                f'"{query}" before, and has {grade} here'
            )
    return found


def _is_judgement(header: list[str]) -> bool:
    """Tell TREC's query, 0, passage and grade, taken for the header of a table, from names."""
    return len(header) == 4 and bool(GRADE.fullmatch(header[1]))


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Return a TREC run file: on each line query, Q0, passage, rank, score and name.

    Raises DataError for a passage that a query has twice: which of its scores would count?
    """
    run: dict[str, dict[str, float]] = {}
    for row in sound_rows([str(path)], InputFormat.TXT):
        cells = (row.text or "").split()
        if len(cells) != 6:
            raise DataError(f"{row.place}: expected query Q0 passage rank score name")
        query, _, passage, _, told, _ = cells
        try:
            score = float(told)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(f'{row.place}: the score "{told}" is not a number')
        found = run.setdefault(query, {})
        if passage in found:
            raise DataError(f'{row.place}: the query "{query}" had the passage "{passage}" before')
        found[passage] = score
    return run
