"""What the trainings of all tasks have in common: their options, and the way from model to disk."""

from __future__ import annotations

import fcntl
import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bertcli.checkpoints.catalog import BASE_NAME
from bertcli.checkpoints.layout import HEAD_CONFIG, UNFINISHED
from bertcli.cli.options import Debug, given
from bertcli.cli.recipe import check_folder, warn
from bertcli.cli.train.watch import check_watch, watch
from bertcli.errors import DataError, OutputError, UsageError, counted
from bertcli.train.choices import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.engine.families import Head
    from bertcli.train.examples import Example, Weighing
    from bertcli.train.loop import Progress, Scores, Settings
    from bertcli.train.save import Card
    from bertcli.train.trainee import Trainee

USUAL_EPOCHS, MOST_EPOCHS, FEWEST_STEPS = 3, 40, 200
LARGEST_SHARE = 0.5
RATES = {"lora": 1e-3, "full": 1e-4}
RANK = 64
PEFT_RANK = 8
"""PEFT's own where an adapter's settings do not say it."""
FREE_OPTIONS = frozenset(
    {
        "offline",
        "minutes",
        "plot",
        "tensorboard",
        "resume",
        "debug",
        "merge",
        "valid",
        "valid_split",
    }
)
"""What a resumed run may ask for otherwise, or what shows in its data."""

Data = Annotated[list[str], typer.Argument(help="Files, globs or folders with training data.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder of the new checkpoint.")]

Labelled = TypeVar("Labelled")
OF_FILES = ("place", "places")
"""What of a row says where it stands, which another spelling of the path changes."""


class Method(StrEnum):
    """What is trained: low-rank changes, everything, or a linear head on frozen embeddings."""

    LORA = "lora"
    FULL = "full"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class TrainFlags:
    """How a checkpoint is trained, the same for every task."""

    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Base checkpoint; all-MiniLM-L6-v2 unless said."),
    ] = None
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False
    method: Annotated[Method, typer.Option(help="What is trained.")] = Method.LORA
    rank: Annotated[
        int | None,
        typer.Option(min=1, help=f"Rank of LoRA: {RANK}, or that of the adapter trained on."),
    ] = None
    embedding_rank: Annotated[
        int, typer.Option(min=0, help="Rank of LoRA on the word embeddings; 0 leaves them alone.")
    ] = 0
    optimizer: Annotated[Optimizer, typer.Option(help="Muon is for the matrices only.")] = (
        Optimizer.ADAMW
    )
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Highest rate; the default depends on the method.")
    ] = None
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of dropout.")] = 0.0
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train no longer.")] = None
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many measurements without a gain; else never."),
    ] = None
    merge: Annotated[
        bool, typer.Option("--merge", help="Write a whole checkpoint, not an adapter.")
    ] = False
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")] = 0
    plot: Annotated[
        Path | None, typer.Option(help="Draw loss and scores in this .png, .svg or .pdf.")
    ] = None
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write events for TensorBoard to this folder.")
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run in the same folder.")
    ] = False
    debug: Debug = False


@dataclass(frozen=True, slots=True)
class ExampleFlags:
    """How labelled examples are gone through and measured."""

    epochs: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e6, help="Times through the data; 3, or up to 40 of little data."
        ),
    ] = None
    batch_tokens: Annotated[int, typer.Option(min=16, help="Tokens in a step.")] = 1_024
    valid: Annotated[
        list[str] | None,
        typer.Option(help="A file to measure on, to keep the best model; may be repeated."),
    ] = None
    valid_split: Annotated[
        float, typer.Option(min=0, max=LARGEST_SHARE, help="Without --valid, the share held out.")
    ] = 0.1
    evaluations: Annotated[
        int, typer.Option(min=1, help="Measurements in an epoch; without --epochs, in a third.")
    ] = 2
    smoothing: Annotated[float, typer.Option(min=0, max=0.5, help="Label smoothing.")] = 0.0


def usual_epochs(lengths: Sequence[int], budget: int) -> float:
    """Return how often to go through examples: 3 times, or as often as makes 200 steps, up to 40.

    400 questions of TREC make 5 steps: of four seeds 3 epochs left 0.68 to 0.76 right of others.
    """
    steps_of_one = max(1.0, sum(lengths) / budget)
    return min(MOST_EPOCHS, max(USUAL_EPOCHS, math.ceil(FEWEST_STEPS / steps_of_one)))


@contextmanager
def work_folder(output: Path, resume: bool) -> Iterator[Path]:
    """Give the folder of an unfinished run, and remove it when the run is finished.

    A finished checkpoint is never trained over. A run that failed before it had a state to go on
    from leaves nothing; where it could not write, that is said.
    """
    work = check_new(output, resume)
    made = [one for one in (work, *work.parents) if not one.exists()]  # the innermost first
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{output}: another run trains here; give another -o") from None
        if not resume:
            for left in work.iterdir():
                if left.name != "lock":
                    left.unlink()
        try:
            yield work
        except Exception as error:
            kept = (work / "state.pt").exists()
            if made and not kept:
                shutil.rmtree(work, ignore_errors=True)
                with suppress(OSError):  # of a folder in which something else stands by now
                    for folder in made[1:]:
                        folder.rmdir()
            if isinstance(error, OutputError):
                way = "--resume goes on" if kept else "begin anew, for nothing of it was kept"
                raise OutputError(f"{error}; once that is mended, {way}") from error
            raise
        shutil.rmtree(work, ignore_errors=True)


def check_asked(
    context: typer.Context,
    output: Path,
    flags: TrainFlags,
    *read: Sequence[str] | None,
    head: bool = False,
) -> None:
    """Raise UsageError for what cannot be done or written, before anything is `read` for it.

    `head` tells whether the task has `--method head`.
    """
    if context.params.get("valid") and (idle := given(context, {"valid_split"})):
        raise UsageError(f"{idle[0]}: --valid says what to measure on: leave one of them out")
    if [one for files in read for one in files or ()].count("-") > 1:
        raise UsageError("- was given twice, but stdin can be read only once")
    if flags.method is Method.HEAD and not head:
        raise UsageError("--method head is for classify only: use lora or full")
    for option, rank in (("--rank", flags.rank), ("--embedding-rank", flags.embedding_rank)):
        if rank and flags.method is Method.FULL:
            raise UsageError(f"{option} is for --method lora: full trains the weights themselves")
    if flags.learning_rate == 0:
        raise UsageError("--learning-rate 0: nothing would be learned")
    check_folder(output, "-o")
    check_new(output, flags.resume)
    check_watch(flags.plot, flags.tensorboard)


def check_new(output: Path, resume: bool) -> Path:
    """Return the folder of the run; raises UsageError where it would be another one's."""
    work = output / UNFINISHED
    if any((output / name).exists() for name in ("config.json", HEAD_CONFIG)):
        why = "a finished one, and nothing to resume" if resume else "a checkpoint already"
        raise UsageError(f"{output}: there is {why}; give another -o")
    if (work / "state.pt").exists() and not resume:
        raise UsageError(f"{output}: an unfinished run: --resume goes on, or give another -o")
    if resume and not work.exists():
        raise UsageError(f"{output}: no unfinished run to resume")
    if not work.exists():
        refuse_used(output)
    return work


def refuse_used(output: Path) -> None:
    """Raise UsageError for a folder that holds something, which a checkpoint might replace."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: there is something already; name a new folder with -o")


def base_of(flags: TrainFlags) -> Checkpoint:
    """Return the checkpoint to train; the built-in base whatever folders have its name."""
    from bertcli.checkpoints.resolve import ModelChoice, base_checkpoint, resolve

    if flags.model is None:
        return base_checkpoint()
    return resolve(ModelChoice(flags.model, offline=flags.offline))


def learning_rate(flags: TrainFlags, rates: Mapping[str, float] = RATES) -> float:
    """Return the highest learning rate, by default that of the method."""
    return rates[flags.method.value] if flags.learning_rate is None else flags.learning_rate


def lora_rank(flags: TrainFlags, checkpoint: Checkpoint) -> int | None:
    """Return the rank of LoRA; None where everything is trained.

    Raises UsageError where an adapter is trained on, and another rank is asked for than it has.
    """
    from bertcli.train.lora import EMBEDDINGS

    if flags.method is not Method.LORA:
        return None
    config = checkpoint.adapter.config if checkpoint.adapter else {}
    own = config.get("r", PEFT_RANK) if checkpoint.adapter else None
    has_words = EMBEDDINGS in str(config.get("target_modules"))
    of_words = (config.get("rank_pattern") or {}).get(EMBEDDINGS, own if has_words else None)
    for option, asked, has in (
        ("--rank", flags.rank, own),
        ("--embedding-rank", flags.embedding_rank, of_words),
    ):
        if asked and has and asked != has:
            raise UsageError(
                f"{option} {asked}: {checkpoint.name} is an adapter of rank {has} there, and is "
                f"trained on at that: leave {option} out"
            )
    return own or flags.rank or RANK


def to_train(
    checkpoint: Checkpoint,
    head: Head,
    flags: TrainFlags,
    labels: Sequence[str] = (),
    **settings: Any,
) -> Trainee:
    """Return a checkpoint with a head, to be trained as the options say; see `Trainee`."""
    from bertcli.train.trainee import Trainee

    return Trainee(
        checkpoint,
        head,
        lora_rank(flags, checkpoint),
        labels,
        flags.dropout,
        flags.seed,
        flags.embedding_rank,
        **settings,
    )


def held_out(
    data: Sequence[Labelled],
    valid: Sequence[Labelled] | None,
    share: float,
    kinds: Callable[[Labelled], Iterable[object]],
    seed: int,
    whole: bool = False,
) -> tuple[list[Labelled], list[Labelled]]:
    """Return what to train and what to measure on: `valid`, or a share of each kind of the data.

    A row may be of several `kinds`, or of none. With `whole` kinds are held out whole, since their
    members give each other away. Raises UsageError when nothing is left to measure on.
    """
    import numpy as np

    if valid is not None:
        if not valid:
            raise UsageError("--valid: there is no row in it to measure on")
        return list(data), list(valid)
    choose = _whole_kinds if whole else _of_each_kind
    its_kinds = [tuple(dict.fromkeys(kinds(one))) or (None,) for one in data]
    chosen = choose(its_kinds, share, np.random.default_rng(seed))
    if not chosen:
        if whole and len(set(chain(*its_kinds))) == 1 and share:
            why = "they all have one context, which is held out whole or not at all: "
        else:
            why = "take a larger share, or " if share < LARGEST_SHARE else ""
        raise UsageError(
            f"--valid-split {share:g} of {len(data)} rows is none to measure on: {why}"
            "give rows of their own with --valid"
        )
    parts: tuple[list[Labelled], list[Labelled]] = ([], [])
    for number, one in enumerate(data):
        parts[number in chosen].append(one)
    return parts


def _members(kinds: Sequence[tuple[object, ...]]) -> dict[object, list[int]]:
    """Return the rows of each kind."""
    found: dict[object, list[int]] = {}
    for number, its in enumerate(kinds):
        for kind in its:
            found.setdefault(kind, []).append(number)
    return found


def _of_each_kind(kinds: Sequence[tuple[object, ...]], share: float, rng: Generator) -> set[int]:
    """Return a share of the rows of each kind, the rarest first, and one of each stays.

    Iterative stratification (Sechidis et al. 2011), since a row may be of several kinds.
    """
    members = _members(kinds)
    left = {kind: len(rows) for kind, rows in members.items()}
    stay = {kind: max(1, len(rows) - round(len(rows) * share)) for kind, rows in members.items()}
    chosen: set[int] = set()

    def choose(rows: Sequence[int], wanted: int, stay: Mapping[object, int]) -> None:
        for row in rng.permutation(rows).tolist():
            if wanted < 1:
                return
            if row not in chosen and all(left[kind] > stay[kind] for kind in kinds[row]):
                chosen.add(row)
                left.update({kind: left[kind] - 1 for kind in kinds[row]})
                wanted -= 1

    for kind, rows in sorted(members.items(), key=lambda one: len(one[1])):
        choose(rows, left[kind] - stay[kind], stay)
    choose(range(len(kinds)), round(len(kinds) * share) - len(chosen), dict.fromkeys(stay, 1))
    return chosen


def _whole_kinds(kinds: Sequence[tuple[object, ...]], share: float, rng: Generator) -> set[int]:
    """Return the members of as many kinds as fit, at least of the smallest; never of all."""
    chosen: set[int] = set()
    members, most = list(_members(kinds).values()), round(len(kinds) * share)
    for number in rng.permutation(len(members))[:-1]:
        if len(chosen) + len(members[number]) <= most:
            chosen |= set(members[number])
    if not chosen and len(members) > 1 and share:
        smallest: list[int] = min(members, key=len)
        chosen = set(smallest)
    return chosen


@dataclass(frozen=True, slots=True)
class About:
    """What a model card says of a training: the hub's name of the task, the command, the data.

    `also` are what only this task's trainings have: weighed labels, renamed ones and so on.
    """

    task: str
    command: str
    learnt: str
    data: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """A training by the epoch, from the first step to the checkpoint on disk.

    The model is measured several times an epoch, and the best one is written.
    """

    model: Trainee
    base: Checkpoint
    measure: Callable[[], Scores]
    flags: TrainFlags
    how: ExampleFlags
    output: Path
    about: About
    held_out: Sequence[object]

    def on_examples(
        self, examples: Sequence[Example], weighing: Weighing, taught_by: Sequence[str] = ()
    ) -> None:
        """Train on labelled examples; `taught_by` are the hashes of what computed the targets."""
        from bertcli.train.examples import bytes_of, supervised_loss

        if not examples:
            raise DataError("nothing to learn from: no row has text that the model can read")
        lengths = [len(one.window) for one in examples]
        steps = self.scheduled(lengths)
        read = f"{counted(len(examples), 'window')}, {counted(sum(lengths), 'token')}"
        warn(f"{read}, {counted(len(steps), 'step')}")
        loss = supervised_loss(self.model, examples, steps, weighing)
        weights = [] if weighing.labels is None else [weighing.labels.tobytes()]
        teachers = (one.encode() for one in taught_by)
        seen = bytes_of(examples, targets=not taught_by)  # theirs may differ in the last bit
        self.by_schedule(loss, len(steps), chain(seen, weights, teachers))

    def scheduled(self, lengths: Sequence[int]) -> list[NDArray[np.int64]]:
        """Return the examples of every step, for so many epochs as were asked for, or will do."""
        from bertcli.train.examples import schedule

        budget, seed = self.how.batch_tokens, self.flags.seed
        return schedule(lengths, budget, self.how.epochs or usual_epochs(lengths, budget), seed)

    def by_schedule(
        self, step_loss: Callable[[int], tuple[Tensor, int]], steps: int, data: Iterable[bytes]
    ) -> None:
        """Train for so many steps; `data` is what they are made of, to know it again."""
        from bertcli.train.loop import Settings
        from bertcli.train.save import Card

        flags, how = self.flags, self.how
        measurements = how.evaluations * max(how.epochs or USUAL_EPOCHS, 1)
        settings = Settings(
            steps=steps,
            minutes=flags.minutes,
            optimizer=flags.optimizer,
            learning_rate=learning_rate(flags),
            evaluate_every=max(1, round(steps / measurements)),
            keep_best=True,
            patience=flags.patience,
            seed=flags.seed,
        )
        with work_folder(self.output, flags.resume) as work:
            measured_on = (_without_place(one) for one in self.held_out)
            check_same_run(work, flags, how, chain(data, measured_on))
            last = run(self.model, step_loss, self.measure, settings, flags, work)
            about, self.model.exact = self.about, True
            card = Card(
                self.base,
                about.task,
                about.command,
                about.learnt,
                about.data,
                recipe_text(self.model, flags, how, last, about.also),
                self.measure(),
                library(flags),
            )
            finish(self.model, self.base, self.output, card, flags)


def _without_place(row: Any) -> bytes:
    """Return what a row says, wherever its file lies now."""
    return repr(
        [getattr(row, one.name) for one in fields(row) if one.name not in OF_FILES]
    ).encode()


def check_same_run(
    work: Path, flags: TrainFlags, how: ExampleFlags | None, data: Iterable[bytes] = ()
) -> None:
    """Raise UsageError where an unfinished run had other data, or options that change the result.

    What was asked for is noted in the folder of the run, so that it is known again.
    """
    options = {**asdict(flags), **(asdict(how) if how else {}), "model": flags.model or BASE_NAME}
    digest = hashlib.sha256(
        repr([(name, options[name]) for name in sorted(options.keys() - FREE_OPTIONS)]).encode()
    )
    for part in data:
        digest.update(part)
    check_note(work / "asked-for.sha256", digest.hexdigest())


def check_note(note: Path, said: str) -> None:
    """Note something in the folder of a run; raises UsageError where something else was noted."""
    if note.is_file() and note.read_text(encoding="utf-8") != said:
        raise UsageError(
            f"{note.parent.parent}: the unfinished run had other data or options; "
            "resume it with the same ones, or give another -o"
        )
    note.write_text(said, encoding="utf-8")


def run(
    model: Trainee,
    step_loss: Callable[[int], tuple[Tensor, int]],
    measure: Callable[[], Scores],
    settings: Settings,
    flags: TrainFlags,
    work: Path,
) -> Progress | None:
    """Train while it is watched, and return the last progress."""
    from bertcli.train.loop import train

    last = None
    with watch(work, flags.plot, flags.tensorboard) as tell:
        try:
            for last in train(model, step_loss, measure, settings, work / "state.pt"):
                tell(last)
        except (KeyboardInterrupt, SystemExit):  # the latter is SIGTERM
            warn("the same command with --resume goes on from the last saved state")
            raise
    model.eval()
    return last


def finish(model: Trainee, base: Checkpoint, output: Path, card: Card, flags: TrainFlags) -> None:
    """Write the checkpoint, and its folder's name to stdout."""
    from bertcli.train.save import save

    save(model, base, output, card, flags.merge)
    typer.echo(str(output))


def recipe_text(
    model: Trainee,
    flags: TrainFlags,
    how: ExampleFlags,
    last: Progress | None,
    also: Iterable[str] = (),
) -> str:
    """Return what a model card says of the training."""
    parts = [
        what_trains(model),
        f"{counted(last.step if last else 0, 'step')} of up to {how.batch_tokens:,} tokens",
        *([f"{how.epochs:g} epochs at most"] if how.epochs else []),
        *limits(flags),
        flags.optimizer,
        f"learning rate {learning_rate(flags):g} with warm-up and linear decay",
        f"dropout {flags.dropout:g}",
        f"label smoothing {how.smoothing:g}",
        *also,
        f"seed {flags.seed}",
    ]
    return f"{', '.join(parts)}; the best of the measured models was kept"


def limits(flags: TrainFlags) -> Iterator[str]:
    """Yield what may have ended a training early, in words."""
    if flags.minutes:
        yield f"{flags.minutes:g} minutes at most"
    if flags.patience:
        yield f"no more than {flags.patience} measurements without a gain"


def what_trains(model: Trainee) -> str:
    """Return what of the model is trained, in words."""
    if not model.rank:
        return "all weights"
    also = (
        f", of rank {model.embedding_rank} on the word embeddings" if model.embedding_rank else ""
    )
    return f"LoRA of rank {model.rank}{also}"


def library(flags: TrainFlags) -> str:
    """Return what loads the result: PEFT an adapter, transformers a whole checkpoint."""
    return "peft" if flags.method is Method.LORA and not flags.merge else "transformers"


def named_files(files: Sequence[str]) -> str:
    """Return the names of the data files for a model card, without their folders."""
    return ", ".join(Path(one).name for one in files)
