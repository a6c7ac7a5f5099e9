"""What is remembered of the hashes of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertcli.checkpoints import hashes


def test_a_changed_file_has_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of the same size whose time of change was set back, as copying tools do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first, stat = hashes.file_sha256(file), file.stat()
    assert hashes.file_sha256(file) == first
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashes.file_sha256(file) == hashes.fresh_sha256(file) != first


def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what the cache is for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = hashes.file_sha256(file)
    monkeypatch.setattr(hashes, "fresh_sha256", lambda path: "read again")
    assert hashes.file_sha256(file) == first
