#!/usr/bin/env bash
# README's line from raw files to DICOM with the `ganatomy` that comes first on PATH, tiny, in an empty folder: a few
# minutes on two cores. A workflow runs it in an environment that holds a wheel and its dependencies alone.
# Usage: tests/clean_install.sh [FOLDER]
set -euo pipefail
cd "${1:-$(mktemp -d)}"
export GANATOMY_PSEUDONYM_KEY=$PWD/pseudonyms.key
QUICK="--tiny --tick-kimg 0.02 --grid-kimg 0.2 --snapshot-kimg 0.2 --checkpoint-kimg 0.2 --quiet"

ganatomy --help >/dev/null
ganatomy phantom mammogram --patients 20 --shape 160,128 --out raw
ganatomy prepare raw --modality mammogram --shape 80,64 --out store
# shellcheck disable=SC2086
ganatomy train pggan-mammogram store --shape 80,64 --out runs $QUICK
ganatomy select runs/00000-pggan-mammogram
ganatomy sample runs/00000-pggan-mammogram --n 8 --condition view_position=MLO --out samples
ganatomy evaluate samples store --out report
ganatomy export samples --to dicom --out studies
ganatomy verify studies --snapshot runs/00000-pggan-mammogram

ganatomy phantom chest_ct --patients 20 --shape 32,32,32 --out raw-ct
ganatomy prepare raw-ct --modality chest_ct --shape 32,32,32 --facts raw-ct/truth.csv --column gold=emphysema --out store-ct
# shellcheck disable=SC2086
ganatomy train hagan store-ct --shape 32,32,32 --condition gold --out runs-ct $QUICK --set total_kimg=0.04
ganatomy sample runs-ct/00000-hagan --n 3 --condition gold=mild --planes 16 --out volumes
ganatomy export volumes --to dicom --out series
ganatomy verify series --snapshot runs-ct/00000-hagan
# shellcheck disable=SC2086
ganatomy train hagan-encoder store-ct --generator runs-ct/00000-hagan --out runs-ct $QUICK --set total_kimg=0.04
ganatomy encode runs-ct/00001-hagan-encoder store-ct --split test --out features.csv
test -s report/report.html && test -s features.csv
echo "The line works: $PWD"
