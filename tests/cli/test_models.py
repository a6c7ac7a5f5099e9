"""`bertcli models`, on checkpoints of a few kilobytes in a cache of their own."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bertcli.checkpoints.cache import all_cached
from bertcli.checkpoints.verify import Check, git_sha1
from bertcli.cli.app import main
from bertcli.cli.models import write_check

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "short", "text", "paris")
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertForTokenClassification"],
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "id2label": {"0": "O", "1": "B-PER", "2": "I-PER"},
}


def tiny_weights() -> dict[str, np.ndarray]:
    """Return the weights that CONFIG calls for, small random numbers."""
    d, inner = 8, 16
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (len(WORDS), d),
        "bert.embeddings.position_embeddings.weight": (32, d),
        "bert.embeddings.token_type_embeddings.weight": (2, d),
        "classifier.weight": (3, d),
        "classifier.bias": (3,),
    }
    layer = "bert.encoder.layer.0"
    modules = {f"{layer}.attention.self.{part}": (d, d) for part in ("query", "key", "value")}
    modules |= {f"{layer}.attention.output.dense": (d, d), f"{layer}.output.dense": (d, inner)}
    modules |= {f"{layer}.intermediate.dense": (inner, d)}
    for module, shape in modules.items():
        shapes |= {f"{module}.weight": shape, f"{module}.bias": shape[:1]}
    for norm in ("bert.embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{norm}.LayerNorm.weight": (d,), f"{norm}.LayerNorm.bias": (d,)}
    random = np.random.default_rng(1)
    return {name: random.normal(size=size).astype(np.float32) for name, size in shapes.items()}


def write_checkpoint(folder: Path, **changed: Any) -> Path:
    """Write a whole token-classification checkpoint, with changes to its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changed))
    save_file(tiny_weights(), folder / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


def write_cached(
    hub: Path, name: str, source: Path, commit: str = COMMIT, ref: str = "main"
) -> Path:
    """Put a checkpoint into a cache as the hub's library does: named blobs, and links to them."""
    folder = hub / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        large = path.suffix == ".safetensors"
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if large else git_sha1(path)
        shutil.copy(path, folder / "blobs" / digest)
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", digest))
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    return snapshot


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache; every attempt to open a connection fails the test."""

    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    for variable in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def snapshot(hub: Path, tmp_path: Path) -> Path:
    """Return the snapshot folder of a good checkpoint in the cache, `ada/tiny-ner`."""
    return write_cached(hub, "ada/tiny-ner", write_checkpoint(tmp_path / "source"))


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Run `models list` and return its lines by name."""
    assert main(["models", "list"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["name"]: row for row in rows}


def test_list_tells_the_task_from_config_alone(
    snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cached checkpoint is told apart by task from its config.json, without network."""
    found = listed(capsys)["ada/tiny-ner"]
    assert found["where"] == "cached"
    assert found["revision"] == "main"
    assert found["tasks"] == ["ner"]
    assert (found["architecture"], found["engine"]) == ("bert", "onnx")
    assert found["bytes"] == sum(path.stat().st_size for path in snapshot.iterdir())


def test_list_shows_built_ins_in_an_empty_cache(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base is there on a fresh machine, where the cache folder does not even exist."""
    assert not hub.exists()
    base = listed(capsys)["all-MiniLM-L6-v2"]
    assert (base["where"], base["tasks"]) == ("built-in", ["embed", "index", "search"])


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "not readable JSON"),
        ("[]", "object was expected"),
        ("{}", "no model_type"),
        ('{"model_type": "bert", "architectures": 5}', "no model.safetensors"),
        ('{"model_type": "odd", "auto_map": {}}', "Python code"),
    ],
)
def test_a_broken_checkpoint_is_listed_with_what_is_wrong(
    config: str, problem: str, snapshot: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever lies in the cache, the list comes out, and the good ones in it are good."""
    broken = hub / "models--ada--broken" / "snapshots" / COMMIT
    broken.mkdir(parents=True)
    (broken / "config.json").write_text(config)
    found = listed(capsys)
    assert problem in found["ada/broken"]["problem"]
    assert found["ada/broken"]["tasks"] == []
    assert "problem" not in found["ada/tiny-ner"]


def test_list_survives_odd_neighbours(
    snapshot: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stray files, unreadable references and downloads without a snapshot do not stop the list."""
    (hub / "models--a--file").write_text("not a folder")
    (hub / "models--a--started" / "blobs").mkdir(parents=True)
    (snapshot.parent.parent / "refs" / "bad").write_bytes(b"\xff\xfe")
    found = listed(capsys)
    assert "never finished" in found["a/started"]["problem"]
    assert "a/file" not in found
    assert found["ada/tiny-ner"]["tasks"] == ["ner"]


def test_generators_of_other_programs_are_no_encoders(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A GPT-2 in the shared cache is not offered for a task that it cannot do."""
    changed = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    write_cached(hub, "gpt2", write_checkpoint(tmp_path / "source", **changed))
    assert "not a text encoder" in listed(capsys)["gpt2"]["problem"]


def test_two_revisions_are_two_rows(
    snapshot: Path, hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A revision pulled by tag is listed by its tag, beside main."""
    write_cached(hub, "ada/tiny-ner", tmp_path / "source", "f" * 40, "v2")
    assert {one.revision for one in all_cached()} == {"main", "v2"}
    assert main(["models", "path", "ada/tiny-ner", "--revision", "v2"]) == 0
    assert capsys.readouterr().out.strip().endswith("f" * 40)


def test_table_names_problems_on_stderr(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the table stays a table: what is wrong is said below it, on stderr."""
    (hub / "models--a--started" / "blobs").mkdir(parents=True)
    assert main(["models", "list", "-f", "table"]) == 0
    shown = capsys.readouterr()
    assert "all-MiniLM-L6-v2  built-in" in shown.out
    assert "never finished" not in shown.out
    assert "bertcli: a/started: a download that never finished" in shown.err


def test_a_narrow_table_breaks_no_name(
    hub: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the checkpoints are gives way."""
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["models", "list", "-f", "table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 50
    assert any(line.startswith("all-MiniLM-L6-v2  embed,") for line in lines)
    assert any(line.startswith("fill-mask         fill-mask ") for line in lines)


def test_a_check_is_folded_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a long line goes on below what was seen; a pipe has it in one."""
    check = Check(False, "fill-mask: no tensors", "copy /a/very/long/path/of/a/folder again")
    monkeypatch.setenv("COLUMNS", "40")
    write_check(check)
    assert capsys.readouterr().out == f"{check}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write_check(check)
    assert capsys.readouterr().out.splitlines() == [
        "problem  fill-mask: no tensors: copy",
        "         /a/very/long/path/of/a/folder",
        "         again",
    ]


def test_show_has_the_details(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` says what a user must know before using a checkpoint, licence and hash included."""
    assert main(["models", "show", "ada/tiny-ner"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"] == ["ner"]
    assert found["labels"] == ["O", "B-PER", "I-PER"]
    assert (found["layers"], found["hidden_size"], found["window"]) == (1, 8, 32)
    assert found["licence"] == "mit"
    weights = (snapshot / "model.safetensors").read_bytes()
    assert found["sha256"] == {"model.safetensors": hashlib.sha256(weights).hexdigest()}


def test_show_of_senseless_settings_is_one_line(
    tmp_path: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A config.json with text where numbers belong is a failure in words, not a traceback."""
    folder = write_checkpoint(tmp_path / "odd", max_position_embeddings="many")
    assert main(["models", "show", str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "max_position_embeddings in config.json must be a whole number" in error


def test_path_is_the_folder_and_nothing_else(
    snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`$(bertcli models path NAME)` works in a script, also for a checkpoint that is broken."""
    (snapshot / "config.json").unlink()
    assert main(["models", "path", "ada/tiny-ner"]) == 0
    assert capsys.readouterr().out == f"{snapshot}\n"


def test_path_of_a_folder_is_absolute(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `path` prints still leads there from another folder; a folder wins over a built-in."""
    folder = write_checkpoint(tmp_path / "fill-mask")
    assert main(["models", "path", "fill-mask"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"


@pytest.mark.parametrize("command", ["path", "show", "verify"])
def test_looking_never_downloads(
    command: str, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub name that is not in the cache is not fetched by a command that only looks."""
    assert main(["models", command, "ada/absent"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "bertcli models pull ada/absent" in error


def test_verify_of_a_good_checkpoint(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole checkpoint is ok on every line, down to a run at full length."""
    assert main(["models", "verify", "ada/tiny-ner"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any("model.safetensors: sha256" in line and "as published" in line for line in lines)
    assert any("config.json: git sha1" in line for line in lines)
    assert any("32 × 3 finite numbers" in line for line in lines)


def problems(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run `models verify` on what is damaged and return the lines that say problem."""
    assert main(["models", "verify", name]) == 1
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if line.startswith("problem"))


def test_verify_finds_a_changed_byte(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flipped bit that leaves the file readable is found by its hash, with the way to mend it."""
    blob = (snapshot / "model.safetensors").resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    found = problems("ada/tiny-ner", capsys)
    assert "model.safetensors: damaged" in found
    assert "bertcli models remove ada/tiny-ner, then bertcli models pull ada/tiny-ner" in found


def test_verify_finds_a_missing_blob(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link without its content is named."""
    (snapshot / "tokenizer.json").resolve().unlink()
    assert "tokenizer.json: its content is gone" in problems("ada/tiny-ner", capsys)


def test_verify_finds_truncated_weights(
    tmp_path: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A safetensors file cut short is named as that, where no hash is known too."""
    weights = write_checkpoint(tmp_path / "cut") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "past the end of the file" in problems("./cut", capsys)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"hidden_size": 16}, "config.json implies"),
        ({"num_hidden_layers": 2}, "the weights lack"),
        ({"id2label": {"0": "O"}}, "3 outputs"),
        ({"vocab_size": 4}, "the model knows 4"),
        ({"max_position_embeddings": 64}, "config.json implies"),
        ({"model_type": 7}, "problem"),
        ({"num_attention_heads": "two"}, "problem"),
    ],
)
def test_verify_finds_settings_that_do_not_fit(
    changed: dict[str, Any],
    problem: str,
    tmp_path: Path,
    hub: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights and config.json that contradict each other are found before a long run is."""
    write_checkpoint(tmp_path / "odd", **changed)
    assert problem in problems("./odd", capsys)


def test_verify_hashes_the_base_afresh(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in base is the published file, by its own SHA-256."""
    assert main(["models", "verify", "all-MiniLM-L6-v2"]) == 0
    assert "sha256 53aa51172d142c89" in capsys.readouterr().out


@pytest.mark.parametrize("by_flag", [True, False])
def test_pull_stays_off_the_network_when_told(
    by_flag: bool,
    hub: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--offline` and HF_HUB_OFFLINE win over a command whose purpose is the network."""
    if not by_flag:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["models", "pull", "ada/x", *(["--offline"] if by_flag else [])]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "the network is off" in shown.err


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("no route\nat all"), Exception("proxy"), TimeoutError()]
)
def test_pull_without_network_is_one_line(
    error: Exception,
    hub: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However the transport fails, the user reads one line that says what to check."""

    def fails(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    assert main(["models", "pull", "ada/x"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "could not be reached" in shown.err


def test_pull_prints_the_folder(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is the data, on stdout; what was fetched is said on stderr."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    assert main(["models", "pull", "ada/tiny-ner"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{snapshot}\n"
    assert "for ner" in shown.err


def test_pull_of_a_built_in_needs_no_network(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes with bertcli is not fetched a second time."""
    assert main(["models", "pull", "sentence-transformers/all-MiniLM-L6-v2"]) == 0
    assert "nothing to fetch" in capsys.readouterr().err


def test_pull_of_no_hub_name_is_a_usage_error(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that leads nowhere is not sent to the hub."""
    assert main(["models", "pull", "./not/here"]) == 2
    assert "not a Hugging Face name" in capsys.readouterr().err


def test_remove_frees_what_it_says(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --yes the whole checkpoint goes, each blob counted once."""
    folder = snapshot.parent.parent
    blobs = sum(path.stat().st_size for path in (folder / "blobs").iterdir())
    assert main(["models", "remove", "ada/tiny-ner", "--yes"]) == 0
    assert not folder.exists()
    assert f"{blobs / 1000:.0f}"[:2] in capsys.readouterr().err


def test_remove_never_follows_a_link(
    snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links that lead out of the cache are deleted as links; what they point to stays."""
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("keep me")
    (snapshot / "away").symlink_to(outside, target_is_directory=True)
    (snapshot / "file").symlink_to(outside / "file")
    assert main(["models", "remove", "ada/tiny-ner", "--yes"]) == 0
    assert (outside / "file").read_text() == "keep me"


def test_remove_refuses_a_linked_folder(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that someone moved to another disk and linked is left alone."""
    outside = write_checkpoint(tmp_path / "other-disk")
    hub.mkdir(parents=True)
    (hub / "models--ada--linked").symlink_to(outside, target_is_directory=True)
    assert main(["models", "remove", "ada/linked", "--yes"]) == 1
    assert "is a link" in capsys.readouterr().err
    assert (outside / "config.json").is_file()


@pytest.mark.parametrize("name", ["../../precious", "..", "", "/etc"])
def test_remove_stays_in_the_cache(
    name: str, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name leads out of the cache folder."""
    (tmp_path / "precious").mkdir()
    assert main(["models", "remove", name, "--yes"]) in (1, 2)
    assert (tmp_path / "precious").is_dir()
    assert snapshot.is_dir()


def test_remove_refuses_built_ins_and_own_folders(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what was downloaded is deleted."""
    own = write_checkpoint(tmp_path / "mine")
    assert main(["models", "remove", "all-MiniLM-L6-v2", "--yes"]) == 2
    assert "comes with bertcli" in capsys.readouterr().err
    assert main(["models", "remove", str(own), "--yes"]) == 2
    assert own.is_dir()


def test_remove_asks_or_refuses(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --yes nothing goes: no terminal means no, and so does the answer n."""
    assert main(["models", "remove", "ada/tiny-ner"]) == 2
    assert "add --yes" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(["models", "remove", "ada/tiny-ner"]) == 0
    assert snapshot.is_dir()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(["models", "remove", "ada/tiny-ner"]) == 0
    assert not snapshot.exists()


def test_an_adapter_on_an_adapter_is_refused(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adapters that name each other as base end in a line; neither is silently left out."""
    for name, base in (("one", "two"), ("two", "one")):
        (tmp_path / name).mkdir()
        settings = {"peft_type": "LORA", "base_model_name_or_path": base}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(settings))
    assert main(["models", "show", "one"]) == 1
    assert "is an adapter too" in capsys.readouterr().err


def test_models_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A group without a command is a usage error with the help on stderr."""
    assert main(["models"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, "verify" in shown.err) == ("", True)
