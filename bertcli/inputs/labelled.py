"""Rows with what a person said about them: labels of texts, marked spans, answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bertcli.errors import DataError, RecordError, counted
from bertcli.inputs.cells import as_list, list_in, object_in
from bertcli.inputs.formats import InputFormat, format_of
from bertcli.inputs.records import sound_rows, text_of
from bertcli.inputs.rows import Row, missing_column, named
from bertcli.inputs.squad import questions_of
from bertcli.records import AnsweredQuestion, LabelledText, Place, ScoredPair, TaggedText

OUTSIDE = "O"
ENTITIES = "entities"
SCORE = "score"
UNDECIDED = "-"
"""The gold_label of SNLI's pairs on which the annotators did not agree."""
PAIR_LAYOUTS = (
    ("sentence1", "sentence2", "gold_label"),
    ("sentence1", "sentence2", "label"),
    ("premise", "hypothesis", "label"),
    ("question", "sentence", "label"),
    ("question1", "question2", "is_duplicate"),
    ("question1", "question2", "label"),
    ("#1 String", "#2 String", "Quality"),
)
"""The columns of first text, second text and label in GLUE's sets of pairs and their like."""
CELL = re.compile(r"[^ \t\r\n\f\v]+")  # a no-break space is part of a word
TAG = re.compile(r"O|[BIELSU]-.+")
COMMENT = re.compile(r"# \w+ = ")


@dataclass(frozen=True, slots=True)
class Columns:
    """In which columns the data stand; `separator` divides several labels in one cell.

    `score` is empty where pairs have none, and None where they have the usual one or none.
    `input_format` is that of all files, None where their names tell it.
    """

    text: str = "text"
    pair: str | None = None
    label: str = "label"
    separator: str | None = None
    tokens: str = "tokens"
    tags: str = "tags"
    question: str = "question"
    context: str = "context"
    answers: str = "answers"
    first: str = "text1"
    second: str = "text2"
    score: str | None = SCORE
    input_format: InputFormat | None = None

    def of_valid(self, files: Sequence[str]) -> Columns:
        """Return the same columns for other files, in their own format where all names tell it."""
        return replace(self, input_format=format_for(files, self.input_format))


def format_for(files: Sequence[str], asked: InputFormat | None) -> InputFormat | None:
    """Return how to read second files: by their own formats where all names tell, else as asked."""
    told = all(format_of(one) or Path(one).is_dir() for one in files)
    return None if told else asked


def read_labelled(files: Sequence[str], columns: Columns = Columns()) -> Iterator[LabelledText]:
    """Yield the labelled texts of files; raises DataError, with its place, for a row without.

    Where there is no column "text", those of GLUE's sets are known too: one sentence, or a pair.
    What has no label there is passed over: SNLI's undecided pairs, QQP's rows that are broken off.
    """
    for row in _whole_rows(files, columns.input_format):
        names = columns if columns.text in row.columns else _known_layout(row, columns)
        needed = {names.text: "--field", names.label: "--label-field"}
        _need(row, needed | ({names.pair: "--pair-field"} if names.pair else {}))
        if names is not columns and _without_label(row, names):
            continue
        labels = _labels(row, names)
        second = _filled(row, names.pair) if names.pair else None
        yield LabelledText(_filled(row, names.text), labels, row.place, second)


def are_pairs(texts: Iterable[LabelledText]) -> bool:
    """Tell whether these are pairs; raises DataError where some are and some are not."""
    kinds = {text.second is not None: text for text in texts}
    if len(kinds) > 1:
        raise DataError(f"{kinds[False].place}: one text, where {kinds[True].place} has a pair")
    return True in kinds


def read_tagged(files: Sequence[str], columns: Columns = Columns()) -> Iterator[TaggedText]:
    """Yield the texts of files with their marked spans.

    From rows with a list of tokens and one of tags; from rows with a text and its `entities`, each
    with `start`, `end` and `label`, as `bertcli ner` writes them; or from CoNLL files: a word and
    its tag on a line, in the first and last column, or as Universal NER has them, and an empty line
    after each sentence. Words are joined by spaces. Tags are IOB2, IOB1 or BIOES.
    """
    words: list[tuple[str, str, Place]] = []
    last = Place()
    for row in sound_rows(files, columns.input_format):
        if words and row.place != Place(last.path, (last.line or 0) + 1):
            yield _sentence(words)  # another file, or lines that are passed over as empty
            words = []
        last = row.place
        if (
            row.columns.get("error")
            and row.columns.get(ENTITIES, row.columns.get(columns.tags)) is None
        ):
            raise DataError(f"{row.place}: a text that ner could not read: leave this row out")
        if ENTITIES in row.columns and columns.tags not in row.columns:
            yield _with_entities(row, columns)
            continue
        if row.text is None:
            _refuse_conll(row, columns)
            _need(row, {columns.tokens: "--tokens-field", columns.tags: "--tags-field"})
            yield tagged_text(list(_pairs(row, columns)), row.place)
            continue
        word, tag = _conll(row)
        if word is None:
            if words:
                yield _sentence(words)
            words = []
            continue
        words.append((word, tag, row.place))
    if words:
        yield _sentence(words)


def read_questions(
    files: Sequence[str], columns: Columns = Columns(), placed: bool = True
) -> Iterator[AnsweredQuestion]:
    """Yield the questions of files with their contexts and answers.

    From SQuAD's JSON, of version 1 or 2, or from rows with `question`, `context` and `answers`: an
    object with the lists `text` and `answer_start`, as the hub's data sets have it, or the answer
    itself, or a list of them; then the first place in the context that reads so is meant. Without
    an answer are those with an empty list or cell, or with `is_impossible`. Raises DataError for an
    answer that the context does not have, unless it is only its words that count, not `placed`.
    """
    for row in _whole_rows(files, columns.input_format):
        for asked in questions_of(row, columns.question):
            if asked is row:
                _need_question(row, columns)
            yield _question(asked, columns if asked is row else Columns(), placed)


def read_pairs(files: Sequence[str], columns: Columns = Columns()) -> Iterator[ScoredPair]:
    """Yield the pairs of texts in two columns, with the number in a third where they have one.

    The columns may also be called sentence1 and sentence2, as in GLUE's STS-B. Where `columns` do
    not say whether there is a score, all have one as the first has, or none: DataError else.
    """
    scored = columns.score
    for row in _whole_rows(files, columns.input_format):
        names = columns
        if columns.first not in row.columns and "sentence1" in row.columns:
            names = replace(columns, first="sentence1", second="sentence2")
        if scored is None:  # as the first row is, so are all
            scored = SCORE if SCORE in row.columns else ""
        if columns.score is None and not scored and SCORE in row.columns:
            raise DataError(
                f'{row.place}: has a "{SCORE}", which the pairs before it have not: give all of '
                "them one, or learn that all are alike with --alike"
            )
        need = {names.first: "--first-field", names.second: "--second-field"}
        _need(row, need | ({scored: "--score-field"} if scored else {}))
        first, second = _filled(row, names.first), _filled(row, names.second)
        score = _score(row, scored) if scored else None
        yield ScoredPair(first, second, score, row.place)


def tagged_text(
    pairs: Sequence[tuple[str, str]], place: Place, places: Sequence[Place] = ()
) -> TaggedText:
    """Return words and tags as a text with spans; `places` where each word has its own.

    >>> tagged_text([("Ada", "B-PER"), ("Lovelace", "I-PER"), ("wrote", "O")], Place()).spans
    ((0, 12, 'PER'),)
    """
    text = " ".join(word for word, _ in pairs)
    spans: list[tuple[int, int, str]] = []
    found: dict[int, Place] = {}
    at, last = 0, OUTSIDE
    for number, (word, tag) in enumerate(pairs):
        here = places[number] if places else place
        prefix, kind = tag_parts(tag, here)
        goes_on = bool(spans) and kind == tag_parts(last, place)[1] and prefix not in "BSU"
        if kind and goes_on and tag_parts(last, place)[0] not in "ES":
            spans[-1] = (spans[-1][0], at + len(word), kind)
        elif kind:
            spans.append((at, at + len(word), kind))
            found |= {at: here} if places else {}
        at, last = at + len(word) + 1, tag
    return TaggedText(text, tuple(spans), place, found)


def tag_parts(tag: str, place: Place) -> tuple[str, str]:
    """Return a tag's scheme letter and its label, empty for O; raises DataError for no tag."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, _, kind = tag.partition("-")
    if not TAG.fullmatch(tag):
        more = "; numbers count a list of tags that the file has not" if tag.isdecimal() else ""
        raise DataError(f'{place}: "{tag}" is not a tag: expected O, B-LABEL or I-LABEL{more}')
    return {"L": "E", "U": "S"}.get(prefix, prefix), kind


def _known_layout(row: Row, columns: Columns) -> Columns:
    """Return the columns of a well-known data set where none but the usual ones were asked for."""
    usual = Columns()
    if columns.text != usual.text or columns.pair:
        return columns
    for first, second, label in PAIR_LAYOUTS:
        named = label if columns.label == usual.label else columns.label
        if {first, second, named} <= row.columns.keys():
            return replace(columns, text=first, pair=second, label=named)
    return replace(columns, text="sentence") if "sentence" in row.columns else columns


def _without_label(row: Row, names: Columns) -> bool:
    """Tell a row of SNLI or QQP that everyone leaves out."""
    if names.label == "is_duplicate":
        cells = (row.columns[one] for one in (names.text, names.pair or "", names.label))
        return any(cell is None or cell == "" for cell in cells)
    return names.label == "gold_label" and row.columns[names.label] == UNDECIDED


def _whole_rows(files: Sequence[str], input_format: InputFormat | None) -> Iterator[Row]:
    for row in sound_rows(files, input_format):
        if row.text is not None:
            raise DataError(
                f"{row.place}: plain text has no columns: use CSV, TSV, JSON, JSON lines or "
                "Parquet, and say which with --input-format where the name does not"
            )
        yield row


def _need(row: Row, options: dict[str, str]) -> None:
    for name, option in options.items():
        if name not in row.columns:
            raise missing_column(name, row.columns, row.place, option)


def _filled(row: Row, name: str) -> str:
    try:
        return text_of(row, name)
    except RecordError as error:
        raise DataError(f"{row.place}: {error}") from error


def _labels(row: Row, columns: Columns) -> tuple[str, ...]:
    cell = as_list(row.columns[columns.label])
    if isinstance(cell, list | tuple):
        listed = tuple(dict.fromkeys(_label(row, one) for one in cell))
        if "" in listed:
            raise _no_label(row, columns)
        return listed
    label = _label(row, cell)
    if columns.separator is not None:
        parts = (part.strip() for part in label.split(columns.separator))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not label:
        raise _no_label(row, columns)
    return (label,)


def _label(row: Row, cell: object) -> str:
    """Return a label as text: 1.0 is 1, as it was before a column with gaps became floats."""
    if isinstance(cell, dict | list | tuple):
        raise DataError(f"{row.place}: a label is {str(cell)[:40]}: expected text or a number")
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _no_label(row: Row, columns: Columns) -> DataError:
    return DataError(f'{row.place}: the column "{columns.label}" is empty: expected a label')


def _pairs(row: Row, columns: Columns) -> Iterator[tuple[str, str]]:
    tokens = list_in(row, row.columns[columns.tokens], columns.tokens)
    tags = list_in(row, row.columns[columns.tags], columns.tags)
    if len(tokens) != len(tags):
        tagged = f"{counted(len(tokens), 'token')}, but {counted(len(tags), 'tag')}"
        raise DataError(f"{row.place}: {tagged}")
    return zip(map(str, tokens), map(str, tags), strict=True)


def _with_entities(row: Row, columns: Columns) -> TaggedText:
    """Return a row's text with its entities; raises DataError where they are not in the text."""
    _need(row, {columns.text: "--field"})
    text = _text(row, row.columns[columns.text], columns.text)
    spans = []
    for one in list_in(row, row.columns[ENTITIES], ENTITIES):
        found = object_in(row, one, ENTITIES)
        start, end, label = found.get("start"), found.get("end"), found.get("label")
        if type(start) is not int or type(end) is not int or not str(label or "").strip():
            raise DataError(f"{row.place}: an entity needs start, end and label")
        if TAG.fullmatch(str(label)):
            raise DataError(
                f'{row.place}: "{label}" is the tag of a token, not the label of an entity: '
                "ner gives entities without --aggregate none"
            )
        if not 0 <= start < end <= len(text):
            raise DataError(
                f"{row.place}: the entity {start}-{end} ({label}) is not in the text of "
                f"{len(text)} characters"
            )
        if (said := found.get("text", text[start:end])) != text[start:end]:
            raise DataError(
                f'{row.place}: the entity {start}-{end} ({label}) is "{said}", but there the text '
                f'has "{text[start:end]}"'
            )
        spans.append((start, end, str(label).strip()))
    spans.sort()
    for (_, before, _), (start, end, label) in pairwise(spans):
        if start < before:
            raise DataError(f"{row.place}: the entity {start}-{end} ({label}) overlaps another one")
    return TaggedText(text, tuple(spans), row.place)


def _refuse_conll(row: Row, columns: Columns) -> None:
    """Raise DataError for a table whose header is a word and its tag: its name misled us."""
    last = "".join(list(row.columns)[-1:])
    if columns.tokens not in row.columns and TAG.fullmatch(last):
        raise DataError(
            f"{row.place.path}: begins with a word and its tag, not with the names of columns: if "
            "it is a CoNLL file, let its name end in .conll"
        )


def _sentence(words: Sequence[tuple[str, str, Place]]) -> TaggedText:
    """Return the lines of a CoNLL sentence as a text with spans."""
    places = [place for _, _, place in words]
    return tagged_text([(word, tag) for word, tag, _ in words], places[0], places)


def _conll(row: Row) -> tuple[str | None, str]:
    """Return the word and the tag of a line; None for the end of a sentence.

    Between tabs a word may have blanks, and so may a tag.
    """
    cells = CELL.findall(row.text or "")
    if not cells or cells[0] == "-DOCSTART-":
        return None, OUTSIDE
    comment = COMMENT.match(row.text or "") or not TAG.fullmatch(cells[-1])
    if cells[0] == "#" and comment:  # and not the word "#"
        return None, OUTSIDE
    five = (row.text or "").rstrip("\r\n").split("\t")
    numbered = len(five) == 5 and five[0].isdecimal() and not TAG.fullmatch(five[4])
    if numbered and TAG.fullmatch(five[2]):
        return five[1], five[2]  # Universal NER: number, word, tag, another tag, annotator
    if len(cells) < 2:
        raise DataError(f"{row.place}: expected a word and its tag on each line")
    tabbed = [cell for cell in five if CELL.search(cell)]
    word = tabbed[0] if len(tabbed) > 1 else cells[0]
    return " ".join(CELL.findall(word)), tabbed[-1].strip() if len(tabbed) > 1 else cells[-1]


def _need_question(row: Row, columns: Columns) -> None:
    """Raise DataError for a row that lacks a column of questions, contexts or answers."""
    need = {columns.question: "--question-field", columns.context: "--context-field"}
    if not _is_impossible(row.columns):
        need[columns.answers] = "--answers-field"
    if need.keys().isdisjoint(row.columns):
        raise DataError(
            f'{row.place}: no "paragraphs", as an article of SQuAD has them, and no column '
            f'"{columns.question}"; the columns are {named(row.columns)}; choose one with '
            "--question-field NAME"
        )
    _need(row, need)


def _question(row: Row, columns: Columns, placed: bool) -> AnsweredQuestion:
    cells = row.columns
    question = _text(row, cells.get(columns.question), columns.question)
    context = _text(row, cells.get(columns.context), columns.context)
    if not _is_impossible(cells) and cells.get(columns.answers) is None:
        raise DataError(
            f'{row.place}: no "{columns.answers}": expected answers, an empty list where there are '
            "none, or is_impossible: true"
        )
    impossible = _is_impossible(cells)
    pairs = [] if impossible else _answers(row, cells[columns.answers], context, placed)
    return AnsweredQuestion(
        question,
        context,
        tuple((_answer_text(row, text), _number(row, start)) for text, start in pairs),
        str(cells.get("title") or ""),
        row.place,
    )


def _is_impossible(cells: dict[str, object]) -> bool:
    """Tell whether a question is said to have no answer in its context, as SQuAD 2 says it."""
    return cells.get("is_impossible") is True


def _answers(row: Row, answers: object, context: str, placed: bool) -> list[tuple[object, object]]:
    """Return the answers and the first character of each."""
    if isinstance(answers, dict):
        texts = list_in(row, answers.get("text"), "text")
        starts = list_in(row, answers.get("answer_start"), "answer_start")
        if len(texts) != len(starts):
            raise DataError(f"{row.place}: {len(texts)} texts, but {len(starts)} answer_start")
        return list(zip(texts, starts, strict=True))
    if isinstance(answers, str):
        listed = as_list(answers) if answers not in context else answers
        answers = listed if isinstance(listed, list) else [answers] if answers.strip() else []
    return [_answer(row, one, context, placed) for one in list_in(row, answers, "answers")]


def _answer(row: Row, answer: object, context: str, placed: bool) -> tuple[object, object]:
    """Return an answer and its first character in the context, 0 where that does not matter."""
    if not isinstance(answer, str):
        found = object_in(row, answer, "answers")
        return found.get("text"), found.get("answer_start")
    if placed and answer not in context:
        raise DataError(f'{row.place}: the answer "{answer[:40]}" does not stand in the context')
    return answer, max(context.find(answer), 0)


def _text(row: Row, value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    raise DataError(f'{row.place}: "{name}" is not text')


def _answer_text(row: Row, value: object) -> str:
    if (text := _text(row, value, "text")).strip():
        return text
    raise DataError(f"{row.place}: an answer is empty: where there is none, expected an empty list")


def _number(row: Row, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DataError(f"{row.place}: an answer needs answer_start, its first character as a number")


def _score(row: Row, name: str) -> float:
    try:
        found = float(str(row.columns[name]))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f'{row.place}: "{name}" is {row.columns[name]!r}, expected a number')
    return found
