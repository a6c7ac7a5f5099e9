"""`bertcli index …`: what fills an index, what looks after it, what shows beforehand."""

from __future__ import annotations

from bertcli.cli.quick import app_of

COMMANDS = {
    "build": "bertcli.cli.index.fill:build",
    "add": "bertcli.cli.index.fill:add",
    "update": "bertcli.cli.index.fill:update",
    "remove": "bertcli.cli.index.upkeep:remove",
    "info": "bertcli.cli.index.upkeep:info",
    "list": "bertcli.cli.index.upkeep:list_indexes",
    "chunks": "bertcli.cli.index.forecast:chunks",
    "check": "bertcli.cli.index.upkeep:check",
    "repair": "bertcli.cli.index.upkeep:repair",
    "compact": "bertcli.cli.index.upkeep:compact",
    "copy": "bertcli.cli.index.upkeep:copy",
    "tune": "bertcli.cli.index.upkeep:tune",
    "rebuild": "bertcli.cli.index.upkeep:rebuild",
}

app = app_of("Build and look after search indexes.", COMMANDS)
