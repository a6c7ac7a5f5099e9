"""Parquet: one row per record, nested like JSON lines, written in row groups.

What a task found has fixed types, so that two runs give files of one schema. A record's own columns
have the types that the input has, if that is Parquet too, else those of the first row group. Of no
number a digit is cut, no key is left out, and a column with values of several kinds is text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from bertcli.errors import OutputError
from bertcli.outputs.fields import Fields, failed_row, free_name, names_of, own_fields
from bertcli.outputs.jsonl import as_json
from bertcli.outputs.sink import Sink
from bertcli.records import Record, encodable
from bertcli.results import (
    Answer,
    ClassifyResult,
    EmbedResult,
    FillMaskResult,
    FoundAnswers,
    GroupResult,
    Hit,
    Member,
    NerResult,
    PairResult,
    QaResult,
    Result,
    SearchResult,
    UniqueResult,
)

GROUP = 1000
DIGITS = 38
"""The most that a decimal of 128 bits has."""
DEEPEST = 30
"""So deep may lists and objects stand in each other; deeper ones, which nobody reads, are text."""
UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)

TEXT, WHOLE, SCORE = pa.string(), pa.int64(), pa.float64()
READING = {"tokens": WHOLE, "windows": WHOLE, "cut_tokens": WHOLE}
LABEL = {"label": TEXT, "score": SCORE}
FILL = {"token": TEXT, "score": SCORE, "text": TEXT}
MASK = {"start": WHOLE, "end": WHOLE, "fills": pa.list_(pa.struct(FILL))}
JOINT = {"tokens": pa.list_(TEXT), "score": SCORE, "text": TEXT}
ENTITY = {"label": TEXT, "text": TEXT, "start": WHOLE, "end": WHOLE, "score": SCORE}
SPAN = {"answer": TEXT, "score": SCORE, "start": WHOLE, "end": WHOLE, "line": WHOLE}
HIT = {
    "score": SCORE,
    "rerank_score": SCORE,
    "document": TEXT,
    "line": WHOLE,
    "last_line": WHOLE,
    "id": WHOLE,
    "start": WHOLE,
    "end": WHOLE,
    "page": WHOLE,
    "last_page": WHOLE,
    "heading": TEXT,
    "sentence": TEXT,
    "sentence_page": WHOLE,
    "matches": pa.list_(pa.list_(WHOLE)),
    "before": TEXT,
    "after": TEXT,
    "copies": pa.list_(TEXT),
    "text": TEXT,
    "columns": TEXT,
}
MEMBER = {"document": TEXT, "line": WHOLE, "id": WHOLE, "text": TEXT, "columns": TEXT}
FOUND = {
    "answer": TEXT,
    "score": SCORE,
    "passage_score": SCORE,
    "document": TEXT,
    "line": WHOLE,
    "page": WHOLE,
    "passage": TEXT,
}

RESULT_TYPES: dict[type[object], Mapping[str, pa.DataType]] = {
    FillMaskResult: {
        "masks": pa.list_(pa.struct(MASK)),
        "joint": pa.list_(pa.struct(JOINT)),
        **READING,
    },
    ClassifyResult: {**LABEL, "labels": pa.list_(pa.struct(LABEL)), **READING},
    NerResult: {"entities": pa.list_(pa.struct(ENTITY)), **READING},
    QaResult: {
        "question": TEXT,
        **SPAN,
        "no_answer": SCORE,
        "answers": pa.list_(pa.struct(SPAN)),
        **READING,
    },
    FoundAnswers: {
        "question": TEXT,
        **FOUND,
        "no_answer": SCORE,
        "answers": pa.list_(pa.struct(FOUND)),
        "cut_tokens": WHOLE,
    },
    EmbedResult: {"embedding": pa.list_(pa.float32()), **READING},
    SearchResult: {"query": TEXT, "hits": pa.list_(pa.struct(HIT)), "cut_tokens": WHOLE},
    PairResult: {"score": SCORE, "first": pa.struct(MEMBER), "second": pa.struct(MEMBER)},
    GroupResult: {
        "group": WHOLE,
        "size": WHOLE,
        "terms": pa.list_(TEXT),
        "lowest_score": SCORE,
        "members": pa.list_(pa.struct(MEMBER)),
    },
    UniqueResult: {"count": WHOLE},
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The schema of a file, which of its columns are the records' own, and where results go.

    `found` maps a result's key to its column; `error` is the name of the last column.
    """

    schema: pa.Schema
    own: frozenset[str]
    found: Mapping[str, str]
    error: str


def write_parquet(
    answers: Iterable[Answer],
    sink: Sink,
    known: Mapping[str, pa.DataType] | None = None,
    like: Result | None = None,
) -> None:
    """Write the answers in row groups of about a thousand.

    `known` are the types of own columns, as far as the input says them. Where there are no answers
    the columns are those of results `like` this.

    Raises:
        OutputError: a later record does not fit the columns of the first group.
    """
    groups = _groups(answers)
    first = list(islice(groups, 1))
    none = [] if like is None else [Answer(Record(0, ""), like)]
    layout = _layout(first[0] if first else none, known or {})
    with closing(pq.ParquetWriter(cast(IO[bytes], sink), layout.schema)) as writer:
        for group in chain(first, groups):
            writer.write_table(_table(group, layout))


def _groups(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    """Yield lists of answers; the first has at least one good one, if there is any."""
    group: list[Answer] = []
    answered = False
    for answer in answers:
        group.append(answer)
        answered = answered or answer.result is not None
        if answered and len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


def _layout(group: list[Answer], known: Mapping[str, pa.DataType]) -> Layout:
    """Return the layout that the first group asks for: own columns, result, error."""
    good = [answer for answer in group if answer.result is not None]
    owns = [own_fields(answer) for answer in group]
    heads = [own_fields(answer) for answer in good] or owns
    names = dict.fromkeys(name for own in heads for name in own)
    own = [
        pa.field(name, _own_type([row.get(name) for row in owns], known.get(name)))
        for name in names
    ]
    types = RESULT_TYPES[type(good[0].result)] if good else {}
    found = _result_names(good[0], list(names), list(types)) if good else {}
    error = free_name("error", [*names, *found.values()])
    fields = [pa.field(found[key], types[key]) for key in found]
    return Layout(pa.schema([*own, *fields, pa.field(error, TEXT)]), frozenset(names), found, error)


def _result_names(answer: Answer, taken: list[str], keys: list[str]) -> dict[str, str]:
    """Return the column for each key of a result; none for what the record's own columns say."""
    own = dict.fromkeys(taken) | own_fields(answer)
    found = answer.result.nested() if answer.result else {}
    return names_of(own, {key: found.get(key) for key in keys})


def _table(group: list[Answer], layout: Layout) -> pa.Table:
    """Return a group as one Arrow table."""
    rows = [_row(answer, layout) for answer in group]
    columns = [
        _column([row.get(field.name) for row in rows], field, group, field.name in layout.own)
        for field in layout.schema
    ]
    return pa.Table.from_arrays(columns, schema=layout.schema)


def _row(answer: Answer, layout: Layout) -> Fields:
    """Return an answer's fields under the names of the file's columns."""
    if answer.result is None:
        return failed_row(answer, layout.own, layout.found, layout.error)
    own = own_fields(answer)
    extra = [name for name in own if name not in layout.own]
    if extra:
        raise OutputError(
            f"{answer.record.place} has the column {extra[0]}, which the first {GROUP} records "
            "have not; Parquet needs the same columns in every row, so write -f jsonl instead"
        )
    found = _found(answer.result)
    return own | {name: found.get(key) for key, name in layout.found.items()}


def _found(result: Result) -> Fields:
    """Return a result's nested form; vectors stay arrays, a document's columns become JSON."""
    if isinstance(result, EmbedResult):
        return result.reading.nested() | {"embedding": result.vector}
    if isinstance(result, SearchResult):
        hits = [_place(hit) for hit in result.hits]
        return {"query": result.query, "hits": hits} | result.reading.cut()
    if isinstance(result, PairResult):
        pair = {"first": _place(result.first), "second": _place(result.second)}
        return result.nested() | pair
    if isinstance(result, GroupResult):
        return result.nested() | {"members": [_place(one) for one in result.members]}
    return result.nested()


def _place(one: Hit | Member) -> Fields:
    """Return a hit or member with its columns as one JSON text, as they differ between them."""
    return one.nested() | {"columns": as_json(one.columns) if one.columns else None}


def _own_type(values: list[object], known: pa.DataType | None) -> pa.DataType:
    """Return the Arrow type that holds all the values; text where there is no other."""
    if known is not None and _fitted(values, known) is not None:
        return known
    for wanted in (None, pa.uint64()):  # which pyarrow does not think of by itself
        found = _fitted(values, wanted)
        if found is not None and (kind := _storable(found.type)) is not None:
            return kind
    return TEXT


def _fitted(values: list[object], kind: pa.DataType | None) -> pa.Array | None:
    """Return the values as an array of a type, pyarrow's choice if None; None if it loses any."""
    try:
        array = pa.array(values, type=kind)
        if pa.types.is_string(array.type):
            kept = all(value is None or isinstance(value, str) for value in values)
        else:
            kept = all(map(_is_kept, values, array.to_pylist()))
    except (*UNFIT, UnicodeEncodeError, RecursionError):
        return None
    return array if kept else None


def _is_kept(value: object, back: object) -> bool:
    """Return whether a value came back from Arrow: no digit, key or truth value lost."""
    if isinstance(value, Mapping):
        there = back if isinstance(back, Mapping) else {}
        return all(_is_kept(one, there.get(key)) for key, one in value.items())
    if isinstance(value, list | tuple):
        same = isinstance(back, list | tuple) and len(value) == len(back)
        return same and all(map(_is_kept, value, cast(list[object], back)))
    if isinstance(value, bool) or isinstance(back, bool):
        return value is back
    return value == back or (value != value and (back is None or back != back))


def _storable(kind: pa.DataType, depth: int = 0) -> pa.DataType | None:
    """Return the type with room for what may come later; None for what Parquet cannot store.

    Where only nulls were seen that is text; decimals get all the digits there are.
    """
    if depth > DEEPEST:
        return None
    if pa.types.is_null(kind):
        return TEXT
    if pa.types.is_decimal128(kind):
        return pa.decimal128(DIGITS, kind.scale)
    if pa.types.is_list(kind):
        inner = _storable(kind.value_type, depth + 1)
        return pa.list_(inner) if inner else None
    if not pa.types.is_struct(kind):
        return kind
    inners = {field.name: _storable(field.type, depth + 1) for field in kind}
    return pa.struct(inners) if inners and all(inners.values()) else None


def _column(values: list[object], field: pa.Field, group: list[Answer], own: bool) -> pa.Array:
    """Return the values as one Arrow array of the field's type.

    What does not fit it is left out where the record failed, and written as text where that fits.
    """
    if not own:
        try:
            return pa.array(values, type=field.type)
        except UnicodeEncodeError:
            return pa.array([_encodable(value) for value in values], type=field.type)
    fitted = _fitted(values, field.type)
    if fitted is not None:
        return fitted
    if field.type == TEXT:
        return pa.array([_encodable(_as_text(value)) for value in values], type=TEXT)
    for at, answer in enumerate(group):
        values[at] = _encodable(values[at])
        if answer.result is None and _fitted([values[at]], field.type) is None:
            values[at] = None
    fitted = _fitted(values, field.type)
    if fitted is None:
        raise OutputError(
            f"the column {field.name} holds {field.type} in the first {GROUP} records, and what it "
            f"has from {group[0].record.place} on does not all fit that; write -f jsonl instead"
        )
    return fitted


def _as_text(value: object) -> str | None:
    """Return a value as text: itself, or its JSON, without quotes where that is a string."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    said = as_json(value)
    if said.startswith('"'):
        return str(json.loads(said))
    return None if said == "null" else said  # a NaN


def _encodable(value: object) -> object:
    r"""Return the value with halves of surrogate pairs, which have no UTF-8, as `\udXXX`."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {key: _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
