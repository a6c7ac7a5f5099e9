"""Answer one text by transformers' usual means: TASK MODEL TEXT [CONTEXT].

transformers 5 has no pipeline for questions, so that is the model with the best pair of logits.
"""

import json
import sys

import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline

task, folder, text, *context = sys.argv[1:]


def question() -> list[str]:
    """Return the best answer within the context."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    found = tokenizer(text, context[0], return_tensors="pt", return_offsets_mapping=True)
    offsets = found.pop("offset_mapping")[0]
    with torch.inference_mode():
        output = model(**found)
    inside = [i for i, one in enumerate(found.sequence_ids(0)) if one == 1]
    start, end = output.start_logits[0], output.end_logits[0]
    pairs = ((start[i] + end[j], i, j) for i in inside for j in inside if i <= j < i + 30)
    _, first, last = max(pairs)
    return [context[0][int(offsets[first][0]) : int(offsets[last][1])]]


if task == "question-answering":
    said = question()
elif task == "fill-mask":
    run = pipeline(task, model=folder, tokenizer=folder)
    said = [fill["token_str"] for fill in run(text, top_k=5)]
elif task == "token-classification":
    run = pipeline(task, model=folder, tokenizer=folder, aggregation_strategy="first")
    said = [text[one["start"] : one["end"]] for one in run(text)]
else:
    said = [pipeline(task, model=folder, tokenizer=folder)(text)[0]["label"]]
print(json.dumps(said))
