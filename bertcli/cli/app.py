"""The program: its commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated

import typer

from bertcli import __version__
from bertcli.cli.dashes import advice
from bertcli.cli.memory import NO_MEMORY, is_of_memory
from bertcli.cli.quick import group_of
from bertcli.cli.settings import user_defaults
from bertcli.cli.signals import asked_to_end
from bertcli.errors import BertcliError, UsageError
from bertcli.outputs.visible import visible

INTERRUPTED = 130
SHOWN_LETTERS, LINE_LETTERS = 300, 4_000
PANIC = (
    "bertcli: a library gave up ({}): a tokenizer.json that is damaged, or made to do harm, brings "
    "it to that; --debug shows where"
)
NAME = "bertcli"
COMPLETION = "_BERTCLI_COMPLETE"  # set by the shell that asks for completions

COMMANDS = {
    "fill-mask": "bertcli.cli.fill_mask:fill_mask",
    "classify": "bertcli.cli.classify:classify",
    "ner": "bertcli.cli.ner:ner",
    "qa": "bertcli.cli.qa:qa",
    "embed": "bertcli.cli.embed:embed",
    "search": "bertcli.cli.search:search",
    "similar": "bertcli.cli.collection:similar",
    "dedupe": "bertcli.cli.collection:dedupe",
    "cluster": "bertcli.cli.collection:cluster",
    "quantize": "bertcli.cli.quantize:quantize",
    "replay": "bertcli.cli.replay:replay",
    "doctor": "bertcli.cli.doctor:doctor",
    "index": "bertcli.cli.index:app",
    "models": "bertcli.cli.models:app",
    "train": "bertcli.cli.train:app",
    "eval": "bertcli.cli.eval:app",
    "threshold": "bertcli.cli.threshold:app",
}
"""Where each command is; none is imported before it is asked for."""

app = typer.Typer(
    name=NAME,
    cls=group_of(COMMANDS),
    add_completion=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def bertcli(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """BERT on the command line.

    \b
    bertcli fill-mask "Paris is the [MASK] of France."
    bertcli classify --labels "sports,politics" -i news.csv -f csv > labelled.csv
    bertcli ner "Ada Lovelace was born in London."
    bertcli qa "Who wrote it?" -i book.txt -m DIR
    bertcli embed -i docs.jsonl -o vectors.npy
    bertcli index build my-index -i notes/ && bertcli search "a question" --index my-index
    """
    if version:
        typer.echo(f"bertcli {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str]) -> int:
    """Run a command line and return its exit code, every failure being one line on stderr.

    0 done, 1 failed, 2 used wrongly, 3 finished but some records failed, 130 interrupted, 143 ended
    by SIGTERM.
    """
    try:
        done = _run(arguments)
        sys.stdout.flush()
        return done
    except BertcliError as error:
        return _failed(f"bertcli: {error}", error.exit_code, arguments)
    except KeyboardInterrupt:
        return _failed("bertcli: interrupted", INTERRUPTED, arguments)
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except MemoryError:
        return _failed(NO_MEMORY, BertcliError.exit_code, arguments)
    except OSError as error:
        said = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return _failed(f"bertcli: {said}", BertcliError.exit_code, arguments)
    except OverflowError:
        line = "bertcli: a number on the command line, or in the input, is too large"
        return _failed(line, UsageError.exit_code, arguments)
    except Exception as error:  # a defect of bertcli or of a library: still one line
        if code := asked_to_end():
            return _failed("bertcli: interrupted", code, arguments)
        return _failed(_unexpected(error), BertcliError.exit_code, arguments)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of libraries in Rust, and no Exception
            raise
        line = PANIC.format(str(error)[:SHOWN_LETTERS])
        return _failed(line, BertcliError.exit_code, arguments)


def _unexpected(error: BaseException) -> str:
    """Return the line for what no code here foresees."""
    if is_of_memory(error):
        return NO_MEMORY
    said = f"{type(error).__name__}: {error}"[:SHOWN_LETTERS]
    return f"bertcli: unexpected {said}; --debug shows where, please report it"


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    if COMPLETION in os.environ:
        command.main(prog_name=NAME)
    # Typer's main() would make exit codes of its own of an interruption and of a closed pipe.
    try:
        defaults = user_defaults(command, arguments)
        with command.make_context(
            NAME, list(arguments), default_map=defaults, obj=list(arguments)
        ) as context:
            command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _used_wrongly(error.format_message(), getattr(error, "ctx", None), arguments)
    return 0


def _used_wrongly(message: str, context: typer.Context | None, arguments: list[str]) -> int:
    """Say what Typer has against a command line; its help where a group was given no command."""
    if "\n" in message:
        print_error(message)
        return UsageError.exit_code
    where = f" ({context.command_path} --help shows how)" if context else ""
    said = message.replace("Value error, ", "") + advice(message, arguments)
    return _failed(f"bertcli: {said}{where}", UsageError.exit_code, arguments)


def _failed(line: str, code: int, arguments: list[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    said = " ".join(line.split())
    with suppress(MemoryError):  # which may be what there is to tell
        said = visible(said)
    if len(said) > LINE_LETTERS:  # what a stranger's file says of itself may have any length
        said = f"{said[: LINE_LETTERS // 2]} … {said[-LINE_LETTERS // 2 :]}"
    print_error(said)
    _flush_stdout()
    return code


def print_error(line: str) -> None:
    """Write a line to stderr, whatever its encoding can show."""
    sys.stderr.write(line.encode("utf-8", "backslashreplace").decode() + "\n")


def _flush_stdout() -> None:
    """Hand on the answers that came before a failure; where stdout is what failed, let them go."""
    try:
        sys.stdout.flush()
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    """Point stdout nowhere, so that closing it at exit does not fail a second time."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
