"""PDF, Word, EPUB and Jupyter files as text with headings and pages."""

from __future__ import annotations

import io
import json
import posixpath
import re
import zipfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from bertcli.errors import DataError, counted, first_line
from bertcli.inputs.documents.build import (
    SAID_LETTERS,
    DocumentBuilder,
    check_letters,
    table_row,
)
from bertcli.inputs.documents.html import decoded, html
from bertcli.inputs.documents.marked import markdown
from bertcli.records import Document

UNPACKED_BYTES = 500 << 20
"""A packed document that would be larger than this unpacked is refused."""
WORD_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
WORD_BLOCKS = ("p", "tbl")
WORD_SETTINGS = ("pPr", "rPr", "tblPr", "trPr", "tcPr", "sdtPr", "sectPr")
WORD_UNSEEN = frozenset({"del", "moveFrom", "Fallback", "rt", "", *WORD_SETTINGS})
"""What was deleted or moved away, what is for programs that cannot show it, readings, settings."""
_LETTER = r"[^\W\d_]"
WORD = re.compile(rf"{_LETTER}+(?=(-{_LETTER}+)?)")
_HYPHENS = r"\u2010\u00ad-"
DIVIDED = re.compile(
    rf"(?<!{_LETTER})({_LETTER}{{2,}})([{_HYPHENS}]) ?\n({_LETTER}{{2,}})([^\s{_HYPHENS}]*)( ?)"
)
"""A word that goes on in the next line, with what follows it there."""
LITTLE_WORDS = frozenset(("and", "or", "nor", "to", "but", "the", "und", "oder", "bis", "et", "ou"))
"""After a hyphen they are no part of the word: *short- and long-term*."""
_CONTAINER = "META-INF/container.xml"


def pdf(data: bytes) -> Document:
    """Return the text of a PDF, page by page. Raises DataError where it is encrypted or a scan."""
    import logging

    import pypdf
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings are not ours to show
    built = DocumentBuilder()
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("is encrypted: save it without a password")
        pages = [page.extract_text() for page in reader.pages]
    except DependencyError as error:
        raise DataError(
            "is encrypted with AES, which takes a library: pip install cryptography"
        ) from error
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"is a damaged PDF ({first_line(error, SAID_LETTERS)})") from error
    words = _words_of(DIVIDED.sub(" ", "\n".join(pages)).lower())
    for page in pages:
        built.page()
        built.block(_undivided(page, words))
    document = built.done()
    if not document.text.strip():
        raise DataError(
            f"has {counted(len(document.pages), 'page')} and no text there, probably a scan: "
            "run it through text recognition first, as with `ocrmypdf`"
        )
    return document


def _words_of(text: str) -> Counter[str]:
    """Count the words of a text, and each two that a hyphen ties."""
    found = Counter[str]()
    for word in WORD.finditer(text):
        found[word[0]] += 1
        if word[1]:
            found[word[0] + word[1]] += 1
    return found


def _undivided(page: str, words: Counter[str]) -> str:
    """Return a page with the words whole that are divided between two lines.

    The hyphen stays where it may be the word's own: there is another one before it, or the document
    has the word with it elsewhere, or has both parts and never the two as one.
    """

    def whole(divided: re.Match[str]) -> str:
        first, sign, then, rest, blank = divided.groups()
        one, two = f"{first}{then}", f"{first}-{then}"
        capitals, known = one.isupper(), words[one.lower()] > 0
        if not (then[0].islower() or capitals) or (then in LITTLE_WORDS and not known):
            return divided[0]
        apart = words[first.lower()] and words[then.lower()]
        tied = divided.string[divided.start() - 1 : divided.start()] == "-" or words[two.lower()]
        own = sign != "\u00ad" and not known and (apart or tied or capitals)
        return f"{two if own else one}{rest}" + ("\n" if blank else "")

    while (joined := DIVIDED.sub(whole, page)) != page:  # a word may go over three lines
        page = joined
    return page


def docx(data: bytes) -> Document:
    """Return the text of a Word document: paragraphs, headings and the rows of its tables.

    What was inserted and is tracked, what stands in content controls and in text boxes is there
    too; what was deleted is not.
    """
    import docx as word
    from docx.opc.exceptions import OpcError
    from docx.text.paragraph import Paragraph

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError("is encrypted, or in Word's format before 2007: save it as a plain .docx")
    _refuse_bomb(data)
    built = DocumentBuilder()
    try:
        document = word.Document(io.BytesIO(data))
        for block in _word_parts(document.element.body, *WORD_BLOCKS):
            if _local(block) == "tbl":
                for row in _word_rows(block):
                    built.block(table_row(row))
            else:
                style = Paragraph(block, document._body).style
                _paragraph(built, _word_text(block), (style.name or "") if style else "")
                for box in _word_boxes(block):
                    built.block(box)
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


def _word_parts(element: Any, *wanted: str) -> Iterator[Any]:
    """Yield a Word document's parts of these names, wrapped ones too, but none of an inner part.

    Neither paragraphs nor tables are looked into for others.
    """
    for child in element:
        name = _local(child)
        if name in wanted:
            yield child
        elif name not in WORD_UNSEEN and name not in WORD_BLOCKS:
            yield from _word_parts(child, *wanted)


def _word_rows(table: Any) -> Iterator[list[str]]:
    """Yield the cells of each row; one that is merged over several rows is in each of them."""
    above: dict[int, str] = {}
    letters = 0
    for row in _word_parts(table, "tr"):
        here, at = dict[int, str](), 0
        for cell in _word_parts(row, "tc"):
            width, goes_on = _merged(cell)
            here[at] = above.get(at, "") if goes_on else _word_cell(cell)
            at += width
        letters += sum(map(len, here.values()))
        check_letters(letters)  # before an outer table copies them once more
        yield list(here.values())
        above = here


def _merged(cell: Any) -> tuple[int, bool]:
    """Return over how many columns a cell goes, and whether it goes on from the row above."""
    width, goes_on = 1, False
    for settings in (one for one in cell if _local(one) == "tcPr"):
        for one in settings:
            said = next((value for key, value in one.items() if key.endswith("}val")), "")
            if _local(one) == "gridSpan" and said.isdecimal():
                width = max(1, int(said))
            elif _local(one) == "vMerge":
                goes_on = said != "restart"
    return width, goes_on


def _word_cell(cell: Any) -> str:
    parts = list[str]()
    for block in _word_parts(cell, *WORD_BLOCKS):
        if _local(block) == "tbl":
            parts += map(" \t ".join, _word_rows(block))
        else:
            parts += [_word_text(block), *_word_boxes(block)]
    return "\n".join(part.strip() for part in parts if part.strip())


def _word_text(paragraph: Any) -> str:
    """Return the text of a paragraph, without that of text boxes in it."""
    said = list[str]()
    for child in paragraph:
        name = _local(child)
        if name == "t":
            said.append(child.text or "")
        elif name in WORD_SIGNS:
            ends = {"page", "column"} & set(child.attrib.values())  # of what is laid out
            said.append("" if ends else WORD_SIGNS[name])
        elif name not in WORD_UNSEEN and name != "txbxContent":
            said.append(_word_text(child))
    return "".join(said)


def _word_boxes(paragraph: Any) -> Iterator[str]:
    """Yield the texts of the text boxes in a paragraph."""
    for child in paragraph:
        name = _local(child)
        if name == "txbxContent":
            yield _word_cell(child)
        elif name not in WORD_UNSEEN:
            yield from _word_boxes(child)


def _paragraph(built: DocumentBuilder, text: str, style: str) -> None:
    name, _, number = style.partition(" ")
    if style == "Title":
        built.heading(text, 0)  # the document's, above all of its headings
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
            names, chapters = set(book.namelist()), _spine(book)
            if _is_locked(book, names, chapters):
                raise DataError("is encrypted (DRM): only books without it can be read")
            for chapter in dict.fromkeys(chapters):
                if chapter in names:
                    built.append(html(decoded(book.read(chapter)), xhtml=True))
            if not names.intersection(chapters):
                raise DataError("is a damaged EPUB: it lacks its chapters")
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, StopIteration) as error:
        raise DataError(f"is a damaged EPUB ({first_line(error, SAID_LETTERS)})") from error
    return built.done()


def _is_locked(book: zipfile.ZipFile, names: Container[str], chapters: Iterable[str]) -> bool:
    """Tell whether a chapter of a book is encrypted, or all of it; fonts may be."""
    if "META-INF/encryption.xml" not in names:
        return False
    data = book.read("META-INF/encryption.xml")
    if b"rights" in data.lower() or b"adept" in data.lower():
        return True
    of = (one for one in ElementTree.fromstring(data).iter() if _local(one) == "CipherReference")
    return not {unquote(one.attrib.get("URI", "")) for one in of}.isdisjoint(chapters)


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
        raise DataError("is damaged: not a zip archive inside") from error
    if sum(entry.file_size for entry in entries) > UNPACKED_BYTES:
        raise DataError(f"would be over {UNPACKED_BYTES >> 20} MB unpacked: split it")
    if any(entry.flag_bits & 1 for entry in entries):
        raise DataError("is encrypted: save it without a password")


def _local(element: Any) -> str:
    """Return the name of an element without its namespace, nothing for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
