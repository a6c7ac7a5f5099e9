"""Build and ask a search index with another tool: TOOL build|ask FOLDER MODEL TEXTS.txt|QUERY.

txtai, chromadb, llm and sentence-transformers embed with the given model; bm25s has no vectors.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Do what the command line says; ask prints the texts found as JSON."""
    tool, step, folder, model, given = sys.argv[1:]
    build, ask = TOOLS[tool]
    if step == "build":
        build(Path(folder), model, Path(given).read_text(encoding="utf-8").splitlines())
    else:
        print(json.dumps(ask(Path(folder), model, given)))


def build_txtai(folder: Path, model: str, texts: list[str]) -> None:
    from txtai import Embeddings

    embeddings = Embeddings(path=model, content=True)
    embeddings.index(texts)
    embeddings.save(str(folder))


def ask_txtai(folder: Path, model: str, query: str) -> list[str]:
    from txtai import Embeddings

    embeddings = Embeddings()
    embeddings.load(str(folder))
    return [found["text"] for found in embeddings.search(query, 10)]


def collection(folder: Path, model: str):  # type: ignore[no-untyped-def]
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    embed = SentenceTransformerEmbeddingFunction(model_name=model)
    client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("texts", embedding_function=embed)


def build_chromadb(folder: Path, model: str, texts: list[str]) -> None:
    there = collection(folder, model)
    for first in range(0, len(texts), 1000):
        some = texts[first : first + 1000]
        there.add(ids=[str(first + i) for i in range(len(some))], documents=some)


def ask_chromadb(folder: Path, model: str, query: str) -> list[str]:
    found = collection(folder, model).query(query_texts=[query], n_results=10)
    return list(found["documents"][0])


def build_semantic_search(folder: Path, model: str, texts: list[str]) -> None:
    import numpy as np
    from sentence_transformers import SentenceTransformer

    folder.mkdir()
    np.save(folder / "vectors.npy", SentenceTransformer(model, device="cpu").encode(texts))
    (folder / "texts.txt").write_text("\n".join(texts), encoding="utf-8")


def ask_semantic_search(folder: Path, model: str, query: str) -> list[str]:
    import numpy as np
    from sentence_transformers import SentenceTransformer, util

    encoded = SentenceTransformer(model, device="cpu").encode([query])
    hits = util.semantic_search(encoded, np.load(folder / "vectors.npy"), top_k=10)[0]  # type: ignore[arg-type]
    texts = (folder / "texts.txt").read_text(encoding="utf-8").splitlines()
    return [texts[int(hit["corpus_id"])] for hit in hits]


def build_bm25s(folder: Path, model: str, texts: list[str]) -> None:
    import bm25s

    retriever = bm25s.BM25(corpus=texts)
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    retriever.save(str(folder), corpus=texts)


def ask_bm25s(folder: Path, model: str, query: str) -> list[str]:
    import bm25s

    retriever = bm25s.BM25.load(str(folder), load_corpus=True)
    tokens = bm25s.tokenize([query], stopwords="en", show_progress=False)
    found, _ = retriever.retrieve(tokens, k=10, show_progress=False)
    return [one["text"] for one in found[0]]


def llm(folder: Path, *arguments: str) -> str:
    """Run llm's command line with a home of its own, and return what it prints."""
    command = [sys.executable, "-m", "llm", *arguments]
    home = {**os.environ, "LLM_USER_PATH": str(folder)}
    return subprocess.run(command, env=home, check=True, capture_output=True, text=True).stdout


def build_llm(folder: Path, model: str, texts: list[str]) -> None:
    folder.mkdir()
    rows = folder / "texts.jsonl"
    lines = (json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts))
    rows.write_text("\n".join(lines), encoding="utf-8")
    llm(folder, "sentence-transformers", "register", model, "--lazy")
    name = f"sentence-transformers/{model}"
    made = ["embed-multi", "texts", str(rows), "--format", "nl", "-m", name, "--store"]
    llm(folder, *made, "-d", str(folder / "texts.db"))


def ask_llm(folder: Path, model: str, query: str) -> list[str]:
    found = llm(folder, "similar", "texts", "-c", query, "-n", "10", "-d", str(folder / "texts.db"))
    return [json.loads(line)["content"] for line in found.splitlines()]


Build = Callable[[Path, str, list[str]], None]
Ask = Callable[[Path, str, str], list[str]]
TOOLS: dict[str, tuple[Build, Ask]] = {
    "txtai": (build_txtai, ask_txtai),
    "chromadb": (build_chromadb, ask_chromadb),
    "semantic_search": (build_semantic_search, ask_semantic_search),
    "bm25s": (build_bm25s, ask_bm25s),
    "llm": (build_llm, ask_llm),
}

if __name__ == "__main__":
    main()
