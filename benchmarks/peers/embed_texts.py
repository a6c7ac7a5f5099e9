"""Embed texts again and again with another tool: TOOL MODEL TEXTS.txt VECTORS.npy.

The model is loaded once; for every line on stdin the texts are embedded, and the seconds written to
stdout. The first vectors are saved. MODEL is a folder of sentence-transformers, for fastembed one
that `export_onnx.py` made.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIMENSION = 384
LONGEST = 256
Encode = Callable[[list[str]], np.ndarray]


def sentence_transformers(model: str) -> Encode:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu").encode  # type: ignore[return-value]


def sentence_transformers_onnx(model: str) -> Encode:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu", backend="onnx").encode  # type: ignore[return-value]


def sentence_transformers_int8(model: str) -> Encode:
    """Its own dynamic quantisation, written beside a copy of the model."""
    import tempfile

    from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model

    plain = SentenceTransformer(model, device="cpu", backend="onnx")
    folder = tempfile.mkdtemp()
    plain.save_pretrained(folder)
    export_dynamic_quantized_onnx_model(plain, "avx2", folder)
    file = {"file_name": "onnx/model_quint8_avx2.onnx"}
    return SentenceTransformer(folder, device="cpu", backend="onnx", model_kwargs=file).encode  # type: ignore[return-value]


def fastembed(model: str) -> Encode:
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="own/model",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="own/model"),
        dim=DIMENSION,
        model_file="model.onnx",
    )
    embedding = TextEmbedding("own/model", specific_model_path=model)
    return lambda texts: np.stack(list(embedding.embed(texts, batch_size=32)))


def txtai(model: str) -> Encode:
    from txtai import Embeddings

    embeddings = Embeddings(path=model)
    return lambda texts: np.asarray(embeddings.batchtransform(texts))


TOOLS = {
    "sentence-transformers": sentence_transformers,
    "sentence-transformers-onnx": sentence_transformers_onnx,
    "sentence-transformers-int8": sentence_transformers_int8,
    "fastembed": fastembed,
    "txtai": txtai,
}


def main() -> None:
    """Answer a line with the seconds that embedding everything took."""
    tool, model, source, target = sys.argv[1:]
    texts = Path(source).read_text(encoding="utf-8").splitlines()
    encode = TOOLS[tool](model)
    np.save(target, encode(texts))
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        encode(texts)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
