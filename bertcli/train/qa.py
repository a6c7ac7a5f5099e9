"""What an answer head learns from: questions on contexts, as windows with the answer's position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.tokens import TextTokenizer, Tokens
from bertcli.engine.windows import cuts, frame_pair
from bertcli.errors import DataError
from bertcli.records import AnsweredQuestion
from bertcli.train.examples import Example


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
    """Return the windows of every question on its context, each with the places of its answers.

    Of several answers each counts the same: where one begins and where it ends are learnt as shares
    of what the annotators said. A window that holds none of them whole learns that there is none.
    The second is how many questions were left out, as too long for the window or without a token.
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
        answers = answer_tokens(one, context)
        for start, end in cuts(len(context), room):
            shown = frame_pair(ids, context.ids, (start, end), frame, second)
            held = answers[(answers[:, 0] >= start) & (answers[:, 1] < end)]
            places = held + shown.first - start if len(held) else np.zeros((1, 2), np.int64)
            shares = np.zeros((len(shown), 2), np.float32)
            for first_and_last in places:
                shares[first_and_last, [0, 1]] += 1 / len(places)
            examples.append(Example(shown, shares))
    return examples, left_out


def answer_tokens(question: AnsweredQuestion, context: Tokens) -> NDArray[np.int64]:
    """Return the first and the last token of each answer (answers, 2)."""
    places = []
    for text, start in question.answers:
        inside = (context.offsets[:, 0] < start + len(text)) & (context.offsets[:, 1] > start)
        if len(at := np.flatnonzero(inside)):
            places.append((at[0], at[-1]))
    return np.array(places, np.int64).reshape(-1, 2)
