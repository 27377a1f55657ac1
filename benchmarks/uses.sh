#!/usr/bin/env bash
# Measures the uses of trained models on phantoms with known true values: the numbers of docs/uses.md. About 45 minutes on two cores.
# OUT sets the folder, KIMG the training length of each model in thousands of images; the same command resumes.
set -euo pipefail
OUT=${OUT:-uses} KIMG=${KIMG:-1.6} SIZE=32,32,32
mkdir -p "$OUT"
cd "$OUT"
told() { local file=$1; shift; [ -e "$file" ] || { "$@" | tee "$file.part"; mv "$file.part" "$file"; }; }

for seed in 0 1; do
    [ -e "raw$seed/truth.csv" ] ||
        ganatomy phantom chest_ct --patients $((seed ? 96 : 240)) --seed $seed --shape $SIZE --to nifti --out raw$seed
    ganatomy prepare raw$seed --modality chest_ct --shape $SIZE --facts raw$seed/truth.csv \
        --column emphysema=emphysema --column kernel=kernel --out store$seed
done
for model in vae-gan alpha-gan hagan-2022 vae; do
    more=1
    [ $model != vae ] || more=4 # its steps cost least, and it reconstructs best
    kimg=$(awk "BEGIN { print $KIMG * $more }")
    ganatomy train $model store0 --shape $SIZE --condition emphysema --condition kernel \
        --set total_kimg="$kimg" --out runs --tick-kimg 0.1 --grid-kimg 100 --snapshot-kimg 100 --checkpoint-kimg 0.4
    run=$(ls -d runs/*-$model | tail -1)
    [ -e $model.parquet ] || ganatomy encode "$run" store0 --out $model.parquet
    [ -e samples-$model ] || ganatomy sample "$run" --n 192 --seed 1 --out samples-$model --to npy
done
truth=raw0/truth.csv
told probe.txt ganatomy probe hagan-2022.parquet $truth --beside vae-gan=vae-gan.parquet --beside alpha-gan=alpha-gan.parquet \
    --beside vae=vae.parquet --target lung_ml --target bone_ml --target log:emphysema_percent --target kernel \
    --few 10 --few 50 --out probe.json
vae=$(ls -d runs/*-vae | tail -1)
[ -e explore-lung ] || told explore-lung.txt ganatomy explore "$vae" --attribute lung_volume --out explore-lung
[ -e explore-component ] || told explore-component.txt ganatomy explore "$vae" --attribute component_1 --out explore-component
[ -e explore-column ] || told explore-column.txt ganatomy explore "$vae" --attribute bone_ml \
    --features vae.parquet --table $truth --out explore-column
told outliers.txt ganatomy outliers "$vae" store0 --planted --out outliers
told outliers-gan.txt ganatomy outliers "$(ls -d runs/*-vae-gan | tail -1)" store0 --planted --out outliers-gan
[ -e transfer ] || told transfer.txt ganatomy transfer "$vae" store1 --to kernel=sharp --split train --out transfer
ganatomy augment-study store0 --target emphysema --held-out store1 --samples alpha-gan=samples-alpha-gan \
    --samples hagan-2022=samples-hagan-2022 --seeds 3 --steps 150 --out augment-study
