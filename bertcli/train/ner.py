"""What a tagger learns from: texts with marked spans, as windows with a tag for every word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.tokens import TextTokenizer, Tokens, capitals
from bertcli.engine.windows import cuts, frame_text
from bertcli.errors import DataError
from bertcli.records import TaggedText
from bertcli.train.examples import UNJUDGED, Example

OUTSIDE = "O"
ALL_SMALL, ALL_CAPITALS = 0.1, 0.05
"""The shares of texts that are learned as if written in small or in capital letters only."""


def tag_set(texts: Iterable[TaggedText]) -> list[str]:
    """Return O and the IOB2 tags of all labels; raises DataError where nothing is marked."""
    kinds = sorted({label for text in texts for _, _, label in text.spans})
    if not kinds:
        raise DataError("nothing is marked in the data: a tagger needs at least one label")
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]


def check_tags(texts: Iterable[TaggedText], tags: Sequence[str]) -> None:
    """Raise DataError for the first text with a label that `tags` do not have."""
    known = {tag[2:] for tag in tags[1:]}
    for text in texts:
        for start, _, label in text.spans:
            if label not in known:
                place = text.places.get(start, text.place)
                raise DataError(
                    f'{place}: the label "{label}" is not in the training data; '
                    f"its labels are {', '.join(sorted(known))}"
                )


def ner_examples(
    texts: Sequence[TaggedText],
    tags: Sequence[str],
    tokenizer: TextTokenizer,
    window: int,
    capitals_by: np.random.Generator | None = None,
) -> list[Example]:
    """Return the windows of all texts; texts without a token are left out.

    With `capitals_by` the token types say which tokens have capitals; it draws the texts that are
    learned as if they were written without any, or in nothing else.
    """
    number = {tag: i for i, tag in enumerate(tags)}
    examples = []
    for text, tokens in zip(texts, tokenizer.tokenize([one.text for one in texts]), strict=True):
        targets = token_targets(tokens, text.spans, number)
        types = None
        if capitals_by is not None:
            types = capitals(_rewritten(text.text, capitals_by.random()), tokens.offsets)
        for start, end in cuts(len(tokens), window - tokenizer.frame.single):
            shown = frame_text(tokens.ids, start, end, tokenizer.frame, types)
            target = np.full(len(shown), UNJUDGED, np.int64)
            target[shown.first : shown.first + end - start] = targets[start:end]
            examples.append(Example(shown, target))
    return [one for one in examples if (one.target != UNJUDGED).any()]


def cut_words(
    texts: Iterable[TaggedText], tokenizer: TextTokenizer
) -> list[tuple[TaggedText, tuple[int, int, str]]]:
    """Return the spans that begin or end within a word: they are learnt as if it all was theirs."""
    suspect = [one for one in texts if any(_is_cut(one.text, span) for span in one.spans)]
    found = []
    for text, tokens in zip(
        suspect, tokenizer.tokenize([one.text for one in suspect]), strict=True
    ):
        inner = {at for start, end in _words(tokens) for at in range(start + 1, end)}
        found += [(text, span) for span in text.spans if not inner.isdisjoint(span[:2])]
    return found


def _is_cut(text: str, span: tuple[int, int, str]) -> bool:
    """Tell whether there is no space or sign before or after a span, as within a word."""
    return any(text[at - 1 : at].isalnum() and text[at : at + 1].isalnum() for at in span[:2])


def _words(tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Yield where each word begins and ends."""
    bounds = zip(tokens.words.tolist(), tokens.offsets.tolist(), strict=True)
    for _, parts in groupby(bounds, key=itemgetter(0)):
        places = [place for _, place in parts]
        yield places[0][0], places[-1][1]


def _rewritten(text: str, chance: float) -> str:
    """Return a text as it is, or in small or in capital letters only, of the same length."""
    if chance < ALL_SMALL:
        return "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    if chance < ALL_SMALL + ALL_CAPITALS:
        return "".join(one.upper() if len(one.upper()) == 1 else one for one in text)
    return text


def token_targets(
    tokens: Tokens, spans: Sequence[tuple[int, int, str]], number: dict[str, int]
) -> NDArray[np.int64]:
    """Return the tag's number of each word's first token, UNJUDGED for the others, (tokens,).

    That is where a word's label is read with `--aggregate first`. A word belongs to the first span
    that it has characters of; the first word of a span begins it.
    """
    ends = {
        int(word): int(end) for word, (_, end) in zip(tokens.words, tokens.offsets, strict=True)
    }
    targets = np.full(len(tokens), UNJUDGED, np.int64)
    last_word, last_span = -1, -1
    coming = sorted(range(len(spans)), key=lambda i: spans[i][0])
    for at in range(len(tokens)):
        word, start = int(tokens.words[at]), int(tokens.offsets[at, 0])
        if word == last_word:
            continue
        last_word = word
        while coming and spans[coming[0]][1] <= start:
            coming.pop(0)
        here = coming[0] if coming and spans[coming[0]][0] < ends[word] else -1
        tag = OUTSIDE if here < 0 else f"{'I' if here == last_span else 'B'}-{spans[here][2]}"
        targets[at], last_span = number[tag], here
    return targets
