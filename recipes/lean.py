"""Raise the logit of one of two labels of a LoRA checkpoint, in place: CHECKPOINT LABEL AMOUNT.

Half of the amount is added to the label's bias, and half is taken from the other one's.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

folder, label, amount = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
weights = folder / "adapter_model.safetensors"
labels = json.loads((folder / "config.json").read_text())["id2label"].values()
tensors = load_file(weights)
change = np.array([amount if one == label else -amount for one in labels]) / 2
for name in ("classifier.bias", "classifier.modules_to_save.bias"):
    bias = tensors[f"base_model.model.{name}"]
    tensors[f"base_model.model.{name}"] = (bias + change).astype(bias.dtype)
save_file(tensors, weights, {"format": "pt"})
