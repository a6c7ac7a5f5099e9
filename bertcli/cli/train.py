"""`bertcli train fill-mask`."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.recipe import read_texts, warn
from bertcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.engine.tokens import TextTokenizer
    from bertcli.train.blocks import MaskRates, Vocabulary
    from bertcli.train.fill_mask import Progress, Score, Settings
    from bertcli.train.optimizers import Optimizer
    from bertcli.train.save import Card

HELD_OUT = 0.01
NOTE_EVERY = 50

app = typer.Typer(help="Fine-tune checkpoints.", rich_markup_mode=None, no_args_is_help=True)


class Method(StrEnum):
    """What is trained: low-rank changes, or everything."""

    LORA = "lora"
    FULL = "full"


@app.callback()
def train() -> None:
    """Fine-tune checkpoints on your own data."""


@app.command("fill-mask")
def fill_mask(
    corpus: Annotated[list[str], typer.Argument(help="Text files, globs or folders.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the new checkpoint.")],
    model: Annotated[
        str, typer.Option("-m", "--model", help="Base checkpoint.")
    ] = "all-MiniLM-L6-v2",
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train for this long.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for so many steps.")] = None,
    method: Annotated[Method, typer.Option(help="What is trained.")] = Method.LORA,
    rank: Annotated[int, typer.Option(min=1, help="Rank of LoRA.")] = 64,
    optimizer: Annotated[str, typer.Option(help="adamw, or muon for the matrices.")] = "adamw",
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Highest rate; default 2e-3, or 5e-4 for full.")
    ] = None,
    block: Annotated[int, typer.Option(min=16, help="Tokens in a block.")] = 128,
    batch_tokens: Annotated[int, typer.Option(min=16, help="Tokens in a step.")] = 2_048,
    mask_rate: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of tokens to predict.")
    ] = 0.15,
    replace: Annotated[
        str, typer.Option(help="Of these, shares shown as mask, random token, themselves.")
    ] = "0.8,0.1,0.1",
    valid: Annotated[
        list[str] | None, typer.Option(help="Held-out text; default 1 % of the corpus.")
    ] = None,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    field: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Seed of batches and masks.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run in the same folder.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on failure.")] = False,
) -> None:
    """Train a checkpoint to fill masks, on plain text.

    \b
    bertcli train fill-mask corpus/*.txt -o my-fill-mask --minutes 90
    bertcli train fill-mask notes.txt -o my-fill-mask --steps 2000 --method full
    bertcli train fill-mask corpus/*.txt -o my-fill-mask --minutes 90 --resume
    """
    from bertcli.checkpoints.load import load_tokenizer
    from bertcli.checkpoints.resolve import ModelChoice, resolve
    from bertcli.train.fill_mask import Settings, measure, train
    from bertcli.train.masked_lm import MaskedLm
    from bertcli.train.save import save_masked_lm

    if minutes is None and steps is None:
        raise UsageError("say how long to train: --minutes N or --steps N")
    checkpoint = resolve(ModelChoice(model, offline=offline))
    tokenizer = load_tokenizer(checkpoint)
    vocabulary = _vocabulary(tokenizer)
    work = _work_folder(output, resume)
    settings = Settings(
        rates=_rates(mask_rate, replace),
        steps=steps,
        minutes=minutes,
        batch_blocks=max(1, batch_tokens // block),
        optimizer=_optimizer(optimizer),
        learning_rate=learning_rate or (2e-3 if method is Method.LORA else 5e-4),
        seed=seed,
        evaluate_every=evaluate_every,
    )
    if block > checkpoint.window:
        raise UsageError(f"--block {block}: the model reads {checkpoint.window} tokens at once")
    content = block - tokenizer.frame.single
    blocks, held_out = _blocks(corpus, valid, field, tokenizer, content, work)
    warn(f"{len(blocks):,} blocks of {block} tokens, {len(held_out):,} held out")
    trained = MaskedLm(checkpoint, rank if method is Method.LORA else None)
    last = None
    for last in train(trained, blocks, held_out, vocabulary, settings, work / "state.pt"):
        _note(last)
    score = measure(trained, held_out, vocabulary)
    _note_score(score)
    card = _card(checkpoint, settings, method, rank, block, last, score)
    save_masked_lm(trained, checkpoint, output, card)
    shutil.rmtree(work, ignore_errors=True)
    typer.echo(str(output))


def _work_folder(output: Path, resume: bool) -> Path:
    """Return the folder of an unfinished run; a finished checkpoint is never trained over."""
    work = output / ".training"
    if (output / "config.json").exists():
        raise UsageError(f"{output}: there is a checkpoint already; give another -o")
    if (work / "state.pt").exists() and not resume:
        raise UsageError(f"{output}: an unfinished run: --resume goes on, or give another -o")
    if resume and not work.exists():
        raise UsageError(f"{output}: no unfinished run to resume")
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    return work


def _rates(select: float, replace: str) -> MaskRates:
    from bertcli.train.blocks import MaskRates

    try:
        mask, random, same = (float(part) for part in replace.split(","))
    except ValueError:
        raise UsageError(f"--replace {replace}: expected three shares, as in 0.8,0.1,0.1") from None
    if min(mask, random, same) < 0 or abs(mask + random + same - 1) > 1e-6:
        raise UsageError(f"--replace {replace}: the three shares must add up to 1")
    return MaskRates(select, mask, random)


def _optimizer(name: str) -> Optimizer:
    from bertcli.train.optimizers import Optimizer

    try:
        return Optimizer(name)
    except ValueError:
        raise UsageError(f"--optimizer {name}: expected adamw or muon") from None


def _vocabulary(tokenizer: TextTokenizer) -> Vocabulary:
    from bertcli.train.blocks import Vocabulary

    if tokenizer.mask_token is None:
        raise UsageError("the base checkpoint's tokenizer has no mask token")
    frame = tokenizer.frame
    mask = tokenizer.id(tokenizer.mask_token) or 0
    special = tokenizer.special_ids
    return Vocabulary(frame.before, frame.after, mask, tokenizer.vocabulary_size, special)


def _blocks(
    corpus: list[str],
    valid: list[str] | None,
    field: str,
    tokenizer: TextTokenizer,
    content: int,
    work: Path,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    from bertcli.train.blocks import open_blocks, write_tokens

    def tokenised(files: list[str], name: str) -> NDArray[np.uint32]:
        path = work / f"{name}.u32"
        if not path.is_file():
            write_tokens(read_texts(files, field), tokenizer, path)
        return open_blocks(path, content)

    blocks = tokenised(corpus, "corpus")
    if valid:
        return blocks, tokenised(valid, "valid")
    kept = max(1, int(len(blocks) * HELD_OUT))
    if len(blocks) < 2:
        raise UsageError("the corpus is one block: give more text, or held-out text with --valid")
    return blocks[:-kept], blocks[-kept:]


def _note(progress: Progress) -> None:
    if progress.score is not None:
        _note_score(progress.score)
    if progress.step % NOTE_EVERY == 0 or progress.step == 1:
        sys.stderr.write(
            f"step {progress.step:,}  loss {progress.loss:.3f}  rate {progress.learning_rate:.1e}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  {progress.done:.0%} done\n"
        )


def _note_score(score: Score) -> None:
    sys.stderr.write(
        f"held out: top-1 {score.top1:.4f}  top-5 {score.top5:.4f}  "
        f"perplexity {score.perplexity:.1f}\n"
    )


def _card(
    base: Checkpoint,
    settings: Settings,
    method: Method,
    rank: int,
    block: int,
    last: Progress | None,
    score: Score,
) -> Card:
    from bertcli.train.save import Card

    steps = last.step if last else 0
    tokens = steps * settings.batch_blocks * block
    what = f"LoRA of rank {rank}" if method is Method.LORA else "all weights"
    rates = settings.rates
    body = f"""# Masked language model on {base.name}

Trained with `bertcli train fill-mask`: {what}, {steps:,} steps of {settings.batch_blocks} blocks of
{block} tokens ({tokens:,} tokens in all), {settings.optimizer}, learning rate
{settings.learning_rate:g} with warm-up and linear decay, no dropout, {rates.select:.0%} of the
tokens predicted, of which
{rates.mask:.0%} shown as the mask and {rates.random:.0%} as a random token.

On held-out blocks, 15 % of the tokens masked and all of them replaced by the mask: top-1 accuracy
{score.top1:.4f}, top-5 accuracy {score.top5:.4f}, perplexity {score.perplexity:.1f}.
"""
    return Card({"base_model": base.name, "pipeline_tag": "fill-mask"}, body)
