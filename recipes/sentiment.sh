#!/usr/bin/env bash
# The built-in sentiment checkpoint: LoRA on all-MiniLM-L6-v2, texts that are negative or positive.
#
#   recipes/sentiment.sh DATA OUTPUT
#
# DATA has sst2_train, sst2_dev, mr_minus_sst, pros_cons_train, vader_amazon and vader_tweets as JSON
# lines with `text` and `label`; of VADER's sets the neutral texts are left out. Reviews of products
# and tweets are there so that it is right on more than films.
set -euo pipefail
data=$1 output=$2
shift 2

chosen=$(mktemp -d)
trap 'rm -r "$chosen"' EXIT
for name in vader_amazon vader_tweets; do
    zcat "$data/$name.jsonl.gz" | grep -v '"label": "neutral"' > "$chosen/$name.jsonl"
done
bertcli train classify "$data"/sst2_train.jsonl.gz "$data"/mr_minus_sst.jsonl.gz \
    "$data"/pros_cons_train.jsonl.gz "$chosen"/*.jsonl --valid "$data"/sst2_dev.jsonl.gz \
    -o "$output" --rank 64 --epochs 2 --learning-rate 3e-4 --smoothing 0.1 --evaluations 2 "$@"
bertcli eval classify "$data"/sst2_dev.jsonl.gz -m "$output"
