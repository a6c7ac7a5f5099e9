"""Training and measuring over what hostile testers found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.cli.train.run import work_folder
from bertcli.engine.families import Head
from bertcli.errors import OutputError

from .conftest import Run

ROWS = "text,label\n" + "".join(
    f"the cat {word} {n},{label}\n"
    for n in range(8)
    for word, label in (("sat", "good"), ("ran", "bad"))
)
SHORT = ("--epochs", 1, "--batch-tokens", 256)


@pytest.fixture
def rows(here: Path) -> Path:
    """A file of labelled texts."""
    Path("rows.csv").write_text(ROWS)
    return Path("rows.csv")


@pytest.fixture
def head(run: Run, rows: Path) -> Path:
    """A linear head on the built-in base."""
    assert run("train", "classify", rows, "--method", "head", "-o", "head").code == 0
    return Path("head")


def test_a_head_knows_the_adapter_it_was_trained_on(
    run: Run, rows: Path, tiny_checkpoint: Any
) -> None:
    """Its answers are those of the adapter's vectors, not of the adapter's base."""
    Path("pairs.csv").write_text("text,second,score\n" + "the cat,a dog,1\nthe mat,a cat,0\n" * 8)
    base = tiny_checkpoint("bert", Head.BASE)
    more = [
        "--first-field",
        "text",
        "--second-field",
        "second",
        "--score-field",
        "score",
        "--learning-rate",
        0.05,
        *SHORT,
    ]
    made = run("train", "embed", "pairs.csv", "-m", base, "-o", "adapter", *more)
    assert made.code == 0, made.err
    line = ["train", "classify", rows, "--method", "head", "-m"]
    assert run(*line, "./adapter", "-o", "on-adapter").code == 0
    settings = json.loads(Path("on-adapter/head_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(Path("adapter").resolve())
    from safetensors.numpy import load_file

    vector = run("embed", "the cat sat", "-m", "./adapter", "--normalize").records[0]["embedding"]
    tensors = load_file("on-adapter/head.safetensors")
    logits = tensors["weight"] @ np.array(vector, np.float32) + tensors["bias"]
    expected = np.exp(logits) / np.exp(logits).sum()
    (found,) = run("classify", "the cat sat", "-m", "./on-adapter", "-k", 2).records
    scores = sorted(one["score"] for one in found["labels"])
    assert scores == pytest.approx(sorted(expected.tolist()), abs=1e-3)


def test_thresholds_are_not_fitted_to_other_labels(run: Run, head: Path) -> None:
    """A label that the checkpoint does not have is told with its line, and nothing is stored."""
    before = (head / "head_config.json").read_bytes()
    Path("other.csv").write_text(ROWS.replace(",good", ",1").replace(",bad", ",0"))
    ran = run("threshold", "fit", "other.csv", "-m", head)
    assert ran.code == 1
    assert ran.said("other.csv:2", "no label '1'", '"bad", "good"')
    assert (head / "head_config.json").read_bytes() == before


def test_eval_tells_labels_that_the_checkpoint_does_not_have(run: Run, head: Path) -> None:
    """Their names most probably differ: --map is named, and helps."""
    Path("other.csv").write_text(ROWS.replace(",good", ",yes").replace(",bad", ",no"))
    ran = run("eval", "classify", "other.csv", "-m", head)
    assert (ran.code, ran.said("other.csv:2: head has none of the labels")) == (1, True)
    assert "--map no=NAME" in ran.err
    ran = run("eval", "classify", "other.csv", "-m", head, "--map", "yes=good")
    assert (ran.code, ran.said("head has no label 'no'", "--map no=NAME")) == (0, True)
    maps = ["--map", "yes=good", "--map", "no=bad"]
    assert run("eval", "classify", "other.csv", "-m", head, *maps).err == ""


def test_a_label_that_all_texts_have(run: Run, here: Path) -> None:
    """It is always given; one that none of the training part has, never."""
    Path("all.csv").write_text(
        "text,label\n"
        + "".join(f"the cat {n},always;{'even' if n % 2 else 'odd'}\n" for n in range(8))
    )
    line = ["train", "classify", "all.csv", "--label-sep", ";", "--method", "head", "-o", "out"]
    assert run(*line).code == 0
    (found,) = run("classify", "the cat", "-m", "out", "-k", 3).records
    assert {one["label"]: one["score"] for one in found["labels"]}["always"] > 0.99


def test_an_empty_valid_file_is_told(run: Run, rows: Path) -> None:
    """There is nothing to choose the best model by."""
    Path("none.csv").write_text("text,label\n")
    ran = run("train", "classify", rows, "--valid", "none.csv", "-o", "out", "--method", "head")
    assert ran.code in (1, 2)
    assert "none.csv" in ran.err or "--valid" in ran.err
    assert not Path("out/head_config.json").exists()


@pytest.mark.parametrize("method", ["head", "lora"])
def test_a_folder_in_use_is_not_written_to(
    run: Run, rows: Path, tiny_checkpoint: Any, method: str
) -> None:
    """What is there stays, and another folder is asked for."""
    Path("project").mkdir()
    Path("project/README.md").write_text("precious")
    line = ["train", "classify", rows, "--method", method, "-m", tiny_checkpoint("bert")]
    ran = run(*line, "-o", "project", *(SHORT if method == "lora" else ()))
    assert ran.code == 2
    assert "there is something already" in ran.err
    assert Path("project/README.md").read_text() == "precious"


def test_two_runs_do_not_share_a_folder(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """The second is refused while the first is at work."""
    from bertcli.cli.train.run import work_folder

    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "out", *SHORT]
    with work_folder(Path("out"), False):
        ran = run(*line)
    assert ran.code == 2
    assert "another run trains here" in ran.err


def test_a_damaged_state_is_told(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """No advice of torch's is passed on."""
    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "out", *SHORT]
    Path("out/.training").mkdir(parents=True)
    Path("out/.training/state.pt").write_bytes(b"garbage")
    ran = run(*line, "--resume")
    assert ran.code == 1
    assert "state.pt: damaged" in ran.err
    assert "weights_only" not in ran.err


def test_a_damaged_adapter_is_told(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """Training goes on from whole ones only."""
    line = ["train", "classify", rows, "-m", tiny_checkpoint("bert"), "-o", "first", *SHORT]
    assert run(*line).code == 0
    weights = Path("first/adapter_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    ran = run("train", "classify", rows, "-m", "./first", "-o", "out", *SHORT)
    assert ran.code == 1
    assert "damaged" in ran.err
    assert "unexpected" not in ran.err


def test_a_damaged_head_is_told(run: Run, head: Path) -> None:
    """Weights that are no numbers would answer null; `models` knows what a head is."""
    from safetensors.numpy import load_file, save_file

    shown = run("models", "show", head, "-f", "jsonl").records[0]
    assert (shown["head"], shown["labels"]) == ("linear", ["bad", "good"])
    assert shown["tasks"] == ["classify"]
    assert "head.safetensors: 2 × 384 finite numbers" in run("models", "verify", head).out
    tensors = load_file(head / "head.safetensors")
    tensors["weight"] = np.full_like(tensors["weight"], np.nan)
    save_file(tensors, head / "head.safetensors")
    assert run("classify", "the cat", "-m", head).said("head.safetensors", "no finite numbers")
    verified = run("models", "verify", head)
    assert (verified.code, "no finite numbers" in verified.out) == (1, True)


def test_bad_rows_show_in_the_exit_code(run: Run, here: Path, tiny_checkpoint: Any) -> None:
    """What is measured without some of the rows says so: 3, as for every task."""
    rows = [{"text": "the cat sat on the mat"}, {"other": 1}, {"text": "the dog ran home"}]
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    masked = tiny_checkpoint("bert", Head.MASKED_LM)
    for line in (
        ("eval", "fill-mask", "rows.jsonl", "-m", masked, "--mask-rate", 0.5),
        ("quantize", masked, "--check", "rows.jsonl", "--force"),
    ):
        ran = run(*line)
        assert ran.code == 3, ran.err
        assert ran.said("rows.jsonl:2", "passed over")


@pytest.mark.parametrize("task", ["classify", "ner", "qa", "fill-mask", "embed"])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-o", "rows.csv/x"), "is a file, not a folder"),
        (("-o", "used"), "there is something already"),
        (("-o", "out", "--plot", "rows.csv/x.png"), "--plot"),
        (("-o", "out", "--plot", "here.png"), "no file can be written there"),
        (("-o", "out", "--tensorboard", "rows.csv"), "is a file, not a folder"),
        (("-o", "out", "--resume"), "no unfinished run"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_read(
    run: Run, rows: Path, task: str, more: tuple[str, ...], said: str
) -> None:
    """The data are not even there, and no folder is left."""
    Path("used").mkdir()
    Path("used/notes.txt").write_text("mine")
    Path("here.png").mkdir()
    ran = run("train", task, "nowhere.csv", *more)
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert not Path("out").exists()
    assert Path("used/notes.txt").read_text() == "mine"


def test_a_run_that_fails_before_its_first_step_leaves_nothing(run: Run, here: Path) -> None:
    """There would be nothing to resume."""
    ran = run("train", "fill-mask", "nowhere.txt", "--steps", 1, "-o", "c/d")
    assert ran.code == 1
    assert not Path("c").exists()


def test_a_run_that_fails_leaves_alone_what_is_beside_it(here: Path) -> None:
    """Another run may have begun in a folder that the failed one made."""
    with pytest.raises(ValueError, match="failed"), work_folder(Path("runs/a"), resume=False):
        Path("runs/b").mkdir()
        Path("runs/b/state.pt").write_text("mine")
        raise ValueError("failed")
    assert Path("runs/b/state.pt").read_text() == "mine"
    assert not Path("runs/a").exists()


@pytest.mark.parametrize(
    ("state", "way"), [(True, "--resume goes on"), (False, "begin anew, for nothing of it was")]
)
def test_a_run_that_could_not_write_says_how_it_goes_on(state: bool, way: str, here: Path) -> None:
    """From its last state, where there is one."""
    with (
        pytest.raises(OutputError, match=f"full; .* {way}"),
        work_folder(Path("out"), False) as work,
    ):
        if state:
            (work / "state.pt").write_text("mine")
        raise OutputError("full")
    assert Path("out").exists() == state


def test_rows_without_any_label_are_told(run: Run, here: Path) -> None:
    """Lists that are all empty are no labels of several."""
    Path("none.jsonl").write_text('{"text": "the cat", "label": []}\n' * 12)
    for method in ("head", "lora"):
        ran = run("train", "classify", "none.jsonl", "-o", "out", "--method", method)
        assert ran.code == 1
        assert ran.said("none.jsonl:1", "has no label, and so have all")


@pytest.mark.parametrize(
    "line",
    [
        "train classify rows.csv -o out --method head",
        "train classify rows.csv -o out",
        "eval embed pairs.csv",
    ],
)
def test_a_damaged_base_is_told_to_be_one(
    line: str, run: Run, rows: Path, tiny_checkpoint: Any
) -> None:
    """It is no fault of the data or of the learning rate, and NaN is no score."""
    from safetensors.numpy import load_file, save_file

    Path("pairs.csv").write_text("text1,text2,score\nthe cat,a dog,1\nthe mat,a cat,0\n")
    base = tiny_checkpoint("bert", Head.BASE)
    shutil.copytree(base, "damaged")
    tensors = load_file(base / "model.safetensors")
    tensors = {name: np.full_like(one, np.nan) for name, one in tensors.items()}
    save_file(tensors, "damaged/model.safetensors", {"format": "pt"})
    ran = run(*line.split(), "-m", "./damaged")
    assert (ran.code, ran.out) == (1, "")
    assert re.search("no finite numbers.*damaged|damaged.*no finite", ran.err.splitlines()[-1])
    assert not Path("out").exists()


def test_a_head_fits_every_family(run: Run, rows: Path, tiny_checkpoint: Any) -> None:
    """DistilBERT calls its width otherwise."""
    base = tiny_checkpoint("distilbert", Head.BASE)
    ran = run("train", "classify", rows, "--method", "head", "-m", base, "-o", "out")
    assert ran.code == 0, ran.err
    assert run("classify", "the cat sat", "-m", "out").code == 0


def test_questions_that_cannot_be_asked_show_in_what_quantize_says(run: Run, here: Path) -> None:
    """They are counted, and the exit code tells of them."""
    asked = [{"question": f"who {word}?", "context": "Ada sat."} for word in ("sat", "ran")]
    asked.append({"question": "who " * 600, "context": "Ada sat."})
    Path("asked.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    ran = run("quantize", "qa", "--check", "asked.jsonl", "--force")
    assert (ran.code, "1 of 3 records failed" in ran.err) == (3, True), ran.err


def test_a_bare_format_tells_where_the_reasons_are(run: Run, here: Path) -> None:
    """After the first ten of them; an empty line in the output does not."""
    Path("rows.jsonl").write_text('{"text": "good"}\n' + '{"other": 1}\n' * 12)
    ran = run("classify", "-i", "rows.jsonl", "-f", "text", "-o", "out.txt")
    assert ran.code == 3
    assert "more bad records follow; -f jsonl tells why they failed" in ran.err
    assert "they have it in the output" in run("classify", "-i", "rows.jsonl", "-o", "o.csv").err


@pytest.mark.parametrize(
    ("task", "content", "said"),
    [
        ("classify", "text,label\n", "rows.csv: there is no row to go by"),
        ("classify", "text,label\na b,x\nc d,x\n", "rows.csv:2: this text has the label x"),
        ("qa", "question,context,answers\nwho,the cat,dog\n", "rows.csv:2"),
        ("qa", "question,context,answers\n,the cat,cat\n", "rows.csv:2: the question is empty"),
        ("embed", "text1,text2\n", "rows.csv: there is no row to go by"),
    ],
)
def test_data_with_nothing_to_learn_are_told_by_name(
    run: Run, here: Path, task: str, content: str, said: str
) -> None:
    """Not by the share that could not be held out of them."""
    Path("rows.csv").write_text(content)
    ran = run("train", task, "rows.csv", "-o", "out")
    assert (ran.code, said in ran.err) == (1, True), ran.err


def test_universal_ner_is_read_as_it_comes(run: Run, here: Path) -> None:
    """Number, word, tag, another tag and the annotator, with comments between the sentences."""
    Path("dev.iob2").write_text(
        "# sent_id = 1\n# text = The vitamin B-12\n1\t10 000\tO\t-\tmayhew\n2\tthe\tO\t-\tmayhew\n"
        "3\tAP\tB-ORG\t-\tmayhew\n\n# sent_id = 2\n1\tParis\tB-LOC\t-\t-\n"
    )
    ran = run("eval", "ner", "dev.iob2")
    assert ran.code == 0, ran.err
    found = ran.records[0]
    assert found["records"] == 2
    support = {one["label"]: one["support"] for one in found["labels"]}
    assert (support["LOC"], support["ORG"]) == (1, 1)


def test_passages_of_one_id_are_told(run: Run, here: Path) -> None:
    """A judgement of that id could mean either."""
    Path("corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n' * 2)
    Path("queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    ran = run("eval", "search", ".")
    assert (ran.code, 'corpus.jsonl:2: the _id "a" was there before' in ran.err) == (1, True)


def test_a_passage_judged_twice_is_told(run: Run, here: Path) -> None:
    """Twice the same is no contradiction; two grades are."""
    Path("corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n')
    Path("queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')
    judged = "query-id\tcorpus-id\tscore\nq\ta\t1\nq\ta\t1\n"
    Path("qrels.tsv").write_text(judged)
    assert run("eval", "search", ".").code == 0
    Path("qrels.tsv").write_text(f"{judged}q\ta\t0\n")
    ran = run("eval", "search", ".")
    assert (ran.code, 'qrels.tsv:4: "a" had the grade 1' in ran.err) == (1, True)


def test_a_tokenizer_without_a_mask_is_told(run: Run, here: Path, tiny_checkpoint: Any) -> None:
    """Another token in its place would be measured, or learned, as if it were one."""
    model = Path("maskless")
    shutil.copytree(tiny_checkpoint("bert", Head.MASKED_LM), model)
    file = model / "tokenizer.json"
    file.write_text(file.read_text().replace("[MASK]", "[NONE]"))
    Path("rows.txt").write_text("the cat sat on the mat\n" * 30)
    for line in (
        ("fill-mask", "the [MASK] sat", "-m", model),
        ("eval", "fill-mask", "rows.txt", "-m", model),
        ("train", "fill-mask", "rows.txt", "-m", model, "--steps", 1, "-o", "out"),
    ):
        ran = run(*line)
        assert ran.code == 1
        assert ran.said("no mask token", "cannot fill masks")


@pytest.mark.parametrize("task", ["classify", "ner", "qa", "embed", "fill-mask"])
def test_a_share_to_hold_out_beside_a_file_to_measure_on(run: Run, rows: Path, task: str) -> None:
    """--valid leaves --valid-split nothing to say, so that both are refused."""
    ran = run("train", task, rows, "--valid", rows, "--valid-split", 0.2, "-o", "out")
    assert ran.code == 2
    assert ran.err.startswith("bertcli: --valid-split: --valid says what to measure on")
    assert not Path("out").exists()
