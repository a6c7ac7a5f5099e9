"""The files of an index's sources, and reading them as documents."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bertcli.errors import DataError
from bertcli.index.places import shown

if TYPE_CHECKING:
    from bertcli.index.content import NewDocument
    from bertcli.index.files import Source


def files_of(
    source: Source,
    own: Path,
    unlisted: Callable[[Path, str], object] | None = None,
    known: Container[str] = (),
) -> Iterator[tuple[Path, str]]:
    """Yield the files of a source, each with its name; no index, and nothing that is no text.

    What is `known` was text when it was read. A folder that cannot be listed is handed to
    `unlisted`, with the reason.
    """
    from bertcli.index.lock import LOCK_NAME
    from bertcli.index.places import MANIFEST_NAME
    from bertcli.inputs.documents.read import is_document
    from bertcli.inputs.folders import Selection, files_under

    root = Path(source.path)
    if not root.exists():
        own_name = os.path.normpath(source.name)
        glob = "*" if own_name == os.curdir else own_name
        raise DataError(
            f"{source.name}: {root} is not there any more: bring it back, or take its documents "
            f"out with `bertcli index remove {shown(own)} --path {shlex.quote(glob)}`; nothing was "
            "changed"
        )
    for path in files_under(root, Selection(source.include, source.exclude), unlisted):
        index = (path.parent / LOCK_NAME).exists() and (path.parent / MANIFEST_NAME).exists()
        if path.is_relative_to(own) or (index and path != root):
            continue
        if path == root or str(path) in known or is_document(path):
            yield path, _name(source, root, path)


def reader(failed: Callable[[str], None]) -> Callable[[Path, str, str], Iterator[NewDocument]]:
    """Return what reads files as documents; rows that cannot be read are handed to `failed`.

    Where that is all of them, as after one quote too many, the file cannot be read: DataError.
    """
    from bertcli.index.content import NewDocument
    from bertcli.inputs.documents.read import read_documents
    from bertcli.records import Document

    def read(path: Path, name: str, field: str) -> Iterator[NewDocument]:
        bad, is_readable = list[str](), False
        for one in read_documents(path, name, field):
            if isinstance(one, Document):
                yield NewDocument.of(name, one)
                is_readable = True
            else:
                bad.append(str(one))
        if bad and not is_readable:
            more = f", nor can {len(bad) - 1:,} rows more be read" if bad[1:] else ""
            raise DataError(f"{bad[0]}{more}")
        for reason in bad:
            failed(reason)

    return read


def _name(source: Source, root: Path, path: Path) -> str:
    """Return what a file is called by one who called its source so, always as UTF-8."""
    inside = path.relative_to(root)
    name = str(Path(source.name) / inside) if inside.parts else source.name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
