"""Records in, answers out: in order, whatever is batched with what, on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertcli.engine.encoder import Logits
from bertcli.engine.families import Head
from bertcli.engine.tokens import Tokens
from bertcli.engine.windows import Window
from bertcli.errors import RecordError
from bertcli.records import PAUSE, BadRecord, Item, Record
from bertcli.results import EmbedResult, Reading
from bertcli.tasks import run
from bertcli.tasks.run import Plan, answers, count_read, look_ahead
from tiny import SENTENCES

from .loaded import TASKS, assert_same, results

LONG = " ".join(SENTENCES) + " " + " ".join(reversed(SENTENCES))
TEXTS = (
    "the [MASK] is a cat",
    "Ada was born in [MASK], and the [MASK] of France is Paris.",
    "[MASK]",
    f"[MASK] {LONG}",
    f"{LONG} the first [MASK] wrote a program",
    f"{LONG} the [MASK] {LONG}",
    "an answer [MASK] 巴黎 😀",
)
EVERY = [Record(i, text, question="who wrote it?") for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module", params=TASKS)
def name(request: pytest.FixtureRequest) -> str:
    """Return each task's name."""
    return str(request.param)


@pytest.fixture(scope="module")
def alone(name: str, tiny_checkpoint: Any) -> list[dict[str, Any]]:
    """Return every record's result when it is the only one, and windows are run one by one."""
    task = TASKS[name](tiny_checkpoint, "onnx", 1)
    return [results(task, [record])[0].nested() for record in EVERY]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(range(len(EVERY))),
    batch_tokens=st.sampled_from([1, 64, 200, 1024, 100_000]),
    held=st.integers(1, 8),
    characters=st.sampled_from([10, 500, 400_000]),
    pauses=st.sets(st.integers(0, len(EVERY))),
)
def test_any_partition_gives_the_same_answers(
    order: Sequence[int],
    batch_tokens: int,
    held: int,
    characters: int,
    pauses: set[int],
    name: str,
    alone: list[dict[str, Any]],
    tiny_checkpoint: Any,
) -> None:
    """THE property: what else was read, held or batched changes no answer."""
    task = TASKS[name](tiny_checkpoint, "onnx", batch_tokens)
    items: list[Item] = []
    for place, index in enumerate(order):
        items += [PAUSE] * (place in pauses) + [EVERY[index]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "LOOK_AHEAD_RECORDS", held)
        patch.setattr(run, "LOOK_AHEAD_CHARACTERS", characters)
        found = list(answers(task, items))
    assert [one.record.id for one in found] == list(order)
    for index, answer in zip(order, found, strict=True):
        assert answer.result is not None
        assert_same(answer.result.nested(), alone[index])


def test_both_engines_give_the_same_answers(
    name: str, alone: list[dict[str, Any]], tiny_checkpoint: Any
) -> None:
    """ONNX Runtime and torch differ in the last bits only."""
    task = TASKS[name](tiny_checkpoint, "torch")
    for found, expected in zip(results(task, EVERY), alone, strict=True):
        assert_same(found.nested(), expected)


class Lengths:
    """A task that answers every text with its length; its encoder counts what it is given."""

    head = Head.BASE

    def __init__(self) -> None:
        self.encoder = self
        self.groups: list[int] = []

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Give every character a window; refuse texts with an x."""
        self.groups.append(len(records))
        return [self._plan(record.text) for record in records]

    def _plan(self, text: str) -> Plan | RecordError:
        if "x" in text:
            return RecordError("it has an x")
        none = np.zeros(0, np.int64)
        ids = np.array([ord(c) for c in text])
        windows = tuple(Window(ids[i : i + 1], ids[:1], i, i + 1, 0) for i in range(len(text)))
        return Plan(windows, Tokens(none, none, none), Reading(len(text), len(windows)))

    def reduce(self, output: Logits) -> Logits:
        """Keep all of it."""
        return output

    def encode(self, windows: Sequence[Window], reduce: Any = None) -> Iterator[Logits]:
        """Answer each window with its id."""
        return (np.where(w.ids == ord("n"), np.nan, w.ids).astype(np.float32) for w in windows)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> EmbedResult:
        """Return the ids; refuse texts with a y."""
        if "y" in record.text:
            raise RecordError("it has a y")
        return EmbedResult(np.concatenate(outputs), plan.reading)


def test_every_item_is_answered_in_its_place() -> None:
    """Bad rows, refused records and failed decodings stand between the good ones, in order."""
    bad = BadRecord(2, "line 3 is broken")
    texts = {0: "abc", 1: "ax", 3: "by", 4: "c", 5: "n"}
    items: list[Item] = [Record(i, text) for i, text in texts.items()]
    found = list(answers(Lengths(), [*items[:2], bad, PAUSE, *items[2:]]))
    assert [one.record.id for one in found] == [0, 1, 2, 3, 4, 5]
    assert [one.error for one in found] == [
        None,
        "it has an x",
        "line 3 is broken",
        "it has a y",
        None,
        "the model computed no finite numbers for this text",
    ]
    vectors = [one.result.vector.tolist() for one in found if isinstance(one.result, EmbedResult)]
    assert vectors == [[97, 98, 99], [99]]


def test_a_pause_answers_what_is_there() -> None:
    """In a live stream the answer comes before the next line does."""
    arrived: list[str] = []

    def live() -> Any:
        for text in ("a", "b"):
            arrived.append(text)
            yield Record(len(arrived), text)
            yield PAUSE

    stream = answers(Lengths(), live())
    next(stream)
    assert arrived == ["a"]


def test_the_next_records_are_planned_while_the_encoder_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When a group is answered the next one is with the encoder already, and no other is read."""
    monkeypatch.setattr(run, "LOOK_AHEAD_RECORDS", 2)
    task = Lengths()
    begun = [sum(task.groups) for _ in answers(task, [Record(i, "a") for i in range(7)])]
    assert begun == [4, 4, 6, 6, 7, 7, 7]


def test_look_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many records, and so many characters, are held at once."""
    monkeypatch.setattr(run, "LOOK_AHEAD_RECORDS", 3)
    monkeypatch.setattr(run, "LOOK_AHEAD_CHARACTERS", 10)
    texts = ["a"] * 4 + ["b" * 100] + ["c" * 6] * 3
    groups = list(look_ahead(Record(i, text) for i, text in enumerate(texts)))
    assert [[record.id for record in group] for group in groups] == [
        [0, 1, 2],
        [3, 4],
        [5, 6],
        [7],
    ]
    assert list(look_ahead([PAUSE, PAUSE])) == []


@pytest.mark.parametrize(
    ("tokens", "spans", "cut"),
    [
        (10, [(0, 10)], 0),
        (10, [(0, 4)], 6),
        (10, [(0, 6), (4, 10)], 0),
        (100, [(40, 60)], 80),
        (100, [(40, 60), (50, 70), (0, 5)], 65),
        (0, [(0, 0)], 0),
    ],
)
def test_reading_counts(tokens: int, spans: list[tuple[int, int]], cut: int) -> None:
    """Tokens that no window shows were cut, overlaps count once."""
    none = np.zeros(0, np.int64)
    windows = [Window(none, none, start, end, 0) for start, end in spans]
    assert count_read(tokens, windows) == Reading(tokens, len(spans), cut)
