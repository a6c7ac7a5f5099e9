"""Texts as vectors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.checkpoints.catalog import base_folder
from bertcli.engine.choices import Long, Pooling
from bertcli.engine.families import Head
from bertcli.errors import RecordError
from bertcli.tasks.embed import Embed
from bertcli.tasks.run import answers
from tiny import SENTENCES

from .loaded import loaded, records, results

TEXTS = (
    *SENTENCES,
    "",
    "  spaces around  ",
    "😀 cafe\u0301 巴黎 مرحبا",
    "word",
    "NUL \0 and\nline",
    " ".join(SENTENCES * 2),
)
LONG = " ".join(SENTENCES * 8)


@pytest.fixture(scope="module")
def base() -> Embed:
    """Return the built-in base as its own settings have it."""
    encoder, tokenizer, _ = loaded(base_folder(), Head.BASE)
    return Embed(encoder, tokenizer, 256)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Return sentence-transformers on the same files."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(base_folder()), device="cpu")


def vectors(task: Embed, texts: Any) -> np.ndarray:
    """Return the vectors of a stream."""
    return np.stack([found.vector for found in results(task, records(texts))])


def test_parity_with_sentence_transformers(base: Embed, theirs: Any) -> None:
    """Texts that fit have SentenceTransformer's vectors to 1e-5."""
    expected = theirs.encode(list(TEXTS), show_progress_bar=False)
    found = vectors(base, TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(base.vectors(TEXTS), expected, atol=1e-5)


def test_parity_when_cut(base: Embed, theirs: Any) -> None:
    """Cut at 256 tokens, as sentence-transformers does silently; ours counts what is lost."""
    expected = theirs.encode([LONG, "short"], show_progress_bar=False)
    task = replace(base, long=Long.TRUNCATE)
    np.testing.assert_allclose(vectors(task, [LONG, "short"]), expected, atol=1e-5)
    (found,) = results(task, records([LONG]))
    assert found.reading.cut_tokens == found.reading.tokens - 254 > 0


def test_parity_with_a_prompt(base: Embed, theirs: Any) -> None:
    """A prompt is part of the text and of its mean."""
    expected = theirs.encode(list(SENTENCES), prompt="query: ", show_progress_bar=False)
    found = vectors(replace(base, prompt="query: "), SENTENCES)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
@pytest.mark.parametrize("model_type", ["roberta", "distilbert"])
def test_parity_of_every_pooling(mode: str, model_type: str, tiny_checkpoint: Any) -> None:
    """Mean, first token and maximum, without normalisation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling as Pool
    from sentence_transformers.sentence_transformer.modules import Transformer

    folder = tiny_checkpoint(model_type)
    inner = Transformer(str(folder))
    pool = Pool(inner.get_embedding_dimension(), pooling_mode=mode)
    model = SentenceTransformer(modules=[inner, pool], device="cpu")
    expected = model.encode(list(SENTENCES), show_progress_bar=False)
    task = Embed(*loaded(folder, Head.BASE), pooling=Pooling(mode), normalize=False)
    np.testing.assert_allclose(vectors(task, SENTENCES), expected, atol=1e-5, rtol=1e-5)


def test_long_texts_are_averaged(tiny_checkpoint: Any) -> None:
    """A long text is the mean of its windows, weighted by their tokens, then of length one."""
    task = Embed(*loaded(tiny_checkpoint("bert"), Head.BASE))
    plan = task.plan(records([LONG]))[0]
    windows = plan.windows  # type: ignore[union-attr]
    hidden = list(task.encoder.encode(windows))
    assert len(hidden) > 3
    mean = sum(one.mean(0) * len(one) for one in hidden) / sum(len(one) for one in hidden)
    (found,) = results(task, records([LONG]))
    np.testing.assert_allclose(found.vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert (found.reading.windows, found.reading.cut_tokens) == (len(windows), 0)


def test_normalisation(tiny_checkpoint: Any) -> None:
    """Normalised vectors have length one, others point the same way."""
    task = Embed(*loaded(tiny_checkpoint("bert"), Head.BASE))
    unit, plain = vectors(task, SENTENCES), vectors(replace(task, normalize=False), SENTENCES)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(plain / lengths, unit, atol=1e-6)
    assert (np.abs(lengths - 1) > 0.1).all()


def test_refused_texts(tiny_checkpoint: Any) -> None:
    """A long text is an error record; among the few texts of a caller it is raised."""
    task = Embed(*loaded(tiny_checkpoint("bert"), Head.BASE), long=Long.ERROR)
    found = list(answers(task, records(["short", LONG])))
    assert found[0].error is None
    assert "the model reads 62" in (found[1].error or "")
    with pytest.raises(RecordError, match="the model reads 62"):
        task.vectors(["short", LONG])


def test_the_written_digits_give_back_the_vector(base: Embed) -> None:
    """JSON has as many digits as it takes to read the same float32 again."""
    (found,) = results(base, records(["a sentence"]))
    numbers = found.nested()["embedding"]
    assert np.array(numbers, np.float32).tolist() == found.vector.tolist()


def test_the_base_is_left_as_it_was(tmp_path: Path) -> None:
    """Loading reads the base's files only: a read-only copy of them is enough."""
    copy = Path(shutil.copytree(base_folder(), tmp_path / "base"))
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in copy.rglob("*"))
    encoder, tokenizer, _ = loaded(copy, Head.BASE)
    vectors(Embed(encoder, tokenizer, 256), ["a text"])
    assert sorted((path.name, path.stat().st_mtime_ns) for path in copy.rglob("*")) == before
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)
