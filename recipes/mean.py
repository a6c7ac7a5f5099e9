"""The mean of two LoRA adapters, in a copy of the second one's folder: ONE OTHER TARGET."""

import shutil
import sys
from pathlib import Path

from safetensors.numpy import load_file, save_file

WEIGHTS = "adapter_model.safetensors"

one, other, target = map(Path, sys.argv[1:])
shutil.copytree(other, target)
first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
mean = {
    name: ((tensor.astype("f4") + second[name].astype("f4")) / 2).astype("f2")
    for name, tensor in first.items()
}
save_file(mean, target / WEIGHTS, {"format": "pt"})
