"""HTML: what a reader of the page would see, with its headings."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from bertcli.errors import DataError
from bertcli.inputs.documents.build import DocumentBuilder, table_row
from bertcli.records import Document

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_UNSEEN = """
head script style template noscript svg iframe object canvas annotation annotation-xml
rt rp rtc video audio
"""
UNSEEN = frozenset(_UNSEEN.split())
"""What a page does not show, or only as an aid, as rt and rp, the reading of a word."""
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = """
address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu
nav ol optgroup option p plaintext pre search section select summary table tbody textarea tfoot
thead tr ul xmp
"""
BLOCKS = frozenset(_BLOCKS.split())
"""What stands on lines of its own; all other elements, also those of a page's own, do not."""
CELLS = frozenset({"td", "th"})
IN_CELLS = frozenset({"p", "div", "ul", "ol", "li"})
"""What is only a line of its own within a cell, so that its row stays together."""
CELL_END = "\x1f"  # the unit separator: no page has it
KEPT_SPACE = frozenset({"pre", "textarea"})


EMPTY = re.compile(
    r"<(title|script|style|textarea|template|noscript|iframe|object|canvas|head|a|p|div|span|i|b|em"
    r"|h[1-6])"
    r"(\s[^<>]*)?/>",
    re.IGNORECASE,
)
"""Elements that XHTML may close where it opens them; HTML would take all that follows into them."""
CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""",
    re.I,
)
HEAD_BYTES = 1024
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Where a word may be broken, or may not: it is the same word without."""


def decoded(data: bytes) -> str:
    """Return a page's text by its byte order mark, else the encoding it names, else UTF-8.

    Raises DataError where it is not in that encoding.
    """
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16"}
    marks[codecs.BOM_UTF16_BE] = "utf-16"
    named = CHARSET.search(data[:HEAD_BYTES])
    encoding = (named.group(1) or named.group(2)).decode() if named else "utf-8"
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), encoding)
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise DataError(f"is in the encoding {encoding}, which nobody here knows") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not {encoding} as it should be (byte {error.start:,}): name its encoding in "
            '<meta charset="…">, or convert it to UTF-8'
        ) from error


def html(text: str, xhtml: bool = False) -> Document:
    """Return the text of a page, a block per paragraph, list item, row of a table or heading.

    A page without a heading of the first level has its title there, but a chapter (XHTML) has not:
    that is often the title of the book.
    """
    from selectolax.lexbor import LexborHTMLParser

    page = _Page()
    if xhtml or text.lstrip().startswith("<?xml"):
        text = EMPTY.sub(r"<\1\2></\1>", text)
    tree = LexborHTMLParser(text)
    if tree.body is not None:
        page.read(tree.body)
    read = page.done()
    title = None if xhtml else tree.css_first("head > title")
    if title is None or not read.text.strip() or any(one.level == 1 for one in read.headings):
        return read
    built = DocumentBuilder()
    built.heading(INVISIBLE.sub("", title.text()), 1)
    built.append(read)
    return built.done()


class _Page:
    def __init__(self) -> None:
        self._built = DocumentBuilder()
        self._line: list[str] = []
        self._kept_space = self._cells = 0
        self._heading = 0  # the level of one that is open, until its first line is read

    def read(self, top: LexborNode) -> None:
        """Read the nodes below one in their order, without recursion: pages nest at any depth."""
        waiting: list[tuple[Any, str]] = [(top, "open")]
        while waiting:
            node, what = waiting.pop()
            if what == "close":
                self._close(node.tag)
                self._kept_space -= node.tag in KEPT_SPACE
                continue
            name = node.tag
            if name == "-text":
                self._line.append(self._said(node))
            elif name in UNSEEN or name.startswith(("-", "!")):
                continue
            elif name == "br":
                self._line.append("\n")
            else:
                self._cells += name in CELLS
                self._end_block(name)
                self._heading = HEADINGS.get(name, self._heading)
                self._kept_space += name in KEPT_SPACE
                waiting.append((node, "close"))
                children = list(node.iter(include_text=True))
                waiting += [(child, "open") for child in reversed(children)]

    def done(self) -> Document:
        """Return what was read."""
        self._flush()
        return self._built.done()

    def _close(self, name: str) -> None:
        if name in HEADINGS:
            self._flush()
            self._heading = 0
        elif name in CELLS:
            self._cells -= 1
            self._line.append(CELL_END)
        else:
            self._end_block(name)

    def _end_block(self, name: str) -> None:
        """End what stands before an element, or in it."""
        if self._cells and name in IN_CELLS:
            self._line.append("\n")
        elif name in BLOCKS:
            self._flush()

    def _said(self, node: Any) -> str:
        text = INVISIBLE.sub("", node.text_content or "")
        if self._kept_space:
            return str(text)
        # White space between words is one blank, however it was laid out; a break is kept.
        return (
            (" " if text[:1].isspace() else "")
            + " ".join(text.split())
            + (" " if text[-1:].isspace() and text.strip() else "")
        )

    def _flush(self) -> None:
        said = "".join(self._line)
        if self._heading and said.strip():  # what more blocks it has are text: it may never end
            self._built.heading(said, self._heading)
            self._heading = 0
            self._line.clear()
            return
        *cells, after = said.split(CELL_END)
        if cells:
            said = table_row([*cells, after] if after.strip() else cells)
        lines = said.split("\n")
        self._built.block("\n".join(line.rstrip() for line in map(_unindented, lines)))
        self._line.clear()


def _unindented(line: str) -> str:
    """Return a line without the one blank that a line break in the source left before it."""
    return line if line.startswith("  ") else line.removeprefix(" ")
