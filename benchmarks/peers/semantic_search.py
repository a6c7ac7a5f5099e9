"""Search stored embeddings with sentence-transformers: MODEL VECTORS.npy TEXTS.txt QUERY."""

import json
import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer, util

folder, vectors, texts, query = sys.argv[1:]
model = SentenceTransformer(folder, device="cpu")
hits = util.semantic_search(model.encode([query]), np.load(vectors), top_k=10)[0]  # type: ignore[arg-type]
lines = Path(texts).read_text(encoding="utf-8").splitlines()
print(json.dumps([lines[int(hit["corpus_id"])] for hit in hits]))
