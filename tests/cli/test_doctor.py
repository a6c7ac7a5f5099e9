"""`bertcli doctor`: each line is ok, or a problem with what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bertcli.checkpoints import catalog
from bertcli.checkpoints.catalog import BASE_NAME, Builtin, builtin
from bertcli.cli import doctor
from bertcli.cli.app import main


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the real caches out of it."""
    for variable in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def only_base(monkeypatch: pytest.MonkeyPatch, *more: Builtin) -> None:
    """Leave the base as the one built-in checkpoint, and the given ones."""
    base = builtin(BASE_NAME)
    assert base is not None
    monkeypatch.setattr(catalog, "BUILTINS", (base, *more))


def test_a_sound_installation_is_ok_on_every_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 means that no line says problem, and the base has answered."""
    only_base(monkeypatch)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any(f"{BASE_NAME}: similar sentences at 0." in line for line in lines)


def test_a_missing_built_in_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An incomplete installation fails the run, and the line says how to mend it."""
    monkeypatch.setattr(catalog, "BUILTIN_FOLDER", tmp_path)
    only_base(monkeypatch, Builtin("fill-mask", "fill-mask", ""))
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (problem,) = [line for line in lines if line.startswith("problem")]
    assert "fill-mask is missing" in problem
    assert "pip install" in problem


def test_whatever_a_self_test_raises_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash inside a library is a finding of the doctor, not its end."""

    def crashes(_: object) -> str:
        raise ZeroDivisionError("deep\ninside")

    monkeypatch.setattr(doctor, "PROBES", {"embed": crashes})
    base = builtin(BASE_NAME)
    assert base is not None
    check = doctor.self_test(base)
    assert not check.ok
    assert "ZeroDivisionError deep inside" in str(check)
    assert "models verify" in str(check)


def test_a_model_that_mixes_up_meaning_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding test can fail: it compares cosines, it does not only run."""
    monkeypatch.setattr(doctor, "ALIKE", (doctor.ALIKE[0], doctor.UNLIKE))
    monkeypatch.setattr(doctor, "UNLIKE", "Someone plays the guitar.")
    base = builtin(BASE_NAME)
    assert base is not None
    assert not doctor.self_test(base).ok


def test_versions_are_compared_with_what_is_needed() -> None:
    """A library that is too old, or absent, comes with the pip command that mends it."""
    assert doctor.version_check("numpy", ">=2.0").ok
    old = doctor.version_check("numpy", ">=99")
    assert str(old).endswith("pip install 'numpy>=99'")
    assert not old.ok
    absent = doctor.version_check("no-such-package-of-ours", "")
    assert "is not installed" in absent.seen
    assert not absent.ok


def test_a_cache_that_cannot_be_written_is_a_problem(
    caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where a folder should be is told before a download runs into it."""
    (caches / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(caches / "file"))
    hub, own = doctor.caches()
    assert not hub.ok
    assert "HF_HOME" in (hub.advice or "")
    assert own.ok
    assert not (caches / "cache").exists()


def test_offline_state_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wonders why nothing downloads finds the variable by name."""
    assert "not in the cache" in doctor.network().seen
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in doctor.network().seen


def test_doctor_imports_neither_torch_nor_transformers() -> None:
    """Without --full the answer comes in about a second, so the heavy libraries stay out."""
    code = (
        "import sys; from bertcli.cli.app import main; main(['doctor']); "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'transformers', 'faiss')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
