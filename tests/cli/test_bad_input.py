"""Input that is missing, broken or strange: one clear line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.engine.families import Head
from bertcli.engine.windows import cuts
from tiny import change_config

from .conftest import Run, without_privileges

LABELS = {"contradiction", "neutral", "entailment"}
CONTENT = 62  # tokens that a tiny checkpoint reads at once, without its two special ones


def test_a_missing_file_is_named(classify: Run, here: Path) -> None:
    """A name that does not exist is said, with what -i takes; a text is told how it goes."""
    ran = classify("-i", "nothere.txt")
    assert ran.code == 1
    assert ran.said("nothere.txt: no such file; expected a file")
    assert "text itself" not in ran.err
    assert classify("-i", "What a film. Bravo!").said("no such file", "text itself goes without -i")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_an_unreadable_file_is_told_as_such(classify: Run, open_folder: Path) -> None:
    """What may not be read is told apart from what is not there."""
    secret = open_folder / "secret.txt"
    secret.write_text("text")
    secret.chmod(0)
    with without_privileges():
        ran = classify("-i", secret)
    assert ran.code == 1
    assert ran.said(f"{secret}: may not be read", "permissions")


def test_an_empty_folder_says_what_it_could_hold(classify: Run, here: Path) -> None:
    """A folder without a readable file is an error, not a run without answers."""
    (here / "empty").mkdir()
    ran = classify("-i", "empty")
    assert ran.code == 1
    assert ran.said("empty: no file to read", "jsonl")


def test_a_folder_is_read_with_its_subfolders(classify: Run, here: Path) -> None:
    """Every file of a known format in a folder is read, in the order of the names."""
    (here / "notes" / "sub").mkdir(parents=True)
    (here / "notes" / "b.txt").write_text("the second")
    (here / "notes" / "a.jsonl").write_text('{"text": "the first", "id": 1}\n')
    (here / "notes" / "sub" / "c.csv").write_text("text\nthe third\n")
    (here / "notes" / "picture.png").write_bytes(b"\x89PNG\x00")
    ran = classify("-i", "notes")
    assert [record["text"] for record in ran.records] == ["the first", "the second", "the third"]
    assert ran.code == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"   \n\t\n \n"], ids=["nothing", "line", "blank"])
@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_an_input_without_a_text_is_empty(
    classify: Run, here: Path, content: bytes, suffix: str
) -> None:
    """A file of nothing or of white space is an error: something else was expected."""
    (here / f"nothing.{suffix}").write_bytes(content)
    ran = classify("-i", f"nothing.{suffix}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.said(f"nothing.{suffix}: is empty")


@pytest.mark.parametrize("content", [b"\x7fELF\x02\x01\x01\x00\x00", b"nul\x00inside\nmore\n"])
def test_a_binary_file_is_refused(classify: Run, here: Path, content: bytes) -> None:
    """Bytes that are no text are not classified as if they were."""
    (here / "a.txt").write_bytes(content)
    ran = classify("-i", "a.txt")
    assert (ran.code, ran.out) == (1, "")
    assert ran.said("a.txt: is a binary file", "UTF-8", "let its name end in .parquet")
    assert classify("-i", "-", stdin=content).said("stdin: is a binary", "--input-format parquet")


def test_invalid_utf8_costs_its_own_line_only(classify: Run, here: Path) -> None:
    """The line with the bad byte becomes an error with file and line; the others are answered."""
    (here / "a.txt").write_bytes(b"the cat\ncaf\xe9 house\nthe dog\n")
    ran = classify("-i", "a.txt")
    first, second, third = ran.records
    assert (first["text"], third["text"]) == ("the cat", "the dog")
    assert second["source"] == "a.txt:2"
    assert "byte 0xe9 at byte 4" in second["error"]
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == "bertcli: 1 of 3 records failed"


def test_broken_json_costs_its_own_line_only(classify: Run, here: Path) -> None:
    """A broken line of JSON is told with file, line and column; the others are answered."""
    (here / "a.jsonl").write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    ran = classify("-i", "a.jsonl")
    assert [record.get("text") for record in ran.records] == ["one", None, "three"]
    assert "a.jsonl:2: not valid JSON" in ran.err
    assert ran.code == 3


def test_a_missing_column_is_answered_with_those_there_are(classify: Run, here: Path) -> None:
    """Nothing is computed when the text column is not there; the message offers the others."""
    (here / "a.csv").write_text("title,body\nx,y\n")
    ran = classify("-i", "a.csv")
    assert (ran.code, ran.out) == (1, "")
    assert ran.said('a.csv:1: no column "text"', '"title", "body"', "--field NAME")


def test_empty_texts_are_errors_of_their_records(classify: Run, here: Path) -> None:
    """An empty or blank cell gets no made-up answer, and the row stays in its place."""
    (here / "a.csv").write_text('text,id\n"",1\n"  ",2\nfine,3\n')
    ran = classify("-i", "a.csv", "-f", "csv")
    assert [row.split(",")[1] for row in ran.out.splitlines()] == ["id", "1", "2", "3"]
    assert "a.csv:2: empty text" in ran.err
    assert "a.csv:3: empty text" in ran.err
    assert ran.code == 3
    assert classify("").code == 3


LONG_LINE = ("x" * 120 + " bread ") * 16_000


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("classify", Head.SEQUENCE),
        ("ner", Head.TOKEN),
        ("embed", Head.BASE),
        ("fill-mask", Head.MASKED_LM),
        ("qa", Head.QA),
    ],
)
def test_a_line_of_two_megabytes_is_read_to_its_end(
    run: Run, here: Path, tiny_checkpoint: Any, task: str, head: Head
) -> None:
    """A very long line is answered from all of its windows, and the record says how many."""
    middle = len(LONG_LINE) // 2
    mask = " [MASK] " if task == "fill-mask" else ""
    (here / "a.txt").write_text(f"{LONG_LINE[:middle]}{mask}{LONG_LINE[middle:]}\nshort\n")
    question = ["Who wrote it?", "--per-line"] if task == "qa" else []
    ran = run(task, *question, "-i", "a.txt", "-m", tiny_checkpoint("bert", head))
    answered = ran.records[0]
    assert answered["tokens"] >= 32_000
    if task == "fill-mask":
        assert answered["masks"][0]["start"] > middle
        assert answered["windows"] == 1
        assert answered["cut_tokens"] == answered["tokens"] - CONTENT
    elif task != "qa":
        assert answered["windows"] == len(cuts(answered["tokens"], CONTENT))
    else:
        assert answered["windows"] > answered["tokens"] // CONTENT
    assert len(ran.records) == 2


def test_text_of_no_known_token_is_answered(classify: Run) -> None:
    """Runes, which the vocabulary lacks, are unknown tokens; no crash and no empty answer."""
    (record,) = classify("ᚠᚢᚦ ᛒᛖᚱᛏ").records
    assert record["label"] in LABELS


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\x01\x02", "\u0301"])
@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("classify", Head.SEQUENCE),
        ("ner", Head.TOKEN),
        ("embed", Head.BASE),
        ("qa", Head.QA),
    ],
)
def test_text_without_any_token_does_not_stop_a_run(
    run: Run, tiny_checkpoint: Any, task: str, head: Head, text: str
) -> None:
    """What the tokenizer leaves nothing of gets an answer or an error; the next text its answer."""
    model = tiny_checkpoint("bert", head)
    texts = ["Who?", "--context", text, "--context", "cat"] if task == "qa" else [text, "cat"]
    ran = run(task, "-m", model, *texts)
    assert ran.code in (0, 3)
    assert len(ran.records) == 2
    assert "error" not in ran.records[1]


def test_nul_characters_inside_json_pass(classify: Run, here: Path) -> None:
    """A NUL that is written as an escape is text like any other and comes back unchanged."""
    (here / "a.jsonl").write_text('{"text": "nul\\u0000 inside"}\n')
    ran = classify("-i", "a.jsonl")
    assert ran.records[0]["text"] == "nul\0 inside"
    assert ran.code == 0


STRANGE = [
    "Ada 🤖👩‍👩‍👧 was born",
    "cafe\u0301 e\u0301te\u0301 London",
    "巴黎是法国的首都",
    "ولدت في باريس Paris ثم 巴黎",
    "ﬁne ½ ＦＵＬＬ İstanbul",
    "Ada\u00a0Lovelace\t巴黎\u2028London",
]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
def test_offsets_count_characters_in_every_script(
    run: Run, tiny_checkpoint: Any, here: Path, model_type: str
) -> None:
    """An entity is what stands at its offsets, with emoji, combining and wide characters about."""
    (here / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in STRANGE))
    model = tiny_checkpoint(model_type, Head.TOKEN)
    ran = run("ner", "-m", model, "-i", "a.jsonl", "--aggregate", "none")
    assert ran.code == 0
    found = [(r["text"], e) for r in ran.records for e in r["entities"]]
    assert found
    for text, entity in found:
        assert text[entity["start"] : entity["end"]] == entity["text"]
        assert entity["text"]


def test_answers_stand_where_they_say(run: Run, tiny_checkpoint: Any) -> None:
    """The offsets and the line of an answer lead to it, in mixed scripts too."""
    context = "\n".join(STRANGE)
    model = tiny_checkpoint("bert", Head.QA)
    options = ("-k", 5, "--no-answer-threshold", 1)
    (record,) = run("qa", "Who?", "--context", context, "-m", model, *options).records
    assert len(record["answers"]) == 5
    for answer in record["answers"]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert context.count("\n", 0, answer["start"]) + 1 == answer["line"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-f", "xml"], "'xml' is not one of 'table', 'jsonl'"),
        (["--long", "never"], "'never' is not one of 'window'"),
        (["--precision", "fp8"], "'fp8' is not one of"),
        (["--device", "tpu"], "--device tpu: expected auto, cpu, cuda or mps"),
        (["--batch-tokens", "0"], "--batch-tokens"),
        (["-k", "many"], "--top-k"),
        (["--colour"], "No such option: --colour"),
        (["-5 degrees"], 'comes last, after --: -- "-5 degrees"'),
        (["-o", "answers.docx"], "cannot tell the format of answers.docx"),
        (["-i", "-", "-i", "-"], "-i - was given twice"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    classify: Run, here: Path, arguments: list[str], part: str
) -> None:
    """What an option does not take is exit code 2 and one line that says what it takes."""
    ran = classify("text", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.said(part)
    assert "Value error" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["classify", "text", "--labels", "one"], "at least two"),
        (["classify", "text", "--labels", "two,one,one"], "the label one was given twice"),
        (["classify", "text", "--labels-file", "wide.txt"], "wide.txt: is UTF-16, expected UTF-8"),
        (["classify", "text", "--labels", " , "], "no label was given"),
        (["classify", "text", "--labels", "a,b", "--template", "about"], "expected {}"),
        (["classify", "text", "--labels-file", "none.txt"], "none.txt: cannot be read"),
        (["fill-mask", "no mask", "-m", "MASKED_LM"], "no [MASK] in the text"),
        (["fill-mask", "a [MASK]", "-m", "MASKED_LM", "--targets", ","], "names no word"),
        (["qa", "--context", "text", "-m", "QA"], "no question was asked"),
        (["qa", " ", "--context", "text", "-m", "QA"], "no question was asked"),
        (["qa", "Who?", " ", "--context", "text", "-m", "QA"], "one of the questions is empty"),
        (["qa", "Who?", "-i", "a.txt", "--per-line", "--whole-file", "-m", "QA"], "two things"),
        (["embed", "text", "--prompt", "word " * 300], "--prompt takes more than half"),
        (["index", "build", "x", "-i", "a.txt", "--chunk-tokens", "9999"], "--chunk-tokens 9999"),
        (["index", "build", "x", "-i", "a.txt", "--overlap", "300"], "--overlap 300"),
        (["classify", "a cat", "--template", "about {}"], "--template"),
        (["classify", "a cat", "-m", "sentiment", "--revision", "main"], "--revision"),
        (["search", "text"], "--index"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_a_senseless_command_line_is_a_usage_error(
    run: Run, here: Path, tiny_checkpoint: Any, arguments: list[str], part: str
) -> None:
    """What cannot be meant is refused before anything is read, with what to say instead."""
    heads = {"MASKED_LM": Head.MASKED_LM, "QA": Head.QA}
    (here / "a.txt").write_text("text\n")
    (here / "wide.txt").write_text("one\ntwo\n", encoding="utf-16")
    line = [tiny_checkpoint("bert", heads[one]) if one in heads else one for one in arguments]
    ran = run(*line)
    assert (ran.code, ran.out) == (2, "")
    assert ran.said(part)
    assert not (here / "x").exists()


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _truncated(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _not_finite(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = np.full_like(weights["classifier.bias"], np.nan)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (_without("config.json"), "no config.json"),
        (_without("model.safetensors"), "no model.safetensors"),
        (_without("tokenizer.json"), "no tokenizer.json"),
        (_truncated, "truncated"),
        (lambda folder: change_config(folder, hidden_size=64), "config.json implies"),
        (lambda folder: change_config(folder, vocab_size=50), "config.json implies"),
        (lambda folder: change_config(folder, num_hidden_layers=3), "the weights lack"),
        (lambda folder: (folder / "config.json").write_text("{"), "not readable JSON"),
        (_pickled, "--allow-pickle"),
        (
            lambda folder: change_config(folder, model_type="own", auto_map={"AutoModel": "m.M"}),
            "which bertcli never runs",
        ),
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_refused(
    run: Run, classifier: Path, own_copy: Any, damage: Any, part: str
) -> None:
    """What is wrong with a checkpoint is said in one line, and no answer is made up."""
    folder = own_copy(classifier)
    damage(folder)
    ran = run("classify", "text", "-m", folder)
    assert (ran.code, ran.out) == (1, "")
    assert ran.said(str(folder), part)


def test_weights_that_give_no_numbers_give_no_answers(
    run: Run, classifier: Path, own_copy: Any
) -> None:
    """A NaN from the model is an error of the record, never a score."""
    folder = own_copy(classifier)
    _not_finite(folder)
    ran = run("classify", "text", "-m", folder)
    assert ran.code == 3
    assert "no finite numbers" in ran.records[0]["error"]


def test_a_checkpoint_of_another_task_is_refused(run: Run, tiny_checkpoint: Any) -> None:
    """A head for one task is not bent to another; the message says which task it is for."""
    ran = run("ner", "text", "-m", tiny_checkpoint("bert", Head.QA))
    assert ran.code == 1
    assert ran.said("made for qa", "not for ner")


def test_a_hub_name_without_network_says_how_to_fetch_it(run: Run) -> None:
    """Offline, a name that is not in the cache is answered with the command that gets it."""
    ran = run("embed", "text", "-m", "some/model", "--offline")
    assert ran.code == 1
    assert ran.said("some/model", "network is off", "bertcli models pull some/model")


def test_only_debug_shows_a_traceback(run: Run) -> None:
    """A failure is one line; with --debug the traceback comes before it."""
    assert "Traceback" not in run("embed", "x", "-i", "none.txt").err
    shown = run("embed", "x", "-i", "none.txt", "--debug").err
    assert shown.startswith("Traceback")
    assert shown.splitlines()[-1].startswith("bertcli: none.txt: no such file")


def test_a_defect_is_one_line_too(classify: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is still one line and exit code 1, and asks to be reported."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("bertcli.tasks.run.answers", broken)
    ran = classify("text")
    assert ran.code == 1
    assert ran.said("unexpected ZeroDivisionError: by zero", "--debug", "report")


def test_an_output_folder_that_may_not_be_written_is_named(run: Run, open_folder: Path) -> None:
    """Without permission nothing is written, and the message says to go elsewhere."""
    (open_folder / "locked").mkdir(mode=0o555)
    with without_privileges():
        ran = run("embed", "text", "-o", open_folder / "locked" / "answers.jsonl")
    assert ran.code == 1
    assert ran.said("no permission to write there", "choose another place")


def test_an_output_folder_that_does_not_exist_is_named(classify: Run, here: Path) -> None:
    """A missing folder is not made silently: it may be a slip of the pen."""
    ran = classify("text", "-o", "none/answers.jsonl")
    assert ran.code == 1
    assert ran.said("none does not exist", "mkdir -p")


def test_a_failed_run_leaves_the_older_file(classify: Run, here: Path) -> None:
    """-o replaces a file only with a complete one; nothing half-written stays about."""
    (here / "a.txt").write_bytes(b"one\n\xff\n\xff\n")
    (here / "answers.jsonl").write_text("old\n")
    ran = classify("-i", "a.txt", "-o", "answers.jsonl", "--max-errors", 1)
    assert ran.code == 1
    assert (here / "answers.jsonl").read_text() == "old\n"
    assert sorted(path.name for path in here.iterdir()) == ["a.txt", "answers.jsonl"]
