"""What other classifiers say of texts, for one that learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertcli.cli.bulk import hashes_of
from bertcli.cli.classify import check_pairs, classify_task
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint, warn
from bertcli.errors import UsageError
from bertcli.records import LabelledText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lesson:
    """The probability of each label of each text (labels,), and who said so.

    The teachers are known again by their hashes; what they compute may differ in the last bit.
    """

    targets: list[NDArray[np.generic]]
    teachers: str
    hashes: list[str]


def lesson(
    teachers: Sequence[str],
    texts: Sequence[LabelledText],
    labels: Sequence[str],
    multi_label: bool,
    offline: bool,
) -> Lesson:
    """Return the mean of what the teachers say.

    Raises UsageError, before the first one is asked, for one with other labels than the data.
    """
    import numpy as np

    from bertcli.evaluate.classify import measure_classify
    from bertcli.inputs.labelled import are_pairs

    chosen = [ModelFlags(model=name, offline=offline) for name in teachers]
    for flags in chosen:
        theirs = choose_checkpoint(flags, "classify").labels
        if set(theirs) != set(labels):
            raise UsageError(
                f"--teacher {flags.model}: its labels are {', '.join(theirs[:10])}, those of the "
                f"data {', '.join(labels[:10])}"
            )
    total = np.zeros((len(texts), len(labels)))
    names, hashes = list[str](), list[str]()
    for flags in chosen:
        made = classify_task(flags, {})
        check_pairs(made, are_pairs(texts))
        if made.multi_label != multi_label:
            several = ("one label", "several labels")
            raise UsageError(
                f"--teacher {flags.model}: it gives a text {several[made.multi_label]}, "
                f"the data have {several[multi_label]}"
            )
        total += measure_classify(made.task, texts, labels, multi_label).probabilities
        names.append(made.checkpoint.name)
        hashes += hashes_of(made.checkpoint).values()
        warn(f"{flags.model} has labelled {len(texts):,} texts")
    mean = (total / len(teachers)).astype(np.float32)
    return Lesson(list(mean), ", ".join(names), hashes)
