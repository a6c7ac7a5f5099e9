"""What `-m` stands for: a folder, a built-in, the cache or the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.errors as hub
import pytest

from bertcli.checkpoints import resolve as resolving
from bertcli.checkpoints.cache import cached_folder, find_cached, hub_cache, is_offline
from bertcli.checkpoints.catalog import BASE_NAME, BUILTIN_FOLDER, base_folder
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.families import Head
from bertcli.errors import CheckpointError

NAME = "someone/tiny-bert"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a Hugging Face cache and a current folder of its own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hf" / "hub"


def cached(
    cache: Path, source: Path, name: str = NAME, commit: str = COMMIT, ref: str = "main"
) -> Path:
    """Put a checkpoint into the cache as huggingface_hub lays it out, with links to blobs."""
    folder = cache / f"models--{name.replace('/', '--')}"
    snapshot, blobs = folder / "snapshots" / commit, folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir(exist_ok=True)
    for file in source.iterdir():
        shutil.copy(file, blobs / f"{commit}-{file.name}")
        (snapshot / file.name).symlink_to(Path("../../blobs") / f"{commit}-{file.name}")
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    return snapshot


def message(name: str, **more: Any) -> str:
    """Return the line with which a name is refused."""
    with pytest.raises(CheckpointError) as caught:
        resolve(ModelChoice(name, **more))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder(tiny_checkpoint: Any) -> None:
    """A path is the checkpoint that lies there."""
    folder = tiny_checkpoint("bert", Head.TOKEN)
    found = resolve(ModelChoice(str(folder)))
    assert (found.folder, found.name, found.head) == (folder, str(folder), Head.TOKEN)


@pytest.mark.parametrize("name", [BASE_NAME, f"sentence-transformers/{BASE_NAME}"])
def test_the_built_in_base_by_both_names(name: str) -> None:
    """The hub's name of the base needs no hub."""
    found = resolve(ModelChoice(name))
    assert (found.name, found.head, found.window) == (BASE_NAME, Head.BASE, 512)
    assert found.sentence.max_length == 256
    assert (found.sentence.pooling, found.sentence.normalize) == ("mean", True)


def test_a_folder_wins_over_a_built_in(tiny_checkpoint: Any) -> None:
    """Who has a folder of that name means it."""
    shutil.copytree(tiny_checkpoint("bert"), BASE_NAME)
    assert resolve(ModelChoice(BASE_NAME)).window == 64


def test_a_folder_of_other_things_hides_no_built_in() -> None:
    """A folder that happens to be called qa, with data in it, is not the checkpoint meant."""
    Path("qa").mkdir()
    Path("qa/squad.json").write_text("{}")
    assert resolve(ModelChoice("qa")).head is Head.QA
    assert "no config.json" in message("./qa")


def test_a_tampered_base_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's bytes must be the published ones."""
    monkeypatch.setattr(resolving, "file_sha256", lambda path: "0" * 64)
    assert "not the published" in message(BASE_NAME)


def test_a_cached_name(own_cache: Path, tiny_checkpoint: Any) -> None:
    """What transformers downloaded once is found without the hub's library and the network."""
    snapshot = cached(own_cache, tiny_checkpoint("bert", Head.QA))
    found = resolve(ModelChoice(NAME))
    assert (found.folder, found.name, found.head) == (snapshot, NAME, Head.QA)


@pytest.mark.parametrize("ref", ["v2", "refs/pr/7", "a/branch"])
def test_a_cached_revision(ref: str, own_cache: Path, tiny_checkpoint: Any) -> None:
    """A branch, a tag or a pull request points to its own commit; a full commit is itself."""
    main = cached(own_cache, tiny_checkpoint("bert", Head.QA))
    other = cached(own_cache, tiny_checkpoint("bert", Head.TOKEN), commit="f" * 40, ref=ref)
    assert resolve(ModelChoice(NAME)).folder == main
    assert resolve(ModelChoice(NAME, ref)).folder == other
    assert resolve(ModelChoice(NAME, "f" * 40)).folder == other
    assert find_cached(NAME, "v3") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HUB_CACHE": "", "HF_HOME": "/b"}, "/b/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/d", "HF_HOME": "/b"}, "/d"),
        ({"HF_HOME": "~/b", "HOME": "/e"}, "/e/b/hub"),
        ({"HF_HOME": "$PLACE/b", "PLACE": "/f"}, "/f/b/hub"),
        ({"HF_HUB_CACHE": "", "HF_HOME": "", "XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ],
)
def test_where_the_cache_is(
    settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's own variables, in its own order."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert str(hub_cache()) == expected


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("true", True), ("on", True), ("0", False), ("", False)]
)
def test_what_offline_means(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is read as the hub's library reads it; the flag wins."""
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert is_offline(False) is offline
    assert is_offline(True)


def test_offline_and_not_cached() -> None:
    """One line that says where was looked and what to do."""
    said = message("nobody/nothing")
    assert "not in the cache, and the network is off" in said
    assert "bertcli models pull nobody/nothing" in said


@pytest.mark.parametrize(
    "name", ["./absent", "../absent", "/no/such", "a/b/c", "has space", "a\0b"]
)
def test_a_path_that_is_not_there(name: str) -> None:
    """What cannot be a hub name is a folder that is missing."""
    assert "no such folder" in message(name)


def response() -> Any:
    """Return the kind of response that the hub's errors carry, whatever client it uses."""
    import inspect

    from huggingface_hub import errors

    module = inspect.getmodule(errors.HfHubHTTPError.__mro__[1])
    library = __import__((module.__name__ if module else "httpx").split(".")[0])
    return library.Response(404, request=library.Request("GET", "https://huggingface.co/x"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: hub.RepositoryNotFoundError("no", response=response()), "has no such model"),
        (lambda: hub.GatedRepoError("no", response=response()), "terms to be accepted"),
        (lambda: hub.RevisionNotFoundError("no", response=response()), "has no revision v9"),
        (lambda: hub.HfHubHTTPError("500\nmore", response=response()), "not be reached (500)"),
        (lambda: hub.LocalEntryNotFoundError("no internet"), "not be reached (no internet)"),
        (lambda: hub.OfflineModeIsEnabled("offline"), "not be reached (offline)"),
        (lambda: ConnectionError("refused"), "not be reached (refused)"),
        (lambda: TimeoutError(), "not be reached (TimeoutError)"),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
        (lambda: hub.HFValidationError("bad name"), "not be reached (bad name)"),
    ],
)
def test_no_network(error: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the hub's client raises becomes one line with what to do."""

    def fail(*_: object, **__: object) -> None:
        raise error()

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    assert words in message("someone/else", revision="v9")


def test_a_download(
    tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is not cached is fetched, safetensors and JSON only."""
    asked: dict[str, Any] = {}

    def fetch(name: str, **how: Any) -> str:
        asked.update(how, name=name)
        return str(tiny_checkpoint("bert", Head.QA))

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert resolve(ModelChoice("someone/else", "v9")).head is Head.QA
    assert (asked["name"], asked["revision"]) == ("someone/else", "v9")
    assert not any("bin" in pattern or "py" in pattern for pattern in asked["allow_patterns"])
    assert capsys.readouterr().out == ""


def test_a_download_without_weights_is_fetched_again(
    tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was broken off, or was not to have pickles; offline the way out is told."""
    cached = cached_folder("someone/else")
    snapshot = cached / "snapshots" / "c0ffee"
    shutil.copytree(tiny_checkpoint("bert", Head.QA), snapshot)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    weights = snapshot / "model.safetensors"
    tensors = weights.read_bytes()
    weights.unlink()
    assert "the hub has a pickle alone: try --allow-pickle" in message("someone/else")

    def fetch(name: str, **how: Any) -> str:
        weights.write_bytes(tensors)
        return str(snapshot)

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert resolve(ModelChoice("someone/else")).head is Head.QA
    monkeypatch.delattr(huggingface_hub, "snapshot_download")
    assert resolve(ModelChoice("someone/else")).head is Head.QA


def adapter(folder: Path, base: str | None) -> Path:
    """Make a folder that looks like an adapter on a base."""
    folder.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def test_an_adapter_finds_its_base(tiny_checkpoint: Any) -> None:
    """adapter_config.json names the base, which is resolved like any other name."""
    base = tiny_checkpoint("bert")
    found = resolve(ModelChoice(str(adapter(Path("one"), str(base)))))
    assert found.folder == base
    assert found.adapter is not None
    assert resolve(ModelChoice(str(adapter(Path("two"), BASE_NAME)))).window == 512


@pytest.mark.parametrize("base", [None, "self"])
def test_an_adapter_without_a_base(base: str | None) -> None:
    """An adapter that names no base, or itself, is refused."""
    assert "names no base_model_name_or_path" in message(str(adapter(Path("self"), base)))


def test_an_adapter_on_the_built_in_base_is_on_no_folder_of_its_name(tiny_checkpoint: Any) -> None:
    """Else it would answer otherwise wherever somebody has such a folder."""
    hub_name = f"sentence-transformers/{BASE_NAME}"
    on_base = adapter(Path("one"), hub_name)
    shutil.copytree(tiny_checkpoint("bert"), hub_name)
    assert resolve(ModelChoice(str(on_base))).folder == base_folder()


def test_the_base_of_an_adapter_is_gone(tiny_checkpoint: Any) -> None:
    """The line says whose base it is, and where to write its new place."""
    one = adapter(Path("one"), str(Path("base").absolute()))
    said = message("one")
    assert said.startswith(f"one: its base {Path('base').absolute()} is not there; put it back, or")
    assert said.endswith(str(one / "adapter_config.json"))
    (one / "adapter_config.json").unlink()
    head = {"base_model_name_or_path": "/no/base", "pooling": "mean", "labels": ["a"]}
    more = {"normalize": True, "multi_label": False}
    (one / "head_config.json").write_text(json.dumps(head | more))
    assert "one: its base /no/base is not there" in message("one")


@pytest.mark.parametrize("named", ["base", "../project/base"])
def test_an_adapter_moves_together_with_its_base(named: str, tiny_checkpoint: Any) -> None:
    """A relative path of a base counts from the adapter's folder too."""
    Path("project").mkdir()
    one = adapter(Path("project/one"), f"../{named}")
    shutil.copytree(tiny_checkpoint("bert"), "project/base")
    assert resolve(ModelChoice(str(one))).folder.resolve() == Path("project/base").resolve()


def test_a_head_on_itself_is_refused_however_it_says_so() -> None:
    """By its own name, or by a path that leads back."""
    Path("one").mkdir()
    more = {"pooling": "mean", "labels": ["a"], "normalize": True, "multi_label": False}
    for named in ("one", "../one", "./../one"):
        head = {"base_model_name_or_path": named, **more}
        Path("one/head_config.json").write_text(json.dumps(head))
        assert message("one") == f"one: its base {named} is a linear head too, not an encoder"


def test_an_unfinished_training_says_how_it_goes_on() -> None:
    """It is a folder without a checkpoint as yet."""
    Path("out/.training").mkdir(parents=True)
    assert message("out") == (
        "out: an unfinished training: the command that began it goes on with --resume"
    )


def test_adapters_in_a_circle() -> None:
    """An adapter on an adapter is refused, so a circle of them ends too."""
    adapter(Path("a"), "b")
    adapter(Path("b"), "a")
    assert "is an adapter too" in message("a")


def test_what_is_built_in_is_small() -> None:
    """Each folder has at most 12 MB, and a card."""
    folders = [one for one in BUILTIN_FOLDER.iterdir() if (one / "adapter_config.json").is_file()]
    assert len(folders) == 4
    for folder in folders:
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 12_000_000
        assert (folder / "README.md").is_file()
