"""How good `qa --index` is: answers where the texts have them, refusals where they have not.

python benchmarks/asking.py --asked dev_newwiki.jsonl.gz --others dev_qed.jsonl.gz

An index is built of the contexts of the questions asked, each of which one of them answers, and of
the texts in `--texts`. Tells F1 by SQuAD's definition of the first answer, nothing where there is
none, and what share of the other questions is refused, by how much a passage's cosine counts.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from timing import BERTCLI, table

from bertcli.cli.index.open import open_index
from bertcli.cli.options import ModelFlags
from bertcli.cli.qa import PASSAGES, qa_task
from bertcli.evaluate.qa import overlap_f1
from bertcli.index.query import words_of
from bertcli.inputs.labelled import read_questions
from bertcli.records import AnsweredQuestion
from bertcli.tasks.passages import BUILT_IN, Passage, Relevance, best_answers, read_passages

WEIGHTS, MIDDLES = (6.0, 10.0, 12.0, 14.0, 17.0), (0.4, 0.45, 0.5, 0.55)
THRESHOLD = 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asked", nargs="+", required=True, help="questions that are answered")
    parser.add_argument("--others", nargs="+", required=True, help="questions that are not")
    parser.add_argument("--texts", nargs="*", default=[], help="JSON lines with more texts")
    parser.add_argument("--count", type=int, default=300, help="questions of each kind")
    arguments = parser.parse_args()
    asked = [one for one in read_questions(arguments.asked) if one.answers]
    known = {one.context for one in asked}
    others = [one for one in read_questions(arguments.others) if one.context not in known]
    asked, others = some(asked, arguments.count), some(others, arguments.count)
    with tempfile.TemporaryDirectory() as temporary:
        contexts, index = Path(temporary) / "contexts.jsonl", Path(temporary) / "index"
        contexts.write_text("".join(json.dumps({"text": one}) + "\n" for one in sorted(known)))
        command = [BERTCLI, "index", "build", str(index), str(contexts), *arguments.texts, "-q"]
        subprocess.run(command, check=True)
        read = passages_of(str(index), [*asked, *others])
    answered, refused = read[: len(asked)], read[len(asked) :]
    ways = [Relevance(), *(Relevance(weight, middle) for weight in WEIGHTS for middle in MIDDLES)]
    rows = [row(one, asked, answered, others, refused) for one in ways]
    titles = ("weight", "middle", f"{len(asked)} asked: F1", "answered", f"{len(others)} refused")
    print(table(titles, rows))


def some(questions: list[AnsweredQuestion], count: int) -> list[AnsweredQuestion]:
    """Return a sample, the same each time."""
    return random.Random(0).sample(questions, min(count, len(questions)))


def passages_of(index: str, questions: list[AnsweredQuestion]) -> list[list[Passage]]:
    """Return what is found for each question, and read."""
    folder, embed = open_index(index, ModelFlags())
    task = qa_task(ModelFlags(), threshold=1.0)[1]
    texts = [one.question for one in questions]
    vectors = replace(embed, prompt="").vectors(texts)
    with folder:
        return [
            read_passages(task, text, folder.find(words_of(text), vector, PASSAGES))
            for text, vector in zip(texts, vectors, strict=True)
        ]


def row(
    relevance: Relevance,
    asked: list[AnsweredQuestion],
    answered: list[list[Passage]],
    others: list[AnsweredQuestion],
    refused: list[list[Passage]],
) -> tuple[str, ...]:
    """Return the line of one way to count a passage's cosine."""

    def first(question: AnsweredQuestion, passages: list[Passage]) -> str | None:
        found = best_answers(passages, question.question, 1, THRESHOLD, relevance).answers
        return found[0].text if found else None

    said = [first(one, passages) for one, passages in zip(asked, answered, strict=True)]
    scores = [
        max(overlap_f1(answer, gold) for gold, _ in one.answers) if answer else 0.0
        for one, answer in zip(asked, said, strict=True)
    ]
    nothing = [first(one, passages) is None for one, passages in zip(others, refused, strict=True)]
    mark = " (shipped)" if relevance == BUILT_IN else ""
    return (
        f"{relevance.weight:g}{mark}",
        f"{relevance.middle:g}",
        f"{100 * sum(scores) / len(scores):.1f}",
        f"{100 * sum(one is not None for one in said) / len(said):.0f} %",
        f"{100 * sum(nothing) / len(nothing):.0f} %",
    )


if __name__ == "__main__":
    main()
