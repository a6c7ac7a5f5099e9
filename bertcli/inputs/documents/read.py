"""A file as documents: the whole of it, or each of its rows."""

from __future__ import annotations

import codecs
import io
import mimetypes
from collections.abc import Callable, Iterator
from pathlib import Path

from bertcli.errors import DataError, RecordError, first_line
from bertcli.inputs.documents import marked
from bertcli.inputs.documents.build import SAID_LETTERS
from bertcli.inputs.formats import InputFormat, compression_of, format_of, read_stream
from bertcli.inputs.lines import HEAD_BYTES, LINE_BYTES, read_whole_text
from bertcli.inputs.records import text_of
from bertcli.inputs.rows import BadRow, Row, missing_column
from bertcli.inputs.source import Source, open_source
from bertcli.records import Document

ROWS = frozenset({InputFormat.JSONL, InputFormat.CSV, InputFormat.TSV, InputFormat.PARQUET})
FILE_BYTES = 1 << 30
"""A file larger than this is not read as one document; of plain text 32 MB are the most."""
NESTED = 60
"""How deep lists and objects may stand in each other in a column."""
NEEDED = {"pypdf": "PDF", "docx": "Word", "selectolax": "HTML and EPUB"}


def is_document(path: Path) -> bool:
    """Return whether a file is of a known kind or looks like text, so that it is to be read.

    Text has no zero byte among its first 8,192, or begins with the mark of UTF-16; an empty file
    counts as text. Of known kinds are those that cannot be read, too, so that this is told.
    """
    kind = _kind(path)
    if format_of(str(path)) or any(kind in kinds for kinds in (PACKED, PAGES, TEXTS, OTHERS)):
        return True
    if (SUFFIXES.types_map[True].get(kind) or "").startswith("text/"):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return True  # what is wrong is told when it is read
    return b"\0" not in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def read_documents(path: Path, name: str, field: str) -> Iterator[Document | BadRow]:
    """Yield the document that a file is, or one for each of its rows with the text in `field`.

    A row that cannot be read is a BadRow. Raises DataError, which names the file, for a file that
    is empty, damaged, encrypted, or not what its suffix says.
    """
    kind = format_of(str(path))
    if kind in ROWS:
        yield from _rows(path, name, kind, field)
        return
    document = _whole(path, name)
    if not document.text.strip():
        raise DataError(f"{name}: has no text")
    yield document


def _kind(path: Path) -> str:
    """Return the suffix of a file, in lower case, without that of its compression."""
    return Path(path.stem if compression_of(str(path)) else path).suffix.lower()


def _rows(path: Path, name: str, kind: InputFormat, field: str) -> Iterator[Document | BadRow]:
    source = Source(str(path), kind, compression_of(str(path)))
    first = True
    with open_source(source) as stream:
        for number, row in enumerate(read_stream(stream, name, kind, need=(field,)), 1):
            if isinstance(row, BadRow):
                yield row
                continue
            if row.text is not None:  # a string among JSON lines
                row = Row({field: row.text}, row.place)
            elif first and field not in row.columns:
                raise missing_column(field, row.columns, row.place, "--field")
            else:
                first = False
            line = row.place.line or number
            try:
                text = text_of(row, field)
            except RecordError as error:
                yield BadRow(str(error), row.place)
                continue
            others = {key: value for key, value in row.columns.items() if key != field}
            if _depth(others) > NESTED:
                yield BadRow(f"a column is nested more than {NESTED} deep", row.place)
                continue
            yield Document(text, line=line, columns=others)


def _depth(value: object) -> int:
    """Return how deep lists and objects stand in each other, counted no further than needed."""
    level, depth = [value], 0
    while level and depth <= NESTED:
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list | tuple):
                inner += one
        level, depth = [one for one in inner if isinstance(one, dict | list | tuple)], depth + 1
    return depth


def _whole(path: Path, name: str) -> Document:
    kind = _kind(path)
    if kind in OTHERS:
        raise DataError(f"{name}: {kind} files are not read: save it as {OTHERS[kind]}")
    try:
        if kind in PACKED:
            return PACKED[kind](_bytes(path, name))
        if kind in PAGES:
            return _page(_bytes(path, name), xhtml=kind == ".xhtml")
        return TEXTS.get(kind, Document)(_text(path, name))
    except ImportError as error:
        what = NEEDED.get((error.name or "").partition(".")[0], "such")
        raise DataError(
            f'{name}: {what} files are read with pip install "bertcli[docs]"'
        ) from error
    except DataError as error:
        said = str(error).replace(f"{path}: ", "")
        raise DataError(said if said.startswith(name) else f"{name}: {said}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes its library raise whatever it likes
        said = f"{name}: cannot be read, it is damaged ({first_line(error, SAID_LETTERS)})"
        raise DataError(said) from error


def _bytes(path: Path, name: str) -> bytes:
    """Return the bytes of a file, unpacked where it is a .gz or .xz."""
    data = _beginning(path, FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise DataError(f"{name}: is over {FILE_BYTES >> 30} GB: split it")
    if not data:
        raise DataError(f"{name}: is empty")
    return data


def _beginning(path: Path, count: int) -> bytes:
    """Return no more than so many bytes; raises DataError, which has the whole path."""
    source = Source(str(path), InputFormat.TXT, compression_of(str(path)))
    with open_source(source) as stream:
        return stream.read(count)


def _text(path: Path, name: str) -> str:
    data = _beginning(path, LINE_BYTES + 1)  # as much as shows that it is too much
    if not data:
        raise DataError(f"{name}: is empty")
    (row,) = read_whole_text(io.BufferedReader(io.BytesIO(data)), name)
    if isinstance(row, BadRow):
        raise DataError(f"{row.place}: {row.error}")
    return row.text or ""


def _page(data: bytes, xhtml: bool) -> Document:
    from bertcli.inputs.documents.html import decoded, html

    return html(decoded(data), xhtml)


def _office(name: str) -> Callable[[bytes], Document]:
    def read(data: bytes) -> Document:
        from bertcli.inputs.documents import office

        reader: Callable[[bytes], Document] = getattr(office, name)
        return reader(data)

    return read


TEXTS: dict[str, Callable[[str], Document]] = {
    ".md": marked.markdown,
    ".markdown": marked.markdown,
    ".rst": marked.restructured,
}
PAGES = frozenset({".html", ".htm", ".xhtml"})
PACKED = {
    ".pdf": _office("pdf"),
    ".docx": _office("docx"),
    ".epub": _office("epub"),
    ".ipynb": _office("notebook"),
}
OTHERS = {
    **dict.fromkeys((".doc", ".odt", ".pages", ".rtf", ".wpd"), "a .docx or a PDF"),
    **dict.fromkeys((".xls", ".xlsx", ".xlsm", ".ods", ".numbers"), "a CSV file"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".djvu"), "a PDF"),
    **dict.fromkeys((".mobi", ".azw", ".azw3"), "an EPUB"),
}
"""Documents that nothing here reads, and what to make of them."""
SUFFIXES = mimetypes.MimeTypes()
"""Python's own table of suffixes: source code, for one, is text that may be damaged."""
