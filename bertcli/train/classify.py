"""What a classifier learns from: labelled texts, as windows with the numbers of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Long
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.windows import Window, cuts, frame_text, pair_windows
from bertcli.errors import DataError
from bertcli.records import LabelledText
from bertcli.train.examples import Example


def label_set(texts: Sequence[LabelledText]) -> list[str]:
    """Return all labels in alphabetical order; raises DataError when there is nothing to choose."""
    labels = sorted({label for text in texts for label in text.labels})
    if not labels or (len(labels) < 2 and not is_multi_label(texts)):
        every = f"the label {labels[0]}" if labels else "no label"
        raise DataError(
            f"{texts[0].place}: this text has {every}, and so have all: a classifier needs two "
            "labels or more"
        )
    return labels


def is_multi_label(texts: Iterable[LabelledText]) -> bool:
    """Tell whether some text has several labels or none."""
    return any(len(text.labels) != 1 for text in texts)


def check_labels(texts: Iterable[LabelledText], labels: Sequence[str]) -> None:
    """Raise DataError for the first text with a label that is not among `labels`."""
    known = set(labels)
    for text in texts:
        for label in text.labels:
            if label not in known:
                raise DataError(
                    f'{text.place}: the label "{label}" is not in the training data; '
                    f"its labels are {', '.join(labels[:10])}"
                )


def class_weights(
    texts: Sequence[LabelledText], labels: Sequence[str], multi_label: bool
) -> NDArray[np.float32]:
    """Return a weight per label that evens out their frequencies.

    For one label a text: texts / (labels · texts of this label), as scikit-learn's "balanced". For
    several: texts without the label / texts with it.
    """
    counts = Counter(label for text in texts for label in text.labels)
    found = np.array([max(counts[label], 1) for label in labels], np.float32)
    if multi_label:
        return np.asarray((len(texts) - found).clip(1) / found, np.float32)
    return np.asarray(len(texts) / (len(labels) * found), np.float32)


def label_targets(
    texts: Sequence[LabelledText], labels: Sequence[str], multi_label: bool
) -> list[NDArray[np.generic]]:
    """Return the number of each text's label (), or 0 and 1 for every label (labels,) float."""
    number = {label: i for i, label in enumerate(labels)}
    if not multi_label:
        return [np.array(number[text.labels[0]], np.int64) for text in texts]
    targets = np.zeros((len(texts), len(labels)), np.float32)
    for row, text in zip(targets, texts, strict=True):
        row[[number[label] for label in text.labels]] = 1
    return list(targets)


def blended(
    taught: Sequence[NDArray[np.generic]],
    texts: Sequence[LabelledText],
    labels: Sequence[str],
    share: float,
) -> list[NDArray[np.generic]]:
    """Return what is learnt of each text, a probability of every label (labels,) float.

    `share` of it is what teachers said (labels,), the rest are the labels of `texts`, which come
    first; of those after them all is the teachers' word.
    """
    own = [np.array([label in text.labels for label in labels], np.float32) for text in texts]
    rest = list(taught[len(own) :])
    pairs = zip(taught, own, strict=False)
    return [np.asarray(share * said.astype("f4") + (1 - share) * one) for said, one in pairs] + rest


def classify_examples(
    texts: Sequence[LabelledText],
    targets: Iterable[NDArray[np.generic]],
    tokenizer: TextTokenizer,
    window: int,
) -> list[Example]:
    """Return one example per window; every window of a long text learns the text's target."""
    kind = tokenizer.second_type
    examples = []
    firsts = tokenizer.ids([one.text for one in texts])
    seconds = tokenizer.ids([one.second or "" for one in texts])
    for text, target, first, second in zip(texts, targets, firsts, seconds, strict=True):
        shown = (
            _windows(first, tokenizer, window)
            if text.second is None
            else pair_windows(first, second, tokenizer.frame, kind, window, Long.WINDOW)
        )
        examples += [Example(one, target) for one in shown]
    return examples


def _windows(ids: NDArray[np.int64], tokenizer: TextTokenizer, window: int) -> list[Window]:
    frame = tokenizer.frame
    spans = cuts(len(ids), window - frame.single)
    return [frame_text(ids, start, end, frame) for start, end in spans]
