"""Build and ask a search index with another tool, in a process of its own.

TOOL build FOLDER MODEL TEXTS.txt     embeds with the model, or takes the rows of TEXTS.npy
TOOL ask FOLDER MODEL QUERY           prints the texts found, as JSON
TOOL warm FOLDER MODEL QUERIES.npy    prints the milliseconds of each answer and the rows found

txtai, chromadb, llm and sentence-transformers embed with the given model; bm25s has no vectors.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Vectors = Any
"""An array (texts, d) of float32, or None where the tool is to embed."""
ROWS = 10
os.environ["ALLOW_RESOLVE_TRANSFORM"] = "True"  # txtai: `Handed` is ours


def main() -> None:
    """Do what the command line says."""
    tool, step, folder, model, given = sys.argv[1:]
    build, ask, warm = TOOLS[tool]
    if step == "build":
        vectors = Path(given).with_suffix(".npy")
        texts = Path(given).read_text(encoding="utf-8").splitlines()
        build(Path(folder), model, texts, np.load(vectors) if vectors.exists() else None)
    elif step == "ask":
        print(json.dumps(ask(Path(folder), model, given)))
    elif warm:
        answer = warm(Path(folder), model)
        milliseconds, found = [], []
        for query in np.load(given):
            began = time.perf_counter()
            rows = answer(query)
            milliseconds.append((time.perf_counter() - began) * 1000)
            found.append([int(row) for row in rows])
        print(json.dumps([milliseconds, found]))


class Handed:
    """Hands txtai the vectors in the order in which it asks for them; for queries it embeds."""

    vectors: Vectors = None
    model = ""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self, texts: list[str]) -> Vectors:
        """Return the vectors of the next texts."""
        if Handed.vectors is None:
            return encode(Handed.model, texts)
        first, self.done = self.done, self.done + len(texts)
        return Handed.vectors[first : self.done]


def encode(model: str, texts: list[str]) -> Vectors:
    """Embed texts with sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu").encode(texts)


def build_txtai(folder: Path, model: str, texts: list[str], vectors: Vectors) -> None:
    from txtai import Embeddings

    if vectors is None:
        embeddings = Embeddings(path=model, content=True)
    else:
        sys.modules["search_tools"] = sys.modules["__main__"]
        Handed.vectors = vectors
        embeddings = Embeddings(
            method="external", transform="search_tools.Handed", content=True, path="given"
        )
    embeddings.index(texts)
    embeddings.save(str(folder))


def open_txtai(folder: Path, model: str) -> Any:
    from txtai import Embeddings

    sys.modules["search_tools"] = sys.modules["__main__"]
    Handed.model = model
    embeddings = Embeddings()
    embeddings.load(str(folder))
    return embeddings


def ask_txtai(folder: Path, model: str, query: str) -> list[str]:
    return [found["text"] for found in open_txtai(folder, model).search(query, ROWS)]


def warm_txtai(folder: Path, model: str) -> Callable[[Vectors], Iterable[int]]:
    index = open_txtai(folder, model).ann
    return lambda query: [row for row, _ in index.search(query[None], ROWS)[0]]


def collection(folder: Path, model: str) -> Any:
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    embed = SentenceTransformerEmbeddingFunction(model_name=model)
    client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("texts", embedding_function=embed)


def build_chromadb(folder: Path, model: str, texts: list[str], vectors: Vectors) -> None:
    there = collection(folder, model)
    for first in range(0, len(texts), 1000):
        some = slice(first, first + 1000)
        ids = [str(row) for row in range(len(texts))[some]]
        given = None if vectors is None else vectors[some]
        there.add(ids=ids, documents=texts[some], embeddings=given)


def ask_chromadb(folder: Path, model: str, query: str) -> list[str]:
    found = collection(folder, model).query(query_texts=[query], n_results=ROWS)
    return list(found["documents"][0])


def warm_chromadb(folder: Path, model: str) -> Callable[[Vectors], Iterable[int]]:
    there = collection(folder, model)
    return lambda query: there.query(query_embeddings=[query], n_results=ROWS)["ids"][0]


def build_semantic_search(folder: Path, model: str, texts: list[str], vectors: Vectors) -> None:
    folder.mkdir()
    np.save(folder / "vectors.npy", encode(model, texts) if vectors is None else vectors)
    (folder / "texts.txt").write_text("\n".join(texts), encoding="utf-8")


def ask_semantic_search(folder: Path, model: str, query: str) -> list[str]:
    from sentence_transformers import util

    encoded = encode(model, [query])
    hits = util.semantic_search(encoded, np.load(folder / "vectors.npy"), top_k=ROWS)[0]
    texts = (folder / "texts.txt").read_text(encoding="utf-8").splitlines()
    return [texts[int(hit["corpus_id"])] for hit in hits]


def warm_semantic_search(folder: Path, model: str) -> Callable[[Vectors], Iterable[int]]:
    import torch
    from sentence_transformers import util

    corpus = torch.from_numpy(np.load(folder / "vectors.npy"))

    def answer(query: Vectors) -> Iterable[int]:
        hits = util.semantic_search(torch.from_numpy(query), corpus, top_k=ROWS)[0]
        return [int(hit["corpus_id"]) for hit in hits]

    return answer


def build_bm25s(folder: Path, model: str, texts: list[str], vectors: Vectors) -> None:
    import bm25s

    retriever = bm25s.BM25(corpus=texts)
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    retriever.save(str(folder), corpus=texts)


def ask_bm25s(folder: Path, model: str, query: str) -> list[str]:
    import bm25s

    retriever = bm25s.BM25.load(str(folder), load_corpus=True)
    tokens = bm25s.tokenize([query], stopwords="en", show_progress=False)
    found, _ = retriever.retrieve(tokens, k=ROWS, show_progress=False)
    return [one["text"] for one in found[0]]


def llm(folder: Path, *arguments: str) -> str:
    """Run llm's command line with a home of its own, and return what it prints."""
    command = [sys.executable, "-m", "llm", *arguments]
    home = {**os.environ, "LLM_USER_PATH": str(folder)}
    return subprocess.run(command, env=home, check=True, capture_output=True, text=True).stdout


def build_llm(folder: Path, model: str, texts: list[str], vectors: Vectors) -> None:
    folder.mkdir()
    llm(folder, "sentence-transformers", "register", model, "--lazy")
    name, database = f"sentence-transformers/{model}", str(folder / "texts.db")
    if vectors is not None:
        hand_to_llm(name, database, texts, vectors)
        return
    rows = folder / "texts.jsonl"
    lines = (json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts))
    rows.write_text("\n".join(lines), encoding="utf-8")
    made = ["embed-multi", "texts", str(rows), "--format", "nl", "-m", name, "--store"]
    llm(folder, *made, "-d", database)


def hand_to_llm(name: str, database: str, texts: list[str], vectors: Vectors) -> None:
    """Fill a collection of llm with vectors, as if the model of this name had made them."""
    import llm as library
    import sqlite_utils

    class Given(library.EmbeddingModel):
        model_id = name
        batch_size = 1000
        rest = iter(vectors.tolist())

        def embed_batch(self, items: Iterable[Any]) -> Iterable[list[float]]:
            return [next(self.rest) for _ in items]

    there = library.Collection("texts", sqlite_utils.Database(database), model=Given())
    there.embed_multi(((str(row), text) for row, text in enumerate(texts)), store=True)


def ask_llm(folder: Path, model: str, query: str) -> list[str]:
    database = str(folder / "texts.db")
    found = llm(folder, "similar", "texts", "-c", query, "-n", str(ROWS), "-d", database)
    return [json.loads(line)["content"] for line in found.splitlines()]


def warm_llm(folder: Path, model: str) -> Callable[[Vectors], Iterable[int]]:
    import llm as library
    import sqlite_utils

    there = library.Collection("texts", sqlite_utils.Database(str(folder / "texts.db")))
    return lambda query: [int(one.id) for one in there.similar_by_vector(query.tolist(), ROWS)]


Build = Callable[[Path, str, list[str], Vectors], None]
Ask = Callable[[Path, str, str], list[str]]
Warm = Callable[[Path, str], Callable[[Vectors], Iterable[int]]]
TOOLS: dict[str, tuple[Build, Ask, Warm | None]] = {
    "txtai": (build_txtai, ask_txtai, warm_txtai),
    "chromadb": (build_chromadb, ask_chromadb, warm_chromadb),
    "semantic_search": (build_semantic_search, ask_semantic_search, warm_semantic_search),
    "bm25s": (build_bm25s, ask_bm25s, None),
    "llm": (build_llm, ask_llm, warm_llm),
}

if __name__ == "__main__":
    main()
