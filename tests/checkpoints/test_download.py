"""Downloads by the hub's own client, from a stand-in for the hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bertcli.engine.families import Head

NAME = "someone/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """One repository, and what was fetched of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.fetched: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        hub: Any = self.server
        path = self.path.partition("?")[0].strip("/")
        files = {one.name: one for one in hub.folder.iterdir()}
        if path.startswith(f"api/models/{NAME}/tree/"):
            sizes = {name: one.stat().st_size for name, one in files.items()}
            tree = [{"type": "file", "path": n, "size": s, "oid": n} for n, s in sizes.items()]
            self._send(json.dumps(tree).encode())
        elif path == f"api/models/{NAME}/revision/main":
            siblings = [{"rfilename": name} for name in files]
            self._send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode())
        elif (name := path.removeprefix(f"{NAME}/resolve/{COMMIT}/")) in files:
            data = files[name].read_bytes()
            if self.command == "GET":
                hub.fetched.append(name)
            self._send(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"')
        else:
            kind = "RevisionNotFound" if NAME in path else "RepoNotFound"
            self._send(b"{}", 404, **{"X-Error-Code": kind})

    def _send(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def hub(tiny_checkpoint: Any, own_copy: Any) -> Iterator[Hub]:
    """Return a hub that has a classifier, with code and a pickle beside it."""
    folder = own_copy(tiny_checkpoint("bert", Head.SEQUENCE))
    (folder / "modeling.py").write_text("raise SystemExit('code of a checkpoint was run')")
    (folder / "pytorch_model.bin").write_bytes(b"no tensors")
    server = Hub(folder)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(hub: Hub, home: Path, name: str = NAME, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `classify` in a process of its own, which knows no other hub than this one."""
    return subprocess.run(
        [sys.executable, "-m", "bertcli", "classify", "-m", name, *more, "A small red house."],
        env=os.environ
        | {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_name_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    """Weights, settings and tokenizer come, neither code nor pickles; and no second time."""
    first = ask(hub, tmp_path / "hf")
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout)["label"] in ("contradiction", "neutral", "entailment")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.fetched)
    assert not {"modeling.py", "pytorch_model.bin"} & set(hub.fetched)
    hub.fetched.clear()
    assert ask(hub, tmp_path / "hf", NAME, "--offline").stdout == first.stdout
    assert hub.fetched == []


def test_what_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    """A wrong name and a wrong revision are told apart."""
    wrong = ask(hub, tmp_path, "someone/none")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == ("bertcli: someone/none: the hub has no such model, or it is private\n")
    assert "no revision v9" in ask(hub, tmp_path, NAME, "--revision", "v9").stderr


def test_a_cache_that_cannot_be_written(hub: Hub) -> None:
    """It is the cache that is told, in one line, and not the network."""
    ran = ask(hub, Path("/proc/none"))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"bertcli: {NAME}: cannot be kept in the cache /proc/none/hub (")
    assert "HF_HOME" in ran.stderr
    assert ran.stderr.count("\n") == 1
