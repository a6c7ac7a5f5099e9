"""What other classifiers say of texts, for one that learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertcli.cli.bulk import hashes_of
from bertcli.cli.classify import check_pairs, classify_task
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint, warn
from bertcli.engine.families import Head
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


def check_teachers(
    teachers: Sequence[str], labels: Sequence[str], multi_label: bool, offline: bool
) -> None:
    """Raise UsageError for a teacher that has other labels than the data, or none at all."""
    for name in teachers:
        checkpoint = choose_checkpoint(ModelFlags(model=name, offline=offline), "classify")
        if checkpoint.linear is None and checkpoint.head is not Head.SEQUENCE:
            raise UsageError(f"--teacher {name}: it is no classifier")
        if set(checkpoint.labels) != set(labels):
            raise UsageError(
                f"--teacher {name}: its labels are {', '.join(checkpoint.labels[:10])}, those of "
                f"the data {', '.join(labels[:10])}"
            )
        made = classify_task(ModelFlags(model=name, offline=offline), {})
        if made.multi_label != multi_label:
            several = ("one label", "several labels")
            raise UsageError(
                f"--teacher {name}: it gives a text {several[made.multi_label]}, "
                f"the data have {several[multi_label]}"
            )


def lesson(
    teachers: Sequence[str],
    texts: Sequence[LabelledText],
    labels: Sequence[str],
    multi_label: bool,
    offline: bool,
) -> Lesson:
    """Return the mean of what the teachers say; see `check_teachers`."""
    import numpy as np

    from bertcli.evaluate.classify import measure_classify
    from bertcli.inputs.labelled import are_pairs

    total = np.zeros((len(texts), len(labels)))
    names, hashes = list[str](), list[str]()
    for name in teachers:
        made = classify_task(ModelFlags(model=name, offline=offline), {})
        check_pairs(made, are_pairs(texts))
        total += measure_classify(made.task, texts, labels, multi_label).probabilities
        names.append(made.checkpoint.name)
        hashes += hashes_of(made.checkpoint).values()
        warn(f"{name} has labelled {len(texts):,} texts")
    mean = (total / len(teachers)).astype(np.float32)
    return Lesson(list(mean), ", ".join(names), hashes)
