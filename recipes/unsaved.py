"""The two models in the state of an unfinished training: STATE BASE BEST LAST.

STATE is `.training/state.pt` of a `bertcli train classify` that was begun from the adapter BASE;
BEST and LAST are new folders, for the best model that was measured and that of the last saved step.
"""

import sys
from pathlib import Path

import torch

from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.families import Head
from bertcli.train.optimizers import trained
from bertcli.train.save import Card, save
from bertcli.train.trainee import Trainee

state_file, base_folder, *targets = sys.argv[1:]
state = torch.load(state_file, weights_only=True)
base = resolve(ModelChoice(base_folder))
settings = {key: base.config[key] for key in ("problem_type", "text_pairs")}
model = Trainee(base, Head.SEQUENCE, 1, base.labels, **settings)  # of the adapter's own rank
for target, key in zip(targets, ("best_parameters", "parameters"), strict=True):
    with torch.no_grad():
        for parameter, value in zip(trained(model), state[key], strict=True):
            parameter.copy_(value)
    card = Card(
        base,
        "text-classification",
        "recipes/unsaved.py",
        f"The {key} of an unfinished training.",
        state_file,
        f"step {state['step']}",
        {},
        "peft",
    )
    save(model, base, Path(target), card, False)
