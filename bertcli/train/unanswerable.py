"""Questions without an answer, made of those that have one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from bertcli.records import AnsweredQuestion

SENTENCE_START = re.compile(r"""(?<=[.!?])["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")
NAME = re.compile(r"(?<=[\w,;(] )[A-Z][\w'’-]*(?: (?:of |the |de )?[A-Z][\w'’-]*)*")
NUMBER = re.compile(r"\d+")
WORD = re.compile(r"\w{4,}")
AUXILIARY = re.compile(r"\b(is|are|was|were|did|does|do|has|had|could|would|should)\b", re.I)
DENIAL = re.compile(r"\b(not|no|never)\b|n['’]t\b", re.I)
OPPOSITES = (
    *("first last", "before after", "north south", "east west", "largest smallest", "more less"),
    *("highest lowest", "increase decrease", "increased decreased", "won lost", "most least"),
    *("oldest newest", "earliest latest", "early late", "maximum minimum", "began ended"),
    *("start end", "started stopped", "above below", "best worst", "always never", "high low"),
    *("upper lower", "male female", "men women", "father mother", "son daughter", "good bad"),
    *("buy sell", "bought sold", "positive negative", "allowed forbidden", "accept refuse"),
    *("accepted refused", "strong weak", "old new", "long short", "longest shortest"),
    *("large small", "many few", "same different", "inside outside", "true false"),
)
OPPOSITE: Mapping[str, str] = {
    word: other
    for one, two in (pair.split() for pair in OPPOSITES)
    for word, other in ((one, two), (two, one))
}
CLOSEST = 3
"""Of so many other contexts that are most like the question one is taken."""

Way = Callable[["AnsweredQuestion", Sequence[str], np.random.Generator], "AnsweredQuestion | None"]


def unanswerable(
    questions: Sequence[AnsweredQuestion], share: float, rng: np.random.Generator
) -> list[AnsweredQuestion]:
    """Return questions on contexts that do not answer them, as many as `share` of the questions.

    Each is made in one of four ways, drawn by chance among those that its text allows: put to
    another context of its document, the more alike the better; asked of its own context without the
    sentences that answer it; asked about another name or number; or with its sense turned round.
    The last two are what SQuAD 2.0's authors did most (Rajpurkar et al. 2018, table 1). Some of
    them may have an answer all the same. A question is taken once, and there are fewer where the
    texts allow no more.
    """
    contexts: dict[str, dict[str, None]] = defaultdict(dict)
    for one in questions:
        if one.group:
            contexts[one.group][one.context] = None
    known = {(one.question, one.context) for one in questions}
    ways, made = list(WAYS), list[AnsweredQuestion]()
    for i in rng.permutation(len(questions)):
        if len(made) >= share * len(questions):
            break
        one = questions[i]
        if not one.answers:
            continue
        others = list(contexts[one.group]) if one.group else []
        for way in rng.choice(len(WAYS), len(WAYS), replace=False, p=tuple(WAYS.values())):
            found = ways[way](one, others, rng)
            if found and (found.question, found.context) not in known:
                made.append(found)
                break
    return made


def in_another_context(
    one: AnsweredQuestion, contexts: Sequence[str], rng: np.random.Generator
) -> AnsweredQuestion | None:
    """Return the question on another of its document's contexts, one without its answers."""
    words = set(WORD.findall(one.question.lower()))
    others = [c for c in contexts if c != one.context and not _holds(c, one)]
    others.sort(key=lambda c: -sum(word in c.lower() for word in words))
    if not others:
        return None
    return _asked(one, one.question, others[int(rng.integers(min(len(others), CLOSEST)))])


def without_its_sentence(
    one: AnsweredQuestion, _: Sequence[str], __: np.random.Generator
) -> AnsweredQuestion | None:
    """Return the question on its context without the sentences that hold an answer."""
    bounds = [0, *(found.end() for found in SENTENCE_START.finditer(one.context)), None]
    pieces = [one.context[a:b] for a, b in pairwise(bounds)]
    rest = "".join(piece for piece in pieces if not _holds(piece, one)).strip()
    if len(rest) < len(one.context) // 3 or _holds(rest, one):
        return None
    return _asked(one, one.question, rest)


def about_another(
    one: AnsweredQuestion, _: Sequence[str], rng: np.random.Generator
) -> AnsweredQuestion | None:
    """Return the question with a name or a number exchanged; names for others of the context."""
    question = one.question
    if number := NUMBER.search(question):
        kept = max(0, len(number[0]) - 2)  # another year of the same century
        other = number[0][:kept] + "".join(str(rng.integers(1, 10)) for _ in number[0][kept:])
        if other not in one.context and other != number[0]:
            return _asked(one, question[: number.start()] + other + question[number.end() :])
    names = list(dict.fromkeys(NAME.findall(one.context)))
    low = question.lower()
    known = _words(" ".join([question, *(text for text, _ in one.answers)]))
    away = [name for name in names if known.isdisjoint(_words(name))]
    for name in sorted(names, key=len, reverse=True):
        if away and (at := re.search(rf"\b{re.escape(name.lower())}\b", low)):
            new = away[int(rng.integers(len(away)))]
            return _asked(one, question[: at.start()] + new + question[at.end() :])
    return None


def turned_round(
    one: AnsweredQuestion, _: Sequence[str], __: np.random.Generator
) -> AnsweredQuestion | None:
    """Return the question with a word for its opposite, or denied."""
    for found in re.finditer(r"(?<![Hh]ow )\b[a-z]+", one.question):  # "how many" asks for a number
        if other := OPPOSITE.get(found[0]):
            return _asked(one, one.question[: found.start()] + other + one.question[found.end() :])
    if (denied := AUXILIARY.search(one.question)) and not DENIAL.search(one.question):
        return _asked(one, f"{one.question[: denied.end()]}n't{one.question[denied.end() :]}")
    return None


WAYS: Mapping[Way, float] = {
    in_another_context: 0.3,
    without_its_sentence: 0.35,
    about_another: 0.25,
    turned_round: 0.1,
}
"""How often each way is tried first."""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _asked(one: AnsweredQuestion, question: str, context: str | None = None) -> AnsweredQuestion:
    return AnsweredQuestion(question, context or one.context, (), one.group, one.place)


def _holds(context: str, question: AnsweredQuestion) -> bool:
    return any(text.lower() in context.lower() for text, _ in question.answers)
