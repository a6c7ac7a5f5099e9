"""`bertcli eval`, one module per task."""

from __future__ import annotations

from bertcli.cli.quick import app_of

COMMANDS = {
    "classify": "bertcli.cli.eval.classify:classify",
    "ner": "bertcli.cli.eval.ner:ner",
    "qa": "bertcli.cli.eval.qa:qa",
    "embed": "bertcli.cli.eval.embed:embed",
    "search": "bertcli.cli.eval.search:search",
    "fill-mask": "bertcli.cli.eval.fill_mask:fill_mask",
}

app = app_of("Measure checkpoints.", COMMANDS)
