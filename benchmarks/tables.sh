#!/usr/bin/env bash
# Makes the tables of docs/benchmark.md and the page itself. OUT sets the folder; the same command resumes.
#   phantoms-64     unchanged recipes at 64 cubed: the cost of a step. 40 minutes on two cores.
#   phantoms-small  small recipes (--tiny) at 32 cubed: the quality. 25 minutes.
#   brains-small    the same on real brains, if BRAINS=FOLDER holds NIfTI and participants.csv (file, sex). 25 minutes.
set -euo pipefail
OUT=${OUT:-tables}
HERE=$(cd "$(dirname "$0")/.." && pwd)
BRAINS=$([ -z "${BRAINS:-}" ] || realpath "$BRAINS")
mkdir -p "$OUT"
cd "$OUT"
for seed in 0 1; do
    [ -e "raw$seed/truth.csv" ] ||
        ganatomy phantom chest_ct --patients $((seed ? 64 : 240)) --seed $seed --shape 64,64,64 --to nifti --out raw$seed
    ganatomy prepare raw$seed --modality chest_ct --shape 64,64,64 --facts raw$seed/truth.csv \
        --column emphysema=emphysema --out phantoms$seed
done
ganatomy benchmark --store phantoms0 --held-out phantoms1 --budget 45s --rounds 1 --n 32 --card 8 --out phantoms-64
small=(--tiny --shape 32,32,32 --budget 60s --rounds 1)
ganatomy benchmark --store phantoms0 --held-out phantoms1 "${small[@]}" --n 64 --out phantoms-small
if [ -n "$BRAINS" ]; then
    number=0
    for file in "$BRAINS"/*.nii.gz; do # two of five patients are held out, since the set is small
        half=$((number++ % 5 < 3 ? 0 : 1))
        mkdir -p brains-raw$half
        ln -sf "$file" brains-raw$half/
    done
    for half in 0 1; do
        ganatomy prepare brains-raw$half --modality brain_mri --shape 64,64,64 --facts "$BRAINS/participants.csv" \
            --column sex=sex --out brains$half
    done
    ganatomy benchmark --store brains0 --held-out brains1 "${small[@]}" --n 13 --out brains-small
fi
python3 "$HERE/docs/reference/make_benchmark.py" .
