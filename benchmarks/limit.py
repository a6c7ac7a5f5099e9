"""How far bulk embedding is from what this processor can multiply.

python benchmarks/limit.py

The peak is the best of ONNX Runtime's own products of the encoder's shapes, alone in a graph, with
all processors on each or each processor on its own; the engine is the encoder over ready batches of
one length; end to end is bertcli over texts of that length, with tokenising, batching and pooling.
Only products with weights are counted, 2·m·k·n each.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions
from timing import table

from bertcli.cli.embed import build_embed
from bertcli.cli.options import ModelFlags
from bertcli.cli.recipe import choose_checkpoint
from bertcli.engine.choices import BATCH_TOKENS, Precision
from bertcli.engine.graph import MICROSOFT, quantise
from bertcli.engine.onnx_encoder import processors
from bertcli.engine.windows import Window
from bertcli.records import Record
from bertcli.tasks.embed import Embed
from bertcli.tasks.run import answers

WIDTH, INNER, LAYERS = 384, 1536, 6
PER_TOKEN = 2 * LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER)
SECONDS = 2.0
LENGTHS = (8, 32, 128, 256)
WORDS = ("the", "of", "and", "in", "to", "was", "for", "as", "by", "on", "with", "from", "at")


def main() -> None:
    """Print the table for fp32 and int8."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    given = parser.parse_args()
    rows = []
    for precision in (Precision.FP32, Precision.INT8):
        flags = ModelFlags(precision=precision)
        embed = build_embed(choose_checkpoint(flags, "embed"), flags)
        for length in LENGTHS:
            contestants = {
                "peak": products(precision, 1),
                "apart": products(precision, processors()),
                "engine": partial(engine, embed, length),
                "whole": partial(whole, embed, length),
            }
            best = dict.fromkeys(contestants, 0.0)
            for _ in range(given.rounds):
                for name, run in contestants.items():
                    best[name] = max(best[name], flops(run))
            best["peak"] = max(best["peak"], best.pop("apart"))
            shares = [f"{100 * best[name] / best['peak']:.0f} %" for name in ("engine", "whole")]
            outside = f"{100 * (1 - best['whole'] / best['engine']):.0f} %"
            peak = f"{best['peak'] / 1e9:.0f}"
            rows.append([str(precision), str(length), peak, *shares, outside])
    print(f"{os.cpu_count()} cores; best of {given.rounds} rounds of {SECONDS:.0f} s.\n")
    headings = ["precision", "tokens a text", "peak, GFLOP/s", "engine", "end to end"]
    print(table([*headings, "outside the engine"], rows))


def flops(run: Callable[[], int]) -> float:
    """Return the operations per second of something that tells how many tokens it did."""
    run()
    began, tokens = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        tokens += run()
    return tokens * PER_TOKEN / spent


def products(precision: Precision, at_once: int) -> Callable[[], int]:
    """Return a graph that does nothing but the products of a batch through all layers.

    So many batches are at work at once, on as many processors each as there are for one.
    """
    rng = np.random.default_rng(0)
    shapes = LAYERS * [*4 * [(WIDTH, WIDTH)], (INNER, WIDTH), (WIDTH, INNER)]
    nodes, arrays, outputs = [], {}, []
    for number, (rows, columns) in enumerate(shapes):
        matrix = rng.normal(size=(rows, columns)).astype(np.float32)
        x, y, w, scale = f"x{columns}", f"y{number}", f"w{number}", f"s{number}"
        outputs.append(y)
        if precision is Precision.FP32:
            arrays[w] = np.ascontiguousarray(matrix.T)
            nodes.append(helper.make_node("MatMul", [x, w], [y]))
        else:
            arrays[w], arrays[scale] = quantise(matrix)
            kind = "DynamicQuantizeMatMul"
            nodes.append(helper.make_node(kind, [x, w, scale], [y], domain=MICROSOFT))
    session = session_of(nodes, arrays, outputs, processors() // at_once)
    pool = ThreadPoolExecutor(at_once)
    feed = {
        f"x{width}": rng.normal(size=(BATCH_TOKENS, width)).astype(np.float32)
        for width in (WIDTH, INNER)
    }

    def run() -> int:
        list(pool.map(lambda _: session.run(None, feed), range(at_once)))
        return at_once * BATCH_TOKENS

    return run


def session_of(
    nodes: list[NodeProto], arrays: dict[str, NDArray[Any]], outputs: list[str], threads: int
) -> InferenceSession:
    """Return a session of these products; ONNX Runtime packs the weights as it does for bertcli."""
    inputs = [
        helper.make_tensor_value_info(f"x{width}", TensorProto.FLOAT, ["n", width])
        for width in (WIDTH, INNER)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "products", inputs, ends, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    return InferenceSession(model.SerializeToString(), options, providers=providers)


def engine(embed: Embed, length: int) -> int:
    """Run the encoder over batches of texts that are so long, and return their tokens."""
    count = max(8, 4 * BATCH_TOKENS // length)
    ids = np.random.default_rng(0).integers(1000, 20000, (count, length))
    zeros = np.zeros(length, np.int64)
    list(embed.encoder.encode([Window(row, zeros, 0, length, 0) for row in ids], embed.reduce))
    return count * length


def whole(embed: Embed, length: int) -> int:
    """Embed new texts of so many tokens, words of one token each, and return the tokens."""
    rng = np.random.default_rng(time.perf_counter_ns())
    count = max(8, 4 * BATCH_TOKENS // length)
    words = rng.choice(WORDS, (count, length - embed.tokenizer.frame.single))
    for _ in answers(embed, (Record(i, " ".join(row)) for i, row in enumerate(words))):
        pass
    return count * length


if __name__ == "__main__":
    main()
