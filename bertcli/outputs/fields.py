"""How a record's own columns and its result become one row, with nothing lost.

A record's own columns come first and keep their names. A result's key that would hide one of them
is written as `predicted_<key>`. What a name means is settled for a whole file by the first record
that has it: in JSON an own column that comes later is written as `own_<name>`. Plain text has no
columns and is repeated as `text`, or as `query` in a search; of a file that is one record, the name
is given as `source`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bertcli.records import BadRecord
from bertcli.results import Answer, FoundAnswers, GroupResult, PairResult, SearchResult

Fields = dict[str, object]

PREDICTED = "predicted_"
ECHOES = ("query", "question")  # result keys that only repeat what was asked


def own_fields(answer: Answer) -> Fields:
    """Return what the output repeats of the input: the row's columns, the text, or its file."""
    record = answer.record
    if record.columns:
        return dict(record.columns)
    if isinstance(record, BadRecord) or _repeats_text(answer):
        return {}
    asked: Fields = {} if record.question is None else {"question": record.question}
    given: Fields = {"text": record.text} if record.file is None else {"source": record.file}
    return given | (asked if answer.result is None else {})


def _repeats_text(answer: Answer) -> bool:
    """Return whether the result already says the text, as a query or as a question."""
    record, result = answer.record, answer.result
    if isinstance(record, BadRecord):
        return False
    if isinstance(result, FoundAnswers):
        return result.question == record.text
    if isinstance(result, PairResult | GroupResult):
        return True
    return isinstance(result, SearchResult) and result.query == record.text


def free_name(key: str, taken: Collection[str]) -> str:
    """Return the key, as `predicted_<key>` where it is taken.

    >>> free_name("label", {"label"})
    'predicted_label'
    """
    while key in taken:
        key = f"{PREDICTED}{key}"
    return key


def names_of(own: Mapping[str, object], found: Mapping[str, object]) -> dict[str, str]:
    """Return the name of each of a result's fields, none for what an own column says already.

    >>> names_of({"text": "fine", "score": 4}, {"label": "positive", "score": 0.9})
    {'label': 'label', 'score': 'predicted_score'}
    """
    repeated = {key for key in ECHOES if key in own and key in found and own[key] == found[key]}
    return {key: free_name(key, own) for key in found if key not in repeated}


class NestedRows:
    """Makes one dictionary of each answer, in which a name always means the same."""

    def __init__(self) -> None:
        """Begin a file."""
        self._settled: dict[str, str] = {}
        self._own: set[str] = set()

    def row(self, answer: Answer) -> Fields:
        """Return an answer's own columns, then the nested result or the error."""
        own = own_fields(answer)
        if answer.result is not None:
            return self._joined(own, answer.result.nested())
        if isinstance(answer.record, BadRecord):
            own = {"source": str(answer.record.place)} | own
        return self._joined(own, {"error": error_of(answer)})

    def _joined(self, own: Fields, found: Mapping[str, object]) -> Fields:
        ours = names_of(own, found).keys()
        may_clash = {*self._settled, *ours, "error"}
        self._own |= {name for name in own if name.removeprefix(PREDICTED) in may_clash}
        for key in ours:
            self._settled.setdefault(key, free_name(key, self._own))
        absent = self._settled.keys() - found.keys() - set(ECHOES)  # which say what the own ones do
        taken = {self._settled[key] for key in (*ours, *absent)}
        kept = {
            name if name not in taken else _own_name(name, own): value
            for name, value in own.items()
        }
        return kept | {self._settled[key]: found[key] for key in ours}


def _own_name(name: str, own: Mapping[str, object]) -> str:
    while name in own:
        name = f"own_{name}"
    return name


def error_of(answer: Answer) -> str:
    """Return the words for what went wrong with an answer that has no result."""
    if answer.error is not None:
        return answer.error
    record = answer.record
    return record.error if isinstance(record, BadRecord) else "no answer was given"


def placed_error(answer: Answer) -> str:
    """Return the error with `file:line` in front where the row could not even be read."""
    error, place = error_of(answer), str(answer.record.place)
    if not isinstance(answer.record, BadRecord) or error.startswith(place):
        return error
    return f"{place}: {error}"


def failed_row(
    answer: Answer, columns: Collection[str], found: Mapping[str, str], error: str
) -> Fields:
    """Return the row of a failed record in a file whose own columns and result names are settled.

    What the record has beyond these columns is left out; where it stands is said in the error.
    """
    own = own_fields(answer)
    row = {name: own[name] for name in own if name in columns}
    if "text" in own and not answer.record.columns and "query" in found:  # as a search calls it
        row[found["query"]] = own["text"]
    return row | {error: placed_error(answer)}
