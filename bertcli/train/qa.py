"""What an answer head learns from: questions on contexts, as windows with the answer's position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import cuts, frame_pair
from bertcli.errors import DataError
from bertcli.records import AnsweredQuestion
from bertcli.train.examples import Example

NOWHERE = (0, 0)


def check_answers(questions: Sequence[AnsweredQuestion]) -> None:
    """Raise DataError for the first question that is empty, has an empty context, or an answer that
    is not where it should be."""
    for one in questions:
        for name, text in (("question", one.question), ("context", one.context)):
            if not text.strip():
                other = one.context if name == "question" else one.question
                raise DataError(f'{one.place}: the {name} is empty, of "{other[:40]}"')
        for text, start in one.answers:
            if start < 0 or one.context[start : start + len(text)] != text:
                raise DataError(
                    f'{one.place}: the answer "{text[:40]}" does not stand at character {start} of '
                    "the context"
                )


def qa_examples(
    questions: Sequence[AnsweredQuestion], tokenizer: TextTokenizer, window: int
) -> tuple[list[Example], int]:
    """Return the windows of every question on its context, each with its first answer's place.

    A window that does not hold the whole answer learns that there is none. The second is how many
    questions were left out, as too long for the window or without a token.
    """
    contexts = tokenizer.tokenize([one.context for one in questions])
    asked = tokenizer.ids([one.question for one in questions])
    frame, second = tokenizer.frame, tokenizer.second_type
    examples: list[Example] = []
    left_out = 0
    for one, ids, context in zip(questions, asked, contexts, strict=True):
        room = window - frame.pair - len(ids)
        if not len(ids) or not len(context) or room < window // 4:
            left_out += 1
            continue  # as `Qa` refuses to answer it
        answer = answer_tokens(one, context)
        for start, end in cuts(len(context), room):
            shown = frame_pair(ids, context.ids, (start, end), frame, second)
            place = NOWHERE
            if answer and start <= answer[0] and answer[1] < end:
                place = (shown.first + answer[0] - start, shown.first + answer[1] - start)
            examples.append(Example(shown, np.array(place, np.int64)))
    return examples, left_out


def answer_tokens(question: AnsweredQuestion, context: Tokens) -> tuple[int, int] | None:
    """Return the first and the last token of the first answer; None where there is none."""
    if not question.answers:
        return None
    text, start = question.answers[0]
    inside = (context.offsets[:, 0] < start + len(text)) & (context.offsets[:, 1] > start)
    at = np.flatnonzero(inside)
    return (int(at[0]), int(at[-1])) if len(at) else None
