"""What an index says about itself, and who may open it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertcli.errors import IndexFolderError
from bertcli.index.manifest import (
    Chunking,
    Manifest,
    ModelIdentity,
    differences,
    read_manifest,
    refuse_other_model,
    write_manifest,
)

from .samples import MANIFEST, MODEL

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(WORDS, WORDS, st.booleans(), st.integers(1, 4096), WORDS)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    pooling: str,
    normalize: bool,
    dimension: int,
    prompt: str,
) -> None:
    """A manifest comes back equal, whatever its strings hold."""
    folder = tmp_path_factory.mktemp("manifest")
    model = ModelIdentity(name, "f" * 64, pooling, normalize, dimension, prompt)
    manifest = Manifest(model, Chunking(128, 16))
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def change(folder: Path, **changes: object) -> None:
    write_manifest(folder, MANIFEST)
    path = folder / "manifest.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """An old bertcli says that it is old, and does not guess at what it reads."""
    change(tmp_path, format_version=3, model="something new")
    with pytest.raises(IndexFolderError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value) == (
        f"index {tmp_path} was written by a newer bertcli (format 3, vectors float32; this one "
        "reads format 2, float32): upgrade bertcli"
    )


def test_newer_vectors_are_refused(tmp_path: Path) -> None:
    """Vectors of another type are never read as float32."""
    change(tmp_path, dtype="float16")
    with pytest.raises(IndexFolderError, match="newer bertcli"):
        read_manifest(tmp_path)


def test_unknown_keys_are_passed_over(tmp_path: Path) -> None:
    """The format can grow by keys that old versions need not know."""
    change(tmp_path, sources=["notes"])
    assert read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "'model' is missing"),
        ({"created": 7}, "'created' should be of type str, is 7"),
        ({"format_version": True}, "'format_version' should be of type int, is True"),
        ({"format_version": 1}, "'format_version' should be at least 2, is 1"),
        ({"chunking": {"tokens": 8, "overlap": 8}}, "overlap must be smaller than tokens"),
        ({"generation": "../x"}, "'generation' should be of type int, is '../x'"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """A manifest that somebody edited says which key is wrong."""
    change(tmp_path, **changes)
    with pytest.raises(IndexFolderError, match="damaged") as caught:
        read_manifest(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"nul\x00"])
def test_a_damaged_manifest_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, the user learns that it is damaged and what to do."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(IndexFolderError, match=r"damaged.*`bertcli index build .* --overwrite"):
        read_manifest(tmp_path)


def test_no_index_is_told_apart(tmp_path: Path) -> None:
    """A missing folder, an ordinary folder and a file are three different mistakes."""
    (tmp_path / "file").write_text("")
    said = {"missing": "does not exist", "": "is not an index", "file": "is a file"}
    for name, words in said.items():
        with pytest.raises(IndexFolderError, match=words):
            read_manifest(tmp_path / name)


def test_the_same_weights_under_another_name_are_the_same_model() -> None:
    """`-m ./folder` opens an index that the hub name made."""
    assert differences(MODEL, replace(MODEL, name="./folder")) == []


def refusal(asked: ModelIdentity) -> str:
    with pytest.raises(IndexFolderError) as caught:
        refuse_other_model(Path("notes"), MODEL, asked)
    return str(caught.value)


def test_another_model_is_refused_with_the_way_out() -> None:
    """The message names both models, and both commands that mend it."""
    asked = replace(MODEL, name="big", weights_sha256="b" * 64, dimension=8)
    assert refusal(asked) == (
        "index ./notes is of another model (model is 'mini (4 dimensions, weights aaaaaaaaaaaa)' "
        "there and 'big (8 dimensions, weights bbbbbbbbbbbb)' here): use `-m mini`, or "
        "embed its texts anew with `bertcli index rebuild ./notes -m big`"
    )


def test_other_settings_are_refused_with_their_options() -> None:
    """Every setting that changes vectors is compared, and its option named."""
    asked = replace(MODEL, pooling="cls", normalize=False, prompt="query: ")
    said = refusal(asked)
    assert "pooling is 'mean' there and 'cls' here" in said
    assert "normalisation is True there and False here" in said
    assert "use `--pooling mean --normalize --prompt ''`, or" in said


def test_changed_weights_under_the_same_name_need_a_new_build() -> None:
    """No option brings back weights that are gone, so none is offered."""
    said = refusal(replace(MODEL, weights_sha256="b" * 64))
    assert "use `" not in said
    assert said.endswith("embed its texts anew with `bertcli index rebuild ./notes -m mini`")
