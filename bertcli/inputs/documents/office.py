"""PDF, Word, EPUB and Jupyter files as text with headings and pages."""

from __future__ import annotations

import io
import json
import posixpath
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree

from bertcli.errors import DataError, first_line
from bertcli.inputs.documents.build import SAID_LETTERS, DocumentBuilder
from bertcli.inputs.documents.html import decoded, html
from bertcli.inputs.documents.marked import markdown
from bertcli.records import Document

if TYPE_CHECKING:
    from pypdf import PdfReader

UNPACKED_BYTES = 500 << 20
"""A packed document that would be larger than this unpacked is refused."""
_CONTAINER = "META-INF/container.xml"


def pdf(data: bytes) -> Document:
    """Return the text of a PDF, page by page. Raises DataError where it is encrypted or a scan."""
    import logging

    import pypdf
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings are not ours to show
    built = DocumentBuilder()
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not _opens(reader):
            raise DataError("is encrypted: save it without a password")
        for page in reader.pages:
            built.page()
            built.block(page.extract_text())
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"is a damaged PDF ({first_line(error, SAID_LETTERS)})") from error
    document = built.done()
    if not document.text.strip():
        raise DataError(
            f"has {len(document.pages)} pages and no text on them, probably a scan: "
            "run it through text recognition first, as with `ocrmypdf`"
        )
    return document


def _opens(reader: PdfReader) -> bool:
    """Tell whether a PDF opens without a password; AES takes a library that may not be there."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except DependencyError:
        return False


def docx(data: bytes) -> Document:
    """Return the text of a Word document: paragraphs, headings and the rows of its tables."""
    import docx as word
    from docx.opc.exceptions import OpcError
    from docx.table import Table

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError("is encrypted, or in Word's format before 2007: save it as a plain .docx")
    _refuse_bomb(data)
    built = DocumentBuilder()
    try:
        for part in word.Document(io.BytesIO(data)).iter_inner_content():
            if isinstance(part, Table):
                for row in part.rows:
                    built.block(" \t ".join(cell.text.strip() for cell in row.cells))
            else:
                style = (part.style.name or "") if part.style is not None else ""
                _paragraph(built, part.text, style)
    except (
        OpcError,
        KeyError,
        ValueError,
        AttributeError,
        SyntaxError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"is a damaged Word document ({first_line(error, SAID_LETTERS)})"
        ) from error
    return built.done()


def _paragraph(built: DocumentBuilder, text: str, style: str) -> None:
    name, _, number = style.partition(" ")
    if style == "Title":
        built.heading(text, 1)
    elif name == "Heading" and number.isdecimal():
        built.heading(text, int(number))
    else:
        built.block(text)


def epub(data: bytes) -> Document:
    """Return the text of an EPUB book, its chapters in the order of its spine."""
    _refuse_bomb(data)
    built = DocumentBuilder()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            if "META-INF/encryption.xml" in book.namelist():
                names = book.read("META-INF/encryption.xml")
                if b"rights" in names.lower() or b"adept" in names.lower():
                    raise DataError("is encrypted (DRM): only books without it can be read")
            for chapter in _spine(book):
                built.append(html(decoded(book.read(chapter)), xhtml=True))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, StopIteration) as error:
        raise DataError(f"is a damaged EPUB ({first_line(error, SAID_LETTERS)})") from error
    return built.done()


def _spine(book: zipfile.ZipFile) -> list[str]:
    """Return the names of a book's chapters within its archive, in reading order."""
    container = ElementTree.fromstring(book.read(_CONTAINER))
    package_name = next(
        one.attrib["full-path"] for one in container.iter() if _local(one) == "rootfile"
    )
    package = ElementTree.fromstring(book.read(package_name))
    hrefs = {
        one.attrib["id"]: one.attrib["href"] for one in package.iter() if _local(one) == "item"
    }
    order = [one.attrib["idref"] for one in package.iter() if _local(one) == "itemref"]
    folder = posixpath.dirname(package_name)
    return [
        posixpath.normpath(posixpath.join(folder, unquote(hrefs[one])))
        for one in order
        if one in hrefs
    ]


def notebook(data: bytes) -> Document:
    """Return the cells of a Jupyter notebook, those of Markdown with their headings."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is a damaged notebook ({first_line(error, SAID_LETTERS)})") from error
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise DataError("is no Jupyter notebook: it has no list of cells")
    built = DocumentBuilder()
    for cell in cells:
        kind, text = _cell(cell)
        if kind == "markdown":
            built.append(markdown(text))
        elif kind in ("code", "raw"):
            built.block(text)
    return built.done()


def _cell(cell: Any) -> tuple[str, str]:
    if not isinstance(cell, dict):
        return "", ""
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return str(cell.get("cell_type", "")), text


def _refuse_bomb(data: bytes) -> None:
    """Raise where an archive would unpack to more than can be meant."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            f"is damaged: not a zip archive inside ({first_line(error, SAID_LETTERS)})"
        ) from error
    if sum(entry.file_size for entry in entries) > UNPACKED_BYTES:
        raise DataError(f"would be over {UNPACKED_BYTES >> 20} MB unpacked: split it")
    if any(entry.flag_bits & 1 for entry in entries):
        raise DataError("is encrypted: save it without a password")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
