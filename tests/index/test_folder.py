"""An index folder through its life: made, filled, reopened, refused, damaged, replaced."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faiss  # loaded here, so that a child without rights need not find it
import numpy as np
import pytest

from bertcli.errors import IndexFolderError, UsageError
from bertcli.index import folder
from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.documents import Documents
from bertcli.index.folder import IndexFolder

from .samples import MANIFEST, MODEL, build, entry, in_child, numbered, texts, unit_vectors

X, Y = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
assert faiss


@pytest.fixture
def index_path(tmp_path: Path) -> Path:
    """An index of ten documents."""
    return build(tmp_path / "notes", numbered(unit_vectors(10)))


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def names(path: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in path.iterdir())


def test_search_equals_brute_force_after_reopening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built in many commits, added to, reopened: still the cosines of the best k."""
    monkeypatch.setattr(folder, "COMMIT_CHUNKS", 7)
    rows, queries = unit_vectors(100), unit_vectors(5, seed=1)
    path = build(tmp_path / "i", numbered(rows[:60]))
    with IndexFolder.open(path, MODEL) as index:
        assert index.add(numbered(rows[60:], 60)) == 40
    with IndexFolder.open(path, MODEL) as index:
        answers = index.search(queries, 10)
    for query, hits in zip(queries, answers, strict=True):
        cosines = rows @ query
        order = np.argsort(-cosines)[:10]
        assert [hit.text for hit in hits] == [f"text {i}" for i in order]
        np.testing.assert_allclose([hit.score for hit in hits], cosines[order], atol=1e-6)


def test_a_hit_knows_its_place(tmp_path: Path) -> None:
    """A row of a file stands on its own line, a chunk of a whole file on the chunk's."""
    chunks = [Chunk(0, 3, 1), Chunk(4, 7, 2)]
    whole = Entry(NewDocument("b.md", "one\ntwo"), chunks, np.array([X, Y], np.float32))
    row = Entry(
        NewDocument("c.csv", "one\ntwo", 9, {"id": 5}), chunks, -np.array([X, Y], np.float32)
    )
    path = build(tmp_path / "i", [whole, row])
    with IndexFolder.open(path) as index:
        first = index.search(np.array([Y]), 4)[0]
    assert (first[0].text, first[0].document, first[0].line) == ("two", "b.md", 2)
    assert (first[-1].text, first[-1].line, first[-1].columns) == ("two", 9, {"id": 5})


def test_info_counts(index_path: Path) -> None:
    """Documents, chunks, bytes and the manifest are what was put in."""
    with IndexFolder.open(index_path) as index:
        info = index.info()
    assert (info.documents, info.chunks, info.complete) == (10, 10, True)
    assert info.manifest.model == MODEL
    assert info.size_bytes > 10 * 4 * 4


def test_an_empty_index_is_searched(tmp_path: Path) -> None:
    """No documents, or documents without a chunk, are found by nothing, and that is no error."""
    nothing = Entry(NewDocument("a", " "), [], np.zeros((0, 4), np.float32))
    with IndexFolder.open(build(tmp_path / "i", [nothing])) as index:
        assert index.search(np.array([X, Y]), 3) == [[], []]
        assert index.info().documents == 1


def test_more_than_there_is(index_path: Path) -> None:
    """Asking for a hundred of ten gives ten; asking for none is a mistake."""
    with IndexFolder.open(index_path) as index:
        assert len(texts(index, X, 100)) == 10
        with pytest.raises(UsageError, match="at least 1"):
            texts(index, X, 0)


def test_at_rest_the_folder_is_four_files(index_path: Path) -> None:
    """Nothing but these has to be copied, and a reader leaves nothing behind either."""
    at_rest = ["documents-1.sqlite", "manifest.json", "vectors-1.f32", "write.lock"]
    assert names(index_path) == at_rest
    with IndexFolder.open(index_path) as index:
        texts(index, X)
    assert names(index_path) == at_rest


def test_another_model_is_refused(index_path: Path) -> None:
    """Vectors of two models are never compared."""
    with pytest.raises(IndexFolderError, match="use `--pooling mean`"):
        IndexFolder.open(index_path, replace(MODEL, pooling="cls"))


def test_vectors_of_the_wrong_size_are_refused(index_path: Path) -> None:
    """A mistake in a caller neither crashes nor stores anything."""
    with IndexFolder.open(index_path) as index:
        with pytest.raises(IndexFolderError, match="shape"):
            index.add([entry("x", [1, 2, 3])])
        with pytest.raises(IndexFolderError, match="shape"):
            texts(index, [1, 2, 3])
        assert index.info().chunks == 10


def test_an_index_is_not_built_over(index_path: Path) -> None:
    """Building where an index is says how to add and how to overwrite, and touches nothing."""
    with pytest.raises(IndexFolderError, match=r"`bertcli index add .*`--overwrite`"):
        IndexFolder.create(index_path, MANIFEST)
    with IndexFolder.open(index_path) as index:
        assert index.info().documents == 10


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_folders_are_left_alone(tmp_path: Path, overwrite: bool) -> None:
    """A folder with the user's own files, even a manifest.json, never becomes an index."""
    for name in ("thesis.txt", "manifest.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(IndexFolderError, match="holds other files"):
            IndexFolder.create(tmp_path, MANIFEST, overwrite=overwrite)
    assert names(tmp_path) == ["manifest.json", "thesis.txt"]


def test_a_file_is_no_place_for_an_index(tmp_path: Path) -> None:
    """A file in the way, or on the way, is named as what it is."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "index"):
        with pytest.raises(IndexFolderError, match="is a file"):
            IndexFolder.create(path, MANIFEST)


def test_overwriting_takes_effect_at_the_end(index_path: Path) -> None:
    """The old index answers until the new one is whole, then only the new one is left."""
    with (
        IndexFolder.create(index_path, MANIFEST, overwrite=True) as new,
        IndexFolder.open(index_path) as old,
    ):
        new.add([entry("fresh", X)])
        with IndexFolder.open(index_path) as fresh:
            assert texts(fresh, X) == ["fresh"]
        assert len(texts(old, X)) == 10  # a reader keeps what it opened
    assert not list(index_path.glob("*-1.*"))


def test_overwriting_that_fails_keeps_the_old_index(index_path: Path) -> None:
    """Nothing is lost that was there before, and the remains go with the next writer."""

    def broken() -> Iterator[Entry]:
        yield entry("fresh", X)
        raise RuntimeError("the source broke")

    with (
        pytest.raises(RuntimeError),
        IndexFolder.create(index_path, MANIFEST, overwrite=True) as new,
    ):
        new.add(broken())
    with IndexFolder.open(index_path) as index:
        assert index.info().documents == 10
        assert list(index_path.glob("*-2.*"))
        index.add([])
    assert not list(index_path.glob("*-2.*"))


def test_a_damaged_index_can_be_overwritten(index_path: Path) -> None:
    """The command that the damage messages advise works."""
    (index_path / "manifest.json").write_text("{")
    (index_path / "documents-1.sqlite").write_bytes(b"not a database" * 100)
    with IndexFolder.create(index_path, MANIFEST, overwrite=True) as index:
        index.add([entry("fresh", X)])
    with IndexFolder.open(index_path) as index:
        assert texts(index, X) == ["fresh"]


def test_a_source_that_fails_keeps_the_batches_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed stays, the index says that it is not whole, and adding goes on."""
    monkeypatch.setattr(folder, "COMMIT_CHUNKS", 4)
    rows = unit_vectors(10)

    def broken() -> Iterator[Entry]:
        yield from numbered(rows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "i", broken())
    with IndexFolder.open(tmp_path / "i") as index:
        assert (index.info().documents, index.info().complete) == (8, False)
        index.expect()
        index.add(e for e in numbered(rows) if index.missing([e.document])[0])
        assert (index.info().documents, index.info().complete) == (10, True)


def test_a_build_killed_before_it_was_an_index_is_begun_again(tmp_path: Path) -> None:
    """Files of a build without a manifest are ours to remove."""
    for name in ("documents-1.sqlite", "documents-1.sqlite-wal", "write.lock"):
        (tmp_path / name).write_bytes(b"half")
    with IndexFolder.open(build(tmp_path, numbered(unit_vectors(3)))) as index:
        assert index.info().documents == 3


def test_readers_see_whole_commits(index_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader neither waits for a writer nor sees what it has not committed."""
    monkeypatch.setattr(folder, "COMMIT_CHUNKS", 5)
    seen = []

    def watched() -> Iterator[Entry]:
        for one in numbered(unit_vectors(12, seed=2), 10):
            seen.append(len(texts(reader, X, 100)))
            yield one

    with IndexFolder.open(index_path) as reader, IndexFolder.open(index_path) as writer:
        writer.add(watched())
        assert len(texts(reader, X, 100)) == 22
    assert seen == [10] * 5 + [15] * 5 + [20] * 2


def test_a_search_sees_one_state_throughout(
    index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit in the middle of a search is not half seen, and not taken for damage."""
    live_rows = Documents.live_rows

    def after_a_commit(documents: Documents, committed: int) -> object:
        if not writer.info().documents > 10:
            writer.add([late])
        return live_rows(documents, committed)

    late = entry("late", X)
    monkeypatch.setattr(Documents, "live_rows", after_a_commit)
    with IndexFolder.open(index_path) as reader, IndexFolder.open(index_path) as writer:
        assert "late" not in texts(reader, X, 100)
        assert texts(reader, X, 100)[0] == "late"


def test_a_second_writer_is_told_to_wait(index_path: Path) -> None:
    """One line names the process that writes; afterwards the way is free."""
    with IndexFolder.open(index_path) as first, IndexFolder.open(index_path) as second:
        first.add([])
        with pytest.raises(IndexFolderError, match=f"written by another.*process {os.getpid()}"):
            second.add([entry("x", X)])
        with pytest.raises(IndexFolderError, match="written by another"):
            IndexFolder.create(index_path, MANIFEST, overwrite=True)
        first.close()
        assert second.add([entry("x", X)]) == 1


def test_adding_to_a_replaced_index_is_refused(index_path: Path) -> None:
    """Nothing is written into files that no longer count."""
    with IndexFolder.open(index_path) as late:
        with IndexFolder.create(index_path, MANIFEST, overwrite=True) as new:
            new.add([entry("fresh", X)])
        with pytest.raises(IndexFolderError, match="made anew by another"):
            late.add([entry("x", X)])


def damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "short":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.write_bytes(b"garbage!" * (path.stat().st_size // 8))


@pytest.mark.parametrize("how", ["missing", "empty", "short", "garbage"])
@pytest.mark.parametrize("name", ["manifest.json", "documents-1.sqlite", "vectors-1.f32"])
def test_damage_is_one_clear_line(index_path: Path, name: str, how: str) -> None:
    """A file that is gone, cut or overwritten is named, with the command that mends it."""
    damage(index_path / name, how)
    if (name, how) == ("vectors-1.f32", "garbage"):
        return  # any bytes are vectors; `index check` will compare hashes
    with pytest.raises(IndexFolderError) as caught, IndexFolder.open(index_path) as index:
        texts(index, X)
        index.info()
    said = str(caught.value)
    assert "`bertcli index build" in said
    assert "\n" not in said


def test_damage_deep_in_the_database_is_one_clear_line(tmp_path: Path) -> None:
    """Pages overwritten in the middle are noticed by whoever reads them."""
    path = build(tmp_path / "i", numbered(unit_vectors(3000)))
    with (path / "documents-1.sqlite").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 40 * 4096)
    with pytest.raises(IndexFolderError, match="damaged"), IndexFolder.open(path) as index:
        texts(index, X, 3000)


def test_a_read_only_folder_is_searched_but_not_added_to(open_to_all: Path) -> None:
    """An index on read-only media, or another user's, can be read."""
    path = build(open_to_all / "i", numbered(unit_vectors(3)))
    (path / "write.lock").chmod(0o644)
    path.chmod(0o555)

    def read() -> str:
        with IndexFolder.open(path) as index:
            return f"{len(texts(index, X))} found"

    def write() -> str:
        with IndexFolder.open(path) as index:
            return f"{index.add([entry('x', X)])} added"

    assert in_child(read, nobody=True) == "3 found"
    assert in_child(write, nobody=True).startswith(
        f"OutputError: index {path} cannot be opened for this (Perm"
    )


def test_a_log_in_a_read_only_folder_is_read(open_to_all: Path) -> None:
    """A killed writer's log holds commits, and is read where it cannot be folded in."""
    path = build(open_to_all / "i", numbered(unit_vectors(3)))
    with IndexFolder.open(path) as index:
        index.add([entry("in the log", X)])
        shutil.copytree(path, open_to_all / "copy")
    (open_to_all / "copy").chmod(0o555)

    def read() -> str:
        with IndexFolder.open(open_to_all / "copy") as index:
            return texts(index, X)[0]

    assert (open_to_all / "copy" / "documents-1.sqlite-wal").stat().st_size > 0
    assert in_child(read, nobody=True) == "in the log"


def test_a_folder_that_cannot_be_made_is_an_output_error(open_to_all: Path) -> None:
    """No permission to create is said in one line."""
    said = in_child(lambda: str(IndexFolder.create(open_to_all / "i", MANIFEST)), nobody=True)
    assert said.startswith("OutputError: index") and "Permission denied" in said


@pytest.mark.parametrize("spare", [0, 20_000, 80_000, 600_000])
def test_a_full_disk_is_one_clear_line_and_loses_nothing(index_path: Path, spare: int) -> None:
    """Whichever file hits the limit, the ten documents from before stay, and adding works later."""

    def fill() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = (index_path / "vectors-1.f32").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + spare, size + spare))
        with IndexFolder.open(index_path) as index:
            return f"{index.add(numbered(unit_vectors(10_000), 10))} added"

    said = in_child(fill)
    assert said.startswith(f"OutputError: index {index_path}: no room to write (")
    assert "raise ulimit -f" in said
    with IndexFolder.open(index_path) as index:
        before = index.info().chunks
        assert before >= 10
        assert index.add([entry("x", X)]) == 1
        assert len(texts(index, X, 20_000)) == before + 1
