"""`bertcli index` and `bertcli search`, with the built-in base and with a tiny checkpoint."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bertcli.checkpoints.catalog import BASE_NAME
from bertcli.engine.families import Head
from bertcli.index.content import Entry
from bertcli.index.folder import IndexFolder
from tiny import change_config

from .conftest import Ran, Run

NOTES = "The cat sleeps on the sofa.\nStock markets fell sharply.\nA recipe for bread and soup.\n"

PETS = ("cat", "dog", "fish", "bird", "horse", "mouse", "frog", "snake", "rabbit", "goat")


@pytest.fixture
def tiny(run: Run, tiny_checkpoint: Any, here: Path) -> Callable[..., Ran]:
    """Return a function that runs `bertcli index …` or `search …` with a tiny checkpoint."""
    (here / "notes.txt").write_text(NOTES)
    return lambda *arguments, **more: run(*arguments, "-m", tiny_checkpoint("bert"), **more)


@pytest.fixture
def built(tiny: Callable[..., Ran], here: Path) -> Path:
    """The folder of an index over the notes."""
    assert tiny("index", "build", "./idx", "-i", "notes.txt").code == 0
    return here / "./idx"


def facts(run: Run, folder: str = "./idx") -> dict[str, Any]:
    """Return what `index info` says."""
    ran = run("index", "info", folder)
    assert ran.code == 0
    return dict(ran.records[0])


def test_meaning_finds_what_words_do_not(run: Run, here: Path) -> None:
    """With the built-in base and no other option, a question finds the passage about it."""
    (here / "notes.txt").write_text(NOTES)
    ran = run("index", "build", "./idx", "-i", "notes.txt")
    assert ran.err == "bertcli: 3 documents added; 3 documents in 3 passages now\n"
    (record,) = run("search", "a pet taking a nap", "--index", "./idx", "-k", 2).records
    best, second = record["hits"]
    assert (best["text"], best["document"], best["line"]) == (NOTES.splitlines()[0], "notes.txt", 1)
    assert 1 >= best["score"] > second["score"]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_a_phrase_must_be_there(tiny: Callable[..., Ran], here: Path, mode: str) -> None:
    """In every mode, with a condition too."""
    (here / "a.txt").write_text("a red bicycle\na bicycle, red\nred red bicycle\n")
    tiny("index", "build", "./p", "-i", "a.txt")

    def lines(query: str, *options: str) -> list[int]:
        (record,) = tiny("search", query, "--index", "./p", "--mode", mode, *options).records
        return sorted(hit["line"] for hit in record["hits"])

    assert lines('"red bicycle"') == [1, 3]
    assert lines("“red bicycle” bicycle", "--where", "line > 1") == [3]
    assert lines('"red bicycle" -"red red"') == [1]
    assert lines('"blue bicycle"') == []


def test_modes_of_search(run: Run, here: Path) -> None:
    """Words find what has them, meaning what is near, and both together put the one on top."""
    (here / "notes.txt").write_text(NOTES)
    assert run("index", "build", "./idx", "-i", "notes.txt").code == 0
    query = ("search", "a loaf to bake, soup", "--index", "./idx")
    (words,) = run(*query, "--mode", "keyword").records
    assert [hit["line"] for hit in words["hits"]] == [3]
    (dense,) = run(*query, "--mode", "dense").records
    (both,) = run(*query).records
    assert [len(one["hits"]) for one in (dense, both)] == [3, 3]
    assert both["hits"][0]["line"] == dense["hits"][0]["line"] == 3
    scores = [{hit["line"]: hit["score"] for hit in one["hits"]} for one in (dense, both)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    (left,) = run("search", "animals -cat", "--index", "./idx").records
    assert left["query"] == "animals -cat"
    assert {hit["line"] for hit in left["hits"]} == {2, 3}
    (none,) = run("search", "zebra", "--index", "./idx", "--mode", "keyword").records
    assert none["hits"] == []
    only = run("search", "--index", "./idx", "--mode", "keyword", "--", "-zebra")
    assert only.records[0]["hits"] == []
    assert '"-zebra" has no word to seek by' in only.err


def test_only_documents_that_a_condition_holds_for(
    run: Run, tiny: Callable[..., Ran], here: Path
) -> None:
    """By their columns, in every mode; a condition that cannot be read is told at once."""
    rows = [{"text": f"bread number {n}", "lang": "zh" if n % 2 else "en"} for n in range(6)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tiny("index", "build", "./idx", "-i", "rows.jsonl").code == 0
    for mode in ("hybrid", "dense", "keyword"):
        query = ("search", "bread", "--index", "./idx", "--mode", mode)
        (record,) = run(*query, "--where", "lang = 'zh' and line > 2").records
        assert {hit["line"] for hit in record["hits"]} == {4, 6}
    ran = run("search", "bread", "--index", "./idx", "--where", "lang = ")
    assert ran.code == 2
    assert ran.said("--where at its end (character 8): expected a value")


def test_questions_are_answered_from_an_index(run: Run, here: Path) -> None:
    """With the place of the answer and both scores; one that nothing answers gets none."""
    lines = [
        "The mill was built by Ann Lee in 1932.",
        "The river Tay is cold.",
        *NOTES.splitlines(),
    ]
    (here / "notes.txt").write_text("\n".join(lines))
    assert run("index", "build", "./idx", "-i", "notes.txt").code == 0
    (record,) = run("qa", "Who built the mill?", "--index", "./idx").records
    assert (record["answer"], record["document"], record["line"]) == ("Ann Lee", "notes.txt", 1)
    assert record["passage"] == lines[0]
    assert 0 < record["passage_score"] <= 1
    assert 0 < record["score"] <= 1
    (none,) = run("qa", "Who built the mill?", "--index", "./idx", "--where", "line > 3").records
    assert none["no_answer"] > record["no_answer"]
    listed = run("qa", "Who built the mill?", "--index", "./idx", "-k", 3, "-f", "csv").out
    assert listed.splitlines()[0].startswith("question,answer,score,passage_score,document,line")
    ran = run("qa", "Who?", "--index", "./idx", "--context", "x")
    assert (ran.code, ran.said("give one")) == (2, True)
    refused = run("qa", "Who built it?", "--index", "./idx", "--no-answer-threshold", 0).records[0]
    assert refused["answer"] is None


def test_words_need_no_model(run: Run, tiny: Callable[..., Ran], built: Path, here: Path) -> None:
    """By words alone even an index whose model is gone is searched."""
    manifest = json.loads((built / "manifest.json").read_text())
    manifest["model"]["name"] = "./gone"
    (built / "manifest.json").write_text(json.dumps(manifest))
    assert run("search", "bread", "--index", "./idx").code == 1
    (record,) = run("search", "bread", "--index", "./idx", "--mode", "keyword").records
    assert [hit["line"] for hit in record["hits"]] == [3]
    (here / "q.txt").write_bytes(b"bread\n\xff\n")
    ran = run("search", "-i", "q.txt", "--index", "./idx", "--mode", "keyword")
    assert (ran.code, len(ran.records)) == (3, 2)


def test_a_model_in_a_folder_is_found_from_everywhere(
    run: Run, tiny_checkpoint: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its folder was named; once it has moved, everything says how to go on."""
    (here / "notes.txt").write_text(NOTES)
    shutil.copytree(tiny_checkpoint("bert"), here / "model")
    assert run("index", "build", "./idx", "notes.txt", "-m", "./model", "-q").code == 0
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    search = ("search", "bread", "--index", "../idx")
    assert run(*search).code == 0
    (here / "model").rename(here / "moved")
    for command in (search, ("index", "repair", "../idx")):
        ran = run(*command)
        assert ran.code == 1
        assert ran.said(f"{here}/model: no such folder", "with -m NEWPATH")
    ran = run("index", "check", "../idx")
    assert ran.code == 1 and ran.said("has 1 problem") and "repair" not in ran.err
    assert "-m NEWPATH" in ran.records[0]["problems"][0]
    assert run(*search, "-m", "../moved").code == 0
    assert run("index", "check", "../idx", "-m", "../moved").records[0]["problems"] == []


def test_a_folder_of_the_name_of_the_built_in_model_is_another(
    run: Run, here: Path, tiny_checkpoint: Any
) -> None:
    """An index is made and asked with the built-in one, whatever folders there are."""
    shutil.copytree(tiny_checkpoint("bert", Head.BASE), here / BASE_NAME)
    (here / "notes.txt").write_text(NOTES)
    assert run("index", "build", "./ix", "-i", "notes.txt").code == 0
    manifest = json.loads((here / "ix" / "manifest.json").read_text())
    assert manifest["model"]["name"] == BASE_NAME
    assert run("search", "bread", "--index", "./ix").code == 0


def test_queries_come_from_files_too(tiny: Callable[..., Ran], built: Path, here: Path) -> None:
    """Every line of -i is a query, answered in order; a bad line costs its own answer only."""
    lines = NOTES.encode().splitlines()
    (here / "queries.txt").write_bytes(b"\n".join([lines[2], b"\xff", lines[0]]))
    ran = tiny("search", "--index", "./idx", "-i", "queries.txt", "-k", 1)
    first, bad, third = ran.records
    assert [r["hits"][0]["line"] for r in (first, third)] == [3, 1]
    assert first["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert bad["source"] == "queries.txt:2"
    assert ran.code == 3
    table = tiny("search", "--index", "./idx", "-i", "queries.txt", "-k", 2, "-f", "csv").out
    assert table.splitlines()[0] == (
        "query,rank,score,document,line,last_line,page,last_page,heading,id,text,before,after,"
        "columns,error"
    )
    assert len(table.splitlines()) == 6


def test_what_is_in_is_passed_over(tiny: Callable[..., Ran], built: Path, run: Run) -> None:
    """Adding a file twice changes nothing; adding another one adds its texts."""
    ran = tiny("index", "add", "./idx", "-i", "notes.txt")
    assert ran.err == "bertcli: 0 documents added; 3 documents in 3 passages now\n"
    Path("more.jsonl").write_text('{"text": "A new text.", "year": 2024}\n')
    assert tiny("index", "add", "./idx", "-i", "more.jsonl", "-q").err == ""
    assert facts(run)["documents"] == 4
    (record,) = tiny("search", "A new text.", "--index", "./idx", "-k", 1).records
    assert record["hits"][0]["columns"] == {"year": 2024}


def test_documents_are_removed(tiny: Callable[..., Ran], built: Path, run: Run) -> None:
    """By a condition or by their path, told how many; one of the ways must be given."""
    ran = run("index", "remove", "./idx", "--where", "line = 2")
    assert ran.err == "bertcli: 1 document removed; 2 documents in 2 passages now\n"
    (record,) = run("search", "stock markets", "--index", "./idx").records
    assert {hit["line"] for hit in record["hits"]} == {1, 3}
    for nothing, told in (
        (("--path", "other/*"), "no document is called other/*"),
        (("--id", "99999"), "--id 99999: no passage has this number"),
        (("--where", "line = 9"), "--where line = 9: there is no such document"),
    ):
        ran = run("index", "remove", "./idx", *nothing)
        assert (ran.code, ran.said(told), ran.err.count("\n")) == (1, True, 1)
    assert facts(run)["documents"] == 2
    assert run("index", "remove", "./idx", "--path", "*.txt").code == 0
    assert facts(run)["documents"] == 0
    for more, told in (
        ((), "say which documents"),
        (("--path", "x", "--where", "line = 1"), "--path and --where: give one of them"),
    ):
        ran = run("index", "remove", "./idx", *more)
        assert (ran.code, ran.said(told)) == (2, True)
    assert run("index", "remove", "none", "--path", "x").code == 1


def test_an_index_is_not_built_over_another(
    tiny: Callable[..., Ran], built: Path, run: Run, here: Path
) -> None:
    """`index build` on an index is refused, and makes it anew only with --overwrite."""
    ran = tiny("index", "build", "./idx", "-i", "notes.txt")
    assert ran.code == 1
    assert ran.said("./idx is an index already", "bertcli index add ./idx", "--overwrite")
    (here / "one.txt").write_text("only one\n")
    assert tiny("index", "build", "./idx", "--overwrite", "-i", "one.txt").code == 0
    assert facts(run)["documents"] == 1


def test_an_interrupted_build_goes_on(
    tiny: Callable[..., Ran], run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command goes on with a build that died; other settings and inputs are refused.

    Once a build is through it is an index, also while an addition to it is interrupted.
    """
    (here / "few.txt").write_text("one\ntwo\nthree\n")
    (here / "more.txt").write_text("four\n")
    commit = IndexFolder._commit

    def die(index: IndexFolder, batch: Sequence[Entry], *, complete: bool) -> None:
        if complete:
            raise KeyboardInterrupt
        commit(index, batch, complete=complete)

    with monkeypatch.context() as patched:
        patched.setattr(IndexFolder, "_commit", die)
        assert tiny("index", "build", "./idx", "-i", "few.txt").code == 130
    for other in (
        ("-i", "few.txt", "--chunk-tokens", "9"),
        ("-i", "more.txt"),
        ("-i", "few.txt", "--whole-file"),
        ("few.txt",),
    ):
        ran = tiny("index", "build", "./idx", *other)
        assert (ran.code, ran.said("./idx is an index already")) == (1, True)
    ran = tiny("index", "build", "./idx", "-i", "few.txt")
    assert (ran.code, ran.said("0 documents added", "3 documents in 3 passages")) == (0, True)
    with monkeypatch.context() as patched:
        patched.setattr(IndexFolder, "_commit", die)
        assert tiny("index", "add", "./idx", "-i", "more.txt").code == 130
    ran = tiny("index", "build", "./idx", "-i", "more.txt")
    assert (ran.code, ran.said("./idx is an index already")) == (1, True)


def test_a_build_of_records_and_files_goes_on(
    tiny: Callable[..., Ran], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records alone are not all of it: interrupted at the files, it is not through."""
    (here / "files").mkdir()
    (here / "files" / "one.md").write_text("one\n")
    command = ("index", "build", "./idx", "files", "-i", "notes.txt")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(IndexFolder, "switch", die)
        assert tiny(*command).code == 130
    ran = tiny(*command)
    assert (ran.code, "4 documents in 4 passages now" in ran.err) == (0, True)
    assert tiny(*command).code == 1


def test_a_folder_with_other_files_is_left_alone(tiny: Callable[..., Ran], here: Path) -> None:
    """An index is not spread over somebody's own folder."""
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("precious")
    ran = tiny("index", "build", "./mine", "-i", "notes.txt")
    assert ran.code == 1
    assert ran.said("mine holds other files")
    assert [path.name for path in (here / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("source", ["none.txt", "empty.txt"])
def test_unusable_input_leaves_no_index_behind(
    tiny: Callable[..., Ran], here: Path, source: str
) -> None:
    """After a slip in the file's name the same command, corrected, works."""
    (here / "empty.txt").touch()
    assert tiny("index", "build", "./idx", "-i", source).code == 1
    assert not (here / "./idx").exists()


def test_a_long_text_is_found_by_each_of_its_parts(
    tiny: Callable[..., Ran], here: Path, run: Run
) -> None:
    """Nothing of a long text is cut off: every sentence is the best passage for itself."""
    sentences = [f"Sentence number {n} is about topic {n % 7}." for n in range(120)]
    (here / "long.txt").write_text("\n".join(sentences))
    tiny("index", "build", "./idx", "--whole-file", "-i", "long.txt", "--chunk-tokens", 40)
    found = facts(run)
    assert (found["documents"], found["chunk_tokens"]) == (1, 40)
    assert found["passages"] > 20
    (record,) = tiny("search", "x", "--index", "./idx", "-k", 10_000).records
    assert len(record["hits"]) == found["passages"]
    text = "\n".join(hit["text"] for hit in sorted(record["hits"], key=lambda h: h["line"]))
    assert all(sentence in text for sentence in sentences)
    assert {hit["line"] for hit in record["hits"]} <= set(range(1, 121))


@pytest.mark.parametrize("long", ["window", "truncate", "error"])
def test_chunks_are_read_whole_whatever_long_says(
    tiny: Callable[..., Ran], here: Path, long: str
) -> None:
    """Passages are cut to fit, so --long neither cuts nor refuses them, also inside words."""
    (here / "words.txt").write_text("zqxj" * 20 + " " + "qzjx" * 24 + " breadwaterkitchen" * 200)
    ran = tiny("index", "build", "./idx", "-i", "words.txt", "--long", long)
    assert ran.code == 0
    assert "1 document added" in ran.err


def test_another_model_is_refused(
    run: Run, tiny_checkpoint: Any, built: Path, tiny: Callable[..., Ran]
) -> None:
    """Vectors of two models are never compared; the message has the command that mends it."""
    other = tiny_checkpoint("bert", seed=1)
    for line in (["search", "x", "--index", "./idx"], ["index", "add", "./idx", "-i", "notes.txt"]):
        ran = run(*line, "-m", other)
        assert ran.code == 1
        assert ran.said("is of another model", "bertcli index rebuild ./idx -m")


def test_records_whose_columns_are_others_now(
    run: Run, tiny: Callable[..., Ran], here: Path
) -> None:
    """They are renewed, with their passages as they were; a file's rows are left to an update."""
    rows = [{"text": "the cat sat", "year": 1990}, {"text": "the cat ran", "year": 1991}]
    given = here / "rows.jsonl"
    given.write_text("\n".join(map(json.dumps, rows)))
    tiny("index", "build", "./idx", "-i", "rows.jsonl", "-q")
    rows[1]["year"] = 2024
    rows.append({"text": "the cat slept"})
    given.write_text("\n".join(map(json.dumps, rows)))
    ran = run("index", "add", "./idx", "-i", "rows.jsonl")
    assert ran.said("1 document added, 1 renewed; 3 documents in 3 passages now")
    search = ("search", "cat", "--index", "./idx", "--mode", "keyword", "--where")
    (hit,) = run(*search, "year = 2024").records[0]["hits"]
    assert (hit["text"], hit["line"]) == ("the cat ran", 2)
    assert run(*search, "year = 1991").records[0]["hits"] == []
    assert run("index", "add", "./idx", "-i", "rows.jsonl").said("0 documents added; 3")
    tiny("index", "build", "./files", "rows.jsonl", "-q")
    given.write_text(given.read_text().replace("2024", "2025"))
    assert run("index", "add", "./files", "-i", "rows.jsonl").said("0 documents added; 3")


def test_records_that_moved_in_their_file(run: Run, tiny: Callable[..., Ran], here: Path) -> None:
    """They are not added again but have the line that they have now, the same text twice too."""
    given = here / "rows.csv"
    given.write_text("text,n\nhens lay,1\nthe cat ran,2\nhens lay,3\n")
    tiny("index", "build", "./idx", "-i", "rows.csv", "-q")
    given.write_text("text,n\nhens lay,0\nhens lay,1\nhorns,7\nthe cat ran,2\nhens lay,3\n")
    ran = run("index", "add", "./idx", "-i", "rows.csv")
    assert ran.said("2 documents added, 3 renewed; 5 documents")
    assert run("index", "add", "./idx", "-i", "rows.csv").said("0 documents added; 5")
    asked = run("search", "hens OR cat OR horns", "--index", "./idx", "--mode", "keyword", "-k", 9)
    found = {hit["line"]: hit["columns"]["n"] for hit in asked.records[0]["hits"]}
    assert found == {2: "0", 3: "1", 4: "7", 5: "2", 6: "3"}


def test_records_of_two_streams_stay_apart(run: Run, tiny: Callable[..., Ran], here: Path) -> None:
    """What comes from stdin has no file that could have changed: the same text is another's."""
    tiny("index", "build", "./idx", "-i", "-", "-q", stdin=b"hens lay\na dog\n")
    for said in ("3 documents added; 5 documents", "0 documents added; 5 documents"):
        ran = run("index", "add", "./idx", "-i", "-", stdin=b"water\nbread\nhens lay\n")
        assert ran.said(said)


def test_a_file_given_twice_is_added_once(run: Run, tiny: Callable[..., Ran], here: Path) -> None:
    """However many lines it has, and by a glob too."""
    (here / "many.txt").write_text("\n".join(f"hen {i % 700}" for i in range(1500)))
    given = ("-i", "many.txt", "-i", "many*")
    assert tiny("index", "build", "./idx", *given).said("1,500 documents added")
    (here / "many.txt").write_text("\n".join(["new", *(f"hen {i % 700}" for i in range(1500))]))
    ran = run("index", "add", "./idx", *given)
    assert ran.said("1 document added, 1,500 renewed; 1,501")


def test_a_model_whose_weights_changed_is_refused(
    run: Run, tiny_checkpoint: Any, here: Path
) -> None:
    """Also by an update that has nothing to embed; check names what mends it, not repair."""
    (here / "a.txt").write_text("the cat sat")
    shutil.copytree(tiny_checkpoint("bert"), here / "model")
    run("index", "build", "./idx", "a.txt", "-m", here / "model", "-q")
    manifest = here / "idx" / "manifest.json"
    model = json.loads(manifest.read_text())["model"]
    assert run("index", "update", "./idx").code == 0
    manifest.write_text(manifest.read_text().replace(model["weights_sha256"], "0" * 64))
    for command in ("update", "check"):
        ran = run("index", command, "./idx")
        assert ran.code == 1
        assert ran.said("is of another model", f"bertcli index rebuild ./idx -m {model['name']}`")
    assert run("index", "rebuild", "./idx", "-m", model["name"]).code == 0
    for command in ("update", "check"):
        assert run("index", command, "./idx").code == 0
    shutil.rmtree(here / "model")
    assert run("index", "update", "./idx").said("1 unchanged")


def test_the_model_of_an_index_needs_no_mention(
    run: Run, built: Path, tiny_checkpoint: Any
) -> None:
    """Without -m a search takes the model that the index names."""
    assert len(run("search", "x", "--index", "./idx").records[0]["hits"]) == 3
    told = facts(run)  # "model" as in `index list`, "name" from before there was one
    assert told["model"] == told["name"] == str(tiny_checkpoint("bert"))


def test_a_copy_is_searched_without_the_sources(
    tiny: Callable[..., Ran], built: Path, here: Path
) -> None:
    """An index holds its texts: copied elsewhere, with the files gone, it still shows them."""
    shutil.copytree(built, here / "copy")
    shutil.rmtree(built)
    (here / "notes.txt").unlink()
    (record,) = tiny("search", "x", "--index", "copy", "-k", 3).records
    assert sorted(hit["text"] for hit in record["hits"]) == sorted(NOTES.splitlines())


def _newer(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))


def _cut(suffix: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        (path,) = folder.glob(f"*{suffix}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


def _removed(suffix: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.glob(f"*{suffix}")).unlink()


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (_newer, "newer bertcli"),
        (_cut(".f32"), "vectors"),
        (_removed(".f32"), "missing"),
        (_removed(".sqlite"), "missing"),
        (_cut(".sqlite"), "./idx"),
        (_cut("manifest.json"), "manifest.json is not JSON"),
        (_removed("manifest.json"), "is not an index"),
    ],
    ids=str,
)
def test_a_damaged_index_is_refused(
    tiny: Callable[..., Ran], built: Path, damage: Callable[[Path], None], part: str
) -> None:
    """Damage is one line that names the index, never a wrong hit."""
    damage(built)
    ran = tiny("search", "x", "--index", "./idx")
    assert (ran.code, ran.out) == (1, "")
    assert ran.said("./idx", part)


def test_a_missing_index_says_how_to_make_one(tiny: Callable[..., Ran]) -> None:
    """The first search of a newcomer ends with the command that was forgotten."""
    ran = tiny("search", "x", "--index", "none")
    assert ran.code == 1
    assert ran.said("index none does not exist", "bertcli index build none FILES")


def test_queries_and_passages_have_their_own_prompts(tiny: Callable[..., Ran], here: Path) -> None:
    """With one prompt on both sides a passage finds itself; without it on the query, less so."""
    assert tiny("index", "build", "./idx", "-i", "notes.txt", "--prompt", "passage: ").code == 0
    text = NOTES.splitlines()[1]
    (same,) = tiny("search", text, "--index", "./idx", "--prompt", "passage: ").records
    (bare,) = tiny("search", text, "--index", "./idx").records
    assert same["hits"][0]["text"] == text
    assert same["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert max(hit["score"] for hit in bare["hits"] if hit["text"] == text) < 0.999


@pytest.fixture
def notes(run: Run, here: Path) -> Path:
    """A folder with an index of the built-in base over it, named ./idx."""
    folder = here / "notes"
    folder.mkdir()
    (folder / "pets.md").write_text(
        "# Cats\nThe cat sleeps on the sofa. It likes fish.\n\n# Dogs\nA dog barks at night.\n"
    )
    (folder / "pets-copy.md").write_text("# Cats\nThe cat sleeps on the sofa. It likes fish.\n")
    (folder / "money.txt").write_text(
        "First line of it here.\nStock markets fell sharply in May.\nLast line of it here.\n"
    )
    assert run("index", "build", "./idx", "notes", "-q").code == 0
    return folder


def places(ran: Ran) -> list[str]:
    """Return the places that were written."""
    assert ran.code == 0, ran.err
    return ran.out.splitlines()


def test_a_hit_says_why_it_is_there(run: Run, notes: Path) -> None:
    """Place, heading, characters, the words that match and the best sentence."""
    (record,) = run("search", "fish", "--index", "./idx", "-k", 1).records
    (hit,) = record["hits"]
    text = (notes / hit["document"].removeprefix("notes/")).read_text()
    assert text[hit["start"] : hit["end"]] == hit["text"]
    assert (hit["heading"], hit["line"], hit["last_line"]) == ("Cats", 1, 2)
    assert [hit["text"][a:b] for a, b in hit["matches"]] == ["fish"]
    assert hit["sentence"] == "It likes fish."


def test_the_best_sentence_may_match_no_word(run: Run, notes: Path) -> None:
    """Then it is the one whose meaning is nearest."""
    (record,) = run("search", "a kitten is napping", "--index", "./idx", "-k", 1).records
    assert "sleeps" in record["hits"][0]["sentence"]


def test_only_places(run: Run, notes: Path) -> None:
    """-q writes places, one a line; -f says otherwise."""
    query = ("search", "pets", "--index", "./idx", "-q")
    assert "notes/money.txt:1" in places(run(*query))
    assert run(*query, "-f", "jsonl").records[0]["query"] == "pets"
    assert len(places(run(*query, "--per-file", 1))) == 3
    assert len(places(run(*query, "--dedupe"))) == 3
    assert places(run(*query, "--min-score", 0.99)) == []


def test_context_and_groups(run: Run, notes: Path) -> None:
    """-C shows lines around; --group-by path puts the passages of a file together."""
    assert run("index", "rebuild", "./idx", "--chunk-tokens", 8, "--overlap", 0, "-q").code == 0
    query = ("search", "stock markets", "--index", "./idx", "-k", 1)
    (record,) = run(*query, "-C", 1).records
    hit = record["hits"][0]
    assert hit["text"] == "Stock markets fell sharply in May."
    assert (hit["before"], hit["after"]) == ("First line of it here.\n", "\nLast line of it here.")
    (record,) = run("search", "cat dog", "--index", "./idx", "--group-by", "path").records
    documents = [group["document"] for group in record["groups"]]
    assert len(documents) == len(set(documents)) == 3


def test_a_table_shows_the_passage_between_its_lines(run: Run, here: Path) -> None:
    """However long the lines around it are, which were asked for."""
    lines = [f"{word} {'and so on ' * 60}{word}." for word in ("Ships", "Miners", "Bakers")]
    Path("long.txt").write_text("\n".join(lines))
    run("index", "build", "./i", "long.txt", "--chunk-tokens", 200, "--overlap", 0, "-q")
    ran = run("search", "miners", "--index", "./i", "-k", 1, "-C", 1, "-f", "table")
    for word in ("Ships", "Miners", "Bakers"):
        assert f"{word}." in ran.out


def test_a_word_counts_in_an_index_of_two(run: Run, here: Path) -> None:
    """Half of the passages have it, which in a larger index is no sign of a passage."""
    Path("a.md").write_text("cats sleep")
    Path("b.md").write_text("dogs")
    run("index", "build", "./i", "a.md", "b.md", "-q")
    assert places(run("search", "cats", "--index", "./i", "-q")) == ["a.md:1", "b.md:1"]


def test_groups_say_their_ranks_and_rows_their_copies(run: Run, notes: Path) -> None:
    """What a table shows is in the files too: ranks go by all passages, copies are places."""
    query = ("search", "cat dog", "--index", "./idx")
    (record,) = run(*query, "--group-by", "path").records
    groups = [[hit["rank"] for hit in group["hits"]] for group in record["groups"]]
    assert sorted(itertools.chain(*groups)) == list(range(1, 5))
    assert all(ranks == sorted(ranks) for ranks in groups)
    rows = list(csv.DictReader(io.StringIO(run(*query, "--dedupe", "-f", "csv").out)))
    assert [json.loads(row["copies"]) for row in rows if row["copies"]] == [["notes/pets.md:1"]]
    assert "copies" not in run(*query, "-f", "csv").out.splitlines()[0]


def test_feedback_moves_the_results(run: Run, notes: Path) -> None:
    """--more and --less go by the ranks that the same query showed before."""
    query = ("search", "a story", "--index", "./idx", "-q", "--mode", "dense")
    first = places(run(*query))
    last = places(run(*query, "--more", len(first), "--less", 1))
    assert last[0] == first[-1]
    ran = run(*query[:-3], "--more", 99)
    assert ran.code == 3 and "names result 99" in ran.err


def test_like_a_file(run: Run, notes: Path, here: Path) -> None:
    """A file is a query by itself, and never finds itself."""
    ran = run("search", "--like", "notes/pets.md", "--index", "./idx", "-q")
    assert places(ran)[0] == "notes/pets-copy.md:1"
    assert not any(one.startswith("notes/pets.md") for one in places(ran))
    (here / "other.txt").write_text("shares and bonds")
    ran = run("search", "--like", "other.txt", "--index", "./idx", "-q", "-k", 1)
    assert places(ran) == ["notes/money.txt:1"]


def test_like_a_file_that_is_linked(run: Run, notes: Path, here: Path) -> None:
    """By whatever way it is named, the file itself is not among the passages like it."""
    (plain,) = run("search", "--like", next(notes.glob("*.*")), "--index", "./idx").records
    name = next(notes.glob("*.*")).name
    (here / "link").symlink_to(notes)
    for way in (here / "link" / name, Path("link") / ".." / notes.name / name):
        (found,) = run("search", "--like", way, "--index", "./idx").records
        assert [hit["text"] for hit in found["hits"]] == [hit["text"] for hit in plain["hits"]]


def test_like_a_file_of_rows(run: Run, notes: Path, here: Path) -> None:
    """--field names the column of its texts."""
    (here / "rows.csv").write_text("body\nsoup and bread\n")
    ran = run("search", "--like", "rows.csv", "--field", "body", "--index", "./idx")
    assert ran.code == 0 and ran.records[0]["hits"]


def test_a_cut_query_says_so(tiny: Callable[..., Ran], built: Path) -> None:
    """In its record too, not on stderr alone."""
    ran = tiny("search", "cat " * 900, "--index", "./idx", "--long", "truncate")
    assert ran.records[0]["cut_tokens"] > 0


def test_other_overlap_alone(run: Run, built: Path, here: Path) -> None:
    """`rebuild --overlap 0` is no overlap, and not the one that was."""
    assert run("index", "rebuild", "./idx", "--overlap", 0).code == 0
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["chunking"]["overlap"] == 0


def test_a_file_that_is_given_twice(tiny: Callable[..., Ran], here: Path) -> None:
    """Its texts are in once."""
    twice = ("-i", "notes.txt", "-i", "notes.txt")
    assert "3 documents added" in tiny("index", "build", "./two", *twice).err


def test_questions_in_a_column_of_their_own(run: Run, built: Path, here: Path) -> None:
    """With --index too; what only an index needs is refused without one."""
    (here / "asked.jsonl").write_text('{"question": "Who sleeps?"}\n')
    index = ("qa", "-i", "asked.jsonl", "--index", "./idx")
    assert run(*index, "-f", "jsonl").records[0]["question"] == "Who sleeps?"
    (here / "asked.csv").write_text("text\nWho sleeps?\n")
    index = ("qa", "-i", "asked.csv", "--index", "./idx", "-f", "jsonl")
    assert run(*index).said('no column "question"', "choose one with --question-field NAME")
    assert run(*index, "--question-field", "text").records[0]["question"] == "Who sleeps?"
    for option in (("--where", "line = 1"), ("--passages", 3)):
        ran = run("qa", "Who?", "--context", "Ann.", *option)
        assert ran.code == 2 and ran.said("--index")


def test_a_run_for_trec(run: Run, notes: Path, here: Path) -> None:
    """Documents once each, with the queries' own ids, and scores that fall."""
    (here / "q.jsonl").write_text('{"_id": "q 7", "text": "fish"}\n')
    lines = run("search", "-i", "q.jsonl", "--index", "./idx", "-f", "trec").out.splitlines()
    cells = [line.split() for line in lines]
    assert {(one[0], one[1], one[5]) for one in cells} == {("q%207", "Q0", "bertcli")}
    assert [int(one[3]) for one in cells] == [1, 2, 3]
    assert len({one[2] for one in cells}) == 3
    assert run("classify", "x", "-f", "trec").code == 2


def test_a_cross_encoder_has_the_last_word(run: Run, notes: Path, tiny_checkpoint: Any) -> None:
    """Its probability decides the order and is shown beside the cosine; both engines agree."""
    cross = tiny_checkpoint("bert", Head.SEQUENCE, num_labels=1)
    query = ("search", "pets", "--index", "./idx", "--rerank", cross)
    (record,) = run(*query).records
    scores = [hit["rerank_score"] for hit in record["hits"]]
    rows = list(csv.DictReader(io.StringIO(run(*query, "-f", "csv").out)))
    assert [float(row["rerank_score"]) for row in rows] == pytest.approx(scores)
    assert [float(row["score"]) for row in rows] == pytest.approx(
        [hit["score"] for hit in record["hits"]]
    )
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    expected = cross_encoded(cross, "pets", [hit["text"] for hit in record["hits"]])
    assert scores == pytest.approx(expected, abs=1e-4)
    ran = run("search", "pets", "--index", "./idx", "--rerank", tiny_checkpoint("bert"))
    assert ran.code == 1 and ran.said("is no cross-encoder")


def test_a_cross_encoder_reads_before_a_document_is_cut(
    run: Run, here: Path, tiny_checkpoint: Any
) -> None:
    """With --per-file 1 each document shows the passage that the cross-encoder likes best."""
    cross = tiny_checkpoint("bert", Head.SEQUENCE, num_labels=1)
    for name in ("a.md", "b.md"):
        Path(name).write_text("\n\n".join(f"# {word}\nThe {word} is {name}." for word in PETS))
    run("index", "build", "./i", "a.md", "b.md", "-q")
    query = ("search", "pets", "--index", "./i", "--rerank", cross)
    (whole,) = run(*query, "-k", 100).records
    best: dict[str, str] = {}
    for hit in whole["hits"]:
        best.setdefault(hit["document"], hit["text"])
    (record,) = run(*query, "--per-file", 1).records
    assert [(hit["document"], hit["text"]) for hit in record["hits"]] == list(best.items())
    first = run("search", "pets", "--index", "./i", "--per-file", 1).records[0]["hits"]
    assert {hit["text"] for hit in first} != set(best.values())


def test_a_classifier_of_single_texts_is_told_from_a_cross_encoder(
    run: Run, notes: Path, tiny_checkpoint: Any
) -> None:
    """By the names of its labels; those of a cross-encoder, or none, say nothing against it."""
    folder = Path("cross")
    shutil.copytree(tiny_checkpoint("bert", Head.SEQUENCE, num_labels=2), folder)
    query = ("search", "pets", "--index", "./idx", "--rerank", "./cross")
    config = json.loads((folder / "config.json").read_text())
    for labels in (["not_relevant", "Relevant"], ["not_entailment", "entailment"]):
        (folder / "config.json").write_text(
            json.dumps(config | {"id2label": dict(enumerate(labels))})
        )
        assert run(*query).err == ""
    assert run("search", "pets", "--index", "./idx", "--rerank", "sentiment").said(
        "--rerank sentiment: its labels (negative, positive)", "expected a cross-encoder"
    )
    unnamed = config | {"id2label": {0: "LABEL_0", 1: "LABEL_1"}}
    (folder / "config.json").write_text(json.dumps(unnamed))
    assert run(*query).err == ""


def test_a_cross_encoders_label_of_entailment_counts(
    run: Run, built: Path, tiny_checkpoint: Any
) -> None:
    """Wherever it stands among several: the two halves of a softmax are one together."""
    folder = Path("cross")
    shutil.copytree(tiny_checkpoint("bert", Head.SEQUENCE, num_labels=2), folder)
    found = []
    for labels in (["entailment", "neutral"], ["neutral", "entailment"]):
        change_config(folder, id2label=dict(enumerate(labels)))
        (record,) = run("search", "pets", "--index", "./idx", "--rerank", "./cross").records
        found.append({hit["text"]: hit["rerank_score"] for hit in record["hits"]})
    assert len(found[0]) > 1
    assert found[0] == pytest.approx(
        {text: 1 - score for text, score in found[1].items()}, abs=1e-5
    )


def cross_encoded(folder: Path, query: str, texts: list[str]) -> list[float]:
    """Return what sentence-transformers' CrossEncoder makes of the pairs."""
    from sentence_transformers import CrossEncoder

    scores = CrossEncoder(str(folder)).predict([(query, text) for text in texts])
    return [float(score) for score in scores]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--more", "a"), "--more a: expected ranks"),
        (("x", "y", "--more", "1"), "give one TEXT"),
        (("x", "--more", "1,2", "--less", "2"), "both name result 2"),
        (("x", "--min-score", "1.5"), "--min-score 1.5: a cosine is never more than 1"),
        (("x", "--mode", "keyword", "--like", "notes.txt"), "go by meaning"),
        (("x", "--mode", "keyword", "--prompt", "query: "), "--prompt is for the model"),
    ],
)
def test_wrong_feedback_is_one_line(
    tiny: Callable[..., Ran], built: Path, arguments: tuple[str, ...], said: str
) -> None:
    """What cannot be is told before anything is searched."""
    ran = tiny("search", *arguments, "--index", "./idx")
    assert ran.code == 2 and ran.said(said)


@pytest.mark.parametrize(
    "query", ["-migration", "-offers discount", "-include", "-offers. Now!", "-film"]
)
def test_a_query_that_looks_like_an_option(run: Run, built: Path, query: str) -> None:
    """-migration is -m igration for every program: the line says how to ask it."""
    ran = run("search", query, "--index", "./idx")
    assert ran.code == 2 and ran.said(f'-- "{query}"')


def test_an_option_is_told_from_a_word_to_keep_out(run: Run, built: Path) -> None:
    """`refunds -owls` writes no file called wls; an option and its value may stand together."""
    ran = run("search", "refunds", "-owls", "--index", "./idx")
    assert ran.code == 2 and ran.said('bertcli search -- "-owls"', "or write -o wls")
    assert not Path("wls").exists()
    assert run("search", "cat", "-oout.jsonl", "-fjsonl", "-k1", "--index", "./idx").code == 0
    assert Path("out.jsonl").stat().st_size
    for command in (("search", "--like", "notes.txt"), ("qa", "Who?", "--context", "It is Ada.")):
        ran = run(*command, "-owls", *(("--index", "./idx") if command[0] == "search" else ()))
        assert ran.code == 2 and ran.said(f'bertcli {command[0]} -- "-owls"')
    assert not Path("wls").exists()
    assert run("classify", "-offers were bad").said('bertcli classify -- "-offers were bad"')


def test_bare_places_do_not_hide_why_a_query_failed(tiny: Callable[..., Ran], built: Path) -> None:
    """With -q only the places are written, and a bad query is nowhere else to be seen."""
    Path("asked.jsonl").write_text('{"text": "the cat"}\n{"other": 1}\n')
    ran = tiny("search", "-i", "asked.jsonl", "--index", "./idx", "-q")
    assert ran.code == 3
    assert ran.said("asked.jsonl:2", 'no column "text"')
    assert "notes.txt" in ran.out
