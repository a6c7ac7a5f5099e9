"""An index that is kept up to date is the one that would be built afresh."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bertcli.errors import IndexFolderError
from bertcli.index import update as update_module
from bertcli.index.check import problems
from bertcli.index.folder import IndexFolder
from bertcli.index.query import words_of
from bertcli.index.rewrite import compact, copy, rebuild, repair
from bertcli.index.where import any_path

from . import corpus
from .corpus import build, content, cut, embed, update
from .samples import MANIFEST

KILLS = 120
NAMES = st.sampled_from(["a.txt", "b.txt", "sub/c.txt", "sub/d.md"])
TEXTS = st.sampled_from(["one two three four", "one two three", "five six", "seven " * 7, "x"])


def fresh(folder: Path) -> corpus.Content:
    """Return what a new index over the folder holds."""
    with tempfile.TemporaryDirectory() as place:
        build(Path(place) / "fresh", folder)
        with IndexFolder.open(Path(place) / "fresh") as index:
            return content(index)


class KeptIndex(RuleBasedStateMachine):
    """Files come, change, move and go; the index is updated, compacted, repaired, reopened."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.folder = self.base / "files"
        self.folder.mkdir()
        build(self.base / "index", self.folder)
        self.index = IndexFolder.open(self.base / "index")
        self.current = True

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.base)

    @rule(name=NAMES, text=TEXTS)
    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.current = False

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        self.current = False

    @rule(one=NAMES, other=NAMES)
    def move(self, one: str, other: str) -> None:
        if (self.folder / one).exists():
            (self.folder / other).parent.mkdir(exist_ok=True)
            (self.folder / one).replace(self.folder / other)
            self.current = False

    @rule()
    def update(self) -> None:
        update(self.index)
        self.current = True

    @rule()
    def compact(self) -> None:
        compact(self.index)
        assert self.index.info().unused_rows == 0

    @rule()
    def mend(self) -> None:
        assert repair(self.index, cut, embed).embedded == 0

    @rule()
    def rebuild(self) -> None:
        rebuild(self.index, MANIFEST, cut, embed)

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = IndexFolder.open(self.base / "index")

    @invariant()
    def is_whole(self) -> None:
        assert list(problems(self.index)) == []
        if self.current:
            assert content(self.index) == fresh(self.folder)
            query = np.array([[0.5, 0.5, 0.5, 0.5]], np.float32)
            found = [hit.text for hit in self.index.search(query, 50)[0]]
            assert len(found) == self.index.info().chunks
            worded = self.index.find(words_of("five"), None, 50)
            assert all("five" in hit.text for hit in worded)


KeptIndex.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
test_kept_index = KeptIndex.TestCase


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a few files that were not changed just now."""
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    for number in range(6):
        path = files / "sub" / f"{number}.txt"
        path.write_text(f"text number {number} and the same end of all")
        os.utime(path, (time.time() - 60, time.time() - 60))
    return files


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list into which every text goes that is embedded from now on."""
    seen: list[str] = []

    def watched(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return embed(texts)

    monkeypatch.setattr(corpus, "embed", watched)
    return seen


def test_only_new_texts_are_embedded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal passages once, unchanged ones of a changed file never, moved files not at all."""
    seen = counted(monkeypatch)
    build(tmp_path / "i", folder)
    assert len(seen) == len(set(seen)) == 6 + 2
    seen.clear()
    (folder / "sub" / "0.txt").write_text("other words here and the same end of all")
    (folder / "sub" / "1.txt").replace(folder / "moved.txt")
    (folder / "sub" / "2.txt").unlink()
    with IndexFolder.open(tmp_path / "i") as index:
        changes = update(index)
        assert seen == ["other words here"]
        assert (len(changes.changed), len(changes.moved), len(changes.deleted)) == (1, 1, 1)
        assert changes.unchanged == 3
        assert content(index) == fresh(folder)
        # The text comes back: its vector is still there.
        seen.clear()
        (folder / "again.txt").write_text("text number 2 and the same end of all")
        update(index)
        assert seen == []


def test_an_unchanged_file_is_not_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and time of change are enough; nothing is hashed again."""
    build(tmp_path / "i", folder)
    monkeypatch.setattr(update_module, "_state", lambda *_: pytest.fail("read"))
    with IndexFolder.open(tmp_path / "i") as index:
        assert not update(index)


def test_a_change_that_its_time_hides_is_found(folder: Path, tmp_path: Path) -> None:
    """A file indexed right after it was written is looked at again, whatever its time says."""
    path = folder / "young.txt"
    path.write_text("old")
    build(tmp_path / "i", folder)
    stat = path.stat()
    path.write_text("new")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with IndexFolder.open(tmp_path / "i") as index:
        assert len(update(index).changed) == 1


def test_a_removed_file_stays_out(folder: Path, tmp_path: Path) -> None:
    """What a person took out does not come back with the next update."""
    build(tmp_path / "i", folder)
    with IndexFolder.open(tmp_path / "i") as index:
        assert index.remove(any_path(["sub/3.txt"])) == 1
        (folder / "sub" / "3.txt").write_text("changed since")
        update(index)
        assert "sub/3.txt" not in {one[0] for one in content(index)}


def test_readers_see_all_of_an_update_or_nothing(folder: Path, tmp_path: Path) -> None:
    """While files are embedded, and until the switch, a search finds the index as it was."""
    build(tmp_path / "i", folder)
    before = fresh(folder)
    for path in folder.rglob("*.txt"):
        path.write_text(f"{path.name} was written anew")
    seen = []
    with IndexFolder.open(tmp_path / "i") as index, IndexFolder.open(tmp_path / "i") as reader:
        index.begin_writing()
        changes = corpus.changes_of(index)
        fields = dict.fromkeys(index.sources(), "text")
        prepared = update_module.prepare(
            index, changes.to_read, fields, corpus.read, cut, embed, failed=print
        )
        with update_module.kept(changes, prepared, index.path) as (_, files):
            seen.append(content(reader))
            index.switch(changes, (seen.append(content(reader)) or one for one in files))
        assert all(one == before for one in seen) and len(seen) == 7
        assert content(reader) == fresh(folder)


def test_a_second_writer_is_told(folder: Path, tmp_path: Path) -> None:
    """One writer at a time, for every command that writes."""
    build(tmp_path / "i", folder)
    with IndexFolder.open(tmp_path / "i") as one, IndexFolder.open(tmp_path / "i") as other:
        one.begin_writing()
        for action in (update, compact, lambda index: repair(index, cut, embed)):
            with pytest.raises(IndexFolderError, match="being written by another"):
                action(other)


def test_damage_is_found_and_mended(folder: Path, tmp_path: Path) -> None:
    """Flipped bits, a shortened and a missing file of vectors, a lost full-text table."""
    place = tmp_path / "i"
    build(place, folder)
    (vectors,) = place.glob("vectors-*.f32")
    whole = vectors.read_bytes()
    damages: list[Callable[[Path], object]] = [
        lambda path: path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:]),
        lambda path: path.write_bytes(whole[:-16]),
        lambda path: path.unlink(),
    ]
    for damage in damages:
        (vectors,) = place.glob("vectors-*.f32")
        damage(vectors)
        with IndexFolder.open(place, whole=False) as index:
            assert list(problems(index))
            assert repair(index, cut, embed).embedded >= 1
        with IndexFolder.open(place) as index:
            assert list(problems(index)) == [] and content(index) == fresh(folder)
    with IndexFolder.open(place) as index:
        with index.documents.writing():
            index.documents.connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        assert any("full-text" in one for one in problems(index))
        repair(index, cut, embed)
        assert list(problems(index)) == []


def test_a_copy_is_the_same_index(folder: Path, tmp_path: Path) -> None:
    """A copy has all that the original has, and none of its unused vectors."""
    build(tmp_path / "i", folder)
    with IndexFolder.open(tmp_path / "i") as index:
        index.remove(any_path(["sub/1.txt"]))
        copy(index, tmp_path / "copy")
        with IndexFolder.open(tmp_path / "copy") as other:
            assert content(other) == content(index)
            assert list(problems(other)) == []
            assert other.info().unused_rows == 0
    with pytest.raises(IndexFolderError, match="is not empty"):
        copy(IndexFolder.open(tmp_path / "i"), tmp_path / "copy")


def killed(action: Callable[[], object], seconds: float) -> bool:
    """Let a child act, kill it after a while, and return whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """After each of many kills of updates, removals and compactions: one state or the other."""
    chance = random.Random(11)
    folder, place = tmp_path / "files", tmp_path / "i"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"file {number} of the first state and more of it")
    build(place, folder)

    def act(which: int) -> None:
        with IndexFolder.open(place) as index:
            if which == 0:
                compact(index)
            elif which == 1:
                index.remove(any_path(["1*.txt"]))
            elif which == 2:
                repair(index, cut, embed)
            else:
                update(index)

    longest, caught = 0.02, 0
    for kill in range(KILLS):
        with IndexFolder.open(place) as index:
            before = content(index)
        which = chance.randrange(6)
        if which > 2:
            for number in chance.sample(range(40), 10):
                (folder / f"{number}.txt").write_text(f"file {number} state {kill} of it all")
        caught += killed(lambda which=which: act(which), chance.uniform(0, longest))
        with IndexFolder.open(place) as index:
            assert list(problems(index)) == []
            after = content(index)
            if which in (0, 2):
                assert after == before
            elif which == 1:
                kept = [one for one in before if not one[0].startswith("1")]
                assert after in (before, kept)
            elif after != before:
                update(index)
                assert content(index) == after
    assert caught > KILLS // 3
    with IndexFolder.open(place) as index:
        update(index)
        gone = {one[0] for one in fresh(folder)} - {one[0] for one in content(index)}
        assert all(name.startswith("1") for name in gone)
        assert index.info().complete
    assert len([one for one in place.iterdir() if one.suffix in (".sqlite", ".f32")]) == 2


def test_a_build_killed_at_any_moment(tmp_path: Path) -> None:
    """What is there after a kill is no index, or one that an update brings to its end."""
    chance = random.Random(5)
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.txt").write_text(f"file {number} of several words and the same end")
    expected, goes_on = fresh(folder), 0
    began = time.perf_counter()
    build(tmp_path / "whole", folder)
    longest = time.perf_counter() - began
    for kill in range(30):
        place = tmp_path / f"i{kill}"
        killed(lambda place=place: build(place, folder), chance.uniform(0, longest))
        try:
            index = IndexFolder.open(place)
        except IndexFolderError:
            build(place, folder)
            continue
        with index:
            assert list(problems(index)) == [] and content(index) in ([], expected)
            goes_on += not index.info().complete
            if index.sources():
                update(index)
                assert content(index) == expected and index.info().complete
    assert goes_on
