#!/usr/bin/env bash
# The model that comes with the package: phantoms -> store -> training -> report -> bundle; about 20 minutes on one core.
# The recipe is that of the leaderboard's task, and so are the phantoms for training (seed 0) and for the report (seed 1).
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-example-model}
RECIPE=benchmarks/leaderboard/phantom-mammograms/mammogram.yaml
for side in train:96:0 held-out:40:1; do
    IFS=: read -r name patients seed <<< "$side"
    ganatomy phantom mammogram --patients "$patients" --shape 320,256 --seed "$seed" --out "$OUT/raw-$name"
    ganatomy prepare "$OUT/raw-$name" --modality mammogram --shape 80,64 --out "$OUT/$name"
done
ganatomy train "$OUT/train" --recipe "$RECIPE" --threads 1 --out "$OUT/runs" --snapshot-kimg 4 --checkpoint-kimg 4
RUN=$(ls -d "$OUT"/runs/*-mammogram | tail -1)
ganatomy evaluate "$RUN" --held-out "$OUT/held-out" --out "$OUT/report"
ganatomy publish "$RUN" --report "$OUT/report" --licence Apache-2.0 \
    --data-licence "phantoms drawn by this package, Apache-2.0" --out "$OUT/phantom-mammograms.zip"
