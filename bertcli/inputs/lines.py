"""Plain text: bytes to lines, with the checks that every text format shares."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from bertcli.errors import DataError, EmptyError
from bertcli.inputs.rows import BadRow, Row
from bertcli.inputs.source import STDIN_NAME
from bertcli.records import Place

HEAD_BYTES = 8192
LINE_BYTES = 32 << 20
"""The longest line that is read: some six million tokens, hours of work."""
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
PACKED = {
    b"\x1f\x8b": "gzip; give its name the suffix .gz",
    b"\xfd7zXZ\0": "xz; give its name the suffix .xz",
    b"BZh91AY&SY": "bzip2; unpack it with `bunzip2`",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it with `unzstd`",
    b"PK\x03\x04": "zip; unpack it with `unzip`",
}
"""How a file is compressed that begins so, and what to do."""


def start_text(stream: io.BufferedReader, name: str) -> None:
    """Check that a stream begins like UTF-8 text, and step over a byte order mark.

    Looks only at what one read brings, at most 8 KB, so that a live pipe is not waited for.
    Raises `DataError` for an empty stream, UTF-16, UTF-32 and binary files.
    """
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    check_not_empty(head, name)
    check_not_wide(head, name)
    if wide := unmarked(head):
        convert = f"iconv -f {wide} -t UTF-8"
        raise DataError(f"{name}: looks like {wide}, expected UTF-8; convert it with `{convert}`")
    for mark, packed in PACKED.items():
        if head.startswith(mark):
            raise DataError(f"{name}: is compressed with {packed}")
    if b"\0" in head:
        way = "say --input-format parquet" if name == STDIN_NAME else "let its name end in .parquet"
        raise DataError(f"{name}: is a binary file, expected UTF-8 text; if it is Parquet, {way}")
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))


def check_not_empty(head: bytes, name: str) -> None:
    """Raise `DataError` for a stream without a single byte."""
    if not head:
        raise empty(name)


def check_not_wide(head: bytes, name: str) -> None:
    """Raise `DataError`, with the command that converts it, for a UTF-16 or UTF-32 mark."""
    for mark, encoding in WIDE_MARKS.items():
        if head.startswith(mark):
            convert = f"iconv -f {encoding} -t UTF-8"
            raise DataError(f"{name}: is {encoding}, expected UTF-8; convert it with `{convert}`")


def unmarked(head: bytes) -> str | None:
    """Return UTF-16LE or UTF-16BE where bytes look like it without a mark, else None.

    In text of the Latin script every other byte is zero; in binary files zeros stand anywhere.

    >>> unmarked("text".encode("utf-16-le"))
    'UTF-16LE'
    """
    low, high = head[::2], head[1::2]
    for name, zeros, others in (("UTF-16LE", high, low), ("UTF-16BE", low, high)):
        if zeros.count(0) > 0.6 * len(zeros) and others.count(0) == 0:
            return name
    return None


def empty(name: str) -> DataError:
    """Return the error for an input in which there is nothing."""
    return EmptyError(f"{name}: is empty, expected at least one text")


def not_utf8(error: UnicodeError) -> str:
    """Return the message for bytes that are not UTF-8, with the first of them and where it stands.

    >>> try: b"caf\\xe9".decode()
    ... except UnicodeDecodeError as error: not_utf8(error).partition(";")[0]
    'not valid UTF-8 (byte 0xe9 at byte 4 of the line)'
    """
    where = ""
    if isinstance(error, UnicodeDecodeError):
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        where = f" (byte 0x{error.object[error.start]:02x} at byte {column} of the line)"
    how = "`iconv -f OLD -t UTF-8`, where OLD is its encoding, as WINDOWS-1252 or GB18030"
    return f"not valid UTF-8{where}; convert the file, as with {how}"


def read_lines(stream: io.BufferedReader, name: str) -> Iterator[Row | BadRow]:
    """Yield every line that is not blank, without its line end, as soon as it is there.

    Only a line feed, or carriage return and line feed, ends a line. Blank lines count in the line
    numbers; one of more than 32 MB is a bad row. Raises `DataError` where there is no other line.
    """
    start_text(stream, name)
    found = False
    for number, raw in enumerate(raw_lines(stream), 1):
        row = _line(raw, Place(name, number))
        if isinstance(row, BadRow) or (row.text and not row.text.isspace()):
            found = True
            yield row
    if not found:
        raise empty(name)


def read_whole_text(stream: io.BufferedReader, name: str) -> Iterator[Row | BadRow]:
    """Yield one row with the whole text exactly as it stands in the file, line ends included."""
    start_text(stream, name)
    raw = stream.read(LINE_BYTES + 1)
    if len(raw) > LINE_BYTES:
        yield BadRow(f"the file has more than {LINE_BYTES >> 20} MB; divide it", Place(name))
        return
    try:
        yield Row({}, Place(name), raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        yield BadRow(not_utf8(error), Place(name, line))


def raw_lines(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield the lines with their ends; of one that is too long as much as shows that it is."""
    while raw := stream.readline(LINE_BYTES + 1):
        yield raw
        while len(raw) > LINE_BYTES and not raw.endswith(b"\n"):
            raw = stream.readline(LINE_BYTES + 1)


def _line(raw: bytes, place: Place) -> Row | BadRow:
    if len(raw) > LINE_BYTES:
        return BadRow(f"the line has more than {LINE_BYTES >> 20} MB; divide it", place)
    try:
        return Row({}, place, raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow(not_utf8(error), place)
