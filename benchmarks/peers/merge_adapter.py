"""Save a masked-LM adapter merged into its base by PEFT: BASE ADAPTER FOLDER."""

import sys

from peft import PeftModel
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

base, adapter, folder = sys.argv[1:]
config = AutoConfig.from_pretrained(adapter)
model = AutoModelForMaskedLM.from_pretrained(base, config=config)
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)
AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
