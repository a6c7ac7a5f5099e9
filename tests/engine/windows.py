"""Windows of real text for a checkpoint, and what transformers itself computes for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer
from bertcli.engine.choices import Engine, Precision
from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.families import Head
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.torch_encoder import TorchEncoder, TorchSource
from bertcli.engine.windows import Window, frame_pair, frame_text
from tiny import AUTO, SENTENCES

TEXTS = (*SENTENCES, "a", "", "Paris " * 70)


def ragged_windows(tokenizer: TextTokenizer, window: int = 64) -> list[Window]:
    """Return single texts and pairs of many lengths, up to the model's own; two masks in each."""
    ids, frame, second = tokenizer.ids(list(TEXTS)), tokenizer.frame, tokenizer.second_type
    question = tokenizer.ids(["who wrote the first program?"])[0]
    room = window - frame.pair - len(question)
    single = [frame_text(one, 0, min(len(one), window - frame.single), frame) for one in ids]
    pairs = [frame_pair(question, one, (0, min(len(one), room)), frame, second) for one in ids]
    return [_with_masks(one, tokenizer) for one in single + pairs]


def onnx(
    folder: Path, head: Head, precision: Precision = Precision.FP32, brief: bool = False
) -> Encoder:
    """Return a checkpoint's encoder on ONNX Runtime, with batches of a few windows."""
    return load_encoder(read_checkpoint(folder), head, LoadOptions("cpu", precision, 200, brief))


def openvino(folder: Path, head: Head, precision: Precision = Precision.FP32) -> Encoder:
    """Return a checkpoint's encoder on OpenVINO, with batches of a few windows."""
    options = LoadOptions("cpu", precision, 200, engine=Engine.OPENVINO)
    return load_encoder(read_checkpoint(folder), head, options)


def torch(folder: Path, head: Head) -> Encoder:
    """Return a checkpoint's encoder on torch."""
    config = dict(read_checkpoint(folder).config)
    return TorchEncoder(TorchSource(folder, config), head, "cpu", Precision.FP32, 200)


def tokenizer_of(folder: Path) -> TextTokenizer:
    """Return a folder's tokenizer."""
    return load_tokenizer(read_checkpoint(folder))


def reference(folder: Path, head: Head, windows: list[Window]) -> list[Logits]:
    """Return transformers' own outputs, each window alone and without padding."""
    import transformers

    return outputs_of(getattr(transformers, AUTO[head]).from_pretrained(folder), head, windows)


def outputs_of(model: Any, head: Head, windows: list[Window]) -> list[Logits]:
    """Return a transformers model's outputs, each window alone and without padding."""
    import torch

    model.eval()
    found = []
    for window in windows:
        feed = {"input_ids": torch.from_numpy(window.ids)[None]}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            feed["token_type_ids"] = torch.from_numpy(window.types)[None]
        with torch.inference_mode():
            out = model(**feed)
        if head is Head.QA:
            found.append(torch.stack([out.start_logits, out.end_logits], -1)[0].numpy())
        elif head is Head.BASE:
            found.append(out.last_hidden_state[0].numpy())
        elif head is Head.MASKED_LM:
            found.append(out.logits[0, list(window.masks)].numpy())
        else:
            found.append(out.logits[0].numpy())
    return found


def assert_close(
    found: Iterable[Logits], expected: Iterable[Logits], tolerance: float = 1e-4
) -> None:
    """Check shapes and values, window by window."""
    found, expected = list(found), list(expected)
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def _with_masks(window: Window, tokenizer: TextTokenizer) -> Window:
    """Return a window whose first and last own tokens are masks, where it has some."""
    own = range(window.first, window.first + window.end - window.start)
    at = tuple(sorted({own[0], own[-1]})) if own else (0,)
    ids = window.ids.copy()
    ids[list(at)] = tokenizer.id(tokenizer.mask_token or "")
    return replace(window, ids=ids, masks=at)
