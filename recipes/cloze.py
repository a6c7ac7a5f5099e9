"""How often fill-mask gives a word that a person would accept, first or among five.

    bertcli fill-mask -i recipes/texts/mask-test.jsonl -k 5 -f jsonl | python recipes/cloze.py

Each row has a text with one mask, the `answers` that are right, and the `kind` of what it asks for.
"""

import json
import sys
from collections import Counter

asked, first, among = Counter(), Counter(), Counter()
for row in map(json.loads, sys.stdin):
    (mask,) = row["masks"]
    given = [fill["token"] for fill in mask["fills"]]
    for kind in (row["kind"], "all"):
        asked[kind] += 1
        first[kind] += given[0] in row["answers"]
        among[kind] += not set(row["answers"]).isdisjoint(given)
for kind, count in asked.items():
    print(f"{kind}\t{count}\ttop-1 {first[kind] / count:.3f}\ttop-5 {among[kind] / count:.3f}")
