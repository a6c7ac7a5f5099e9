"""Fill a mask with the transformers pipeline: MODEL TEXT."""

import json
import sys

from transformers import pipeline

folder, text = sys.argv[1:]
found = pipeline("fill-mask", model=folder, tokenizer=folder)(text, top_k=5)
print(json.dumps([fill["token_str"] for fill in found]))
