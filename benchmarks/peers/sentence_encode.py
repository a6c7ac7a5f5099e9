"""Embed a text with sentence-transformers: MODEL TEXT."""

import json
import sys

from sentence_transformers import SentenceTransformer

folder, text = sys.argv[1:]
print(json.dumps(SentenceTransformer(folder, device="cpu").encode([text])[0].tolist()))
