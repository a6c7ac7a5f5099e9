"""Texts like the ones given, words masked and filled anew: what teachers label for a pupil.

    python recipes/vary.py mask SEED < texts.jsonl > masked.jsonl
    bertcli fill-mask -i masked.jsonl -k 15 --alone -f jsonl |
        python recipes/vary.py fill SEED > varied.jsonl

A third of the words of each text of eight or more are masked, at most six; each mask takes one of
the words that fit it, by their probabilities. Jiao et al. (2020, TinyBERT) distil on such texts.
"""

import json
import random
import sys

SHORTEST, MOST, SHARE = 8, 6, 1 / 3


def masked(text: str, dice: random.Random) -> str | None:
    """Return a text with some of its words masked; None where it is too short."""
    words = text.split()
    if len(words) < SHORTEST:
        return None
    for at in dice.sample(range(len(words)), min(MOST, int(len(words) * SHARE))):
        words[at] = "[MASK]"
    return " ".join(words)


def filled(row: dict, dice: random.Random) -> str | None:
    """Return the text of a row of `bertcli fill-mask`, a word drawn for each mask; None if bad."""
    if "error" in row:
        return None
    parts, end = [], 0
    for mask in row["masks"]:
        fills = mask["fills"]
        word = dice.choices([one["token"] for one in fills], [one["score"] for one in fills])[0]
        parts += [row["text"][end : mask["start"]], word.removeprefix("##")]
        end = mask["end"]
    return "".join([*parts, row["text"][end:]])


action, seed = sys.argv[1], sys.argv[2]
dice = random.Random(seed)
for line in sys.stdin:
    row = json.loads(line)
    text = masked(row["text"], dice) if action == "mask" else filled(row, dice)
    if text is not None:
        print(json.dumps({"text": text}, ensure_ascii=False))
