"""Thresholds that a checkpoint keeps: in its settings, beside the labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bertcli.checkpoints.layout import HEAD_CONFIG, THRESHOLDS, read_json
from bertcli.errors import OutputError


def store_thresholds(folder: Path, thresholds: Mapping[str, float]) -> None:
    """Write thresholds into the settings of a checkpoint's folder, all of them or none.

    Raises OutputError where the folder cannot be written.
    """
    path = folder / HEAD_CONFIG if (folder / HEAD_CONFIG).is_file() else folder / "config.json"
    settings = read_json(path, f"{folder}: no settings to keep thresholds in")
    partial = path.with_suffix(".partial")
    text = json.dumps(settings | {THRESHOLDS: dict(thresholds)}, indent=2, ensure_ascii=False)
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
