#!/bin/bash
#SBATCH --job-name=ganatomy
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Training on several nodes with PyTorch's launcher; the store and the runs are on a file system shared by all nodes.
#
#     sbatch examples/slurm.sh hagan STORE --out RUNS
#
# Two minutes before its time limit, or when it is preempted, the job saves a checkpoint and submits itself again. It
# also does so after the failure of a node, at most REQUEUES times. Restarts by the launcher are disabled, since a single
# restarted process can make the others hang.

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
per_node=${SLURM_GPUS_ON_NODE:-${PROCESSES:-1}}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((${SLURM_CPUS_PER_TASK:-1} / per_node > 0 ? ${SLURM_CPUS_PER_TASK:-1} / per_node : 1))}

trap 'kill -TERM "$step" 2>/dev/null' TERM
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$per_node" --max-restarts 0 --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d --rdzv-endpoint "$head:${PORT:-29500}" -m ganatomy train "$@" &
step=$!
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do  # a trap ends the first wait while the checkpoint is still being written
    wait "$step"
    code=$?
done

if [ "$code" -ne 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${REQUEUES:-20}" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
