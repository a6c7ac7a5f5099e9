#!/usr/bin/env bash
# The built-in ner checkpoint: LoRA that goes on from the built-in fill-mask, names in texts.
#
#   recipes/ner.sh DATA OUTPUT
#
# DATA has the train and dev parts of uner_ewt, btc, crossner_coarse and wnut17 as JSON lines with
# `tokens` and `tags`. Labels that are not people, organisations or places are left out. The second
# run leaves the tweets out, which are tagged by other rules; the mean of both runs' weights keeps
# most of what each is better at. The third goes on from that mean on all sets, the fourth from the mean
# of the third and of what it began with. The fifth goes on from the mean of the fourth and of what that
# began with, and learns everyday texts too (texts/README.md): those sets have the names of the web, of tweets
# and of Wikipedia. The sixth, from four fifths of it, takes them twice, not three times, and ships. It
# reads 128 tokens at once, hardly a text here has more: in windows of 512 it finds much less. 62,
# 14, 55 and 48 minutes are those of one core without bfloat16 that had other work to do as well; 20 and
# 14 of one with it.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
data=$1 output=$2
shift 2

valid=(--valid "$data"/uner_ewt_dev.jsonl.gz --valid "$data"/crossner_coarse_dev.jsonl.gz)
how=(--rank 128 --evaluations 1 --dropout 0.1 --smoothing 0.05 --window 128 --map MISC=)
bertcli train ner "$data"/{uner_ewt,btc,crossner_coarse,wnut17}_train.jsonl.gz "${valid[@]}" \
    -m fill-mask -o "$output/all" --epochs 4 --minutes 62 --learning-rate 5e-4 "${how[@]}" \
    --map person=PER --map location=LOC --map corporation=ORG --map group=ORG \
    --map creative-work= --map product= "$@"
bertcli train ner "$data"/{uner_ewt,crossner_coarse,crossner_coarse}_train.jsonl.gz "${valid[@]}" \
    -m "$output/all" -o "$output/some" --epochs 2 --minutes 14 --learning-rate 2e-4 --seed 2 \
    "${how[@]}" "$@"
python "$here/mean.py" "$output/all" "$output/some" "$output/first-mean"
bertcli train ner "$data"/{uner_ewt,uner_ewt,btc,crossner_coarse,crossner_coarse,wnut17}_train.jsonl.gz \
    "${valid[@]}" -m "$output/first-mean" -o "$output/again" --epochs 3 --minutes 55 \
    --learning-rate 4e-4 --seed 7 "${how[@]}" --map person=PER --map location=LOC \
    --map corporation=ORG --map group=ORG --map creative-work= --map product= "$@"
python "$here/mean.py" "$output/first-mean" "$output/again" "$output/second-mean"
bertcli train ner "$data"/{uner_ewt,uner_ewt,btc,crossner_coarse,crossner_coarse,wnut17}_train.jsonl.gz \
    "${valid[@]}" -m "$output/second-mean" -o "$output/last" --epochs 3 --minutes 48 \
    --learning-rate 3e-4 --seed 11 "${how[@]}" --map person=PER --map location=LOC \
    --map corporation=ORG --map group=ORG --map creative-work= --map product= "$@"
python "$here/mean.py" "$output/second-mean" "$output/last" "$output/mean"

texts=$here/texts
valid+=(--valid "$texts/ner-dev.jsonl")
how+=(--map person=PER --map location=LOC --map corporation=ORG --map group=ORG
    --map creative-work= --map product=)
first=$(mktemp --suffix .jsonl)
trap 'rm "$first"' EXIT
head -1720 "$texts/ner.jsonl" > "$first"
bertcli train ner "$data"/{uner_ewt,btc,crossner_coarse,crossner_coarse,wnut17}_train.jsonl.gz \
    "$first" "$first" "$first" "${valid[@]}" -m "$output/mean" -o "$output/everyday" --epochs 3 \
    --minutes 20 --learning-rate 3e-4 --seed 21 "${how[@]}" "$@"
python "$here/mean.py" "$output/mean" "$output/everyday" "$output/third-mean" 0.8
bertcli train ner "$data"/{uner_ewt,uner_ewt,btc,crossner_coarse,crossner_coarse,wnut17}_train.jsonl.gz \
    "$texts"/ner.jsonl "$texts"/ner.jsonl "${valid[@]}" -m "$output/third-mean" -o "$output/final" \
    --epochs 3 --minutes 14 --learning-rate 2e-4 --seed 22 "${how[@]}" "$@"
bertcli eval ner "$data"/uner_ewt_dev.jsonl.gz -m "$output/final"
bertcli eval ner "$data"/crossner_coarse_dev.jsonl.gz -m "$output/final" --map MISC=
bertcli eval ner "$texts/ner-test.jsonl" -m "$output/final"
