"""Answers in a journal: the same after as before, and only for the same run."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.errors import OutputError
from bertcli.outputs.journal import journal_of, open_journal, packed, unpacked
from bertcli.results import Answer, EmbedResult, Reading

from .samples import SAMPLES

RUN = {"--field": "text"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_result_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    """All kinds of results, and errors, survive the journal bit by bit."""
    answers = SAMPLES[kind]()
    records = [one.record for one in answers]
    with pytest.raises(KeyboardInterrupt), open_journal(str(tmp_path / "a"), RUN) as journal:
        journal.keep(0, records, answers)
        raise KeyboardInterrupt
    with open_journal(str(tmp_path / "a"), RUN) as journal:
        assert len(journal) == 1
        found = journal.find(0, records)
    assert found is not None
    assert [_told(one) for one in found] == [_told(one) for one in answers]
    assert not journal_of(str(tmp_path / "a")).exists()


def test_nothing_is_left_of_a_journal_that_was_killed(tmp_path: Path) -> None:
    """SQLite has a file of its own beside it, which a kill leaves."""
    left = tmp_path / ".a.bertcli-resume-journal"
    with open_journal(str(tmp_path / "a"), RUN):
        left.write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


def _told(answer: Answer) -> tuple[object, ...]:
    if isinstance(answer.result, EmbedResult):
        vector = answer.result.vector
        return answer.error, vector.dtype, vector.tobytes(), answer.result.reading
    return answer.error, answer.result


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | inner.map(lambda one: Reading(one))  # type: ignore[arg-type]
    ),
)


@given(NESTED)
def test_packed_values_are_unpacked_again(value: object) -> None:
    """Whatever is nested in whatever, JSON in between."""
    import json

    assert unpacked(json.loads(json.dumps(packed(value)))) == value


def test_numbers_of_numpy_keep_every_bit() -> None:
    """An array's bytes, and a lone number's value."""
    array = np.array([[1e-40, np.pi], [-0.0, np.inf]], np.float32)
    again = unpacked(packed(array))
    assert isinstance(again, np.ndarray)
    assert (again.dtype, again.shape, again.tobytes()) == ("f4", (2, 2), array.tobytes())
    assert unpacked(packed(np.float32(0.1))) == float(np.float32(0.1))


def test_another_input_is_refused(tmp_path: Path) -> None:
    """A group whose records are not those that were answered is told by its place."""
    answers = SAMPLES["classify"]()
    records = [one.record for one in answers]
    with open_journal(str(tmp_path / "a"), RUN) as journal:
        journal.keep(0, records, answers)
        changed = [replace(records[0], columns={"text": "new"}), *records[1:]]
        with pytest.raises(OutputError, match=r"in\.jsonl:1: the input is not what it was"):
            journal.find(0, changed)


def test_another_run_is_refused(tmp_path: Path) -> None:
    """What differs is named, and the file to delete."""
    output = str(tmp_path / "a.csv")
    with pytest.raises(KeyboardInterrupt), open_journal(output, RUN):
        raise KeyboardInterrupt
    with (
        pytest.raises(OutputError, match=r"--field text, this one has body.*bertcli-resume"),
        open_journal(output, {"--field": "body"}),
    ):
        pass
    assert journal_of(output).exists()


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    """The second is told to wait."""
    output = str(tmp_path / "a.csv")
    with (
        open_journal(output, RUN),
        pytest.raises(OutputError, match="another run with --resume"),
        open_journal(output, RUN),
    ):
        pass


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    """Bytes that are no database, and answers that are no answers."""
    output = str(tmp_path / "a.csv")
    journal_of(output).write_bytes(b"nonsense" * 500)
    with pytest.raises(OutputError, match=r"is damaged.*delete it"), open_journal(output, RUN):
        pass
    journal_of(output).unlink()
    answers = SAMPLES["ner"]()
    records = [one.record for one in answers]
    with pytest.raises(KeyboardInterrupt), open_journal(output, RUN) as journal:
        journal.keep(0, records, answers)
        raise KeyboardInterrupt
    database = sqlite3.connect(journal_of(output))
    database.execute("UPDATE groups SET answers = x'00'")
    database.commit()
    database.close()
    with pytest.raises(OutputError, match="is damaged"), open_journal(output, RUN) as journal:
        journal.find(0, records)
