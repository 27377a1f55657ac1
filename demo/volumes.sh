#!/usr/bin/env bash
# The pipeline for volumes: CT phantoms -> store -> training -> best snapshot -> NIfTI -> DICOM series -> report -> features.
# It takes four to seven minutes on two cores; with SHORT=1 the same steps take less than a minute. OUT sets the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-demo/out/volumes}
if [ -n "${SHORT:-}" ]; then
    RECIPE=demo/volumes-short.yaml PATIENTS=40 SNAPSHOT=0.2 SIZE=32,32,32 ENCODER=0.2
else
    RECIPE=demo/volumes.yaml PATIENTS=96 SNAPSHOT=1 SIZE=64,64,64 ENCODER=1
fi
rm -rf "$OUT/samples" "$OUT/dicom" "$OUT/report"
[ -e "$OUT/raw/truth.csv" ] || { rm -rf "$OUT"; ganatomy phantom chest_ct --patients "$PATIENTS" --shape "$SIZE" --out "$OUT/raw"; }
ganatomy prepare "$OUT/raw" --modality chest_ct --shape 32,32,32 --facts "$OUT/raw/truth.csv" \
    --column emphysema=emphysema --out "$OUT/store"
ganatomy train "$OUT/store" --recipe "$RECIPE" --condition emphysema --out "$OUT/runs" \
    --tick-kimg 0.1 --grid-kimg 1 --snapshot-kimg "$SNAPSHOT" --checkpoint-kimg 4
RUN=$(ls -d "$OUT"/runs/*-volume | tail -1)
ganatomy select "$RUN"
ganatomy sample "$RUN" --n 12 --seed 1 --out "$OUT/samples"
ganatomy export "$OUT/samples" --to dicom --out "$OUT/dicom"
ganatomy verify "$OUT/dicom" --snapshot "$RUN" --out "$OUT/verified.jsonl" | tail -1
ganatomy evaluate "$RUN" --out "$OUT/report"
ganatomy train hagan-encoder "$OUT/store" --generator "$RUN" --out "$OUT/runs" --set total_kimg="$ENCODER" \
    --set strategy.batch_size=8 --set optimizers.ground_encoder.lr=0.0004 --set optimizers.high_encoder.lr=0.001 \
    --tick-kimg 0.1
ganatomy encode "$(ls -d "$OUT"/runs/*-hagan-encoder | tail -1)" "$OUT/store" --out "$OUT/features.parquet"
echo
echo "The page with pictures, curves and numbers: $OUT/report/report.html"
echo "Synthetic CT series as DICOM:               $OUT/dicom"
echo "Features, one row a case:                   $OUT/features.parquet"
