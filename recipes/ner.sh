#!/usr/bin/env bash
# The built-in ner checkpoint: LoRA that goes on from the built-in fill-mask, names in texts.
#
#   recipes/ner.sh DATA OUTPUT
#
# DATA has the train and dev parts of uner_ewt, btc, crossner_coarse and wnut17 as JSON lines with
# `tokens` and `tags`. Labels that are not people, organisations or places are left out.
set -euo pipefail
data=$1 output=$2
shift 2

bertcli train ner "$data"/{uner_ewt,btc,crossner_coarse,wnut17}_train.jsonl.gz \
    --valid "$data"/uner_ewt_dev.jsonl.gz --valid "$data"/crossner_coarse_dev.jsonl.gz \
    -m fill-mask -o "$output" --rank 128 --epochs 4 --minutes 15 --learning-rate 5e-4 --evaluations 1 \
    --dropout 0.1 --smoothing 0.05 \
    --map person=PER --map location=LOC --map corporation=ORG --map group=ORG \
    --map creative-work= --map product= --map MISC= "$@"
bertcli eval ner "$data"/uner_ewt_dev.jsonl.gz -m "$output"
bertcli eval ner "$data"/crossner_coarse_dev.jsonl.gz -m "$output" --ignore MISC
