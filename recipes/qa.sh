#!/usr/bin/env bash
# The built-in qa checkpoint: LoRA on all-MiniLM-L6-v2, answers as spans of a text, or none.
#
#   recipes/qa.sh DATA OUTPUT
#
# DATA has train.jsonl.gz, questions with `context`, `answers`, `title` and `source`, and dev_newwiki,
# dev_qed and dev_squad2. Of QAMR, which asks many questions of one sentence, a tenth of those on
# sentences and three tenths of those on paragraphs are taken. As many questions again as 0.3 of all
# are put to another paragraph of their article, and have no answer there.
set -euo pipefail
data=$1 output=$2
shift 2

chosen=$(mktemp -d)
trap 'rm -r "$chosen"' EXIT
python - "$data" "$chosen" <<'PYTHON'
import gzip, json, random, sys
from pathlib import Path

data, chosen = map(Path, sys.argv[1:])
rng, share = random.Random(0), {"qamr_sentence": 0.1, "qamr_paragraph": 0.3}
with gzip.open(data / "train.jsonl.gz", "rt", encoding="utf-8") as rows:
    with (chosen / "train.jsonl").open("w", encoding="utf-8") as kept:
        kept.writelines(r for r in rows if rng.random() < share.get(json.loads(r)["source"], 1))
rng = random.Random(1)
with (chosen / "valid.jsonl").open("w", encoding="utf-8") as kept:
    for name, count in (("newwiki", 75), ("qed", 95), ("squad2", 130)):
        with gzip.open(data / f"dev_{name}.jsonl.gz", "rt", encoding="utf-8") as rows:
            kept.writelines(rng.sample(list(rows), count))
PYTHON
bertcli train qa "$chosen/train.jsonl" --valid "$chosen/valid.jsonl" -o "$output" --rank 128 \
    --learning-rate 6e-4 --batch-tokens 2048 --unanswerable 0.3 --evaluations 3 --epochs 3 --minutes 22 "$@"
for name in newwiki qed fairytale squad2; do
    bertcli eval qa "$data/dev_$name.jsonl.gz" -m "$output"
done
