"""Training classifiers, taggers and answer finders, from the command to what it leaves on disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bertcli.checkpoints.layout import read_checkpoint, with_adapter
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer, window_of
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.cli.app import main
from bertcli.cli.train.run import held_out, usual_epochs
from bertcli.engine.choices import Engine
from bertcli.engine.families import Head
from bertcli.engine.windows import Window
from bertcli.errors import CheckpointError
from bertcli.records import AnsweredQuestion, LabelledText
from bertcli.train.loop import Settings, train
from bertcli.train.lora import add_lora
from bertcli.train.trainee import Trainee
from tiny import change_config, make_checkpoint

HEADS = {"classify": Head.SEQUENCE, "ner": Head.TOKEN, "qa": Head.QA}
WINDOW = Window(np.array([2, 10, 11, 12, 3]), np.zeros(5, np.int64), 0, 3, 1)
ADAPTER = "adapter_model.safetensors"

CLASSIFIED = [
    {"text": f"the {thing} {verb} on the {where}", "label": label}
    for label, things in (("animal", ("cat", "dog")), ("food", ("bread", "water")))
    for thing in things
    for verb in ("sat", "slept")
    for where in ("mat", "house", "train")
]
TAGGED = [
    {"tokens": [name, "was", "born", "in", city], "tags": ["B-PER", "O", "O", "O", "B-LOC"]}
    for name in ("Ada", "Alan", "Turing")
    for city in ("Paris", "London", "Berlin", "Geneva")
]
ASKED = [
    {
        "question": f"who {verb} it",
        "context": f"the {thing} {verb} on the mat",
        "answers": {"text": [thing], "answer_start": [4]},
        "title": verb,
    }
    for thing in ("cat", "dog", "train", "engine", "station")
    for verb in ("sat", "slept")
]
DATA: Mapping[str, list[dict[str, Any]]] = {"classify": CLASSIFIED, "ner": TAGGED, "qa": ASKED}


@dataclass(frozen=True)
class Ran:
    """What became of a command: its exit code, and its lines on stderr."""

    code: int
    err: str

    @property
    def measurements(self) -> int:
        """How often the model was measured."""
        return sum(line.startswith("held out") for line in self.err.splitlines())


Train = Callable[..., Ran]


def written(rows: list[Any], path: Path) -> Path:
    """Write rows as JSON lines and return the file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def base(tiny_checkpoint: Any) -> Path:
    """A tiny checkpoint without a head."""
    return Path(tiny_checkpoint("bert", Head.BASE))


@pytest.fixture
def run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Train:
    """Return a function that trains a task on rows, by default its own, into a folder."""
    monkeypatch.chdir(tmp_path)

    def trained(task: str, *more: object, rows: Any = None, output: str = "out") -> Ran:
        data = written(DATA[task] if rows is None else rows, tmp_path / "train.jsonl")
        capsys.readouterr()
        command = ["train", task, data, "-o", output, "-m", base]
        small = () if "head" in more else ("--batch-tokens", 64)
        rank = () if {"head", "full", "--rank"} & {*map(str, more)} else ("--rank", 4)
        code = main([str(one) for one in (*command, *small, *rank, *more)])
        return Ran(code, capsys.readouterr().err)

    return trained


def weights(folder: str = "out") -> dict[str, torch.Tensor]:
    """Return the weights that a run wrote."""
    return load_file(Path(folder) / ADAPTER)


# --- what is written -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lora", "full", "merge"])
@pytest.mark.parametrize("task", HEADS)
def test_the_result_answers_alike_everywhere(task: str, how: str, run: Train, base: Path) -> None:
    """ONNX Runtime, torch and plain transformers or PEFT compute the same logits from it."""
    more = ("--merge",) if how == "merge" else ("--method", how)
    rate = ("--learning-rate", 1e-3 if how == "full" else 1e-2)
    ran = run(task, "--epochs", 1, "--evaluations", 1, *rate, *more)
    assert ran.code == 0, ran.err
    assert list(Path("out").glob(".*")) == []
    assert (Path("out") / ADAPTER).exists() == (how == "lora")
    head, checkpoint = HEADS[task], resolve(ModelChoice("out"))
    (onnx,) = load_encoder(checkpoint, head).encode([WINDOW])
    (ours,) = load_encoder(checkpoint, head, LoadOptions(engine=Engine.TORCH)).encode([WINDOW])
    logits = in_transformers(head, as_the_card_says())
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(onnx, logits, atol=2e-4)
    np.testing.assert_allclose(ours, logits, atol=2e-4)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet"])
def test_the_word_embeddings_are_trained_too(kind: str, run: Train, tiny_checkpoint: Any) -> None:
    """At a rank of their own; both engines and plain PEFT compute the same logits.

    What is trained on from such a checkpoint keeps that rank.
    """
    base = tiny_checkpoint(kind, Head.BASE)
    more = ("--epochs", 1, "--evaluations", 1, "--learning-rate", 1e-2, "--embedding-rank", 3)
    assert run("classify", "-m", base, *more).code == 0
    factors = {name: one for name, one in weights().items() if "lora_embedding_A" in name}
    assert [len(one) for one in factors.values()] == [3]
    assert all(one.any() for one in factors.values())
    logits = in_transformers(Head.SEQUENCE, as_the_card_says())
    for options in (LoadOptions(), LoadOptions(brief=True), LoadOptions(engine=Engine.TORCH)):
        encoder = load_encoder(resolve(ModelChoice("out")), Head.SEQUENCE, options)
        np.testing.assert_allclose(next(encoder.encode([WINDOW])), logits, atol=2e-4)
    card = "LoRA of rank 4, of rank 3 on the word embeddings,"
    assert card in Path("out/README.md").read_text()
    assert run("classify", "-m", "out", "--epochs", 1, output="further").code == 0
    assert card in Path("further/README.md").read_text()
    names = {name for name in weights("further") if "lora_embedding_A" in name}
    assert names == set(factors)


def test_changed_word_embeddings_are_not_trained_to_fill_masks(
    run: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    """An adapter that changes them would leave the output matrix behind, or take it along."""
    assert run("classify", "--epochs", 1, "--embedding-rank", 2).code == 0
    Path("texts.txt").write_text("the cat sat on the mat\n" * 100)
    command = ["train", "fill-mask", "texts.txt", "-o", "filler", "-m", "out"]
    assert main([*command, "--steps", "1", "--block", "16"]) == 1
    assert "out: the adapter changes the embeddings" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["classify", "ner", "qa", "embed", "fill-mask"])
def test_stdin_is_read_once(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named for both, the second would be empty."""
    assert main(["train", task, "-", "--valid", "-", "-o", "out"]) == 2
    assert "stdin can be read only once" in capsys.readouterr().err


def test_an_adapter_keeps_its_ranks(run: Train) -> None:
    """Another is refused: it would be a promise that is not kept; so is one of all weights."""
    ran = run("classify", "--method", "full", "--rank", 4)
    assert (ran.code, "--rank is for --method lora" in ran.err) == (2, True)
    assert run("classify", "--epochs", 1, "--embedding-rank", 2).code == 0
    for option, own in (("--rank", 4), ("--embedding-rank", 2)):
        ran = run("classify", "-m", "out", "--epochs", 1, option, 8, output="further")
        assert ran.code == 2, ran.err
        assert f"{option} 8: out is an adapter" in ran.err
        assert f"of rank {own} there" in ran.err
        assert not Path("further").exists()


@pytest.mark.parametrize("has", [False, True])
def test_anothers_adapter_gets_word_embeddings(has: bool, base: Path, tmp_path: Path) -> None:
    """One of PEFT names its layers in a list; its own changes stay, that of a table too."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    more = ["word_embeddings"] if has else []
    config = LoraConfig(r=2, target_modules=["query", *more], init_lora_weights=False)
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(base), config)
    model.save_pretrained(tmp_path / "theirs")
    theirs = weights(str(tmp_path / "theirs"))
    adapter = with_adapter(read_checkpoint(base), tmp_path / "theirs")
    trainee = Trainee(adapter, Head.SEQUENCE, 4, ("no", "yes"), embedding_rank=3)
    ours = dict(trainee.peft.named_parameters()) if trainee.peft else {}
    for name, tensor in theirs.items():
        layer, dot, end = name.partition(".weight")
        assert torch.equal(ours[f"{layer}.default{dot}{end}"], tensor)
    tables = [len(one) for name, one in ours.items() if "lora_embedding_A" in name]
    assert tables == [2 if has else 3]


def classifier_of(trainee: Trainee) -> list[list[float]]:
    """Return the weights of the last layer, a row for each label."""
    linear = [
        module
        for name, module in trainee.plain.named_modules()
        if "classifier" in name.split(".") and "original_module" not in name
        if isinstance(module, nn.Linear)
    ]
    return list(linear[-1].weight.tolist())


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_a_head_is_carried_over_by_names(kind: str, rank: int | None, tmp_path: Path) -> None:
    """Whatever their order; what it has of other labels, or to tag tokens, is none of theirs."""
    made = make_checkpoint(tmp_path / "m", kind, Head.SEQUENCE, labels=["b", "a", "c"])

    def rows(*labels: str, head: Head = Head.SEQUENCE) -> list[list[float]]:
        return classifier_of(Trainee(read_checkpoint(made), head, rank, labels))

    b, a, c = rows("b", "a", "c")
    assert rows("a", "b", "c") == [a, b, c]
    assert rows("a", "b", "d")[:2] == [a, b]
    assert c not in rows("a", "b", "d")
    if kind != "roberta":  # whose head is another one
        fresh = rows("b", "a", "c", head=Head.TOKEN)
        assert not any(one in fresh for one in (a, b, c))


def test_an_adapters_head_is_carried_over_by_names() -> None:
    """That of the built-in one: its labels turned round are the same labels."""
    sentiment = resolve(ModelChoice("sentiment"))

    def rows(*labels: str) -> list[list[float]]:
        return classifier_of(Trainee(sentiment, Head.SEQUENCE, 8, labels))

    negative, positive = rows("negative", "positive")
    assert rows("positive", "negative") == [positive, negative]
    assert not any(one in (negative, positive) for one in rows("good", "bad"))


@pytest.mark.parametrize("own", [None, "7"])
def test_few_kernels_are_kept(own: str | None, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of all shapes would fill the memory with them; a number that the user set stays."""
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, own or "")
    if own is None:
        monkeypatch.delenv(name)
    Trainee(read_checkpoint(base), Head.SEQUENCE, 4, ("no", "yes"))
    assert os.environ[name] == (own or "32")


def test_a_tagger_keeps_its_window(run: Train) -> None:
    """It reads as many tokens at once as it has learnt to, in plain transformers too."""
    from transformers import AutoTokenizer

    ran = run("ner", "--epochs", 1, "--window", 20)
    assert ran.code == 0, ran.err
    checkpoint = resolve(ModelChoice("out"))
    assert window_of(checkpoint, load_tokenizer(checkpoint)) == 20
    assert AutoTokenizer.from_pretrained("out").model_max_length == 20
    card = Path("out/README.md").read_text()
    assert "windows of 20 tokens" in card
    ran = run("ner", "-m", "out", "--window", 21, output="further")
    assert (ran.code, "--window 21: out reads 20 tokens at once" in ran.err) == (2, True)


def test_a_window_needs_no_settings_of_the_base(run: Train, base: Path, tmp_path: Path) -> None:
    """Where they are no JSON object, as bertcli reads them, the tagger's own say it alone."""
    shutil.copytree(base, tmp_path / "odd")
    (tmp_path / "odd/tokenizer_config.json").write_text("[]")
    ran = run("ner", "-m", "odd", "--epochs", 1, "--window", 20)
    assert ran.code == 0, ran.err
    settings = json.loads(Path("out/tokenizer_config.json").read_text())
    assert settings == {"model_max_length": 20}


def test_word_embeddings_are_not_always_lora(run: Train) -> None:
    """Full fine-tuning has them anyway, and to fill masks they are the output too."""
    ran = run("classify", "--method", "full", "--embedding-rank", 2)
    assert (ran.code, "--embedding-rank is for --method lora" in ran.err) == (2, True)
    assert main(["train", "fill-mask", "none.txt", "-o", "out", "--embedding-rank", "2"]) == 2


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", ["albert", "modernbert", "mpnet"])
def test_lora_is_for_other_architectures_too(
    task: str, kind: str, run: Train, tiny_checkpoint: Any
) -> None:
    """Whatever their layers are called; every one changes, and PEFT computes the same logits."""
    other = tiny_checkpoint(kind, Head.BASE)
    ran = run(task, "-m", other, "--epochs", 1, "--evaluations", 1, "--learning-rate", 1e-2)
    assert ran.code == 0, ran.err
    layers = [one for name, one in weights().items() if "lora_B" in name]
    assert len(layers) >= 6
    assert all(one.any() for one in layers)
    head, checkpoint = HEADS[task], resolve(ModelChoice("out"))
    (ours,) = load_encoder(checkpoint, head).encode([WINDOW])
    np.testing.assert_allclose(ours, in_transformers(head, as_the_card_says()), atol=2e-4)


def test_lora_says_where_it_knows_no_layer() -> None:
    """In one line, with what trains such a model."""
    with pytest.raises(CheckpointError, match=r"no layer of Sequential.*--method full"):
        add_lora(nn.Sequential(nn.Linear(2, 2)), 1, ())


def as_the_card_says(folder: str = "out") -> Any:
    """Return the model that the code in a checkpoint's card makes."""
    code = Path(folder, "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(code, found)
    return found["model"].eval()


def in_transformers(head: Head, model: Any) -> np.ndarray:
    """Return the logits of plain transformers, and of PEFT where there is an adapter."""
    with torch.inference_mode():
        found = model(input_ids=torch.from_numpy(WINDOW.ids[None]))
    if head is Head.QA:
        return torch.stack([found.start_logits, found.end_logits], dim=-1)[0].numpy()
    return found.logits[0].numpy()


@pytest.mark.parametrize(
    ("task", "score"), [("classify", "accuracy"), ("ner", "f1"), ("qa", "always_f1")]
)
def test_training_learns_what_the_command_measures(
    task: str, score: str, run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What can be learned is: on the training data, `eval` of the result tells a full score."""
    data = written(DATA[task], tmp_path / "train.jsonl")
    ran = run(task, "--epochs", 10, "--method", "full", "--learning-rate", 3e-3, "--valid", data)
    assert ran.code == 0, ran.err
    assert main(["eval", task, str(data), "-m", "out"]) == 0
    assert json.loads(capsys.readouterr().out)[score] > 0.95


def test_the_threshold_of_an_answer_finder_is_kept(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best one of the held-out data counts where they have questions without an answer.

    One that is given wins; training on from the checkpoint does not take it over.
    """
    none = [one | {"answers": {"text": [], "answer_start": []}} for one in ASKED[:2]]
    valid = written([*ASKED, *none], tmp_path / "valid.jsonl")
    assert run("qa", "--epochs", 1, "--method", "full", "--valid", valid).code == 0
    config = Path("out/config.json")
    kept = json.loads(config.read_text())["no_answer_threshold"]
    assert "`no_answer_threshold`" in Path("out/README.md").read_text()
    found = []
    for more in ((), ("--no-answer-threshold", 0.25)):
        assert main(["eval", "qa", str(valid), "-m", "out", *map(str, more)]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["threshold"] for one in found] == [pytest.approx(kept, abs=1e-4), 0.25]
    assert found[0]["f1"] == pytest.approx(found[0]["best_f1"], abs=1e-3)
    for threshold, answered in ((0, False), (1, True)):
        change_config(Path("out"), no_answer_threshold=threshold)
        assert main(["qa", "who sat?", "--context", "the cat sat", "-m", "out"]) == 0
        assert bool(json.loads(capsys.readouterr().out)["answer"]) is answered
    change_config(Path("out"), no_answer_threshold="high")
    assert main(["qa", "who sat?", "--context", "the cat sat", "-m", "out"]) == 1
    assert "no_answer_threshold in config.json" in capsys.readouterr().err
    assert run("qa", "--epochs", 1, "--method", "full", "-m", "out", output="on").code == 0
    assert "no_answer_threshold" not in json.loads(Path("on/config.json").read_text())
    assert "threshold" not in Path("on/README.md").read_text()


def test_training_in_bfloat16(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor multiplies it quickly: weights stay in float32, and are not fp32's."""
    results = []
    for quick in (False, True):
        monkeypatch.setattr("bertcli.train.trainee._bf16_is_fast", lambda quick=quick: quick)
        assert run("classify", "--epochs", 1, "--method", "full", output=f"{quick}").code == 0
        results.append(load_file(f"{quick}/model.safetensors")["classifier.weight"])
    assert results[1].dtype == torch.float32
    assert not torch.equal(*results)
    torch.testing.assert_close(*results, atol=0.01, rtol=0.1)


def test_answers_are_learned_on_a_base_with_labels(run: Train, tiny_checkpoint: Any) -> None:
    """How many labels it told apart is of no matter, and is not said of the result."""
    tagger = tiny_checkpoint("bert", Head.TOKEN, labels=tuple("ABCDE"))
    for method in (("--method", "full"), ()):
        ran = run("qa", *method, "--epochs", 1, "-m", tagger, output="".join(["out", *method[1:]]))
        assert ran.code == 0, ran.err
    for folder in ("out", "outfull"):
        assert "id2label" not in json.loads(Path(folder, "config.json").read_text())
        assert main(["qa", "Who?", "--context", "the cat sat", "-m", folder]) == 0
    assert as_the_card_says("outfull").config.num_labels == 2


def test_an_adapter_that_moved_with_its_base_is_trained_on(run: Train, base: Path) -> None:
    """Where it says by a relative path what its base is, the result says it by the full one."""
    Path("project").mkdir()
    shutil.copytree(base, "project/base")
    assert run("classify", "--epochs", 1, "-m", "project/base", output="project/one").code == 0
    settings = Path("project/one/adapter_config.json")
    said = settings.read_text().replace(
        json.dumps(str(Path("project/base").resolve())), '"../base"'
    )
    settings.write_text(said)
    assert '"../base"' in said
    assert run("classify", "--epochs", 1, "-m", "project/one", output="deep/er/two").code == 0
    assert main(["classify", "a cat", "-m", "deep/er/two"]) == 0


def test_labels_and_the_card_are_written(run: Train) -> None:
    """The checkpoint names its labels in order and says what it was trained on and measured."""
    assert run("classify", "--epochs", 1).code == 0
    config = json.loads(Path("out/config.json").read_text())
    assert config["id2label"] == {"0": "animal", "1": "food"}
    assert config["problem_type"] == "single_label_classification"
    card = Path("out/README.md").read_text()
    assert "Labels: animal, food." in card
    assert "| accuracy |" in card
    assert "model-index" in card
    assert "minutes" not in card and "weighed" not in card
    assert run("ner", "--epochs", 1, output="tagger").code == 0
    tags = json.loads(Path("tagger/config.json").read_text())["id2label"]
    assert list(tags.values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_the_card_names_a_base_that_others_have(run: Train, base: Path) -> None:
    """Of an adapter and of a head the base below; of a folder of one's own none, nor its path."""

    def of(folder: str) -> tuple[bool, str]:
        card = Path(folder, "README.md").read_text()
        return "base_model:" in card, card

    assert run("classify", "--epochs", 1, output="one").code == 0
    has, card = of("one")
    assert not has and f"text-classification on {base}" in card
    hub = "sentence-transformers/all-MiniLM-L6-v2"
    few = ("--epochs", 0.1, "--evaluations", 1)
    for number, (model, rank) in enumerate((("all-MiniLM-L6-v2", 128), ("sentiment", 125))):
        assert run("classify", *few, "-m", model, "--rank", rank, output=f"{number}").code == 0
        assert f'base_model: "{hub}"' in of(f"{number}")[1]
    assert run("classify", "--method", "head", "-m", "fill-mask", output="head").code == 0
    settings = json.loads(Path("head/head_config.json").read_text())
    assert settings["base_model_name_or_path"] == "fill-mask"
    assert f'base_model: "{hub}"' in of("head")[1]
    assert run("classify", *few, "-m", "head", "--rank", 128, output="on-head").code == 0
    adapter = json.loads(Path("on-head/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == hub
    told = run("ner", "--epochs", 1, output="tagger")
    assert told.code == 0 and "give the same `token_type_ids`" in of("tagger")[1]


def test_the_card_tells_every_choice(run: Train) -> None:
    """What was asked for beside the defaults stands in the recipe."""
    more = ("--epochs", 1, "--balance", "--minutes", 5, "--patience", 3)
    assert run("classify", *more, output="one").code == 0
    card = Path("one/README.md").read_text()
    for said in ("5 minutes at most", "3 measurements without a gain", "rare labels weighed up"):
        assert said in card
    assert run("ner", "--epochs", 1, "--map", "LOC=place", output="two").code == 0
    assert "labels renamed LOC=place" in Path("two/README.md").read_text()
    assert run("classify", "--method", "head", "--balance", output="three").code == 0
    assert "rare labels weighed up" in Path("three/README.md").read_text()


def test_questions_stand_in_columns_of_any_name(run: Train, tmp_path: Path) -> None:
    """Of a CSV too, with the answer's text alone."""
    lines = [f"{r['question']},{r['context']},{r['answers']['text'][0]}" for r in ASKED]
    path = tmp_path / "asked.csv"
    path.write_text("\n".join(["q,passage,reply", *lines]) + "\n")
    names = ("--question-field", "q", "--context-field", "passage", "--answers-field", "reply")
    ran = run("qa", path, "--epochs", 1, *names, rows=[{"q": "who?", "passage": "a", "reply": ""}])
    assert ran.code == 0, ran.err
    assert "10 questions, 1 of them without an answer, 1 held out" in ran.err


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_share_is_held_out_of_texts_with_several_labels(share: float) -> None:
    """Also where no two texts have the same set; every label stays in the training data."""
    sets = [*combinations("abcdefgh", 2), *combinations("abcdefgh", 3)]
    rows = [LabelledText(f"text {n}", its) for n, its in enumerate([*sets, ("rare",)])]
    for seed in range(20):
        kept, out = held_out(rows, None, share, lambda one: one.labels, seed)
        assert abs(len(out) - share * len(rows)) < 4
        assert {label for one in kept for label in one.labels} == {*"abcdefgh", "rare"}
        counts = Counter(label for one in out for label in one.labels)
        assert all(abs(counts[label] - share * 28) < 5 for label in "abcdefgh")


def test_each_label_has_its_share_held_out() -> None:
    """Of one label a text, as near as whole texts allow."""
    rows = [LabelledText(f"text {n}", ("often" if n % 10 else "seldom",)) for n in range(200)]
    _, out = held_out(rows, None, 0.1, lambda one: one.labels, 0)
    assert Counter(one.labels[0] for one in out) == {"often": 18, "seldom": 2}


@pytest.mark.parametrize("titles", [("",), ("cats", "dogs", "birds", "")])
def test_what_is_held_out_shares_no_article_with_the_rest(titles: tuple[str, ...]) -> None:
    """Nor a context, where articles have no titles: their questions give each other away."""
    rows = [
        AnsweredQuestion(f"what {n}", f"context {n // 4}", (), titles[n // 4 % len(titles)])
        for n in range(40)
    ]

    def key(one: AnsweredQuestion) -> list[str]:
        return [one.group or one.context] if len(titles) > 1 else [one.context]

    for seed in range(5):
        kept, out = held_out(rows, None, 0.1, key, seed, whole=True)
        assert not {*map(str, map(key, kept))} & {*map(str, map(key, out))}
        assert len(kept) + len(out) == 40
        assert 1 <= len(out) <= 8


def test_a_tagger_is_told_which_words_have_capitals(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an uncased model cannot read it learns all the same, and both engines know it."""
    pairs = [("Cat", "sat"), ("cat", "Sat"), ("Dog", "slept"), ("dog", "Slept")]
    rows = [
        {
            "tokens": ["the", *words],
            "tags": ["O", *("B-A" if w[0].isupper() else "O" for w in words)],
        }
        for words in pairs * 6
    ]
    data = written(rows, tmp_path / "valid.jsonl")
    more = ("--method", "full", "--epochs", 40, "--learning-rate", 3e-3, "--valid", data)
    assert run("ner", *more, "--no-capitals", rows=rows, output="blind").code == 0
    assert run("ner", *more, rows=rows).code == 0
    assert json.loads(Path("out/config.json").read_text())["token_types"] == "capitals"
    # Half of the texts are the same but for capitals: without them no F1 above two thirds is had.
    for model, precision, least, most in (
        ("blind", "fp32", 0, 0.67),
        ("out", "fp32", 0.8, 1),
        ("out", "bf16", 0.8, 1),
    ):
        capsys.readouterr()
        assert main(["eval", "ner", str(data), "-m", model, "--precision", precision]) == 0
        assert least <= json.loads(capsys.readouterr().out)["f1"] <= most


def test_an_adapter_brings_the_embedding_of_capitals(run: Train) -> None:
    """LoRA changes matrices only; the two token types are trained in full and written with it."""
    assert run("ner", "--epochs", 1).code == 0
    (table,) = (one for name, one in weights().items() if "token_type_embeddings" in name)
    assert not torch.equal(table[0], table[1])


def test_what_was_true_of_the_base_is_not_of_the_result(run: Train, tmp_path: Path) -> None:
    """Pairs, thresholds and capitals are of one training; the embedding of capitals stays."""
    assert run("ner", "--epochs", 1, output="told").code == 0
    assert run("ner", "--epochs", 1, "-m", "told", "--no-capitals", output="blind").code == 0
    assert "token_types" not in json.loads(Path("blind/config.json").read_text())
    kept = [name for name in weights("blind") if "token_type_embeddings" in name]
    assert len(kept) == 1
    more = ("--epochs", 1, "--pair-field", "other")
    assert run("classify", *more, rows=PAIRED, output="pairs").code == 0
    change_config(Path("pairs"), thresholds={"same": 0.9})
    assert run("classify", "--epochs", 1, "-m", "pairs").code == 0
    config = json.loads(Path("out/config.json").read_text())
    assert (config["text_pairs"], "thresholds" in config) == (False, False)


def test_entities_that_end_within_a_word_are_told(run: Train) -> None:
    """Tags are of words: what is learnt is not what was marked; labels spelt twice are told too."""
    rows = [{"text": "the cat sat", "entities": [{"start": 4, "end": 7, "label": "PET"}]}] * 20
    fine = run("ner", "--epochs", 1, rows=rows, output="fine")
    assert fine.code == 0 and "within a word" not in fine.err and "capitals alone" not in fine.err
    cut = {"text": "the cat sat", "entities": [{"start": 4, "end": 6, "label": "pet"}]}
    ran = run("ner", "--epochs", 1, rows=[*rows, *[cut] * 4], output="cut")
    assert ran.code == 0
    assert "'ca' (pet) begins or ends within a word: 4 entities are learnt" in ran.err
    assert '"PET", "pet" differ by their capitals alone' in ran.err


def test_capitals_need_token_types(run: Train, tiny_checkpoint: Any) -> None:
    """DistilBERT has none: asked for all the same, that is said; not asked for, it is left out."""
    ran = run("ner", "--capitals", "-m", tiny_checkpoint("distilbert", Head.BASE))
    assert ran.code == 2
    assert "no token types" in ran.err
    assert run("ner", "--epochs", 1, "-m", tiny_checkpoint("distilbert", Head.BASE)).code == 0
    assert "token_types" not in json.loads(Path("out/config.json").read_text())


def test_labels_are_renamed_before_training(run: Train) -> None:
    """`--map OLD=NEW` renames a tagger's label, `OLD=` leaves it out."""
    assert run("ner", "--epochs", 1, "--map", "PER=person", "--map", "LOC=").code == 0
    tags = json.loads(Path("out/config.json").read_text())["id2label"]
    assert list(tags.values()) == ["O", "B-person", "I-person"]


def test_several_labels_are_learned_each_by_itself(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text with two labels gets both, a text with none gets none."""
    labels = {"cat sat": "a;b", "dog sat": "b", "water": "a", "salt": ""}
    rows = [
        {"text": f"the {start} on the {end}", "label": label}
        for start, label in labels.items()
        for end in ("mat", "house", "train", "station")
    ]
    data = written(rows, tmp_path / "valid.jsonl")
    more = ("--label-sep", ";", "--valid", data, "--epochs", 15, "--learning-rate", 1e-2)
    ran = run("classify", *more, "--balance", rows=rows)
    assert ran.code == 0, ran.err
    assert "train.jsonl:1 has 2 labels, so that a text may get several" in ran.err
    assert "micro F1" in ran.err
    config = json.loads(Path("out/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    capsys.readouterr()
    assert main(["eval", "classify", str(data), "-m", "out", "--label-sep", ";"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


# --- pairs of texts --------------------------------------------------------------------------

PAIRED = [
    {"text": f"the {one}", "other": f"the {two}", "label": "same" if one == two else "different"}
    for one in ("cat", "dog", "water")
    for two in ("cat", "dog", "water", one, one)
] * 3


def test_pairs_are_learned_and_told_from_texts(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither text alone has the label; trained, measured and answered by two columns."""
    data = written(PAIRED, tmp_path / "pairs.jsonl")
    more = ("--pair-field", "other", "--valid", data, "--method", "full", "--learning-rate", 3e-3)
    ran = run("classify", "--epochs", 25, *more, rows=PAIRED)
    assert ran.code == 0, ran.err
    assert "45 pairs of texts" in ran.err
    capsys.readouterr()
    assert main(["eval", "classify", str(data), "-m", "out", "--pair-field", "other"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.95
    command = ["classify", "-m", "out", "-f", "text"]
    assert main([*command, "-i", str(data), "--pair-field", "other"]) == 0
    given = capsys.readouterr().out.split()
    assert np.mean([a == b["label"] for a, b in zip(given, PAIRED, strict=True)]) > 0.95
    assert main([*command, "the cat", "the dog", "--pair", "the cat"]) == 0
    assert capsys.readouterr().out.split() == ["same", "different"]
    for wrong in (["the cat"], ["-i", str(data)]):
        assert main([*command, *wrong]) == 2
        assert "was trained on pairs" in capsys.readouterr().err
    assert main(["eval", "classify", str(data), "-m", "out"]) == 2
    assert main(["threshold", "fit", str(data), "-m", "out", "--pair-field", "other"]) == 0


def test_pairs_are_refused_where_they_cannot_be_read(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A linear head, zero-shot labels, and texts among pairs."""
    ran = run("classify", "--pair-field", "other", "--method", "head", rows=PAIRED)
    assert (ran.code, "not pairs" in ran.err) == (2, True)
    mixed = [{"sentence1": "a", "sentence2": "b", "label": "x"}] * 9
    mixed.append({"text": "a", "label": "y"})
    ran = run("classify", rows=mixed)
    assert ran.code == 1
    assert "train.jsonl:10: one text, where" in ran.err
    assert run("classify", "--epochs", 1, output="single").code == 0
    for more in (["--labels", "x,y"], [], ["-m", "single"]):
        capsys.readouterr()
        assert main(["classify", "a", "--pair", "b", *more]) == 2
        assert "need a checkpoint that was trained on pairs" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["classify", "a", "--pair", "b", "--labels", "x,y"]) == 2
    assert "need a checkpoint that was trained on pairs" in capsys.readouterr().err
    assert main(["classify", "--pair", "b", "-i", "x.csv"]) == 2
    assert "--pair-field" in capsys.readouterr().err


# --- teachers --------------------------------------------------------------------------------


def test_a_pupil_learns_what_its_teacher_says(
    run: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    """The labels of its own data are wrong: it answers as the teacher, not as they say."""
    right = written(CLASSIFIED, Path("right.jsonl"))
    quick = ("--epochs", 12, "--learning-rate", 1e-2, "--valid", right)
    assert run("classify", *quick, output="teacher").code == 0
    wrong = {"animal": "food", "food": "animal"}
    liars = [row | {"label": wrong[str(row["label"])]} for row in CLASSIFIED]
    more = written([{"text": row["text"]} for row in CLASSIFIED], Path("more.jsonl"))
    Path("more_bad.jsonl").write_text(more.read_text() + "{broken\n")
    taught = ("--teacher", "teacher", "--unlabelled", more)
    damaged = ("--teacher", "teacher", "--unlabelled", "more_bad.jsonl", "--epochs", 1)
    assert run("classify", *damaged, rows=liars, output="of_bad").code == 3
    found = run("classify", *quick, *taught, rows=liars)
    assert found.code == 0, found.err
    assert f"{len(CLASSIFIED)} texts without labels" in found.err
    card = Path("out/README.md").read_text()
    assert "learning the probabilities of teacher" in card
    assert f"{len(CLASSIFIED)} without labels from more.jsonl" in card
    answers = {}
    for model in ("teacher", "out"):
        assert main(["classify", "-i", str(more), "-m", model]) == 0
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        answers[model] = [line["label"] for line in lines]
    assert answers["out"] == answers["teacher"]


def test_a_mean_of_teachers_is_learned(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are the mean of the teachers' probabilities, which sum to 1."""
    for seed, teacher in enumerate(("one", "two")):
        assert run("classify", "--epochs", 1, "--seed", seed, output=teacher).code == 0
    seen = []

    def stop(*given: Any) -> None:
        seen.append(given[1])
        raise KeyboardInterrupt

    monkeypatch.setattr("bertcli.cli.train.run.Training.on_examples", stop)
    for teachers in (("one",), ("two",), ("one", "two")):
        run("classify", *(part for name in teachers for part in ("--teacher", name)))
    one, two, both = (np.stack([example.target for example in examples]) for examples in seen)
    assert not np.allclose(one, two)
    np.testing.assert_allclose(both, (one + two) / 2, atol=1e-6)
    np.testing.assert_allclose(both.sum(axis=1), 1, atol=1e-6)


def test_labels_are_kept_beside_what_teachers_say(
    run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--teacher-share mixes both where there is a label; texts without one are the teacher's."""
    assert run("classify", "--epochs", 1, output="teacher").code == 0
    more = written([{"text": "a cow"}, {"text": "two plums"}], Path("more.jsonl"))
    seen = []

    def stop(*given: Any) -> None:
        seen.append(given[1])
        raise KeyboardInterrupt

    monkeypatch.setattr("bertcli.cli.train.run.Training.on_examples", stop)
    taught = ("--teacher", "teacher", "--unlabelled", more)
    run("classify")
    for share in (1, 0, 0.25):
        run("classify", *taught, "--teacher-share", share)
    numbers, said, kept, mixed = (np.stack([one.target for one in examples]) for examples in seen)
    labels = np.eye(2)[numbers]
    assert len(said) == len(kept) == len(mixed) == len(labels) + 2
    np.testing.assert_allclose(kept[:-2], labels)
    np.testing.assert_allclose(mixed[:-2], 0.25 * said[:-2] + 0.75 * labels, atol=1e-6)
    assert (kept[-2:] == said[-2:]).all() and (mixed[-2:] == said[-2:]).all()


def test_a_taught_run_goes_on_with_the_same_teachers_only(
    run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends like an unbroken one; another teacher is another run."""
    for seed, teacher in enumerate(("one", "two")):
        assert run("classify", "--epochs", 1, "--seed", seed, output=teacher).code == 0
    more = ("--teacher", "one", "--epochs", 3, "--evaluations", 1)
    assert run("classify", *more, output="whole").code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, "bertcli.train.examples.head_loss", 6)
        assert run("classify", *more).code == 130
    other = run("classify", "--teacher", "two", *more[2:], "--resume")
    assert (other.code, "other data or options" in other.err) == (2, True)
    assert run("classify", *more, "--resume").code == 0
    assert_same(weights(), weights("whole"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--unlabelled", "train.jsonl"), "texts without labels need a --teacher"),
        (("--teacher", "sentiment"), "its labels are negative, positive, those of the data animal"),
        (("--teacher", "sentiment", "--balance"), "which --teacher replaces"),
        (("--teacher", "sentiment", "--method", "head"), "a head learns from labels only"),
        (("--teacher", "nowhere/at-all", "--offline"), "nowhere/at-all"),
        (("--teacher-share", 0.5), "of what is learnt from a --teacher"),
        (("--teacher", "ner"), "--teacher ner: it is no classifier"),
    ],
)
def test_teachers_that_cannot_teach(more: tuple[str, ...], said: str, run: Train) -> None:
    """One line says why, before anything is trained."""
    found = run("classify", *more)
    assert found.code in (1, 2)
    assert said in found.err
    assert not Path("out/config.json").exists()


# --- a run that is interrupted ---------------------------------------------------------------


def interrupt(
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    after: int,
    end: BaseException | type[BaseException] = KeyboardInterrupt,
) -> None:
    """Let a function be interrupted when it is called for the time `after`, counted from 1."""
    module, name = target.rsplit(".", 1)
    found = getattr(__import__(module, fromlist=[name]), name)
    calls = count(1)

    def called(*arguments: Any, **more: Any) -> Any:
        if next(calls) == after:
            raise end
        return found(*arguments, **more)

    monkeypatch.setattr(target, called)


@pytest.mark.parametrize("dropout", [0, 0.2])
@pytest.mark.parametrize("task", HEADS)
def test_a_killed_run_ends_like_an_unbroken_one(
    task: str, dropout: float, run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of a step, a run goes on from its last measurement to the same end."""
    more = ("--epochs", 3, "--evaluations", 1, "--learning-rate", 1e-2, "--dropout", dropout)
    assert run(task, *more, output="whole").code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, "bertcli.train.examples.head_loss", 6)
        killed = run(task, *more)
    assert (killed.code, killed.err.splitlines()[-1]) == (130, "bertcli: interrupted")
    assert [path.name for path in Path("out").iterdir()] == [".training"]
    resumed = run(task, *more, "--resume")
    assert resumed.code == 0, resumed.err
    assert resumed.measurements < 3
    assert_same(weights(), weights("whole"))
    assert not Path("out/.training").exists()


def test_a_run_that_is_asked_to_end_says_how_it_goes_on(
    run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM comes as SystemExit; the line is that of Ctrl-C."""
    interrupt(monkeypatch, "bertcli.train.examples.head_loss", 4, SystemExit(143))
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("bertcli.cli.train.run.warn", said.append)
        run("classify", "--epochs", 3)
    assert said[-1] == "the same command with --resume goes on from the last saved state"


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Compare all weights, in half precision."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=2e-3, atol=1e-5, msg=name)


def test_a_seed_fixes_everything(run: Train) -> None:
    """The head's first weights, too: a second run is the same, one with another seed is not."""
    for output, seed in (("one", 1), ("two", 1), ("other", 2)):
        more = ("--epochs", 1, "--learning-rate", 1e-9, "--seed", seed)
        assert run("classify", *more, "--dropout", 0.1, output=output).code == 0
    assert_same(weights("one"), weights("two"))
    head = next(name for name in weights("one") if name.endswith("classifier.weight"))
    assert not torch.allclose(weights("one")[head], weights("other")[head])


def test_a_run_is_gone_on_with_only_when_asked(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished run is neither lost nor taken for this one; --resume needs one."""
    assert "no unfinished run to resume" in run("classify", "--resume").err
    with monkeypatch.context() as patch:
        interrupt(patch, "bertcli.cli.train.watch.note_scores", 1)
        assert run("classify").code == 130
    again = run("classify")
    assert again.code == 2
    assert "an unfinished run: --resume goes on" in again.err


def test_a_run_is_gone_on_with_as_it_was_begun(
    run: Train, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other data or options would end as neither run would have; it is told, and costs nothing."""
    with monkeypatch.context() as patch:
        interrupt(patch, "bertcli.cli.train.watch.note_scores", 1)
        assert run("classify").code == 130
    others = [
        run("classify", "--resume", "--learning-rate", 1e-2),
        run("classify", "--resume", "--balance"),
        run("classify", "--resume", rows=[one | {"text": "the"} for one in CLASSIFIED]),
        run("classify", "--resume", "--valid", written(CLASSIFIED[:4], Path("other.jsonl"))),
    ]
    for other in others:
        assert other.code == 2
        assert "the unfinished run had other data or options" in other.err
    written(CLASSIFIED, Path("train.jsonl"))
    line = ["train", "classify", "train.jsonl", "-o", "out", "-m", str(base), "--resume"]
    more = ["--batch-tokens", "64", "--rank", "4", "--minutes", "5", "--plot", "curve.svg"]
    assert main([*line, *more]) == 0  # its path was absolute before


@pytest.mark.parametrize("how", ["lora", "full"])
def test_an_interrupted_save_leaves_nothing_that_looks_finished(
    how: str, run: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed while files are written or moved, the folder is refused, and --resume finishes it."""
    more = ("--epochs", 1, "--method", how)
    moved = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name == "config.json":
            raise KeyboardInterrupt
        return moved(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        assert run("classify", *more).code == 130
    assert not Path("out/config.json").exists()
    assert main(["classify", "-m", "out", "the cat"]) != 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert run("classify", *more, "--resume").code == 0
    assert "# text-classification on" in Path("out/README.md").read_text()
    assert ", 0 steps" not in Path("out/README.md").read_text()
    assert main(["classify", "-m", "out", "the cat"]) == 0


def test_a_finished_checkpoint_is_never_trained_over(run: Train) -> None:
    """Neither afresh nor with --resume; every byte stays."""
    assert run("classify", "--epochs", 1).code == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    for said, *more in (["a checkpoint already"], ["nothing to resume", "--resume"]):
        again = run("classify", "--epochs", 1, *more)
        assert again.code == 2
        assert said in again.err and "give another -o" in again.err
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


# --- when to stop, and what is kept ----------------------------------------------------------


def test_patience_ends_a_run_that_gains_nothing(run: Train) -> None:
    """The first measurement is the best; two more without a gain are enough."""
    more = ("--epochs", 9, "--evaluations", 1, "--learning-rate", 1e-12)
    assert run("classify", *more, "--patience", 2).measurements == 3
    assert run("classify", *more, output="whole").measurements == 9


def stepped(scores: list[float], tmp_path: Path, **settings: Any) -> tuple[list[float], float]:
    """Train one number, measured after every step; return it at each step, and at the end."""
    model, coming = nn.Linear(1, 1, bias=False), iter(scores)
    how = Settings(steps=len(scores), evaluate_every=1, learning_rate=0.1, **settings)

    def loss(step: int) -> tuple[torch.Tensor, int]:
        return model(torch.ones(1, 1)).sum(), 1

    run = train(model, loss, lambda: {"score": next(coming)}, how, tmp_path / "state.pt")
    seen = [float(model.weight.detach()) for _ in run]
    return seen, float(model.weight.detach())


def test_the_best_measured_model_is_the_result(tmp_path: Path) -> None:
    """Of scores 1, 3, 3, 2 the third model is kept, which learnt more than the second."""
    seen, last = stepped([1, 3, 3, 2], tmp_path, keep_best=True)
    assert last == seen[2] != seen[1]


def test_an_equal_score_is_no_gain(tmp_path: Path) -> None:
    """Patience ends after so many measurements without one, and the latest of the best is kept."""
    seen, last = stepped([1, 3, 3, 3, 3, 3], tmp_path, patience=2)
    assert (len(seen), last) == (4, seen[3])


def test_the_last_model_is_measured_when_the_time_is_over(tmp_path: Path) -> None:
    """Though no measurement was due, it may be the best one."""
    model, measured = nn.Linear(1, 1, bias=False), []

    def measure() -> dict[str, float]:
        measured.append(float(model.weight.detach()))
        return {"score": float(len(measured))}

    def loss(step: int) -> tuple[torch.Tensor, int]:
        return model(torch.ones(1, 1)).sum(), 1

    how = Settings(minutes=0.005, evaluate_every=10, learning_rate=0.1, keep_best=True)
    steps = [one.step for one in train(model, loss, measure, how, tmp_path / "state.pt")]
    assert len(measured) == steps[-1] // 10 + bool(steps[-1] % 10)
    assert measured[-1] == float(model.weight.detach())


def test_without_keeping_the_best_the_last_model_is_the_result(tmp_path: Path) -> None:
    """As in training a masked language model."""
    seen, last = stepped([3, 1, 1], tmp_path)
    assert last == seen[-1] != seen[0]


def test_patience_needs_no_keeping_of_the_best(tmp_path: Path) -> None:
    """Scores 1, 2, 2, 2, … with a patience of two end after the fourth."""
    seen, _ = stepped([1, 2, 2, 2, 9, 9], tmp_path, patience=2)
    assert len(seen) == 4


# --- data that cannot be learned from --------------------------------------------------------

BAD_ANSWER = ASKED[0] | {"answers": {"text": ["cat"], "answer_start": [3]}}
SEVERAL = [{"text": "the cat", "label": ["a", "b"]}] * 20
NO_QUESTIONS = [one | {"question": " "} for one in ASKED]


@pytest.mark.parametrize(
    ("task", "rows", "more", "message"),
    [
        ("classify", [{"text": "x", "label": "a"}] * 20, (), "has the label a, and so have all"),
        (
            "classify",
            [*CLASSIFIED, {"text": "x", "label": " "}],
            (),
            "train.jsonl:25: the column",
        ),
        ("classify", CLASSIFIED[::23], (), "--valid-split 0.1 of 2 rows is none to measure on"),
        ("classify", CLASSIFIED, ("--label-field", "no"), 'train.jsonl:1: no column "no"'),
        ("classify", CLASSIFIED, ("--optimizer", "sgd"), "'sgd' is not one of 'adamw', 'muon'"),
        ("classify", CLASSIFIED, ("-m", "/nowhere"), "/nowhere"),
        ("classify", CLASSIFIED, ("--learning-rate", "0"), "nothing would be learned"),
        ("ner", [{"tokens": ["a"], "tags": ["O"]}] * 20, (), "nothing is marked"),
        ("ner", TAGGED, ("--map", "PER"), "expected OLD=NEW"),
        ("ner", [{"tokens": ["a"], "tags": ["PER"]}], (), 'train.jsonl:1: "PER" is not a tag'),
        ("qa", [*ASKED, BAD_ANSWER], (), ': the answer "cat" does not stand at character'),
        ("qa", NO_QUESTIONS, (), "train.jsonl:1: the question is empty"),
        ("qa", [ASKED[0]] * 20, (), "--valid-split 0.1 of 20 rows is none to measure on"),
        ("qa", ASKED, ("--smoothing", "0.1"), "answers are learned without"),
        ("classify", SEVERAL, ("--smoothing", "0.1"), "for one label a text only"),
    ],
)
def test_what_cannot_be_learned_is_said_in_one_line(
    task: str, rows: list[Any], more: tuple[str, ...], message: str, run: Train
) -> None:
    """The last line says what was wrong and where; there is no checkpoint and no traceback."""
    ran = run(task, *more, rows=rows)
    line = ran.err.splitlines()[-1]
    assert ran.code in (1, 2)
    assert line.startswith("bertcli: ") and message in line
    assert "unexpected" not in ran.err
    assert not Path("out/config.json").exists()


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("classify", {"text": "the cat", "label": "plant"}),
        ("ner", {"tokens": ["Ada"], "tags": ["B-plant"]}),
    ],
)
def test_a_label_only_in_the_held_out_data_is_refused(
    task: str, row: dict[str, Any], run: Train, tmp_path: Path
) -> None:
    """It is named with its file and line, before anything is trained."""
    valid = written([DATA[task][0], row], tmp_path / "valid.jsonl")
    ran = run(task, "--valid", valid)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert f'{valid}:2: the label "plant" is not in the training data' in ran.err


@pytest.mark.parametrize(("label", "said"), [([], "no label"), (["animal", "food"], "2 labels")])
def test_the_held_out_data_do_not_choose_what_is_trained(
    label: list[str], said: str, run: Train, tmp_path: Path
) -> None:
    """Several labels a text in them alone are refused with their line."""
    odd = {"text": "the cat", "label": label}
    valid = written([CLASSIFIED[0], odd], tmp_path / "valid.jsonl")
    ran = run("classify", "--valid", valid)
    assert ran.code == 1
    assert f"valid.jsonl:2: {said}, where every text of the training data has one" in ran.err
    assert not Path("out").exists()


def test_rare_kinds_of_rows_are_held_out_too(run: Train) -> None:
    """A tenth of ten kinds of three rows each is three rows, and no kind is left out."""
    rows = [{"text": "the cat", "label": ["x", f"{number % 10}"]} for number in range(30)]
    ran = run("classify", "--epochs", 0.1, rows=rows)
    assert ran.code == 0, ran.err
    assert (
        "27 texts of train.jsonl, 3 held out, labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, x\n" in ran.err
    )


def test_a_file_in_the_way_is_told(run: Train) -> None:
    """An output that is a file is refused in one line, and stays."""
    Path("out").write_text("mine")
    ran = run("classify", "--epochs", 1)
    assert ran.code in (1, 2)
    assert ran.err.splitlines()[-1].startswith("bertcli: -o out: ")
    assert Path("out").read_text() == "mine"


@pytest.mark.parametrize(
    ("rows", "epochs"), [(1, 40), (5, 40), (20, 10), (66, 4), (67, 3), (9999, 3)]
)
def test_little_data_are_gone_through_more_often(rows: int, epochs: int) -> None:
    """Until 200 steps are made, but not more than 40 times; three times at least."""
    assert usual_epochs([100] * 10 * rows, 1000) == epochs
