"""What a user may choose about a training; imports nothing, so that `--help` stays quick."""

from __future__ import annotations

from enum import StrEnum


class Optimizer(StrEnum):
    """AdamW for everything, or Muon for matrices (Jordan et al. 2024) and AdamW for the rest.

    Muon moves every direction of a matrix equally far. Its steps are scaled to AdamW's size, so
    that one learning rate suits both.
    """

    ADAMW = "adamw"
    MUON = "muon"
