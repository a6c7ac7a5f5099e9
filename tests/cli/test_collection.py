"""`bertcli similar`, `dedupe` and `cluster`, with the built-in base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from .conftest import Run

LINES = [
    "The cat sleeps on the sofa.",
    "Stock markets fell sharply.",
    "The cat is sleeping on the sofa.",
    "Markets for stocks fell sharply today.",
    "A recipe for bread and soup.",
]


@pytest.fixture
def texts(here: Path) -> Path:
    """A file with two pairs of like texts, and one alone."""
    path = here / "texts.csv"
    path.write_text("id,text\n" + "".join(f"{i},{line}\n" for i, line in enumerate(LINES)))
    return path


def test_similar_pairs(run: Run, texts: Path) -> None:
    """The nearest first, with places; a threshold is a bound."""
    ran = run("similar", "-i", texts)
    pairs = {(one["first"]["line"], one["second"]["line"]) for one in ran.records}
    assert pairs == {(2, 4), (3, 5)}
    assert [one["score"] for one in ran.records] == sorted(
        (one["score"] for one in ran.records), reverse=True
    )
    assert ran.records[0]["first"]["columns"].keys() == {"id"}
    assert run("similar", "-i", texts, "--threshold", 0.99).said("no two of the 5 texts", "0.99")
    assert len(run("similar", "-i", texts, "--threshold", -1).records) == 10
    assert len(run("similar", "-i", texts, "--threshold", -1, "-k", 3).records) == 3


@pytest.mark.parametrize("command", ["similar", "dedupe"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_file_of_nothing_has_its_columns(
    command: str, suffix: str, run: Run, texts: Path, here: Path
) -> None:
    """The same as where something is found, so that what reads it need not know."""
    headers = []
    for threshold in (0.8, 0.99):
        out = here / f"{threshold}.{suffix}"
        assert run(command, "-i", texts, "--threshold", threshold, "-o", out, "-q").code == 0
        if suffix == "parquet":
            headers.append(parquet.read_schema(out))
        else:
            headers.append(out.read_text().splitlines()[0])
    assert headers[0] == headers[1]
    assert suffix == "parquet" or len(out.read_text().splitlines()) == 1


def test_dedupe_asks_for_a_threshold(run: Run, texts: Path) -> None:
    """Without one it shows how the cosines lie, and says that they are no probabilities."""
    ran = run("dedupe", "-i", texts)
    assert ran.code == 2 and ran.out == ""
    assert "no probability" in ran.err and "#" in ran.err
    assert "choose a --threshold" in ran.err.splitlines()[-1]


def test_near_duplicates_and_what_is_left(run: Run, texts: Path, here: Path) -> None:
    """Groups with their lowest cosine; --unique writes each text once, with its columns."""
    ran = run("dedupe", "-i", texts, "--threshold", 0.8)
    lines = [[member["line"] for member in one["members"]] for one in ran.records]
    assert lines == [[2, 4], [3, 5]]
    assert all(0.8 <= one["lowest_score"] < 1 for one in ran.records)
    assert ran.said("2 of 5 texts are near-duplicates")
    ran = run("dedupe", "-i", texts, "--threshold", 0.8, "--unique")
    assert [(one["id"], one["count"]) for one in ran.records] == [("0", 2), ("1", 2), ("4", 1)]
    run("dedupe", "-i", texts, "--threshold", 0.8, "--unique", "-f", "text", "-o", "u.txt")
    assert (here / "u.txt").read_text().splitlines() == [LINES[0], LINES[1], LINES[4]]


@pytest.mark.parametrize("line", ["similar", "dedupe --threshold 0.9 --unique", "cluster -k 2"])
def test_no_file_is_written_that_is_read(run: Run, texts: Path, line: str) -> None:
    """The input stays as it is, by whatever name it is meant."""
    before = texts.read_bytes()
    ran = run(*line.split(), "-i", texts, "-o", f"../{texts.parent.name}/texts.csv")
    assert (ran.code, texts.read_bytes()) == (2, before)
    assert ran.said("-o", "that file is read")


@pytest.mark.parametrize("method", [("-k", "3"), ("--method", "hdbscan", "--min-size", "2")])
def test_clusters_have_terms(run: Run, texts: Path, method: tuple[str, ...]) -> None:
    """Texts that belong together are together, under words that say what they are about."""
    ran = run("cluster", "-i", texts, *method)
    groups = {tuple(sorted(one["line"] for one in g["members"])): g["terms"] for g in ran.records}
    assert "cat" in groups[2, 4]
    (markets,) = (lines for lines in groups if 3 in lines)
    assert {3, 5} <= set(markets) and "fell" in groups[markets]


def test_passages_of_an_index(run: Run, texts: Path) -> None:
    """An index has the vectors already: no model is loaded for them."""
    assert run("index", "build", "./idx", texts, "-q").code == 0
    (best, *_) = run("similar", "--index", "./idx").records
    assert {"document", "line", "id", "text"} <= set(best["first"])
    assert run("dedupe", "--index", "./idx", "--threshold", 0.8).said("2 of 5")
    assert len(run("cluster", "--index", "./idx", "-k", 2, "-f", "csv").out.splitlines()) == 6


def test_a_model_that_is_not_that_of_the_index(run: Run, texts: Path, tiny_checkpoint: Any) -> None:
    """It is refused as by search; the index's own may be named."""
    run("index", "build", "./idx", texts, "-q")
    for command in (("similar",), ("dedupe", "--threshold", 0.8), ("cluster", "-k", 2)):
        ran = run(*command, "--index", "./idx", "-m", tiny_checkpoint("bert"))
        assert ran.said("is of another model")
        assert run(*command, "--index", "./idx", "-m", "all-MiniLM-L6-v2").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "hdbscan", "-k", 3), "hdbscan takes --min-size"),
        (("--method", "hdbscan", "--seed", 0), "hdbscan takes --min-size"),
        (("-k", 2, "--min-size", 5), "kmeans takes -k"),
    ],
)
def test_options_of_the_other_method(
    run: Run, texts: Path, options: tuple[object, ...], said: str
) -> None:
    """They would do nothing, and are refused."""
    ran = run("cluster", "-i", texts, *options)
    assert ran.code == 2 and ran.said(said)


@pytest.mark.parametrize("output", ["no/x.csv", "x.unknown"])
def test_an_output_that_cannot_be_is_told_first(run: Run, texts: Path, output: str) -> None:
    """Before anything is embedded."""
    with texts.open("ab") as file:
        file.write(b"\xff broken\n")  # which reading would tell
    ran = run("similar", "-i", texts, "-o", output)
    assert ran.code in (1, 2)
    assert len(ran.err.splitlines()) == 1 and output in ran.err


def test_texts_that_fail_are_counted_and_left_out(run: Run, texts: Path) -> None:
    """Ten are named, the rest counted; there is no place for them in the output."""
    with texts.open("a") as file:
        file.writelines("9,\n" for _ in range(12))
    ran = run("similar", "-i", texts)
    assert ran.code == 3
    assert "more bad records follow; they are left out" in ran.err
    assert ran.err.splitlines()[-1] == "bertcli: 12 of 17 texts failed"


def test_bad_input(run: Run, texts: Path, here: Path) -> None:
    """Too little to compare, both sources at once, and a bad record among good ones."""
    assert run("similar", "one text").said("1 texts: at least two")
    assert run("cluster", "x", "--index", "./idx").said("give one")
    assert run("cluster", "--index", "./idx", "--resume", "-o", "a").said("leave it out")
    assert run("similar", "one text", "two", "--resume").said("--resume needs a file to write")
    (here / "some.csv").write_text('text\nOne.\n""\nTwo.\n')
    ran = run("similar", "-i", "some.csv", "--threshold", -1)
    assert ran.code == 3 and len(ran.records) == 1 and "some.csv:3: empty text" in ran.err
    assert run("similar", "-i", "some.csv", "--threshold", -1, "-q").err == ""
    for more in (("--on-error", "stop"), ("--max-errors", 0)):
        ran = run("similar", "-i", "some.csv", "--threshold", -1, *more)
        assert ran.code == 1 and ran.out == "" and "some.csv:3" in ran.err


def test_fewer_clusters_than_asked_for_are_told(run: Run) -> None:
    """There cannot be more than there are different texts."""
    ran = run("cluster", "a cat", "a dog", "a cat", "-k", 9)
    assert (ran.code, len(ran.records)) == (0, 2)
    assert ran.said("2 clusters: no more of the texts differ")
    assert run("cluster", "a cat", "a dog", "-k", 9, "-q").err == ""
