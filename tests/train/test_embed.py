"""Embedding models from pairs: what they learn, and that they load everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import load_tokenizer
from bertcli.cli.app import main
from bertcli.engine.batching import pad
from bertcli.engine.choices import Pooling
from bertcli.engine.families import Head
from bertcli.engine.pooling import pool
from bertcli.engine.windows import Window
from bertcli.evaluate.embed import recall_at_1
from bertcli.records import Place, ScoredPair
from bertcli.train.embed import pair_windows, pooled, unit_scores, without_repeats
from tiny import change_json

PAIRS = [
    ("the cat sat on the mat", "the dog slept in the house", 5.0),
    ("who wrote the program", "what is the answer", 4.0),
    ("bread and water", "the train station", 0.0),
    ("the small red house", "a good kitchen", 1.0),
] * 4


@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_is_that_of_the_engine(pooling: Pooling) -> None:
    """What is trained is what `embed` will compute, padding left out."""
    windows = [Window(np.arange(n), np.zeros(n, np.int64), 0, n, 0) for n in (3, 5)]
    batch = pad(windows, 0)
    hidden = torch.randn(2, 5, 4)
    found = pooled(hidden, batch, pooling).numpy()
    for row, window, vector in zip(hidden.numpy(), windows, found, strict=True):
        np.testing.assert_allclose(vector, pool(row[: len(window)], pooling), atol=1e-6)


def test_scores_are_spread_over_one() -> None:
    """The least score becomes 0 and the highest 1; equal ones are all alike."""
    pairs = [ScoredPair("a", "b", score) for score in (0.0, 5.0, 2.5)]
    assert unit_scores(pairs).tolist() == [0, 1, 0.5]
    assert unit_scores(pairs[:1]).tolist() == [1]


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs with scores that a random model does not give."""
    monkeypatch.chdir(tmp_path)
    rows = [{"text1": a, "text2": b, "score": score} for a, b, score in PAIRS]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentence_base(folder: Path, target: Path) -> Path:
    """Return a copy of a checkpoint with sentence-transformers' settings."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Normalize,
        Pooling,
        Transformer,
    )

    word = Transformer(str(folder))
    pooling = Pooling(word.get_embedding_dimension(), pooling_mode="cls")
    SentenceTransformer(modules=[word, pooling, Normalize()]).save(str(target))
    return target


@pytest.mark.parametrize("more", [["--rank", "16"], ["--method", "full"], ["--merge"]])
def test_the_order_of_scored_pairs_is_learnt(
    more: list[str],
    pairs: Path,
    tmp_path: Path,
    tiny_checkpoint: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On its own data; pooled as the base is, with the same vectors on both engines."""
    base = sentence_base(tiny_checkpoint("bert", Head.BASE), tmp_path / "base")
    change_json(base / "config_sentence_transformers.json", prompts={"query": "find: "})
    start = [
        "train",
        "embed",
        "pairs.jsonl",
        "--score-field",
        "score",
        "-m",
        str(base),
        "-o",
        "out",
    ]
    how = ["--valid", "pairs.jsonl", "--epochs", "60", "--learning-rate", "3e-3"]
    assert main([*start, *how, *more]) == 0
    capsys.readouterr()
    assert main(["eval", "embed", "pairs.jsonl", "-m", "out"]) == 0
    assert json.loads(capsys.readouterr().out)["spearman"] > 0.95
    vectors = []
    for engine in ([], ["--precision", "bf16"]):
        assert main(["embed", "bread and water", "-m", "out", *engine, "-f", "jsonl"]) == 0
        vectors.append(json.loads(capsys.readouterr().out)["embedding"])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=0.05)
    if more != ["--rank", "16"]:
        prompts = json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())
        assert prompts["prompts"] == {"query": "find: "}
        from sentence_transformers import SentenceTransformer

        theirs = SentenceTransformer(str(tmp_path / "out")).encode("bread and water")
        np.testing.assert_allclose(vectors[0], theirs, atol=1e-4)


def test_pairs_without_scores_find_each_other(
    pairs: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second text of a pair becomes the nearest to its first."""
    Path("few.jsonl").write_text("".join(pairs.read_text().splitlines(keepends=True)[:4]))
    start = ["train", "embed", "few.jsonl", "-m", str(tiny_checkpoint("bert", Head.BASE))]
    how = ["--valid", "few.jsonl", "--epochs", "40", "--learning-rate", "3e-3", "--rank", "4"]
    assert main([*start, *how, "--alike", "-o", "out"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "4 pairs, all alike" in said[0]
    assert "recall@1 1" in said[-1]


def test_a_text_of_several_pairs_is_right_for_each(tiny_checkpoint: Any) -> None:
    """Two questions have one answer: neither's is the other's wrong one, in a step or measured."""
    rows = [("the cat", "one"), ("the dog", "one"), ("the mat", "two"), ("the cat", "three")]
    pairs = [ScoredPair(*row, None, Place()) for row in rows]
    checkpoint = read_checkpoint(tiny_checkpoint("bert", Head.BASE))
    windows, _ = pair_windows(pairs, load_tokenizer(checkpoint), 64)
    assert without_repeats(np.array([1, 0, 2, 3]), windows).tolist() == [1, 2, 3]
    assert without_repeats(np.array([3, 0, 1, 2]), windows).tolist() == [3, 1, 2]
    vectors = {
        "one": [1, 0],
        "two": [0, 1],
        "the cat": [1, 0],
        "the dog": [1, 0],
        "the mat": [0, 1],
    }

    @dataclass(frozen=True)
    class Known:
        normalize: bool = False

        def vectors(self, texts: list[str]) -> np.ndarray:
            return np.array([vectors[one] for one in texts], float)

    assert recall_at_1(cast(Any, Known()), pairs[:3]) == 1


def test_a_column_of_scores_is_not_passed_over(
    pairs: Path, tiny_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What people found unlike is not learnt as alike: scores of the usual name are taken."""
    start = ["train", "embed", "pairs.jsonl", "-m", str(tiny_checkpoint("bert", Head.BASE))]
    few = ["--epochs", "1", "--evaluations", "1", "--rank", "4"]
    assert main([*start, *few, "-o", "out"]) == 0
    said = capsys.readouterr().err
    assert "scored pairs" in said and "held out: Spearman" in said
    assert main([*start, *few, "-o", "two", "--alike", "--score-field", "score"]) == 2
    assert "leave --score-field out" in capsys.readouterr().err


def test_a_run_that_was_killed_while_it_moved_files_goes_on(
    pairs: Path, tmp_path: Path, tiny_checkpoint: Any
) -> None:
    """A folder of the checkpoint that is there already is no reason to stop."""
    base = sentence_base(tiny_checkpoint("bert", Head.BASE), tmp_path / "base")
    line = ["train", "embed", "pairs.jsonl", "--score-field", "score", "-m", str(base), "-o", "out"]
    line += ["--valid", "pairs.jsonl", "--epochs", "2", "--merge"]
    with pytest.MonkeyPatch.context() as patch:
        real = Path.replace

        def dies(self: Path, target: Path) -> Path:
            if target == Path("out/config.json"):
                raise KeyboardInterrupt
            return real(self, target)

        patch.setattr(Path, "replace", dies)
        assert main(line) == 130
    assert Path("out/1_Pooling").is_dir() and not Path("out/config.json").exists()
    assert main([*line, "--resume"]) == 0
    assert Path("out/1_Pooling/config.json").is_file()


def test_scores_that_are_all_the_same_have_no_order(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be learned of them, nor measured by them."""
    rows = [{"text1": f"a {i}", "text2": f"b {i}", "score": 1} for i in range(6)]
    Path("same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["train", "embed", "same.jsonl", "-o", "out"]) == 2
    assert "all 6 pairs have the score 1" in (said := capsys.readouterr().err)
    assert "--alike" in said
    assert main(["eval", "embed", "same.jsonl"]) == 1
    assert "all 6 pairs have the score 1: there is no order" in capsys.readouterr().err


@pytest.mark.parametrize("first", [True, False])
def test_scores_of_some_pairs_only_are_told(
    pairs: Path, capsys: pytest.CaptureFixture[str], first: bool
) -> None:
    """Whichever come first, and in the pairs to measure on: no score is passed over."""
    rows = [{"text1": f"a {i}", "text2": f"b {i}", "score": i} for i in range(4)]
    bare = [{"text1": f"a {i}", "text2": f"c {i}"} for i in range(4)]
    for name, content in (("scored.jsonl", rows), ("bare.jsonl", bare)):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in content))
    files = ["scored.jsonl", "bare.jsonl"]
    assert main(["train", "embed", *(files if first else files[::-1]), "-o", "out"]) == 1
    said = capsys.readouterr().err
    assert ("bare.jsonl:1: no column" if first else "scored.jsonl:1: has a ") in said
    valid = files if first else files[::-1]
    assert main(["train", "embed", valid[0], "--valid", valid[1], "-o", "out"]) == 1
    assert f"{valid[1]}:1" in capsys.readouterr().err


def test_one_held_out_pair_has_no_order(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No checkpoint is the best by it."""
    rows = [{"text1": f"a {i}", "text2": f"b {i}", "score": i} for i in range(6)]
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["train", "embed", "few.jsonl", "-o", "out", "--valid-split", "0.17"]) == 2
    assert "1 held out, all with the score" in capsys.readouterr().err


def test_smoothing_is_refused(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that would do nothing is not taken."""
    assert main(["train", "embed", "pairs.jsonl", "-o", "out", "--smoothing", "0.1"]) == 2
    assert "pairs have none" in capsys.readouterr().err
