"""`bertcli index …`: what fills an index, what looks after it, what shows beforehand."""

from __future__ import annotations

import typer

from bertcli.cli.index import fill, forecast, upkeep

app = typer.Typer(
    help="Build and look after search indexes.", rich_markup_mode=None, no_args_is_help=True
)
app.command("build")(fill.build)
app.command("add")(fill.add)
app.command("update")(fill.update)
app.command("remove")(upkeep.remove)
app.command("info")(upkeep.info)
app.command("list")(upkeep.list_indexes)
app.command("chunks")(forecast.chunks)
app.command("check")(upkeep.check)
app.command("repair")(upkeep.repair)
app.command("compact")(upkeep.compact)
app.command("copy")(upkeep.copy)
app.command("tune")(upkeep.tune)
app.command("rebuild")(upkeep.rebuild)
