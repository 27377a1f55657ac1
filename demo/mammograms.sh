#!/usr/bin/env bash
# The whole pipeline in one script: phantoms -> store -> training -> best snapshot -> samples -> DICOM -> report.
# It takes six to nine minutes on two cores; with SHORT=1 the same steps take less than a minute. OUT sets the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-demo/out/mammograms}
if [ -n "${SHORT:-}" ]; then
    RECIPE=demo/mammograms-short.yaml PATIENTS=16 SNAPSHOT=0.2
else
    RECIPE=demo/mammograms.yaml PATIENTS=96 SNAPSHOT=1
fi
rm -rf "$OUT/samples" "$OUT/dicom" "$OUT/hanging" "$OUT/report"
[ -e "$OUT/raw/truth.csv" ] || { rm -rf "$OUT"; ganatomy phantom mammogram --patients "$PATIENTS" --shape 640,512 --out "$OUT/raw"; }
ganatomy prepare "$OUT/raw" --modality mammogram --shape 160,128 --out "$OUT/store"
ganatomy train "$OUT/store" --recipe "$RECIPE" --out "$OUT/runs" \
    --tick-kimg 0.25 --grid-kimg 2 --snapshot-kimg "$SNAPSHOT" --checkpoint-kimg 5
RUN=$(ls -d "$OUT"/runs/*-mammogram | tail -1)
ganatomy select "$RUN"
ganatomy sample "$RUN" --n 32 --seed 1 --out "$OUT/samples"
ganatomy export "$OUT/samples" --to dicom --out "$OUT/dicom"
ganatomy export "$OUT/samples" --to hanging --out "$OUT/hanging"
ganatomy verify "$OUT/dicom" --snapshot "$RUN" --out "$OUT/verified.jsonl" | tail -1
ganatomy evaluate "$RUN" --out "$OUT/report"
echo
echo "The page with pictures, curves and numbers: $OUT/report/report.html"
echo "Synthetic studies as DICOM, four views:     $OUT/dicom"
echo "The same in the standard hanging, as PNG:   $OUT/hanging"
