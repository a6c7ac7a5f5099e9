"""`--manifest` and `bertcli replay`: how a run was made, and whether it can be made again."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bertcli import __version__
from bertcli.cli.options import Debug, OutputFlags
from bertcli.cli.recipe import Written, warn
from bertcli.errors import DataError, counted
from bertcli.records import Item, Pause

PACKAGES = ("onnxruntime", "openvino", "tokenizers", "numpy", "pyarrow", "torch", "transformers")
SHAPE: dict[str, Any] = {
    "command": list,
    "bertcli": str,
    "flags": dict,
    "packages": dict,
    "made_with": dict,
    "records": dict,
    "output": dict,
}


class Recorder:
    """Watches a run and writes its manifest."""

    def __init__(
        self,
        path: Path,
        context: typer.Context,
        flags: Mapping[str, str],
        inputs: Sequence[str],
        made_with: Mapping[str, str],
    ) -> None:
        import hashlib

        self._path = path
        self._command: list[str] = context.find_root().obj or []
        self._flags = flags
        self._given = inputs
        self._made_with = made_with
        self._records = hashlib.sha256()

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the records, and remember what they are."""
        from bertcli.outputs.journal import record_bytes

        for item in items:
            if not isinstance(item, Pause):
                self._records.update(record_bytes(item))
            yield item

    def digest(self, out: OutputFlags) -> Any:
        """Return what is to be told of the bytes that go to stdout or a pipe; None for a file."""
        import hashlib

        from bertcli.outputs.formats import is_stdout
        from bertcli.outputs.sink import is_device

        passes = is_stdout(out.output) or is_device(str(out.output))
        return hashlib.sha256() if passes else None

    def record(self, written: Written, out: OutputFlags) -> None:
        """Write the manifest of a run that has ended."""
        import platform

        from bertcli.checkpoints.hashes import fresh_sha256
        from bertcli.engine.onnx_encoder import processors
        from bertcli.outputs.sink import Destination, open_sink

        target = None if written.sha256 else Path(str(out.output))
        manifest = {
            "bertcli": __version__,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(written.seconds, 3),
            "command": self._command,
            "flags": self._flags,
            "machine": f"{platform.system()} {platform.machine()}, {processors()} processors",
            "packages": packages(),
            "made_with": self._made_with,
            "inputs": self._inputs(),
            "records": {"sha256": self._records.hexdigest(), **asdict(written.tally)},
            "output": {
                "path": out.output,
                "format": written.format.value,
                "width": written.width,
                "sha256": fresh_sha256(target) if target else written.sha256,
            },
        }
        with open_sink(Destination(str(self._path))) as sink:
            text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
            sink.write(text.encode("utf-8", "backslashreplace"))  # of a name that is not UTF-8

    def _inputs(self) -> list[dict[str, object]]:
        """Return the files that were read."""
        from bertcli.checkpoints.hashes import fresh_sha256
        from bertcli.inputs.source import find_sources

        return [
            {"path": one.name, "bytes": path.stat().st_size, "sha256": fresh_sha256(path)}
            for one in find_sources(self._given)
            if one.path is not None and (path := Path(one.path)).is_file()
        ]


def packages() -> dict[str, str]:
    """Return the versions of what computes the answers, and Python's."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not what it was in the first run."""

    what: str
    then: str
    now: str


def replay(
    manifest: Annotated[Path, typer.Argument(help="What --manifest wrote.")],
    debug: Debug = False,
) -> None:
    """Run a command again as its manifest says, and tell whether the output is the same.

    Files are sought as they were named, from the present folder. The exit code is 1 where the
    output differs; everything else that differs is named beside it.

    \b
    bertcli embed -i docs.jsonl -o vectors.npy --manifest run.json
    bertcli replay run.json
    """
    then = read_manifest(manifest)
    now = _run_again(then)
    for one in differences(then, now):
        warn(f"{one.what} was {one.then}, is {one.now}")
    first, second = then["output"]["sha256"], now["output"]["sha256"]
    count = now["records"]["records"]
    if first == second:
        typer.echo(f"reproduced: {counted(count, 'record')}, output sha256 {second}")
        return
    again = counted(count, "record")
    typer.echo(f"not reproduced: {again}, output sha256 {second}, was {first}")
    raise typer.Exit(1)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest; raises DataError where the file is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); expected what --manifest wrote") from error
    if not (isinstance(found, dict) and all(_fits(found.get(name), name) for name in SHAPE)):
        raise DataError(f"{path}: not the manifest of a run; expected what --manifest wrote")
    manifest: dict[str, Any] = found
    if manifest["command"][0].startswith("-") or manifest["command"][0] == "replay":
        raise DataError(f"{path}: it names no command that could be run again")
    return manifest


def _fits(value: object, name: str) -> bool:
    """Tell whether a part of a manifest is of the kind that it should be."""
    if not isinstance(value, SHAPE[name]):
        return False
    if name == "command":
        return bool(value) and all(map(_is_argument, value))
    if name == "output":
        parts = (value.get("sha256"), value.get("format"), value.get("path") or "")
        return all(map(_is_argument, parts)) and isinstance(value.get("width"), int)
    return name != "records" or isinstance(value.get("records"), int)


def _is_argument(value: object) -> bool:
    """Tell whether something can stand on a command line."""
    if not isinstance(value, str) or "\0" in value:
        return False
    with suppress(UnicodeEncodeError):
        os.fsencode(value)
        return True
    return False


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what two manifests have different, apart from the output, times and places."""
    found = []
    for part in ("packages", "made_with", "flags", "records"):
        old, new = then[part], now[part]
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                what = f"{part}: {name}"
                found.append(Difference(what, str(old.get(name)), str(new.get(name))))
    if then["bertcli"] != now["bertcli"]:
        found.insert(0, Difference("bertcli", then["bertcli"], now["bertcli"]))
    return found


def _run_again(then: Mapping[str, Any]) -> dict[str, Any]:
    """Run a manifest's command into a folder of its own, and return the manifest of that run."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bertcli-replay-") as folder:
        suffix = "".join(Path(then["output"].get("path") or "").suffixes[-2:])
        output, again = Path(folder, f"output{suffix}"), Path(folder, "run.json")
        places = ["-o", str(output), "-f", then["output"]["format"], "--manifest", str(again)]
        line = with_options(then["command"], places)
        width = str(then["output"]["width"])  # a table's
        environment = os.environ | {"COLUMNS": width}
        program = [sys.executable, "-m", "bertcli", *line]
        done = subprocess.run(program, capture_output=True, env=environment)
        if not again.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            why = said or "it wrote no manifest of its own"
            raise DataError(f"the command failed, exit code {done.returncode}: {why}")
        return read_manifest(again)


def with_options(command: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return a command line with more options, which win over those that it has.

    >>> with_options(["classify", "-o", "a.csv", "--", "-good"], ["-o", "b.csv"])
    ['classify', '-o', 'a.csv', '-o', 'b.csv', '--', '-good']
    """
    end = list(command).index("--") if "--" in command else len(command)
    return [*command[:end], *options, *command[end:]]
