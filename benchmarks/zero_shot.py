"""How good `classify --labels` is on data that it never saw, by label descriptions and templates.

python benchmarks/zero_shot.py ag-news=ag_news_dev.jsonl.gz trec=trec_test.jsonl.gz

Each data set comes with its name in `labels/`: a file of the bare labels, one with descriptions.
For every template the accuracy is told, and at the temperature that `classify` uses the expected
calibration error; then that error at other temperatures, with the template that `classify` uses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timing import table

from bertcli.cli.classify import TEMPLATE, classify_task, read_labels
from bertcli.cli.options import ModelFlags
from bertcli.evaluate.classify import ClassifyScore, one_hot
from bertcli.inputs.labelled import read_labelled
from bertcli.tasks.classify import TEMPERATURE, ClassifyBySimilarity
from bertcli.tasks.probabilities import softmax

LABELS = Path(__file__).parent / "labels"
TEMPLATES = (TEMPLATE, "{}", "{}.", "This is {}.", "The topic is {}.", "It expresses {}.")
TEMPERATURES = (0.02, 0.03, 0.05, 0.07, 0.1)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", metavar="NAME=FILE", help="labelled texts")
    rows, warmth = [], []
    for name, _, file in (one.partition("=") for one in parser.parse_args().data):
        texts = list(read_labelled([file]))
        for described in ("", "-described"):
            labels = read_labels(None, LABELS / f"{name}{described}.tsv")
            gold = one_hot([one.labels for one in texts], list(labels))
            vectors = None
            for template in TEMPLATES:
                task = classify_task(ModelFlags(), labels, template).task
                assert isinstance(task, ClassifyBySimilarity)
                if vectors is None:
                    vectors = task.embed.vectors([one.text for one in texts])
                cosines = (vectors @ task.weight.T).astype(np.float64)
                score = score_of(tuple(labels), gold, cosines, TEMPERATURE)
                numbers = (f"{score.accuracy:.3f}", f"{score.calibration_error:.3f}")
                rows.append((f"{name}{described}", template, *numbers))
                if template == TEMPLATE:
                    errors = [
                        score_of(tuple(labels), gold, cosines, one).calibration_error
                        for one in TEMPERATURES
                    ]
                    warmth.append((f"{name}{described}", *(f"{one:.3f}" for one in errors)))
    print(table(("labels", "template", "accuracy", "calibration error"), rows))
    print(table(("calibration error at", *map(str, TEMPERATURES)), warmth))


def score_of(
    labels: tuple[str, ...],
    gold: NDArray[np.bool_],
    cosines: NDArray[np.float64],
    temperature: float,
) -> ClassifyScore:
    """Return the scores of the softmax of cosines (n, labels) over a temperature."""
    probabilities = softmax(cosines / temperature)
    best = np.arange(len(labels)) == probabilities.argmax(axis=1)[:, None]
    return ClassifyScore(labels, gold, best, probabilities)


if __name__ == "__main__":
    main()
