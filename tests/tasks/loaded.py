"""Tasks over tiny checkpoints, on either engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer
from bertcli.engine.choices import Precision
from bertcli.engine.encoder import Encoder
from bertcli.engine.families import Head
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.torch_encoder import TorchEncoder, TorchSource
from bertcli.records import Item, Record
from bertcli.results import Result
from bertcli.tasks.classify import Choice, Classify, ClassifyByEntailment, ClassifyBySimilarity
from bertcli.tasks.embed import Embed
from bertcli.tasks.fill_mask import FillMask
from bertcli.tasks.ner import Ner
from bertcli.tasks.qa import Qa
from bertcli.tasks.run import Task, answers

HYPOTHESES = ("this text is about water.", "this is about the cat.", "a good question.")


@cache
def loaded(
    folder: Path, head: Head, engine: str = "onnx", batch_tokens: int = 1024
) -> tuple[Encoder, TextTokenizer, int]:
    """Return a folder's encoder on an engine, its tokenizer and its window."""
    checkpoint = read_checkpoint(folder)
    tokenizer = load_tokenizer(checkpoint)
    if engine == "onnx":
        options = LoadOptions("cpu", Precision.FP32, batch_tokens)
        return load_encoder(checkpoint, head, options), tokenizer, checkpoint.window
    source = TorchSource(folder, dict(checkpoint.config))
    encoder = TorchEncoder(source, head, "cpu", Precision.FP32, batch_tokens)
    return encoder, tokenizer, checkpoint.window


def labels_of(folder: Path) -> list[str]:
    """Return the labels in a folder's config.json."""
    return read_checkpoint(folder).labels


Build = Callable[..., Task]


def _fill_mask(get: Any, *how: Any) -> Task:
    return FillMask(*loaded(get("bert", Head.MASKED_LM), Head.MASKED_LM, *how), top_k=3)


def _targets(get: Any, *how: Any) -> Task:
    words = ("cat", "playing", "the")
    return FillMask(*loaded(get("bert", Head.MASKED_LM), Head.MASKED_LM, *how), targets=words)


def _classify(get: Any, *how: Any) -> Task:
    folder = get("bert", Head.SEQUENCE)
    return Classify(*loaded(folder, Head.SEQUENCE, *how), labels_of(folder), choice=Choice(None))


def _entailment(get: Any, *how: Any) -> Task:
    return ClassifyByEntailment(
        *loaded(get("bert", Head.SEQUENCE), Head.SEQUENCE, *how),
        labels=("a", "b", "c"),
        hypotheses=HYPOTHESES,
        entailment=2,
        contradiction=0,
        choice=Choice(None),
    )


def _similarity(get: Any, *how: Any) -> Task:
    embed = Embed(*loaded(get("bert"), Head.BASE, *how))
    return ClassifyBySimilarity(embed, ("a", "b", "c"), embed.vectors(HYPOTHESES))


def _ner(get: Any, *how: Any) -> Task:
    folder = get("bert", Head.TOKEN)
    return Ner(*loaded(folder, Head.TOKEN, *how), labels_of(folder))


def _qa(get: Any, *how: Any) -> Task:
    return Qa(*loaded(get("bert", Head.QA), Head.QA, *how), top_k=3, threshold=1.0)


def _embed(get: Any, *how: Any) -> Task:
    return Embed(*loaded(get("bert"), Head.BASE, *how))


TASKS: dict[str, Build] = {
    "fill-mask": _fill_mask,
    "targets": _targets,
    "classify": _classify,
    "entailment": _entailment,
    "similarity": _similarity,
    "ner": _ner,
    "qa": _qa,
    "embed": _embed,
}


def records(texts: Iterable[str], question: str | None = None) -> list[Record]:
    """Return texts as records."""
    return [Record(i, text, question=question) for i, text in enumerate(texts)]


def results(task: Task, items: Iterable[Item]) -> list[Any]:
    """Return every record's result; an error fails the test."""
    found: list[Result] = []
    for answer in answers(task, items):
        assert answer.error is None, answer.error
        assert answer.result is not None
        found.append(answer.result)
    return found


def assert_same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare nested dictionaries and lists, numbers within a tolerance."""
    assert type(found) is type(expected) or isinstance(found, float)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key], tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, tolerance)
    elif isinstance(expected, float):
        assert abs(found - expected) <= tolerance
    else:
        assert found == expected
