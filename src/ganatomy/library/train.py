"""The verb `train` with all its options: the recipe that is asked for, and how it is computed."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ganatomy.data.store import Store, resolve_store
from ganatomy.errors import Diverged, Interrupted, Refused  # noqa: F401  what it raises
from ganatomy.library.arguments import check_above_zero
from ganatomy.library.recipe import choose_recipe
from ganatomy.machine.choices import Precision, UpSampling
from ganatomy.recipes.recipe import Recipe
from ganatomy.training import train as training
from ganatomy.training.callbacks import Intervals
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.run import Run
from ganatomy.training.tracking.tracker import Tracker


def train(
    recipe: Recipe | str | None,
    store: Store | str | PathLike[str],
    out: str | PathLike[str] = "runs",
    seed: int = 0,
    device: str | None = None,
    intervals: Intervals | None = None,
    computing: ComputeSettings | Mapping[str, Any] | None = None,
    generator: str | PathLike[str] | None = None,
    fit: bool = False,
    anyway: bool = False,
    begin_from: str | PathLike[str] | None = None,
    *,
    set_: Mapping[str, Any] | None = None,
    recipe_file: str | PathLike[str] | None = None,
    shape: Sequence[int] | None = None,
    pace: float = 1,
    tiny: bool = False,
    threads: int | None = None,
    condition: Sequence[str] = (),
    freeze: Sequence[str] = (),
    precision: Precision | None = None,
    channels_last: bool | None = None,
    recompute: bool = False,
    compile_: bool = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
    deterministic: bool = False,
    upsampling: UpSampling | None = None,
    search_kernels: bool = False,
    tick_kimg: float = 4,
    grid_kimg: float = 40,
    snapshot_kimg: float = 100,
    checkpoint_kimg: float = 100,
    track: Sequence[str | Tracker] = (),
) -> Run:
    """Train a recipe on a store; the same call again continues where it was.

    When torchrun has started several processes, each computes its share of every batch and the first writes the run.

    Args:
        recipe: a name of `RECIPES`, or a recipe; None with `recipe_file`.
        store: where the images are; the training patients of it are used.
        out: folder of runs. A new run is made in it, or the one of this recipe, store and seed is continued.
        seed: decides the first weights, the order of images and every random number.
        device: ``cpu``, ``cuda``, ``cuda:1`` and so on; None = a GPU if there is one. Each process started by torchrun
            gets a GPU of its own.
        intervals: how often to log, draw and save, instead of `tick_kimg` to `checkpoint_kimg`.
        computing: precision, memory layout and the like, instead of `precision` to `search_kernels`: all of them, or by
            name those that are to differ from how the run was begun. A new run is computed in the fastest way that is
            safe on the device, but for those.
        generator: a run or snapshot with the generator that the recipe's networks learn from (`hagan-encoder`); the
            recipe takes over its shape, conditions and widths.
        fit: if it would not fit into memory, compute it in the cheapest way that does.
        anyway: try even what will not fit by prediction.
        begin_from: a run or snapshot whose weights the networks begin with, as far as tensors agree in name and shape;
            the others begin anew, and the conditions may differ.
        set_: single settings of the recipe by their dotted path, such as ``{"strategy.fade_kimg": 300}``.
        recipe_file: YAML file with a base recipe and the settings that differ.
        shape: pixels or voxels per axis; None = the recipe's.
        pace: multiplies all lengths of the recipe, such as 0.01 for a training of a hundredth of the images.
        tiny: train a small version of the recipe, to try it in seconds.
        threads: CPU threads of this process from here on; None = as they are.
        condition: facts of the store to condition on, each as a class or as a number (``age:number``, ``age:class``).
        freeze: parts that keep the weights of `begin_from`, such as ``discriminator.high.tower``.
        precision: ``float32``, ``tf32`` (NVIDIA), ``bfloat16`` or ``float16``; None = the fastest that is safe.
        channels_last: keep the channels of a voxel together in memory; None = as suits the device.
        recompute: compute activations again for the backward pass: less memory, more time.
        compile_: let torch compile the networks.
        micro_batches: pieces into which each batch is divided: less memory, the same result to rounding; None = 1.
        hold_memory: on a CPU, keep freed memory in the process: faster, with a higher peak.
        deterministic: the same bits every time on a GPU as well: slower.
        upsampling: ``fold``, ``phases``, ``plain``, ``auto`` or ``usual``: how layers that double the size are
            computed; None = as suits the device.
        search_kernels: let cuDNN try its algorithms at every new shape.
        tick_kimg: thousands of images from one line of the log to the next.
        grid_kimg, snapshot_kimg, checkpoint_kimg: likewise of grids of samples, snapshots and checkpoints.
        track: receivers of the progress beside ``log.jsonl``: ``tensorboard``, ``mlflow``, ``wandb``, ``none``, or a
            `Tracker` of your own; () = TensorBoard if it is installed. Nothing leaves the machine unless
            MLFLOW_TRACKING_URI or WANDB_MODE=online says so.

    Returns:
        The run, complete.

    Raises:
        Refused: the recipe does not fit the store or the memory, or `out` is another run; or memory has run out.
        Diverged: a loss is not a finite number; the last good checkpoint is kept.
        Interrupted: SIGINT or SIGTERM was received; a checkpoint was saved.

    Example:
        >>> import ganatomy
        >>> run = ganatomy.train("pggan-mammogram", "store", "runs", tiny=True)  # 20 x 16 pixels, 480 images
        >>> run.path.name, run.list_snapshots()[-1].name
        ('00000-pggan-mammogram', '000000480')
    """
    times = {
        "tick_kimg": tick_kimg,
        "grid_kimg": grid_kimg,
        "snapshot_kimg": snapshot_kimg,
        "checkpoint_kimg": checkpoint_kimg,
    }
    check_above_zero(threads=threads, micro_batches=micro_batches, pace=pace, **times)
    named = {
        "precision": precision,
        "channels_last": channels_last,
        "recompute": recompute or None,
        "compiled": compile_ or None,
        "micro_batches": micro_batches,
        "hold_memory": hold_memory,
        "deterministic": deterministic or None,
        "upsampling": upsampling,
        "search_kernels": search_kernels or None,
    }
    if threads:
        torch.set_num_threads(threads)
    opened = resolve_store(store)
    chosen = choose_recipe(recipe, opened, recipe_file, set_, shape, tiny, pace, condition, freeze)
    return training.train(
        chosen,
        opened,
        Path(out),
        seed,
        device,
        _choose_intervals(intervals, times),
        _choose_settings(computing, named),
        None if generator is None else Path(generator),
        fit,
        anyway,
        None if begin_from is None else Path(begin_from),
        track or None,
    )


def _choose_intervals(intervals: Intervals | None, times: Mapping[str, float]) -> Intervals:
    """The intervals, given as one value or by name.

    Raises:
        Refused: both.
    """
    named = Intervals(**times)
    if intervals is not None and named != Intervals():
        raise Refused("Intervals are given as one value and by name as well; give one of the two.")
    return intervals or named


def _choose_settings(
    computing: ComputeSettings | Mapping[str, Any] | None, named: Mapping[str, Any]
) -> ComputeSettings | Mapping[str, Any]:
    """How to compute, given as one value or by name.

    Raises:
        Refused: both.
    """
    if computing is None:
        return named
    if besides := [name for name, value in named.items() if value is not None]:
        raise Refused(f"computing is given, and {besides[0]} besides; give {besides[0]} in computing.")
    return computing
