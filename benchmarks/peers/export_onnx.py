"""Export an encoder by torch, as other tools want it: MODEL FOLDER."""

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

model, folder = sys.argv[1:]
encoder = AutoModel.from_pretrained(model, attn_implementation="eager").eval()
tokenizer = AutoTokenizer.from_pretrained(model)
given = tokenizer(["a text", "another and longer text"], padding=True, return_tensors="pt")
names = ("input_ids", "attention_mask", "token_type_ids")
free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
Path(folder).mkdir(parents=True, exist_ok=True)
torch.onnx.export(
    encoder,
    kwargs={name: given[name] for name in names},
    f=str(Path(folder) / "model.onnx"),
    input_names=list(names),
    output_names=["last_hidden_state", "pooler_output"],
    dynamic_shapes=dict.fromkeys(names, free),
    external_data=False,
)
for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"):
    if (Path(model) / name).is_file():
        shutil.copyfile(Path(model) / name, Path(folder) / name)
