"""The built-in checkpoints as plain folders, which other tools can load as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timing import peer, run

from bertcli.checkpoints.catalog import base_folder, builtin


@dataclass(frozen=True, slots=True)
class Kind:
    """What a built-in checkpoint is for: the pipeline's name, and transformers' class."""

    name: str
    pipeline: str
    auto: str


KINDS = {
    "fill-mask": Kind("fill-mask", "fill-mask", "AutoModelForMaskedLM"),
    "classify": Kind("sentiment", "text-classification", "AutoModelForSequenceClassification"),
    "ner": Kind("ner", "token-classification", "AutoModelForTokenClassification"),
    "qa": Kind("qa", "question-answering", "AutoModelForQuestionAnswering"),
}


def merged(task: str, folder: Path) -> str:
    """Write the checkpoint of a task merged by PEFT, and return its folder."""
    kind, target = KINDS[task], folder / task
    found = builtin(kind.name)
    assert found is not None
    run(peer("merge_adapter.py", kind.auto, str(base_folder()), str(found.folder), str(target)))
    return str(target)
