"""Words for masks: each mask alone, all masks together, and given words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.choices import Long
from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import Window, frame_text, ranges
from bertcli.errors import RecordError, UsageError
from bertcli.records import Record
from bertcli.results import Fill, FillMaskResult, JointFill, MaskFills
from bertcli.tasks.probabilities import softmax
from bertcli.tasks.run import Plan, count_read

PLACEHOLDER = "[MASK]"
BEAM = 10
WIDEST = 100
MANY_MASKS = 50
AROUND = 200
"""In a text with more than 50 masks a word is told with 200 characters on either side, not with the
whole text, and no words are sought for all masks together: both would grow with the square."""
NO_MASK = (
    'no [MASK] in the text: put one where a word is missing, as in "Paris is the [MASK] of France."'
)


@dataclass(frozen=True, slots=True)
class Beam:
    """A partly filled window, the ids chosen so far and the logarithm of their probability."""

    window: Window
    ids: tuple[int, ...] = ()
    log_score: float = 0.0


@dataclass(frozen=True)
class FillMask:
    """Masked words. With `targets` only these are scored, words of several tokens included.

    `together` also finds words for all masks of a text at once, which takes many times as long.
    """

    encoder: Encoder
    tokenizer: TextTokenizer
    window: int
    top_k: int = 5
    targets: tuple[str, ...] = ()
    long: Long = Long.WINDOW
    together: bool = True

    @cached_property
    def mask_token(self) -> str:
        """The model's own mask token; raises CheckpointError for a model without one."""
        return self.tokenizer.pieces([self.mask_id])[0]

    @property
    def mask_id(self) -> int:
        """The id of the mask token."""
        return self.tokenizer.mask_id

    @cached_property
    def target_ids(self) -> list[NDArray[np.int64]]:
        """The tokens of each target, as they are spelled after a space."""
        return self._spelled([f" {word}" for word in self.targets])

    @cached_property
    def glued_target_ids(self) -> list[NDArray[np.int64]]:
        """The tokens of each target, as they are spelled at the start of a text or after a sign."""
        return self._spelled(self.targets)

    @cached_property
    def capacity(self) -> int:
        """How many tokens of a text a window holds, with room for the longest target."""
        longest = max((len(ids) for ids in self.target_ids + self.glued_target_ids), default=1)
        room = self.window - self.tokenizer.frame.single - (longest - 1)
        if room < 2:
            raise UsageError(f"a target has {longest} tokens and the model reads {self.window}")
        return room

    def has_mask(self, text: str) -> bool:
        """Tell whether a text has a mask, in either spelling."""
        return PLACEHOLDER in text or self.mask_token in text

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every text's windows, each around one mask or several close ones."""
        texts = [record.text.replace(PLACEHOLDER, self.mask_token) for record in records]
        return [self._plan_one(tokens) for tokens in self.tokenizer.tokenize(texts)]

    def reduce(self, output: Logits) -> Logits:
        """Return of logits (masks, vocabulary) ids and probabilities (masks, k, 2): the best ones.

        With targets those of the targets that are one token.
        """
        rows = np.zeros((len(output), 0, 2))
        for row, logits in enumerate(output):
            probabilities = softmax(logits)
            ids = self._single_ids if self.targets else self._best(probabilities, self.top_k)
            if not row:
                rows = np.zeros((len(output), len(ids), 2))
            rows[row, :, 0], rows[row, :, 1] = ids, probabilities[ids]
        return cast(Logits, rows)

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> FillMaskResult:
        """Return the words from the best ids and their probabilities (masks, k, 2) per window."""
        places = self._places(record.text)
        numbered = [
            (window, row, dict(zip(best[:, 0].astype(int).tolist(), best[:, 1], strict=True)))
            for window, output in zip(plan.windows, outputs, strict=True)
            for row, best in enumerate(output)
        ]
        masks = []
        for place, (window, row, best) in zip(places, numbered, strict=False):
            shown = (
                excerpt(record.text, place) if len(places) > MANY_MASKS else (record.text, place)
            )
            masks.append(MaskFills(*place, tuple(self._fills(*shown, window, row, best))))
        few = 1 < len(masks) <= MANY_MASKS
        together = self.together and len(plan.windows) == 1 and few and not self.targets
        joint = self._joint(record.text, places, plan.windows[0]) if together else []
        apart = None
        if len(masks) > 1 and not joint:
            words = [mask.fills[0].token for mask in masks]
            apart = fill_in(record.text, places[: len(words)], words)
        return FillMaskResult(tuple(masks), plan.reading, tuple(joint), apart)

    def _spelled(self, words: Sequence[str]) -> list[NDArray[np.int64]]:
        found = self.tokenizer.ids(words)
        for word, ids in zip(words, found, strict=True):
            if not len(ids) or self.tokenizer.unknown_id in ids:
                raise UsageError(f"the model's vocabulary cannot spell the target {word.strip()!r}")
        return found

    def _plan_one(self, tokens: Tokens) -> Plan | RecordError:
        at = np.flatnonzero(tokens.ids == self.mask_id).tolist()
        frame = self.tokenizer.frame
        if not at:
            return RecordError(NO_MASK)
        try:
            (_, first_end), *_ = ranges(len(tokens), self.capacity, self.long)
        except RecordError as error:
            return error
        groups = mask_windows(at, len(tokens), self.capacity)
        if self.long is Long.TRUNCATE:
            groups = [MaskGroup(tuple(at), 0, first_end)]
        if at[-1] >= first_end and self.long is Long.TRUNCATE:
            return RecordError(
                f"a mask stands behind the first {first_end} tokens: use --long window"
            )
        windows = tuple(
            _marked(frame_text(tokens.ids, group.start, group.end, frame), group.masks)
            for group in groups
        )
        return Plan(windows, tokens, count_read(len(tokens), windows))

    def _places(self, text: str) -> list[tuple[int, int]]:
        """Return the half-open characters of every mask in a text."""
        either = "|".join(re.escape(token) for token in {PLACEHOLDER, self.mask_token})
        return [found.span() for found in re.finditer(either, text)]

    def _fills(
        self,
        text: str,
        place: tuple[int, int],
        window: Window,
        row: int,
        best: Mapping[int, float],
    ) -> list[Fill]:
        if not self.targets:
            return [
                Fill(
                    self.tokenizer.decode([i]),
                    float(probability),
                    fill_in(text, [place], [self._to_fill_in(i)]),
                )
                for i, probability in best.items()
            ]
        after_space = text[: place[0]][-1:].isspace()
        spelled = self.target_ids if after_space else self.glued_target_ids
        scored = self._score_targets(spelled, window, row, best)
        return [Fill(word, score, fill_in(text, [place], [word])) for word, score in scored]

    @cached_property
    def _single_ids(self) -> list[int]:
        """The ids of the targets that are one token, in either spelling."""
        spelled = [*self.target_ids, *self.glued_target_ids]
        return sorted({int(ids[0]) for ids in spelled if len(ids) == 1})

    def _to_fill_in(self, chosen: int) -> str:
        """Return a token's word, with ## in front where it goes on with the word before it."""
        word = self.tokenizer.decode([chosen]).removeprefix("##")
        return word if self.tokenizer.starts_word(chosen) else f"##{word}"

    def _best(self, probabilities: NDArray[np.float64], count: int) -> list[int]:
        """Return the most probable ids, special tokens left out."""
        most = min(count + len(self.tokenizer.special_ids), len(probabilities))
        least = np.partition(probabilities, -most)[-most]
        likely = np.flatnonzero(probabilities >= least)
        order = likely[np.argsort(-probabilities[likely], kind="stable")]
        return [int(i) for i in order if int(i) not in self.tokenizer.special_ids][:count]

    def _score_targets(
        self,
        spelled: Sequence[NDArray[np.int64]],
        window: Window,
        row: int,
        best: Mapping[int, float],
    ) -> list[tuple[str, float]]:
        """Return each target with its probability, best first.

        A word of several tokens stands in as many masks, and its probability is the product of its
        tokens', each given those before it (the chain rule, left to right).
        """
        scores = []
        for ids in spelled:
            if len(ids) == 1:
                scores.append(float(best[int(ids[0])]))
            else:
                scores.append(self._chain(_widened(window, row, len(ids), self.mask_id), row, ids))
        ranked = sorted(zip(self.targets, scores, strict=True), key=lambda pair: -pair[1])
        return ranked[: self.top_k]

    def _chain(self, window: Window, row: int, ids: NDArray[np.int64]) -> float:
        """Return the probability of ids in successive masks, which begin with mask `row`."""
        steps = []
        for number, chosen in enumerate(ids):
            steps.append(replace(window, masks=(window.masks[row + number],)))
            window = _filled(window, window.masks[row + number], int(chosen))
        outputs = self.encoder.encode(steps)
        parts = [softmax(out[0])[i] for out, i in zip(outputs, ids, strict=True)]
        return float(np.prod(parts))

    def _joint(self, text: str, places: list[tuple[int, int]], window: Window) -> list[JointFill]:
        """Return the best words for all masks together, by beam search from left to right.

        They are at most `WIDEST`: the work grows with the square of their number.
        """
        width = max(BEAM, min(self.top_k, WIDEST))
        beams = [Beam(window)]
        for position in window.masks:
            asked = [replace(beam.window, masks=(position,)) for beam in beams]
            outputs = self.encoder.encode(asked)
            longer = [
                self._extended(beam, position, softmax(output[0]), width)
                for beam, output in zip(beams, outputs, strict=True)
            ]
            beams = sorted(chain.from_iterable(longer), key=lambda beam: -beam.log_score)[:width]
        return [self._joint_fill(text, places, beam) for beam in beams[: self.top_k]]

    def _extended(
        self, beam: Beam, position: int, probabilities: NDArray[np.float64], width: int
    ) -> list[Beam]:
        return [
            Beam(
                _filled(beam.window, position, i),
                (*beam.ids, i),
                beam.log_score + float(np.log(max(probabilities[i], 1e-300))),
            )
            for i in self._best(probabilities, width)
        ]

    def _joint_fill(self, text: str, places: list[tuple[int, int]], beam: Beam) -> JointFill:
        words = tuple(self.tokenizer.decode([i]) for i in beam.ids)
        filled = fill_in(text, places, [self._to_fill_in(i) for i in beam.ids])
        return JointFill(words, float(np.exp(beam.log_score)), filled)


@dataclass(frozen=True, slots=True)
class MaskGroup:
    """Masks that share a window, by token, and the half-open range of tokens around them."""

    masks: tuple[int, ...]
    start: int
    end: int


def mask_windows(at: Sequence[int], tokens: int, capacity: int) -> list[MaskGroup]:
    """Return the windows of a text's masks: one if all fits, else one centred on each close group.

    Masks less than half a window apart share one.

    >>> mask_windows([50], 100, 20)
    [MaskGroup(masks=(50,), start=40, end=60)]
    """
    if tokens <= capacity:
        return [MaskGroup(tuple(at), 0, tokens)]
    groups: list[list[int]] = []
    for position in at:
        if groups and position - groups[-1][0] < capacity // 2:
            groups[-1].append(position)
        else:
            groups.append([position])
    found = []
    for group in groups:
        centred = (group[0] + group[-1] + 1) // 2 - capacity // 2
        start = min(max(0, centred), tokens - capacity)
        found.append(MaskGroup(tuple(group), start, start + capacity))
    return found


def excerpt(text: str, place: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """Return the text around half-open characters, … where it is cut, and where they are now.

    >>> excerpt("a [MASK].", (2, 8))
    ('a [MASK].', (2, 8))
    """
    start, end = max(0, place[0] - AROUND), min(len(text), place[1] + AROUND)
    before, after = "…" * (start > 0), "…" * (end < len(text))
    shift = start - len(before)
    return f"{before}{text[start:end]}{after}", (place[0] - shift, place[1] - shift)


def fill_in(text: str, places: Sequence[tuple[int, int]], words: Sequence[str]) -> str:
    """Return a text with words in place of its masks; a `##` piece joins the word before it.

    >>> fill_in("a play[MASK]", [(6, 12)], ["##ing"]), fill_in("a [MASK].", [(2, 8)], ["cat"])
    ('a playing', 'a cat.')
    """
    parts, last = [], 0
    for (start, end), word in zip(places, words, strict=True):
        before = text[last:start]
        joined = word.removeprefix("##")
        parts += [before.rstrip(" ") if joined != word else before, joined]
        last = end
    return "".join(parts) + text[last:]


def _marked(window: Window, masks: Sequence[int]) -> Window:
    """Return a window that asks for the masks at these tokens of the text."""
    shift = window.first - window.start
    return replace(window, masks=tuple(position + shift for position in masks))


def _filled(window: Window, position: int, chosen: int) -> Window:
    ids = window.ids.copy()
    ids[position] = chosen
    return replace(window, ids=ids)


def _widened(window: Window, row: int, count: int, mask_id: int) -> Window:
    """Return a window with `count` masks where mask `row` stood."""
    position = window.masks[row]
    more = np.full(count - 1, mask_id, np.int64)
    ids = np.insert(window.ids, position, more)
    types = np.insert(window.types, position, np.zeros(count - 1, np.int64))
    before, after = window.masks[: row + 1], window.masks[row + 1 :]
    new = tuple(position + i for i in range(1, count))
    masks = before + new + tuple(mask + count - 1 for mask in after)
    return replace(window, ids=ids, types=types, masks=masks)
