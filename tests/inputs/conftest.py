"""Read bytes as if they were a file, in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertcli.inputs.formats import InputFormat
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.records import BadRecord, Record

Read = Callable[..., list[Record | BadRecord]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a function that writes a file in an empty current folder and reads its records."""
    monkeypatch.chdir(tmp_path)

    def run(
        name: str,
        data: bytes | str,
        *,
        field: str = "text",
        whole_file: bool = False,
        input_format: InputFormat | None = None,
    ) -> list[Record | BadRecord]:
        Path(name).write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
        options = InputOptions((), (name,), field, whole_file, input_format)
        return list(read_records(options))

    return run


def outcomes(items: list[Record | BadRecord]) -> list[str]:
    """Return each record as `line text`, each bad one as `line !error`."""
    return [
        f"{item.place.line} {item.text}"
        if isinstance(item, Record)
        else f"{item.place.line} !{item.error}"
        for item in items
    ]
