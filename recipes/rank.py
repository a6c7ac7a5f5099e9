"""The nearest LoRA adapter of a smaller rank, in a new folder: CHECKPOINT TARGET RANK.

Of each change of a matrix the largest singular values are kept (Eckart and Young 1936). Word
embeddings keep theirs.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

source, target, rank = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
shutil.copytree(source, target)
tensors = load_file(source / WEIGHTS)
for name in [one for one in tensors if one.endswith("lora_A.weight")]:
    other = name.replace("lora_A", "lora_B")
    a, b = tensors[name].astype("f8"), tensors[other].astype("f8")
    left, upper = np.linalg.qr(b)
    right, lower = np.linalg.qr(a.T)
    u, values, v = np.linalg.svd(upper @ lower.T)
    half = np.sqrt(values[:rank])
    tensors[other] = ((left @ u[:, :rank]) * half).astype("f2")
    tensors[name] = (half[:, None] * (v[:rank] @ right.T)).astype("f2")
config = json.loads((source / CONFIG).read_text())
config["lora_alpha"], config["r"] = config["lora_alpha"] * rank // config["r"], rank
(target / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True))
save_file(tensors, target / WEIGHTS, {"format": "pt"})
