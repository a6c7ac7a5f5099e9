"""Save an adapter merged into its base by PEFT, as a plain checkpoint: CLASS BASE ADAPTER FOLDER.

CLASS is one of transformers' Auto classes. bertcli's own settings are left out of config.json, so
that both sides of a contest see the same token types.
"""

import sys

import transformers
from peft import PeftModel

name, base, adapter, folder = sys.argv[1:]
config = transformers.AutoConfig.from_pretrained(adapter)
if hasattr(config, "token_types"):
    del config.token_types
model = getattr(transformers, name).from_pretrained(base, config=config)
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)
transformers.AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
