#!/usr/bin/env bash
# Every row of docs/benchmark.md: on phantoms, and with BRAINS=FOLDER (NIfTI with participants.csv: file, sex) on real brains.
# About 40 minutes each on two cores; OUT says where, BUDGET how long a row trains. Given again, it goes on where it was.
set -euo pipefail
OUT=${OUT:-tables} BUDGET=${BUDGET:-60s} SIZE=${SIZE:-64,64,64}
BRAINS=$([ -z "${BRAINS:-}" ] || realpath "$BRAINS")
mkdir -p "$OUT"
cd "$OUT"
for seed in 0 1; do
    [ -e "raw$seed/truth.csv" ] ||
        ganatomy phantom chest_ct --patients $((seed ? 64 : 240)) --seed $seed --shape 64,64,64 --to nifti --out raw$seed
    ganatomy prepare raw$seed --modality chest_ct --shape 64,64,64 --facts raw$seed/truth.csv \
        --column emphysema=emphysema --out phantoms$seed
done
ganatomy benchmark --store phantoms0 --held-out phantoms1 --shape "$SIZE" --budget "$BUDGET" --rounds 1 --n 32 --card 8 \
    --out benchmark-phantoms
[ -n "$BRAINS" ] || exit 0
number=0
for file in "$BRAINS"/*.nii.gz; do # two of five patients are held out: the set is small
    half=$((number++ % 5 < 3 ? 0 : 1))
    mkdir -p brains-raw$half
    ln -sf "$file" brains-raw$half/
done
for half in 0 1; do
    ganatomy prepare brains-raw$half --modality brain_mri --shape 64,64,64 --facts "$BRAINS/participants.csv" \
        --column sex=sex --out brains$half
done
ganatomy benchmark --store brains0 --held-out brains1 --shape "$SIZE" --budget "$BUDGET" --rounds 1 --n 12 --card 8 \
    --out benchmark-brains
