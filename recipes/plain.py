"""Short plain texts that fill-mask learns beside Wikipedia's paragraphs.

    python recipes/plain.py everyday FILE... > everyday.txt
    python recipes/plain.py clauses < paragraphs.txt > clauses.txt
    python recipes/plain.py bare SEED < texts.txt > texts-some-without-a-final-mark.txt

`everyday` takes the texts of JSON lines (also .gz), each once: of the columns that a set has, or of
its tokens. `clauses` takes of each sentence that says what something is or does the main clause:
"The Thames (/tɛmz/) is a river that flows through England." gives "The Thames is a river." `bare`
leaves out the final mark of a third of the short texts, as many who ask write none.
"""

import gzip
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator

COLUMNS = ("text", "text1", "text2", "question", "context")
BARE, LONGEST_BARE = 1 / 3, 30
SPACED = {
    **{f" {sign}": sign for sign in (*".,!?:;)", "n't", "'s", "'re", "'ve", "'m", "'ll", "'d")},
    "( ": "(",
}
SENTENCES = re.compile(r'(?<=[.!?]) +(?=["“(]?[A-Z])')
ASIDE = re.compile(r" ?\([^()]*\)")
SAYING = re.compile(
    r'[A-Z][^,.;:!?"]{1,45} (is|was|are|were|became|won|wrote|discovered|invented|founded|lives?'
    r"|lived|plays?|played|makes?|made|means|has|have|contains?|produces?|borders|lies|flows|speaks?|eats?"
    r"|uses?|used) "
)
REST = re.compile(
    r"(,|;|:| who | which | that | where | whose | when | while | although | because | but "
    r"| as well as | – | - ).*$"
)
WITHOUT_NAME = re.compile(
    r"(He|She|It|They|This|These|Those|There|His|Her|Its|Their|That|We|I|What|Such|Some|Many|Most"
    r"|Other|Another|One)\b"
)
UNFINISHED = re.compile(
    r" (the|a|an|of|in|by|to|and|or|with|is|was|are|were|for|on|as|from|at|so|also|than|not|be)$"
)


def everyday(files: Iterable[str]) -> Iterator[str]:
    """Yield the texts of files of JSON lines, of three words or more, each once."""
    seen = set[str]()
    for path in files:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                texts = [row[name] for name in COLUMNS if row.get(name)]
                for text in texts or [written(row["tokens"])]:
                    line = " ".join(text.split())
                    if len(line.split()) >= 3 and line not in seen:
                        seen.add(line)
                        yield line


def written(tokens: Iterable[str]) -> str:
    """Return tokens as they are written in a text."""
    text = " ".join(tokens)
    for spaced, sign in SPACED.items():
        text = text.replace(spaced, sign)
    return text


def clauses(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yield the main clauses of sentences that name what they speak of, 4 to 13 words long."""
    for paragraph in paragraphs:
        for sentence in SENTENCES.split(ASIDE.sub("", paragraph.strip())):
            if not SAYING.match(sentence) or WITHOUT_NAME.match(sentence):
                continue
            clause = REST.sub("", sentence).rstrip(" .!?,")
            if 4 <= len(clause.split()) <= 13 and not UNFINISHED.search(clause):
                yield f"{clause}."


def bare(texts: Iterable[str], dice: random.Random) -> Iterator[str]:
    """Yield texts, a third of the short ones without the mark at their end."""
    for text in map(str.rstrip, texts):
        short = text.endswith((".", "!", "?")) and len(text.split()) <= LONGEST_BARE
        yield text[:-1] if short and dice.random() < BARE else text


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["everyday", *files]:
            found = everyday(files)
        case ["clauses"]:
            found = clauses(sys.stdin)
        case ["bare", seed]:
            found = bare(sys.stdin, random.Random(int(seed)))
        case _:
            sys.exit(__doc__)
    for line in found:
        print(line)
