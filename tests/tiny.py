"""Tiny checkpoints with random weights and real tokenizers, in the layout of the hub's.

Two layers of 32 numbers and a vocabulary of a few hundred tokens load in milliseconds, and weights
of a large spread make logits that differ clearly: what holds for them holds for the published ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from bertcli.engine.families import Head

FAMILY_TYPES = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra")
OTHER_TYPE = "albert"
HEADS = tuple(Head)
SENTENCES = (
    "Paris is the capital of France and Berlin is the capital of Germany.",
    "The cat sat on the mat, and the dog slept in the small red house.",
    "Ada Lovelace was born in London; Alan Turing worked in Manchester.",
    "He plays football, she is playing chess, and they played cards yesterday.",
    "Who wrote the first program? Nobody knows what the answer may have been.",
    "Bread, water and salt: everything that a good kitchen needs!",
    "Ces villes sont très belles, l'été à Genève est agréable.",
)
WORDS = (
    *("Paris", "France", "London", "Berlin", "Ada", "Alan", "Turing", "Geneva"),
    *("the", "capital", "city", "of", "is", "was", "in", "and", "a", "to", "who", "what", "where"),
    *("cat", "dog", "sat", "slept", "small", "red", "house", "mat", "on", "good", "bad", "great"),
    *("play", "plays", "work", "born", "write", "wrote", "first", "program", "answer", "question"),
    *("bread", "water", "salt", "kitchen", "train", "station", "engine", "this", "text", "about"),
)
ENDINGS = ("ing", "ed", "er", "ly", "est", "s", "en", "on", "an", "th")
AUTO = {
    Head.BASE: "AutoModel",
    Head.MASKED_LM: "AutoModelForMaskedLM",
    Head.SEQUENCE: "AutoModelForSequenceClassification",
    Head.TOKEN: "AutoModelForTokenClassification",
    Head.QA: "AutoModelForQuestionAnswering",
}
LABELS = {
    Head.SEQUENCE: ("contradiction", "neutral", "entailment"),
    Head.TOKEN: ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
}
BERT_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT_SIZES,
    "distilbert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
    },
    "roberta": BERT_SIZES | {"max_position_embeddings": 66, "layer_norm_eps": 1e-5},
    "xlm-roberta": BERT_SIZES | {"max_position_embeddings": 66, "layer_norm_eps": 1e-5},
    "camembert": BERT_SIZES | {"max_position_embeddings": 66, "layer_norm_eps": 1e-5},
    "electra": BERT_SIZES | {"embedding_size": 16},
    "albert": BERT_SIZES | {"embedding_size": 16},
    "mpnet": BERT_SIZES | {"max_position_embeddings": 66, "pad_token_id": 1},
    "modernbert": BERT_SIZES | {"global_attn_every_n_layers": 2, "local_attention": 16},
}
WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def make_checkpoint(
    folder: Path,
    model_type: str = "bert",
    head: Head = Head.BASE,
    *,
    seed: int = 0,
    labels: Iterable[str] = (),
    tokenizer: Tokenizer | None = None,
    **config: Any,
) -> Path:
    """Save a random model of a type with a head and its tokenizer in a folder, and return it.

    `config` overrides the tiny sizes; `labels` name a classifier's outputs.
    """
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    made = tokenizer or make_tokenizer(model_type)
    named = tuple(labels) or LABELS.get(head, ("LABEL_0", "LABEL_1"))
    settings = {
        "vocab_size": made.get_vocab_size(),
        "pad_token_id": made.token_to_id("[PAD]") or made.token_to_id("<pad>") or 0,
        "bos_token_id": made.token_to_id("<s>"),
        "eos_token_id": made.token_to_id("</s>"),
        "id2label": dict(enumerate(named)),
        "label2id": {label: i for i, label in enumerate(named)},
    }
    settings |= SIZES[model_type] | config
    torch.manual_seed(seed)
    model = getattr(transformers, AUTO[head]).from_config(
        transformers.AutoConfig.for_model(model_type, **settings)
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zero from the start, which would hide a forgotten one
            torch.nn.init.normal_(parameter.data, std=0.2)
    model.save_pretrained(folder)
    save_tokenizer(made, folder, model_type)
    return folder


def save_tokenizer(tokenizer: Tokenizer, folder: Path, model_type: str) -> None:
    """Save a tokenizer as transformers does, in the form that its Auto class reads back."""
    from transformers import PreTrainedTokenizerFast

    pad, unknown, start, end, mask = _names(model_type)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        mask_token=AddedToken(mask, lstrip=mask == "<mask>", special=True),
        model_input_names=["input_ids", "attention_mask"]
        + (["token_type_ids"] if model_type in ("bert", "electra", "albert") else []),
    ).save_pretrained(folder)


@cache
def make_tokenizer(model_type: str) -> Tokenizer:
    """Return a small tokenizer of the kind that a model type has.

    WordPiece for BERT's kin, byte-level BPE for RoBERTa, Unigram for the sentencepiece ones.
    """
    if model_type == "roberta":
        return _byte_level()
    if model_type in ("xlm-roberta", "camembert"):
        return _unigram()
    return _word_piece()


def change_config(folder: Path, **changes: Any) -> Path:
    """Overwrite keys of a folder's config.json; None removes a key."""
    return change_json(folder / "config.json", **changes)


def change_json(path: Path, **changes: Any) -> Path:
    """Overwrite keys of a JSON file, None removes a key; return its folder."""
    found = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    return path.parent


def _names(model_type: str) -> tuple[str, str, str, str, str]:
    """Return the names of padding, unknown, start, end and mask."""
    if model_type in ("roberta", "xlm-roberta", "camembert"):
        return "<pad>", "<unk>", "<s>", "</s>", "<mask>"
    return "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


def _word_piece() -> Tokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [
        *WORDPIECE_SPECIALS,
        *letters,
        *".,;:!?'-()巴黎",
        *(f"##{letter}" for letter in letters),
        *(f"##{end}" for end in ENDINGS),
        *(word.lower() for word in WORDS),
    ]
    tokenizer = Tokenizer(models.WordPiece(_numbered(vocabulary), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(WORDPIECE_SPECIALS))
    return _framed(tokenizer, "[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def _byte_level() -> Tokenizer:
    """Every word of the list is merged letter by letter, with a space before it and without."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in [*(f"Ġ{word}" for word in WORDS), *ENDINGS]:
        merges += [(word[:i], word[i]) for i in range(1, len(word))]
    merges = list(dict.fromkeys(merges))
    vocabulary = [*ROBERTA_SPECIALS, *alphabet, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE(_numbered(vocabulary), merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_roberta_specials())
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer


def _unigram() -> Tokenizer:
    """Words score best, then endings, then letters, so that known words stay whole."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéèêàâùç.,;:!?'-()巴黎"
    scored = [(token, 0.0) for token in ROBERTA_SPECIALS]
    scored += [(f"▁{word}", -8.0) for word in WORDS] + [(end, -9.0) for end in ENDINGS]
    scored += [("▁", -6.0), *((letter, -10.0) for letter in letters)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    split, space = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, space])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(_roberta_specials())
    return _framed(tokenizer, "<s>", "</s>", "<s> $A </s> </s> $B </s>")


def _framed(tokenizer: Tokenizer, start: str, end: str, pair: str) -> Tokenizer:
    """Put special tokens around a tokenizer's texts."""
    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=pair, special_tokens=ids
    )
    return tokenizer


def _roberta_specials() -> list[str | AddedToken]:
    return [*ROBERTA_SPECIALS[:-1], AddedToken("<mask>", lstrip=True, special=True)]


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}
