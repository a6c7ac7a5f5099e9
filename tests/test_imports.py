"""Who imports whom, and what a cold start imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bertcli"
CORE = {"errors", "records", "results"}
ALLOWED = {
    "errors": set(),
    "records": set(),
    "results": {"records"},
    "home": set(),
    "inputs": CORE,
    "outputs": CORE,
    "engine": {"errors"},
    "checkpoints": {"errors", "engine", "home"},
    "tasks": CORE | {"engine"},
    "index": CORE | {"home"},
    "train": CORE | {"engine", "checkpoints", "home"},
    "evaluate": CORE | {"engine", "tasks"},
}
HEAVY = {"torch", "transformers", "sentence_transformers", "onnxruntime", "numpy", "faiss", "rich"}
HEAVY |= {"onnx", "peft", "pyarrow", "huggingface_hub", "tokenizers", "safetensors", "pydantic"}


def imports_of(path: Path) -> set[str]:
    """Return the parts of bertcli that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module == "bertcli"  # from bertcli import tasks
            names = [f"bertcli.{one.name}" for one in node.names] if whole else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("bertcli.")}
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_import_rules(part: str) -> None:
    """Every part knows only the parts below it; the map in CONTRIBUTING.md rests on this."""
    files = [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").is_file() else []
    files += sorted((PACKAGE / part).glob("**/*.py"))
    assert files
    for file in files:
        assert imports_of(file) - {part} <= ALLOWED[part], file


def imported_after(code: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter holds after running code."""
    probe = f"import sys\n{code}\nprint('IMPORTED', *(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    line = next(row for row in done.stdout.splitlines() if row.startswith("IMPORTED"))
    return set(line.split()[1:]) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["classify", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help, version and completion are felt: they import none of the heavy packages."""
    assert imported_after(f"from bertcli.cli.app import main\nmain({arguments!r})") == set()


def test_no_command_imports_anything_heavy() -> None:
    """Not even where all of them are loaded: what is heavy is imported by the functions."""
    code = (
        "import importlib, pkgutil, bertcli.cli\n"
        "for one in pkgutil.walk_packages(bertcli.cli.__path__, 'bertcli.cli.'):\n"
        "    importlib.import_module(one.name)"
    )
    assert imported_after(code) == set()


def test_a_command_imports_no_other_one() -> None:
    """All of them together take more than a quarter of a cold start."""
    code = (
        "from bertcli.cli.app import main\nmain(['ner', '--help'])\n"
        "others = {f'bertcli.cli.{name}' for name in ('qa', 'search', 'train', 'eval')}\n"
        "assert 'bertcli.cli.ner' in sys.modules and not others & set(sys.modules)"
    )
    assert imported_after(code) == set()


def test_completion_imports_nothing_heavy() -> None:
    """TAB answers from the command's declarations alone."""
    code = (
        "import os\n"
        "os.environ |= {'_BERTCLI_COMPLETE': 'complete_bash', 'COMP_WORDS': 'bertcli cl', "
        "'COMP_CWORD': '1'}\n"
        "from bertcli.cli.app import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass"
    )
    assert imported_after(code) == set()


@pytest.mark.parametrize(
    "arguments",
    [["fill-mask", "A [MASK]."], ["embed", "A text."], ["classify", "--labels", "a,b", "A text."]],
)
def test_builtin_answers_without_torch(arguments: list[str]) -> None:
    """A built-in checkpoint answers on ONNX Runtime alone; torch costs seconds to import."""
    found = imported_after(f"from bertcli.cli.app import main\nassert main({arguments!r}) == 0")
    assert "onnxruntime" in found
    assert found <= {"onnxruntime", "numpy", "tokenizers"}
