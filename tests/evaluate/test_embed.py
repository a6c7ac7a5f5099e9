"""Rank correlation of cosines, against scipy and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from bertcli.cli.app import main
from bertcli.evaluate.embed import EmbedScore


def test_correlations_are_scipys() -> None:
    """With ties too, Spearman's and Pearson's coefficients are the usual ones."""
    rng = np.random.default_rng(0)
    cosines, gold = rng.random(50), rng.integers(0, 5, 50).astype(float)
    score = EmbedScore(cosines, gold)
    assert score.spearman == pytest.approx(spearmanr(cosines, gold).statistic)
    assert score.pearson == pytest.approx(pearsonr(cosines, gold).statistic)
    assert score.spearman_interval.low < score.spearman < score.spearman_interval.high


def test_equal_scores_have_no_order() -> None:
    """Where nothing differs the correlation is 0, not a division by zero."""
    assert EmbedScore(np.array([0.1, 0.2]), np.array([3.0, 3.0])).spearman == 0


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs whose order is plain, under GLUE's names."""
    path = tmp_path / "sts.tsv"
    rows = [
        "sentence1\tsentence2\tscore",
        "A man plays a guitar.\tSomeone is playing the guitar.\t4.8",
        "A man plays a guitar.\tA woman plays the violin.\t2.5",
        "A man plays a guitar.\tShares fell sharply on Monday.\t0",
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_eval_embed_orders_plain_pairs(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The built-in base orders them as people do; compared with itself it is no better."""
    wrong = tmp_path / "wrong.jsonl"
    more = ["--compare", "all-MiniLM-L6-v2", "--errors", str(wrong)]
    assert main(["eval", "embed", str(pairs), *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pairs"], found["spearman"]) == (3, 1.0)
    assert found["spearman_minus_other"] == 0
    assert len(wrong.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [("a\tb\thigh", "sts.tsv:5"), ("a\t\t1", "sts.tsv:5"), ("a\tb\tnan", "expected a number")],
)
def test_bad_pairs_are_told_with_their_line(
    line: str, said: str, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A score that is no number, or a text that is empty, ends the measurement."""
    pairs.write_text(pairs.read_text() + line + "\n")
    assert main(["eval", "embed", str(pairs)]) == 1
    assert said in capsys.readouterr().err
