"""The mean of two LoRA adapters, in a copy of the second one's folder: ONE OTHER TARGET [SHARE].

SHARE is how much the second counts, a half unless said. Changes that only the second has, as of
word embeddings, are taken at that share: the first has none there. A threshold for no answer is
left out: it was measured of one of them.
"""

import json
import shutil
import sys
from pathlib import Path

from safetensors.numpy import load_file, save_file

WEIGHTS = "adapter_model.safetensors"
CONFIG = "config.json"

one, other, target = map(Path, sys.argv[1:4])
share = float(sys.argv[4]) if len(sys.argv) > 4 else 0.5
shutil.copytree(other, target)
first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
mean = {}
for name, tensor in second.items():
    taken = tensor.astype("f4")
    if name in first:
        taken = (1 - share) * first[name].astype("f4") + share * taken
    elif "_A" in name.rpartition("lora")[2]:  # the other factor stays as it is
        taken = share * taken
    mean[name] = taken.astype("f2")
config = json.loads((other / CONFIG).read_text())
config.pop("no_answer_threshold", None)
(target / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
save_file(mean, target / WEIGHTS, {"format": "pt"})
