"""Text made safe for a terminal: what is printed is seen, and nothing is obeyed."""

from __future__ import annotations

from functools import cache


@cache
def _replacements() -> dict[int, str]:
    """Return one visible character for each that would move the cursor or change the terminal."""
    controls = {code: chr(0x2400 + code) for code in range(32)}
    blanks = dict.fromkeys((0x09, 0x0A, 0x0D, 0x85, 0x2028, 0x2029), " ")
    c1 = dict.fromkeys(range(0x80, 0xA0), "\ufffd")
    directions = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
    surrogates = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
    return controls | {0x7F: "␡"} | c1 | directions | surrogates | blanks


@cache
def _replacements_within_lines() -> dict[int, str]:
    return {code: one for code, one in _replacements().items() if code not in (0x09, 0x0A)}


def visible(text: str) -> str:
    r"""Return the text with one harmless character for every control character.

    Offsets stay the same. Line ends and tabs become spaces.

    >>> visible("a\x1b[31m\nb")
    'a␛[31m b'
    """
    return text.translate(_replacements())


def visible_lines(text: str) -> str:
    r"""Return lines of text with one harmless character for every control character but tabs.

    >>> visible_lines("a\tb\x1b[31m\n")
    'a\tb␛[31m\n'
    """
    return text.translate(_replacements_within_lines())


def shorten(text: str, width: int, keep_end: bool = False) -> str:
    """Return the text in at most `width` terminal columns, `…` for what was left out.

    Chinese, Japanese and Korean characters count as two.

    >>> shorten("notes/2024/may.txt:12", 12, keep_end=True)
    '…/may.txt:12'
    """
    from rich.cells import cell_len

    near = text[-4 * width :] if keep_end else text[: 4 * width]  # enough, and quick to measure
    if len(near) == len(text) and cell_len(text) <= width:
        return text
    while near and cell_len(near) > width - 1:
        near = near[1:] if keep_end else near[:-1]
    return (f"…{near}" if keep_end else f"{near}…") if width > 0 else ""
