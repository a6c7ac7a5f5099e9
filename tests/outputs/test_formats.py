"""How a format is chosen."""

from __future__ import annotations

import pytest

from bertcli.errors import UsageError
from bertcli.outputs.formats import OutputFormat, choose_format


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.jsonl", OutputFormat.JSONL),
        ("a.json", OutputFormat.JSON),
        ("dir.x/a.CSV", OutputFormat.CSV),
        ("a.tsv.gz", OutputFormat.TSV),
        ("a.txt.xz", OutputFormat.TEXT),
        ("a.parquet", OutputFormat.PARQUET),
        ("a.npy", OutputFormat.NPY),
        ("a.conll", OutputFormat.CONLL),
        ("/dev/null", OutputFormat.JSONL),
        ("answers.gz", OutputFormat.JSONL),
    ],
)
def test_the_suffix_of_the_output_decides(path: str, expected: OutputFormat) -> None:
    """Without -f the name of the file says its format, also under .gz and .xz."""
    assert choose_format(None, path, terminal=True) is expected


@pytest.mark.parametrize("path", [None, "-"])
def test_a_terminal_gets_a_table_and_a_pipe_json_lines(path: str | None) -> None:
    """Without -f and -o the reader decides: a person or a program."""
    assert choose_format(None, path, terminal=True) is OutputFormat.TABLE
    assert choose_format(None, path, terminal=False) is OutputFormat.JSONL


def test_the_flag_wins_over_the_suffix() -> None:
    """What is said aloud with -f counts."""
    assert choose_format(OutputFormat.CSV, "a.json", terminal=False) is OutputFormat.CSV


def test_an_unknown_suffix_is_a_usage_error_that_lists_the_known() -> None:
    """bertcli does not guess a format from a name that it does not know."""
    with pytest.raises(UsageError, match=r"\.xlsx.*\.jsonl.*\.parquet"):
        choose_format(None, "answers.xlsx", terminal=False)


@pytest.mark.parametrize("fmt", [OutputFormat.PARQUET, OutputFormat.NPY])
def test_binary_does_not_go_to_a_terminal(fmt: OutputFormat) -> None:
    """A terminal is never garbled; a pipe may have the bytes."""
    with pytest.raises(UsageError, match="-o"):
        choose_format(fmt, None, terminal=True)
    assert choose_format(fmt, None, terminal=False) is fmt
