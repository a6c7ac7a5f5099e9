"""HTML: what a reader of the page would see, with its headings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertcli.inputs.documents.build import DocumentBuilder
from bertcli.records import Document

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_UNSEEN = "head script style template noscript svg math iframe object canvas"
UNSEEN = frozenset(_UNSEEN.split())
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INLINE = """
a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span
strike strong sub sup time tt u var wbr
"""
INLINE = frozenset(_INLINE.split())
KEPT_SPACE = frozenset({"pre", "textarea"})


def html(text: str) -> Document:
    """Return the text of a page, a block per paragraph, list item, row of a table or heading."""
    from selectolax.lexbor import LexborHTMLParser

    page = _Page()
    body = LexborHTMLParser(text).body
    if body is not None:
        page.read(body)
    return page.done()


class _Page:
    def __init__(self) -> None:
        self._built = DocumentBuilder()
        self._line: list[str] = []

    def read(self, top: LexborNode) -> None:
        """Read the nodes below one in their order, without recursion: pages nest at any depth."""
        waiting: list[tuple[Any, str]] = [(top, "open")]
        while waiting:
            node, what = waiting.pop()
            if what == "close":
                self._close(node.tag)
                continue
            name = node.tag
            if name == "-text":
                self._line.append(self._said(node))
            elif name in UNSEEN or name.startswith(("-", "!")):
                continue
            elif name == "br":
                self._line.append("\n")
            else:
                if name not in INLINE and name not in ("td", "th"):
                    self._flush()
                waiting.append((node, "close"))
                children = list(node.iter(include_text=True))
                waiting += [(child, "open") for child in reversed(children)]

    def done(self) -> Document:
        """Return what was read."""
        self._flush()
        return self._built.done()

    def _close(self, name: str) -> None:
        if name in HEADINGS:
            self._built.heading("".join(self._line), HEADINGS[name])
            self._line.clear()
        elif name in ("td", "th"):
            self._line.append(" \t ")
        elif name not in INLINE:
            self._flush()

    def _said(self, node: Any) -> str:
        text = node.text_content or ""
        parent = node.parent
        if parent is not None and parent.tag in KEPT_SPACE:
            return str(text)
        # White space between words is one blank, however it was laid out; a break is kept.
        return (
            (" " if text[:1].isspace() else "")
            + " ".join(text.split())
            + (" " if text[-1:].isspace() and text.strip() else "")
        )

    def _flush(self) -> None:
        lines = "".join(self._line).split("\n")
        self._built.block("\n".join(line.rstrip() for line in map(_unindented, lines)))
        self._line.clear()


def _unindented(line: str) -> str:
    """Return a line without the one blank that a line break in the source left before it."""
    return line if line.startswith("  ") else line.removeprefix(" ")
