"""Training a masked language model, and what it leaves on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from bertcli.checkpoints.layout import Checkpoint
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.cli.app import main
from bertcli.engine.batching import Batch
from bertcli.engine.families import Head
from bertcli.engine.windows import Window
from bertcli.errors import DataError
from bertcli.train.blocks import NO_TOKEN, MaskRates, Vocabulary
from bertcli.train.choices import Optimizer
from bertcli.train.fill_mask import masked_loss, measure
from bertcli.train.loop import Progress, Settings, train
from bertcli.train.optimizers import Optimizers, trained
from bertcli.train.trainee import Trainee

SETTINGS = Settings(steps=6, evaluate_every=3)


@pytest.fixture
def base(tiny_checkpoint: Any) -> Checkpoint:
    """A tiny checkpoint without a head, as the built-in base is one."""
    return resolve(ModelChoice(str(tiny_checkpoint("bert", Head.BASE))))


def vocabulary_of(checkpoint: Checkpoint) -> Vocabulary:
    """Return what framing needs of a checkpoint's tokenizer."""
    tokenizer = load_tokenizer(checkpoint)
    frame, mask = tokenizer.frame, tokenizer.id("[MASK]")
    assert mask is not None
    size = tokenizer.vocabulary_size
    return Vocabulary(frame.before, frame.after, mask, size, tokenizer.special_ids)


def blocks_of(vocabulary: Vocabulary, count: int = 40) -> np.ndarray:
    """Return blocks in which each token tells the next one."""
    free = [i for i in range(vocabulary.size) if i not in vocabulary.special][:20]
    rows = [[free[(start + i) % 20] for i in range(14)] for start in range(count)]
    return np.array(rows, np.uint32)


def training(
    model: Trainee,
    blocks: np.ndarray,
    vocabulary: Vocabulary,
    settings: Settings,
    state: Path,
    batch_tokens: int = 64,
) -> Iterator[Progress]:
    """Return a run over blocks."""
    loss = masked_loss(model, blocks, vocabulary, MaskRates(), batch_tokens, settings.seed)
    return train(model, loss, lambda: measure(model, blocks, vocabulary), settings, state)


def weights_of(model: Trainee) -> torch.Tensor:
    """Return everything that was trained, in one row."""
    return torch.cat([parameter.detach().ravel() for parameter in trained(model)])


def test_training_learns(base: Checkpoint, tmp_path: Path) -> None:
    """On text of twenty words, perplexity falls from that of a random model to about twenty."""
    vocabulary = vocabulary_of(base)
    blocks = blocks_of(vocabulary)
    model = Trainee(base, Head.MASKED_LM, rank=None)
    settings = Settings(steps=60, learning_rate=5e-3, evaluate_every=1000)
    before = measure(model, blocks, vocabulary)
    list(training(model, blocks, vocabulary, settings, tmp_path / "state.pt", batch_tokens=256))
    after = measure(model, blocks, vocabulary)
    assert after["perplexity"] < before["perplexity"] / 50


def test_texts_apart_are_learnt_beside_others_as_long(base: Checkpoint) -> None:
    """An epoch has every block once, and a step no more tokens than it may, hardly any padding."""
    vocabulary = vocabulary_of(base)
    blocks = blocks_of(vocabulary, 60)
    counts = np.arange(60) % 14 + 1
    blocks[np.arange(14) >= counts[:, None]] = NO_TOKEN
    seen: list[tuple[int, ...]] = []

    class Watched(Trainee):
        def forward(self, batch: Batch) -> torch.Tensor:
            assert batch.ids.size <= 64
            seen.append(batch.lengths)
            return super().forward(batch)

    loss = masked_loss(
        Watched(base, Head.MASKED_LM, rank=4), blocks, vocabulary, MaskRates(), 64, seed=3
    )
    steps = 0
    while sum(map(len, seen)) < 60:
        loss(steps)
        steps += 1
    assert sorted(chain(*seen)) == sorted(counts + 2)
    padded = sum(max(one) * len(one) for one in seen)
    assert padded < 1.1 * sum(map(sum, seen))


@pytest.mark.parametrize("optimizer", Optimizer)
def test_a_killed_run_ends_like_an_unbroken_one(
    optimizer: Optimizer, base: Checkpoint, tmp_path: Path
) -> None:
    """A run stopped after step 3 and started again gives the weights of a run of 6 steps."""
    vocabulary = vocabulary_of(base)
    blocks = blocks_of(vocabulary)
    settings = replace(SETTINGS, optimizer=optimizer)
    whole = Trainee(base, Head.MASKED_LM, rank=4)
    initial = {name: value.clone() for name, value in whole.state_dict().items()}
    list(training(whole, blocks, vocabulary, settings, tmp_path / "whole.pt"))
    broken = Trainee(base, Head.MASKED_LM, rank=4)
    broken.load_state_dict(initial)
    for progress in training(broken, blocks, vocabulary, settings, tmp_path / "state.pt"):
        if progress.step == 4:
            break
    resumed = Trainee(base, Head.MASKED_LM, rank=4)
    resumed.load_state_dict(initial)
    run = training(resumed, blocks, vocabulary, settings, tmp_path / "state.pt")
    assert [progress.step for progress in run] == [4, 5, 6]
    torch.testing.assert_close(weights_of(resumed), weights_of(whole), rtol=1e-4, atol=1e-6)


def test_a_state_of_another_run_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    """Neither another rank nor another optimizer goes on where a run was."""
    vocabulary = vocabulary_of(base)
    blocks, state = blocks_of(vocabulary), tmp_path / "state.pt"
    list(training(Trainee(base, Head.MASKED_LM, 4), blocks, vocabulary, SETTINGS, state))
    other = replace(SETTINGS, optimizer=Optimizer.MUON, steps=9)
    for rank, settings in ((2, SETTINGS), (4, other)):
        with pytest.raises(DataError, match="of a run with"):
            list(training(Trainee(base, Head.MASKED_LM, rank), blocks, vocabulary, settings, state))


def test_muon_moves_matrices_and_adamw_the_rest(base: Checkpoint) -> None:
    """Every trained parameter has one optimizer, and tables of embeddings are AdamW's."""
    model = Trainee(base, Head.MASKED_LM, rank=None)
    muon, adamw = Optimizers(model, Optimizer.MUON, 1e-3)._all
    of = [{id(p) for g in one.param_groups for p in g["params"]} for one in (muon, adamw)]
    assert of[0] | of[1] == {id(one) for one in trained(model)}
    assert not of[0] & of[1]
    assert id(model.plain.bert.embeddings.word_embeddings.weight) in of[1]
    assert id(model.plain.bert.encoder.layer[0].output.dense.weight) in of[0]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small text file."""
    path = tmp_path / "corpus.txt"
    lines = [f"the cat number {i} sat on the mat and the dog slept" for i in range(40)]
    path.write_text("\n".join(lines))
    return path


def command(corpus: Path, output: Path, base: Path, *more: str) -> list[str]:
    """Return a training command on a tiny base."""
    start = ["train", "fill-mask", str(corpus), "-o", str(output), "-m", str(base)]
    return [*start, "--steps", "4", "--block", "16", "--batch-tokens", "64", *more]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_result_answers_alike_everywhere(
    method: str, corpus: Path, tmp_path: Path, tiny_checkpoint: Any
) -> None:
    """What training writes gives the same logits on ONNX Runtime, on torch, and in plain PEFT."""
    output = tmp_path / "trained"
    base = tiny_checkpoint("bert", Head.BASE)
    rank = ["--rank", "4"] if method == "lora" else []
    assert main(command(corpus, output, base, "--method", method, *rank)) == 0
    assert sorted(path.name for path in output.glob(".*")) == []
    checkpoint = resolve(ModelChoice(str(output)))
    ids = np.array([2, 10, 11, 12, 3], np.int64)
    window = Window(ids, np.zeros(5, np.int64), 0, 3, 1, masks=(2,))
    (onnx,) = load_encoder(checkpoint, Head.MASKED_LM).encode([window])
    on_torch = load_encoder(checkpoint, Head.MASKED_LM, LoadOptions(device="cpu"))
    (ours,) = on_torch.encode([window])
    plain = _in_transformers(output, base, method)
    with torch.inference_mode():
        logits = plain(torch.from_numpy(ids[None])).logits[0, 2].numpy()
    np.testing.assert_allclose(onnx[0], logits, atol=2e-4)
    np.testing.assert_allclose(ours[0], logits, atol=2e-4)


def _in_transformers(output: Path, base: Path, method: str) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForMaskedLM

    if method == "full":
        return AutoModelForMaskedLM.from_pretrained(output).eval()
    return PeftModel.from_pretrained(AutoModelForMaskedLM.from_pretrained(base), output).eval()


def test_texts_that_are_used_one_by_one_are_learnt_so(
    tmp_path: Path, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--apart gives each line a block of its own, of which none is longer than what it holds."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"the cat sat {'on the mat ' * (i % 3)}\n" for i in range(40)))
    shapes = []
    monkeypatch.setattr(
        "bertcli.train.fill_mask.Batch",
        lambda *fields: shapes.append((fields[0].shape, fields[-1])) or Batch(*fields),
    )
    assert main(command(corpus, tmp_path / "out", tiny_checkpoint("bert"), "--apart")) == 0
    assert {length for _, lengths in shapes for length in lengths} == {5, 8, 11}
    assert all(shape == (len(lengths), max(lengths)) for shape, lengths in shapes)
    assert "4 steps of up to 64 tokens, each text apart" in (tmp_path / "out/README.md").read_text()


def test_a_checkpoint_is_not_trained_over(
    corpus: Path, tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that holds a finished checkpoint is refused and stays as it was."""
    output = tmp_path / "trained"
    output.mkdir()
    (output / "config.json").write_text("{}")
    assert main(command(corpus, output, tiny_checkpoint())) == 2
    assert "there is a checkpoint already" in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resume"], "no unfinished run"),
        (["--replace", "0.8,0.1"], "three shares"),
        (["--replace", "0.8,0.1,0.3"], "add up to 1"),
        (["--block", "999"], "reads 64 tokens"),
    ],
)
def test_wrong_settings_are_said_in_one_line(
    more: list[str],
    message: str,
    corpus: Path,
    tmp_path: Path,
    tiny_checkpoint: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A setting that cannot be is refused before anything is trained."""
    assert main(command(corpus, tmp_path / "out", tiny_checkpoint(), *more)) == 2
    assert message in capsys.readouterr().err


def test_a_run_needs_an_end(corpus: Path, tmp_path: Path, capsys: Any) -> None:
    """Without steps or minutes nothing starts."""
    assert main(["train", "fill-mask", str(corpus), "-o", str(tmp_path / "out")]) == 2
    assert "--minutes N or --steps N" in capsys.readouterr().err


def test_a_bad_line_is_told_and_passed_over(
    corpus: Path, tmp_path: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint is written, and the exit code says that a line was left out."""
    rows = tmp_path / "rows.jsonl"
    good = [json.dumps({"text": line}) for line in corpus.read_text().splitlines()]
    rows.write_text("\n".join([good[0], "{broken", *good[1:]]))
    assert main(command(rows, tmp_path / "out", tiny_checkpoint())) == 3
    assert "rows.jsonl:2: " in capsys.readouterr().err
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
    held = ("--valid", str(rows))
    assert main(command(corpus, tmp_path / "other", tiny_checkpoint(), *held)) == 3


def test_a_bad_line_is_remembered_when_a_run_goes_on(
    corpus: Path, tmp_path: Path, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus that was read is not read again, nor needed, and its bad line is not forgotten."""
    rows = tmp_path / "rows.jsonl"
    good = [json.dumps({"text": line}) for line in corpus.read_text().splitlines()]
    rows.write_text("\n".join(["{broken", *good]))
    with monkeypatch.context() as patch:
        patch.setattr("bertcli.cli.train.fill_mask.run", Mock(side_effect=KeyboardInterrupt))
        assert main(command(rows, tmp_path / "out", tiny_checkpoint())) == 130
    rows.unlink()
    assert main(command(rows, tmp_path / "out", tiny_checkpoint(), "--resume")) == 3


def test_a_run_goes_on_with_the_same_corpus_only(
    corpus: Path,
    tmp_path: Path,
    tiny_checkpoint: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that was changed meanwhile would be told in the card, and not have been learned from."""
    text = corpus.read_text()
    with monkeypatch.context() as patch:
        patch.setattr("bertcli.cli.train.fill_mask.run", Mock(side_effect=KeyboardInterrupt))
        assert main(command(corpus, tmp_path / "out", tiny_checkpoint())) == 130
    corpus.write_text(text.replace("cat", "cow"))
    assert main(command(corpus, tmp_path / "out", tiny_checkpoint(), "--resume")) == 2
    assert "the unfinished run had other data" in capsys.readouterr().err
    corpus.write_text(text)
    assert main(command(corpus, tmp_path / "out", tiny_checkpoint(), "--resume")) == 0


def test_an_adapter_is_trained_on(corpus: Path, tmp_path: Path, tiny_checkpoint: Any) -> None:
    """Training begins where the adapter ended, and its result stands on the same base."""
    base = tiny_checkpoint("bert", Head.BASE)
    assert main(command(corpus, tmp_path / "first", base, "--rank", "4")) == 0
    first = resolve(ModelChoice(str(tmp_path / "first")))
    again = Trainee(first, Head.MASKED_LM, rank=4)
    window = Window(np.array([2, 10, 11, 12, 3]), np.zeros(5, np.int64), 0, 3, 1, masks=(2,))
    (before,) = load_encoder(first, Head.MASKED_LM).encode([window])
    np.testing.assert_allclose(next(again.encode([window])), before, atol=0.1)
    assert main(command(corpus, tmp_path / "second", tmp_path / "first", "--rank", "4")) == 0
    second = resolve(ModelChoice(str(tmp_path / "second")))
    assert second.folder == first.folder
    (after,) = load_encoder(second, Head.MASKED_LM).encode([window])
    assert np.abs(after - before).max() > 1e-3
