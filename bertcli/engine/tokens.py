"""Text to token ids with character offsets, and the frame of special tokens around them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import CheckpointError

PIECE = 200_000
LONGEST_PIECE = 1_000_000
BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")
SPACE_MARKS = ("Ġ", "▁")
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff]")
"""Scripts written without spaces: Thai, Lao, Burmese, Khmer, Chinese and Japanese."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's tokens: ids (n,) int64, half-open character offsets (n, 2), word numbers (n,).

    Tokens of one word share a number. Words end at spaces and at signs, and between any two
    characters of a script without spaces. No special tokens.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    words: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens before, between and after the text or the pair of texts."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def single(self) -> int:
        """How many special tokens one text costs."""
        return len(self.before) + len(self.after)

    @property
    def pair(self) -> int:
        """How many special tokens a pair costs."""
        return self.single + len(self.between)


class TextTokenizer:
    """A checkpoint's `tokenizer.json`, without truncation or padding of its own."""

    def __init__(self, path: Path) -> None:
        """Read the tokenizer; raises CheckpointError when the file is missing or damaged."""
        from tokenizers import Tokenizer

        if not path.is_file():
            raise CheckpointError(
                f"{path.parent}: no tokenizer.json; save one with transformers: "
                "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for a broken file
            raise CheckpointError(f"{path}: not a readable tokenizer ({error})") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._settings = tokenizer_settings(path.with_name("tokenizer_config.json"))

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return every text's tokens, without special tokens."""
        if any(len(text) > PIECE for text in texts):
            return [self._tokenize_long(text) for text in texts]
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            _tokens(np.array(encoding.ids, np.int64), encoding.offsets, text)
            for encoding, text in zip(encodings, texts, strict=True)
        ]

    def ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return every text's ids alone; quicker where nobody asks for offsets."""
        if any(len(text) > PIECE for text in texts):
            return [self._tokenize_long(text).ids for text in texts]
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def _tokenize_long(self, text: str) -> Tokens:
        """Return a text's tokens piece by piece: the library takes 60 bytes for a character."""
        ids: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        offsets: list[tuple[int, int]] = []
        for start, end in stretches(text):
            encoding = self._tokenizer.encode(text[start:end], add_special_tokens=False)
            ids.append(np.array(encoding.ids, np.int64))
            offsets += [(start + first, start + last) for first, last in encoding.offsets]
        return _tokens(np.concatenate(ids), offsets, text)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the vocabulary's own spelling of ids, `##ing` or `▁the` and all."""
        return [self._tokenizer.id_to_token(int(one)) or "" for one in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Return ids as readable text."""
        return self._tokenizer.decode([int(one) for one in ids], skip_special_tokens=False).strip()

    def id(self, token: str) -> int | None:
        """Return the id of a token, None when the vocabulary lacks it."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    @cached_property
    def frame(self) -> Frame:
        """The special tokens, as found by framing a probe."""
        one = self._tokenizer.encode("a")
        two = self._tokenizer.encode("a", "a")
        if 0 not in one.sequence_ids:
            raise CheckpointError("the tokenizer has no token for the letter a: it cannot be used")
        first, last = _inner(one.sequence_ids, 0)
        if 1 not in two.sequence_ids:
            return Frame(tuple(one.ids[:first]), (), tuple(one.ids[last:]))
        start, _ = _inner(two.sequence_ids, 1)
        _, stop = _inner(two.sequence_ids, 0)
        return Frame(tuple(one.ids[:first]), tuple(two.ids[stop:start]), tuple(one.ids[last:]))

    @cached_property
    def second_type(self) -> int:
        """The token type of a pair's second text: 1 for BERT, 0 for RoBERTa."""
        two = self._tokenizer.encode("a", "a")
        start, _ = _inner(two.sequence_ids, 1) if 1 in two.sequence_ids else (0, 0)
        return int(two.type_ids[start])

    @cached_property
    def mask_token(self) -> str | None:
        """The model's own mask token, None for a model without one."""
        named = self._settings.get("mask_token")
        spelled = named.get("content") if isinstance(named, dict) else named
        candidates = [str(spelled)] if spelled else ["[MASK]", "<mask>"]
        return next((token for token in candidates if self.id(token) is not None), None)

    @cached_property
    def mask_id(self) -> int:
        """The id of the mask token; raises CheckpointError for a model without one."""
        found = None if self.mask_token is None else self.id(self.mask_token)
        if found is None:
            raise CheckpointError("the model's tokenizer has no mask token: it cannot fill masks")
        return found

    @cached_property
    def marks_spaces(self) -> bool:
        """Tell whether a word's first piece is spelled with its space, `Ġthe` or `▁the`.

        WordPiece does the reverse, and marks the pieces that go on: `##ing`.
        """
        first = next(iter(self.ids([" a"])[0]), None)
        return first is not None and self.pieces([first])[0].startswith(SPACE_MARKS)

    def starts_word(self, chosen: int) -> bool:
        """Tell whether a token begins a word, rather than going on with the one before it."""
        piece = self.pieces([chosen])[0]
        return piece.startswith(SPACE_MARKS) if self.marks_spaces else not piece.startswith("##")

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids of all special tokens."""
        added = self._tokenizer.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)

    @cached_property
    def folds_case(self) -> bool:
        """Tell whether capitals are lost: `Paris` and `paris` are the same tokens."""
        small, capital = self.ids(["paris", "Paris"])
        return bool(np.array_equal(small, capital))

    @property
    def unknown_id(self) -> int | None:
        """The id of the unknown token, None for a tokenizer that knows every byte."""
        return next((n for t in ("[UNK]", "<unk>") if (n := self.id(t)) is not None), None)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, added ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def max_length(self) -> int | None:
        """The length that tokenizer_config.json declares; None where that is no real limit."""
        declared = self._settings.get("model_max_length")
        sensible = isinstance(declared, int) and 0 < declared < 1_000_000
        return declared if sensible and isinstance(declared, int) else None


def capitals(text: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 1 for each token that is written with a capital letter, 0 for the others, (n,).

    >>> capitals("in New York", np.array([[0, 2], [3, 6], [7, 11]]))
    array([0, 1, 1])
    """
    pieces = (text[start:end] for start, end in offsets.tolist())
    return np.array([piece != piece.lower() for piece in pieces], np.int64)


def stretches(text: str) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges of characters that make up a text, cut before a space between words.

    Tokenised by themselves they have the tokens of the whole text, as no token reaches over a space
    to the left. Where no space comes for long the cut is anywhere.
    """
    start = 0
    while len(text) - start > PIECE:
        latest = start + LONGEST_PIECE
        space = BETWEEN_WORDS.search(text, start + PIECE, latest)
        end = space.start() if space else min(latest, len(text))
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _tokens(ids: NDArray[np.int64], offsets: Sequence[tuple[int, int]], text: str) -> Tokens:
    offsets = [_trimmed(text, start, end) for start, end in offsets]
    return Tokens(
        ids=ids,
        offsets=np.array(offsets, dtype=np.int64).reshape(-1, 2),
        words=np.array(_word_numbers(offsets, text), dtype=np.int64),
    )


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a token's characters without the space that some tokenizers put before a word."""
    while start < end and text[start].isspace():
        start += 1
    return start, end


def _word_numbers(offsets: Sequence[tuple[int, int]], text: str) -> list[int]:
    """Return each token's word, counted from 0.

    The tokenizers' own words will not do: for sentencepiece a word is all between two spaces, a
    whole Chinese sentence too. A token of nothing but a space belongs to the word behind it.
    """
    numbers: list[int] = []
    last_start, last_end = 0, 0
    for start, end in offsets:
        only_space = last_start == last_end == start
        goes_on = start < last_end or only_space or not _is_edge(text, last_end, start)
        before = numbers[-1] if numbers else 0
        numbers.append(before if goes_on or not numbers else before + 1)
        last_start, last_end = start, end
    return numbers


def _is_edge(text: str, end: int, start: int) -> bool:
    """Tell whether a word may end between two tokens: at a space, a sign or an unspaced script.

    There may be characters between them that the tokenizer drops, such as marks of direction.
    """
    return any(map(_stands_alone, text[max(0, end - 1) : start + 1]))


@lru_cache(4096)
def _stands_alone(character: str) -> bool:
    """Tell whether a character is a space, a sign or of an unspaced script."""
    if character.isspace() or unicodedata.category(character)[0] in "PS":
        return True
    return UNSPACED.match(character) is not None


def _inner(sequence_ids: Sequence[int | None], which: int) -> tuple[int, int]:
    """Return the half-open range of positions that belong to one of the two texts."""
    inside = [i for i, sequence in enumerate(sequence_ids) if sequence == which]
    return inside[0], inside[-1] + 1


def tokenizer_settings(path: Path) -> dict[str, object]:
    """Return what a tokenizer_config.json says; nothing where there is none, or no JSON object.

    Raises CheckpointError for a file that cannot be read as JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable JSON ({error})") from error
    return found if isinstance(found, dict) else {}
