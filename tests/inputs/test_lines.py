"""Plain text: lines, line ends, encodings and what is not text at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertcli.errors import DataError
from bertcli.inputs.formats import InputFormat
from bertcli.records import BadRecord, Record

from .conftest import Read, outcomes


def test_each_line_is_a_record_without_columns(read: Read) -> None:
    """A text file gives one record per line, numbered from 0, placed from line 1."""
    first, second = read("a.txt", "one\ntwo\n")
    assert isinstance(first, Record) and isinstance(second, Record)
    assert (first.id, first.text, str(first.place)) == (0, "one", "a.txt:1")
    assert (second.id, second.text, str(second.place)) == (1, "two", "a.txt:2")
    assert not first.columns


def test_blank_lines_are_passed_over_but_counted(read: Read) -> None:
    """A blank line is no record, yet the lines after it keep their numbers."""
    assert outcomes(read("a.txt", "one\n\n  \t\ntwo")) == ["1 one", "4 two"]


def test_windows_line_ends_and_mark_are_no_part_of_the_text(read: Read) -> None:
    """A UTF-8 byte order mark and carriage returns before line feeds are taken away."""
    assert outcomes(read("a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")) == ["1 one", "2 two"]


def test_only_line_feeds_end_lines(read: Read) -> None:
    """Unicode line separators and lone carriage returns stay inside a text."""
    assert outcomes(read("a.txt", "a\u2028b\x85c\rd\n")) == ["1 a\u2028b\x85c\rd"]


def test_a_line_that_is_not_utf8_is_bad_and_the_rest_goes_on(read: Read) -> None:
    """One Latin-1 line costs one record, and the message says which byte stands where."""
    items = read("a.txt", b"one\ncaf\xe9\nthree\n")
    assert [type(item) for item in items] == [Record, BadRecord, Record]
    assert outcomes(items)[1].startswith("2 !not valid UTF-8 (byte 0xe9 at byte 4 of the line)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a.txt: is empty"),
        (b"\n \r\n\n", "a.txt: is empty"),
        (b"\xef\xbb\xbf", "a.txt: is empty"),
        ("é\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        ("é\n".encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
        (b"\x1f\x8b\x08\0", "a.txt: is compressed with gzip; give its name the suffix .gz"),
        (b"BZh91AY&SY", "a.txt: is compressed with bzip2; unpack it with `bunzip2`"),
        (b"\x28\xb5\x2f\xfd", "a.txt: is compressed with zstd; unpack it with `unzstd`"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "a.txt: is a binary file"),
    ],
)
def test_what_is_no_text_is_refused(read: Read, data: bytes, words: str) -> None:
    """Empty, wide-encoded and binary files are refused in one line that says what to do."""
    with pytest.raises(DataError) as caught:
        read("a.txt", data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lone_nul_further_down_is_kept(read: Read) -> None:
    """Binary files are told by their first 8 KB; a NUL after that is a character like others."""
    filler = "x" * 9000
    assert outcomes(read("a.txt", f"{filler}\na\0b\n"))[1] == "2 a\0b"


def test_whole_file_is_one_record_exactly_as_it_stands(read: Read) -> None:
    """--whole-file keeps blank lines and line ends, so that offsets are offsets in the file."""
    (record,) = read("a.md", b"\xef\xbb\xbf# One\r\n\r\ntwo\n", whole_file=True)
    assert isinstance(record, Record)
    assert record.text == "# One\r\n\r\ntwo\n"
    assert str(record.place) == "a.md"


def test_whole_file_that_is_blank_or_not_utf8_is_one_bad_record(read: Read) -> None:
    """A blank file is an empty text; a broken one is placed at the line of the first bad byte."""
    assert outcomes(read("a.txt", b" \n\n", whole_file=True)) == ["None !empty text"]
    (broken,) = outcomes(read("a.txt", b"one\ntwo \xff\n", whole_file=True))
    assert broken.startswith("2 !not valid UTF-8 (byte 0xff at byte 5 of the line)")


def test_an_unknown_suffix_is_text_unless_a_format_is_given(read: Read) -> None:
    """A file named outright is read as text whatever its suffix; --input-format overrides."""
    data = '{"text": "one"}\n'
    assert outcomes(read("a.data", data)) == ['1 {"text": "one"}']
    assert outcomes(read("a.data", data, input_format=InputFormat.JSONL)) == ["1 one"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(
            lambda text: not text.isspace()
        ),
        min_size=1,
    )
)
def test_lines_round_trip(tmp_path: Path, read: Read, texts: list[str]) -> None:
    """Whatever letters the lines are made of, the same texts come back."""
    items = read("trip.txt", "\n".join(texts))
    assert [item.text for item in items if isinstance(item, Record)] == [
        text.removeprefix("\ufeff") if number == 0 else text for number, text in enumerate(texts)
    ]
