"""`bertcli train`, one module per task."""

from __future__ import annotations

from bertcli.cli.quick import app_of

COMMANDS = {
    "classify": "bertcli.cli.train.classify:classify",
    "ner": "bertcli.cli.train.ner:ner",
    "qa": "bertcli.cli.train.qa:qa",
    "embed": "bertcli.cli.train.embed:embed",
    "fill-mask": "bertcli.cli.train.fill_mask:fill_mask",
}

app = app_of("Fine-tune checkpoints.", COMMANDS)
