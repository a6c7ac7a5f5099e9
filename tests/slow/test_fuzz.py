"""Broken input by the million: nothing but bertcli's own errors may come of it.

BERTCLI_FUZZ=160000 pytest tests/slow/test_fuzz.py     # so many inputs for each target
"""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertcli.checkpoints.layout import adapter_config, read_checkpoint
from bertcli.cli.replay import read_manifest as read_run
from bertcli.engine.tokens import TextTokenizer
from bertcli.engine.weights import read_weights
from bertcli.errors import BertcliError
from bertcli.index.connection import create
from bertcli.index.manifest import Chunking, Manifest, ModelIdentity, read_manifest, write_manifest
from bertcli.index.query import any_of, parse
from bertcli.index.where import compile_where
from bertcli.inputs.formats import InputFormat, read_stream
from bertcli.inputs.rows import BadRow, Row
from tiny import make_tokenizer

COUNT = int(os.environ.get("BERTCLI_FUZZ", "160000"))
PIECES = [
    *(b"\0", b"\n", b"\r\n", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b",", b"\t", b"{"),
    *(b"}", b"[", b"]", b":", b"\\u", b"\\ud800", b"null", b"1e999", b"-", b"%", b"(", b")"),
    *(b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b" and ", b" or ", b" in ", b"like", b"'%'", b"NaN"),
    *(b"[MASK]", "e\u0301".encode(), "中".encode(), b"\x1b[31m", b"9" * 30, b"[" * 40),
]


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of the seeds with one to six changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(data))
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.choice(PIECES)
            case 1:
                del data[at : at + rng.randint(1, 20)]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                data[at:at] = data[rng.randint(0, at) : at][:200]
            case 4:
                other = rng.choice(seeds)
                data[at:] = other[rng.randint(0, len(other)) :]
            case _:
                data[at : at + 1] = rng.choice(PIECES)
    return bytes(data[:20_000])


def attack(name: str, seeds: list[bytes], target: Callable[[bytes], object]) -> None:
    """Give a target its mutated inputs; what fails is kept in the message."""
    rng = random.Random(name)
    refused = 0
    for _ in range(COUNT):
        data = mutated(rng, seeds)
        try:
            target(data)
        except BertcliError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}, from {data!r}")
    print(f"{name}: {COUNT:,} inputs, {refused:,} refused")  # noqa: T201


ROWS = {
    InputFormat.TXT: [b"one line\n\nanother one\n", "Zoë 中文\r\n".encode()],
    InputFormat.JSONL: [b'{"text": "a", "n": [1, 2.5, null, {"x": true}]}\n"bare"\n', b"{}\n"],
    InputFormat.JSON: [b'[{"text": "a"}, {"text": "b"}]', b'{"data": [{"text": "a"}]}', b'"x"'],
    InputFormat.CSV: [b'id,text\n1,"a, b"\n2,"c ""d"" e"\n', b"text\nx\n", b"a;b\n1;2\n"],
    InputFormat.TSV: [b"id\ttext\n1\ta b\n", b"gj04\t1\t\tA sentence.\n"],
}


@pytest.mark.parametrize("kind", ROWS)
def test_readers(kind: InputFormat) -> None:
    """Each text format gives rows or bad rows."""

    def read(data: bytes) -> None:
        stream = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
        for row in read_stream(stream, "a", kind):
            assert isinstance(row, Row | BadRow)
            if isinstance(row, Row) and row.text is not None:
                row.text.encode("utf-8")

    attack(kind.value, ROWS[kind], read)


def test_parquet() -> None:
    """A damaged Parquet file is refused; what is read of it are rows."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), sink)

    def read(data: bytes) -> None:
        stream = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
        for row in read_stream(stream, "a", InputFormat.PARQUET):
            assert isinstance(row, Row | BadRow)

    attack("parquet", [sink.getvalue()], read)


def test_conditions(tmp_path: Path) -> None:
    """Whatever compiles, SQLite takes, with as many values as question marks."""
    database = create(tmp_path / "documents.sqlite")
    database.execute("CREATE TABLE documents (id, name, line, metadata)")
    database.execute("CREATE TABLE chunks (id, document, line)")
    seeds = [
        b"lang = 'zh' and year >= 2023 and path like 'notes/%'",
        b"not (draft or author in ('Ada', 'Alan')) and title is not null",
        b'"odd name" between 1 and 2.5 or line <> 3',
        "größe not like 'Ü%' and tags != 'ö' or n not in (1, 2)".encode(),
    ]

    def compiled(data: bytes) -> None:
        found = compile_where(data.decode("utf-8", "replace"))
        query = f"SELECT 1 FROM documents, chunks WHERE {found.sql}"
        database.execute(query, found.values).fetchall()

    attack("where", seeds, compiled)


def test_queries() -> None:
    """What is sought is an expression that FTS5 takes."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5 (body)")
    seeds = [b'"town hall" opening -christmas', "検索 東京 a".encode(), b'-"x y" AND NEAR(a b)']

    def asked(data: bytes) -> None:
        query = parse(data.decode("utf-8", "replace"))
        for phrases in (query.wanted, query.unwanted):
            if phrases:
                database.execute("SELECT 1 FROM words WHERE words MATCH ?", [any_of(phrases)])

    attack("query", seeds, asked)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_offsets(kind: str, tmp_path: Path) -> None:
    """Tokens stand in order within the text, and words are numbered in order."""
    make_tokenizer(kind).save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json")
    seeds = ["Paris is playing, e\u0301 中文 😀!".encode(), b"  spaces\t[MASK] <mask> \x00"]

    def tokenised(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        (tokens,) = tokenizer.tokenize([text])
        assert len(tokens.ids) == len(tokens.offsets) == len(tokens.words)
        if len(tokens):
            assert tokens.offsets.min() >= 0
            assert tokens.offsets.max() <= len(text)
            assert (tokens.offsets[:, 0] <= tokens.offsets[:, 1]).all()
            assert set(np.diff(tokens.words).tolist()) <= {0, 1}
            assert tokens.ids.max() < tokenizer.vocabulary_size

    attack(f"offsets {kind}", seeds, tokenised)


def _safetensors(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors(tmp_path: Path) -> None:
    """Arrays lie within the file, or it is refused."""
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    other = {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]}
    seeds = [
        _safetensors({"a": entry, "b": other, "__metadata__": {"format": "pt"}}, bytes(24)),
        _safetensors({"a": {**entry, "shape": [2**40, 2**40]}}, bytes(16)),
        _safetensors({"a": {**entry, "data_offsets": [0, 10**13]}}, bytes(16)),
    ]
    path = tmp_path / "model.safetensors"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for array in read_weights([path]).values():
            array.sum()

    attack("safetensors", seeds, read)


def _in_file(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    def target(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return target


def test_configs(tmp_path: Path) -> None:
    """config.json, adapter_config.json and sentence-transformers' settings."""
    (tmp_path / "model.safetensors").write_bytes(_safetensors({}, b""))
    seeds = [
        b'{"model_type": "bert", "hidden_size": 8, "id2label": {"0": "a", "1": "b"}}',
        b'{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}',
    ]

    def read() -> None:
        found = read_checkpoint(tmp_path)
        found.head, found.labels, found.thresholds, found.window  # noqa: B018

    attack("config", seeds, _in_file(tmp_path / "config.json", read))
    adapters = [b'{"peft_type": "LORA", "r": 8, "base_model_name_or_path": "x"}']
    path = tmp_path / "adapter_config.json"
    attack("adapter", adapters, _in_file(path, lambda: adapter_config(tmp_path)))
    (tmp_path / "config.json").write_bytes(seeds[0])
    modules = [b'[{"idx": 0, "type": "x.Transformer", "path": ""}, {"type": "x.Pooling"}]']
    attack("modules", modules, _in_file(tmp_path / "modules.json", read))


def test_manifests(tmp_path: Path) -> None:
    """An index's manifest, and that of a run."""
    model = ModelIdentity("m", "0" * 64, "mean", True, 8, "")
    write_manifest(tmp_path, Manifest(model, Chunking(64, 8)))
    path = tmp_path / "manifest.json"
    attack("index manifest", [path.read_bytes()], _in_file(path, lambda: read_manifest(tmp_path)))
    run = tmp_path / "run.json"
    whole = {"command": ["embed"], "bertcli": "1", "flags": {}, "packages": {}, "made_with": {}}
    seeds = [json.dumps(whole | {"records": {}, "output": {"sha256": "", "format": ""}}).encode()]
    attack("run manifest", seeds, _in_file(run, lambda: read_run(run)))
