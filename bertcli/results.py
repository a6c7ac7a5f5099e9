"""What comes out: one frozen result per record and task, and the forms every writer needs.

Each result has three views, and the writers know nothing else of it:

- `nested()`  one dictionary per record, for JSON, JSON lines and Parquet;
- `rows()`    flat dictionaries, one per found thing, at least one per record, for CSV and tables;
- `plain()`   the bare answer as lines of text.

Scores are probabilities, cosines or, where words alone are sought, BM25's; higher is better.
Character offsets are half-open and count Unicode code points of the record's text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from bertcli.records import BadRecord, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORE_DIGITS = 6


def rounded(score: float) -> float:
    """Return a score with six decimals, so that the last bits of the arithmetic stay inside.

    >>> rounded(0.12345678)
    0.123457
    """
    return round(float(score), SCORE_DIGITS)


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a text the model saw: its tokens, the windows, and how many were cut off."""

    tokens: int
    windows: int = 1
    cut_tokens: int = 0

    def nested(self) -> dict[str, object]:
        """Return the counts; `cut_tokens` only where something was cut."""
        return {"tokens": self.tokens, "windows": self.windows} | self.cut()

    def cut(self) -> dict[str, object]:
        """Return how much was cut, where something was."""
        return {"cut_tokens": self.cut_tokens} if self.cut_tokens else {}


class Result(Protocol):
    """What every task's result can do."""

    @property
    def reading(self) -> Reading:
        """How much of the record was read."""
        ...

    def nested(self) -> dict[str, object]:
        """One dictionary for the record."""
        ...

    def rows(self) -> list[dict[str, object]]:
        """One flat dictionary per found thing; never empty."""
        ...

    def plain(self) -> str:
        """The bare answer."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A record with its result, or with the error that took its place."""

    record: Record | BadRecord
    result: Result | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """One word for one mask: its probability and the sentence with it."""

    token: str
    score: float
    text: str

    def nested(self) -> dict[str, object]:
        return {"token": self.token, "score": rounded(self.score), "text": self.text}


@dataclass(frozen=True, slots=True)
class MaskFills:
    """The best words for one mask, which stands at characters `start` to `end` of the text."""

    start: int
    end: int
    fills: tuple[Fill, ...]

    def nested(self) -> dict[str, object]:
        return {"start": self.start, "end": self.end, "fills": [f.nested() for f in self.fills]}


@dataclass(frozen=True, slots=True)
class JointFill:
    """Words for all masks at once; the score is the product of their conditional probabilities."""

    tokens: tuple[str, ...]
    score: float
    text: str

    def nested(self) -> dict[str, object]:
        return {"tokens": list(self.tokens), "score": rounded(self.score), "text": self.text}


@dataclass(frozen=True, slots=True)
class FillMaskResult:
    """The words for each mask alone and, where there are several, for all of them together.

    Where several are not filled together, `filled` is the text with the best word for each alone.
    """

    masks: tuple[MaskFills, ...]
    reading: Reading
    joint: tuple[JointFill, ...] = ()
    filled: str | None = None

    def nested(self) -> dict[str, object]:
        joint = {"joint": [j.nested() for j in self.joint]} if self.joint else {}
        return {"masks": [m.nested() for m in self.masks]} | joint | self.reading.nested()

    def rows(self) -> list[dict[str, object]]:
        alone = [
            {"mask": number, "rank": rank} | fill.nested()
            for number, mask in enumerate(self.masks, 1)
            for rank, fill in enumerate(mask.fills, 1)
        ]
        joint = [
            {"mask": "all", "rank": rank, "token": " ".join(fill.tokens)}
            | {"score": rounded(fill.score), "text": fill.text}
            for rank, fill in enumerate(self.joint, 1)
        ]
        return [
            {key.replace("text", "filled"): v for key, v in row.items()} for row in alone + joint
        ]

    def plain(self) -> str:
        if self.joint:
            return self.joint[0].text
        return self.masks[0].fills[0].text if self.filled is None else self.filled


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label and its probability, or its cosine in a zero-shot choice of several labels."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """The labels of a text, best first; empty when none reached the threshold.

    `several` where a text may have any number of them, and all are listed, be it only one.
    """

    labels: tuple[LabelScore, ...]
    reading: Reading
    several: bool = False

    def nested(self) -> dict[str, object]:
        best = self.labels[0] if self.labels else None
        head: dict[str, object] = {
            "label": best.label if best else None,
            "score": rounded(best.score) if best else None,
        }
        every = [{"label": one.label, "score": rounded(one.score)} for one in self.labels]
        more: dict[str, object] = {"labels": every} if self.several else {}
        return head | more | self.reading.nested()

    def rows(self) -> list[dict[str, object]]:
        if not self.labels:
            return [{"label": None, "score": None}]
        return [{"label": one.label, "score": rounded(one.score)} for one in self.labels]

    def plain(self) -> str:
        return ", ".join(one.label for one in self.labels)


@dataclass(frozen=True, slots=True)
class Entity:
    """A named thing at characters `start` to `end`, with its label and mean probability."""

    label: str
    start: int
    end: int
    text: str
    score: float

    def nested(self) -> dict[str, object]:
        place: dict[str, object] = {"start": self.start, "end": self.end}
        return {"label": self.label, "text": self.text, **place, "score": rounded(self.score)}


@dataclass(frozen=True, slots=True)
class Word:
    """A whitespace- and punctuation-delimited word with its IOB2 tag, for `-f conll`."""

    text: str
    tag: str


@dataclass(frozen=True, slots=True)
class NerResult:
    """The entities of a text in the order in which they stand, and its words with tags."""

    entities: tuple[Entity, ...]
    reading: Reading
    words: tuple[Word, ...] = field(default=(), repr=False)

    def nested(self) -> dict[str, object]:
        return {"entities": [e.nested() for e in self.entities]} | self.reading.nested()

    def rows(self) -> list[dict[str, object]]:
        empty: dict[str, object] = dict.fromkeys(("entity", "label", "start", "end", "score"))
        found = [{"entity": e.text} | e.nested() for e in self.entities]
        return [{key: row[key] for key in empty} for row in found] or [empty]

    def plain(self) -> str:
        return "\n".join(f"{e.label}\t{e.text}" for e in self.entities)


@dataclass(frozen=True, slots=True)
class Span:
    """An answer at characters `start` to `end` of the context, on line `line` of it (from 1).

    `score` is the probability that it, or what overlaps it or says the same, is the answer.
    """

    text: str
    start: int
    end: int
    line: int
    score: float

    def nested(self) -> dict[str, object]:
        place: dict[str, object] = {"start": self.start, "end": self.end, "line": self.line}
        return {"answer": self.text, "score": rounded(self.score), **place}


@dataclass(frozen=True, slots=True)
class QaResult:
    """The answers to a question in a context, best first; none when `no_answer` won.

    `no_answer` is the probability that the context does not hold the answer.
    """

    question: str
    answers: tuple[Span, ...]
    no_answer: float
    reading: Reading

    def nested(self) -> dict[str, object]:
        best = self.answers[0].nested() if self.answers else {"answer": None, "score": None}
        rest: dict[str, object] = (
            {"answers": [a.nested() for a in self.answers]} if len(self.answers) > 1 else {}
        )
        null: dict[str, object] = {"no_answer": rounded(self.no_answer)}
        return {"question": self.question} | best | null | rest | self.reading.nested()

    def rows(self) -> list[dict[str, object]]:
        empty: dict[str, object] = dict.fromkeys(("answer", "score", "start", "end", "line"))
        found = [{key: a.nested()[key] for key in empty} for a in self.answers] or [empty]
        null: dict[str, object] = {"no_answer": rounded(self.no_answer)}
        return [{"question": self.question} | row | null for row in found]

    def plain(self) -> str:
        return self.answers[0].text if self.answers else ""


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """The vector of a text, `(d,)` float32."""

    vector: NDArray[np.float32]
    reading: Reading

    def nested(self) -> dict[str, object]:
        return {"embedding": self._numbers()} | self.reading.nested()

    def rows(self) -> list[dict[str, object]]:
        return [{f"d{i}": x for i, x in enumerate(self._numbers())}]

    def plain(self) -> str:
        return " ".join(f"{x:.6g}" for x in self.vector)

    def _numbers(self) -> list[float]:
        """Return the numbers with the fewest digits that still give back the same float32."""
        return [float(x) for x in self.vector.astype("U32")]


@dataclass(frozen=True, slots=True)
class Hit:
    """A found passage: its score, text and place, and the document's columns.

    `id` is its number in the index. `start` and `end` are its characters in its document, `line` to
    `last_line` its lines in the file, `heading` the way to it through the document's headings,
    `path` the file itself. It begins on page `page`, and at its characters `page_starts` the pages
    after that one begin. `matches` are characters of the text that the query has the words of,
    `sentence` those of the sentence that fits it best; `before` and `after` are lines around it.
    `rerank_score` is a cross-encoder's probability, `copies` where nearly the same stands.
    `run_name` is what a TREC run calls its document, set where one is written. `context` are the
    headings above it that its text does not say.
    """

    score: float
    text: str
    document: str
    line: int | None = None
    columns: Mapping[str, object] = field(default_factory=dict)
    id: int | None = None
    last_line: int | None = None
    heading: str | None = None
    page: int | None = None
    start: int = 0
    end: int = 0
    path: str | None = None
    before: str = ""
    after: str = ""
    matches: tuple[tuple[int, int], ...] = ()
    sentence: tuple[int, int] | None = None
    rerank_score: float | None = None
    copies: tuple[str, ...] = ()
    page_starts: tuple[int, ...] = ()
    run_name: str | None = None
    context: str | None = None

    @property
    def place(self) -> str:
        """The document, with the line where there is one."""
        return self.document if self.line is None else f"{self.document}:{self.line}"

    @property
    def last_page(self) -> int | None:
        """The page on which it ends."""
        return self.page_of(len(self.text))

    def page_of(self, character: int) -> int | None:
        """Return the page on which a character of its text stands.

        >>> Hit(0.5, "One. Two.", "a.pdf", page=7, page_starts=(5,)).page_of(5)
        8
        """
        return None if self.page is None else self.page + bisect_right(self.page_starts, character)

    def nested(self) -> dict[str, object]:
        place: dict[str, object] = {"document": self.document, "line": self.line}
        several = self.last_page != self.page
        best = None if self.sentence is None else self.text[slice(*self.sentence)]
        told = {
            "rerank_score": None if self.rerank_score is None else rounded(self.rerank_score),
            "id": self.id,
            "last_line": None if self.last_line == self.line else self.last_line,
            "start": None if self.id is None else self.start,
            "end": None if self.id is None else self.end,
            "page": self.page,
            "last_page": self.last_page if several else None,
            "heading": self.heading,
            "sentence": None if best == self.text else best,
            "sentence_page": self.page_of(self.sentence[0]) if several and self.sentence else None,
            "matches": [list(span) for span in self.matches] or None,
            "before": self.before or None,
            "after": self.after or None,
            "copies": list(self.copies) or None,
        }
        kept = {name: value for name, value in told.items() if value is not None}
        more: dict[str, object] = {"columns": dict(self.columns)} if self.columns else {}
        return {"score": rounded(self.score), **place, **kept, "text": self.text} | more


SEARCH_COLUMNS = (
    *("rank", "score", "document", "line", "last_line", "page", "last_page", "heading", "id"),
    *("text", "before", "after", "columns"),
)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The passages nearest to a query, best first; `grouped` by document if asked.

    With `deduped` each says where near-duplicates of it stand.
    """

    query: str
    hits: Sequence[Hit]
    reading: Reading
    grouped: bool = False
    places_only: bool = False
    reranked: bool = False
    deduped: bool = False

    def ranked(self) -> list[tuple[int, Hit]]:
        """Return every passage with its rank, those of a document together if grouped."""
        found = list(enumerate(self.hits, 1))
        if self.grouped:
            best = {hit.document: rank for rank, hit in reversed(found)}
            found.sort(key=lambda one: (best[one[1].document], one[0]))
        return found

    def nested(self) -> dict[str, object]:
        if self.grouped:
            groups = [
                {
                    "document": document,
                    "hits": [{"rank": rank} | hit.nested() for rank, hit in hits],
                }
                for document, hits in groupby(self.ranked(), lambda one: one[1].document)
            ]
            return {"query": self.query, "groups": groups} | self.reading.cut()
        hits = [hit.nested() for hit in self.hits]
        return {"query": self.query, "hits": hits} | self.reading.cut()

    def rows(self) -> list[dict[str, object]]:
        columns = list(SEARCH_COLUMNS)
        if self.reranked:
            columns.insert(columns.index("score"), "rerank_score")
        if self.deduped:
            columns.insert(columns.index("text"), "copies")
        empty: dict[str, object] = dict.fromkeys(columns)
        found = [{"rank": rank} | hit.nested() for rank, hit in self.ranked()]
        kept = [{key: row.get(key) for key in empty} for row in found] or [empty]
        return [{"query": self.query} | row for row in kept]

    def plain(self) -> str:
        return "\n".join(hit.place if self.places_only else hit.text for _, hit in self.ranked())


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer in a passage of an index, on line `line` and page `page` of its document.

    `score` is its probability in its passage, as of `Span`, `passage_score` the passage's cosine
    with the question.
    """

    text: str
    score: float
    document: str
    line: int | None
    passage_score: float
    passage: str
    page: int | None = None

    def nested(self) -> dict[str, object]:
        place: dict[str, object] = {"document": self.document, "line": self.line}
        place |= {} if self.page is None else {"page": self.page}
        scores = {"score": rounded(self.score), "passage_score": rounded(self.passage_score)}
        return {"answer": self.text, **scores, **place, "passage": self.passage}


@dataclass(frozen=True, slots=True)
class FoundAnswers:
    """The answers to a question in the passages of an index, best first; none when no passage has
    one.

    `no_answer` is the least probability among the passages read that one holds no answer, by what
    reading it says and by its cosine with the question; the answers are ranked by both.
    """

    question: str
    answers: tuple[FoundAnswer, ...]
    no_answer: float
    reading: Reading

    def nested(self) -> dict[str, object]:
        listed = [answer.nested() for answer in self.answers]
        best = listed[0] if listed else {"answer": None, "score": None}
        rest: dict[str, object] = {"answers": listed} if len(listed) > 1 else {}
        found = {"question": self.question, **best, "no_answer": rounded(self.no_answer)}
        return found | rest | self.reading.cut()

    def rows(self) -> list[dict[str, object]]:
        names = ("answer", "score", "passage_score", "document", "line", "page", "passage")
        found = [answer.nested() for answer in self.answers] or [dict.fromkeys(names)]
        null: dict[str, object] = {"no_answer": rounded(self.no_answer)}
        return [
            {"question": self.question} | {name: row.get(name) for name in names} | null
            for row in found
        ]

    def plain(self) -> str:
        return self.answers[0].text if self.answers else ""


@dataclass(frozen=True, slots=True)
class Member:
    """One text of a collection, where it stands, and the columns it came with."""

    text: str
    document: str
    line: int | None = None
    id: int | None = None
    columns: Mapping[str, object] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The document, with the line where there is one."""
        return self.document if self.line is None else f"{self.document}:{self.line}"

    def nested(self) -> dict[str, object]:
        known: dict[str, object] = {} if self.id is None else {"id": self.id}
        more: dict[str, object] = {"columns": dict(self.columns)} if self.columns else {}
        return {"document": self.document, "line": self.line, **known, "text": self.text} | more


@dataclass(frozen=True, slots=True)
class PairResult:
    """Two texts and their cosine."""

    score: float
    first: Member
    second: Member
    reading: Reading = Reading(0, 0)

    def nested(self) -> dict[str, object]:
        pair = {"first": self.first.nested(), "second": self.second.nested()}
        return {"score": rounded(self.score), **pair}

    def rows(self) -> list[dict[str, object]]:
        sides: dict[str, object] = {}
        for name, one in (("first", self.first), ("second", self.second)):
            sides |= {name: one.text, f"{name}_document": one.document, f"{name}_line": one.line}
            sides[f"{name}_columns"] = dict(one.columns) or None
        return [{"score": rounded(self.score), **sides}]

    def plain(self) -> str:
        return f"{self.first.place}\t{self.second.place}"


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Texts that belong together: near-duplicates, or a cluster with its key terms.

    `number` counts from 1, None for texts that fit in no cluster; `lowest_score` is the least
    cosine of a near-duplicate with the first.
    """

    number: int | None
    members: tuple[Member, ...]
    terms: tuple[str, ...] | None = None
    lowest_score: float | None = None
    reading: Reading = Reading(0, 0)

    @property
    def _head(self) -> dict[str, object]:
        head: dict[str, object] = {"group": self.number, "size": len(self.members)}
        if self.terms is not None:
            head["terms"] = list(self.terms)
        if self.lowest_score is not None:
            head["lowest_score"] = rounded(self.lowest_score)
        return head

    def nested(self) -> dict[str, object]:
        return self._head | {"members": [one.nested() for one in self.members]}

    def rows(self) -> list[dict[str, object]]:
        head = self._head
        if self.terms is not None:
            head["terms"] = ", ".join(self.terms)
        names = ("document", "line", "text", "columns")
        return [head | {name: one.nested().get(name) for name in names} for one in self.members]

    def plain(self) -> str:
        return "\n".join(one.place for one in self.members)


@dataclass(frozen=True, slots=True)
class UniqueResult:
    """A text that stands for itself and for its near-duplicates, `count` in all."""

    text: str
    count: int
    reading: Reading = Reading(0, 0)

    def nested(self) -> dict[str, object]:
        return {"count": self.count}

    def rows(self) -> list[dict[str, object]]:
        return [{"count": self.count}]

    def plain(self) -> str:
        return self.text
