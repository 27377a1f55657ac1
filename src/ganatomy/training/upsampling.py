"""Choice of the fastest way of up-sampling on a device: each layer is timed in each way, with inputs of its own shape.

The choice is one of the compute settings (`computing.ComputeSettings`). It is recorded with the run and used again when
the run is resumed, so that a resumed training computes the same function.
"""

import time
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ganatomy.machine.device import is_out_of_memory
from ganatomy.nn.enlarging import WAYS, EnlargingConvolution, Way
from ganatomy.objectives.phase import Networks
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.strategies import TrainingStep
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.memory_estimate import list_stage_steps

ROLE = "generator"  # role of the network with up-sampling layers
WARM_UP_PASSES, TIMED_PASSES = 2, 3
LEAST_GAIN = 0.05  # smallest share of the usual way's time that another way must save; less is noise


class LayerInput(NamedTuple):
    """Shape and options of the input of an up-sampling layer in a training step."""

    shape: tuple[int, ...]
    drop: int


def find_layer_inputs(recipe: Recipe, step: TrainingStep, batch_size: int) -> dict[str, LayerInput]:
    """Find the input of each up-sampling layer of the generator, by name, by running it on shapes only."""
    found: dict[str, LayerInput] = {}
    with torch.device("meta"):
        generator = recipe.build_generator()
        z, condition = torch.empty(batch_size, recipe.latent), recipe.condition_space.make_blank(batch_size)
        layers = {m: name for name, m in generator.named_modules() if isinstance(m, EnlargingConvolution)}

        def note(module: nn.Module, args: tuple[Tensor | int, ...]) -> None:
            name = layers[cast(EnlargingConvolution, module)]
            found[name] = LayerInput(tuple(cast(Tensor, args[0]).shape), cast(int, args[1]) if len(args) > 1 else 0)

        for layer in layers:
            layer.register_forward_pre_hook(note)
        if layers:
            generator(z, condition.to("meta"), step.scope)
    return found


def time_ways(
    layer: EnlargingConvolution, given: LayerInput, settings: ComputeSettings, device: torch.device
) -> dict[Way, float]:
    """Time a forward and backward pass of a layer, in seconds, in each way that fits into memory."""
    ndim = len(given.shape) - 2
    layout = settings.get_layout(ndim)
    x = torch.ones(given.shape, device=device, dtype=settings.dtype).contiguous(memory_format=layout).requires_grad_()
    usual, seconds = layer.way, {}
    try:
        for way in WAYS:
            layer.way = way
            try:
                seconds[way] = _time(lambda: _run_layer(layer, x, given.drop, settings), device)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
    finally:
        layer.way = usual
    return seconds


def _run_layer(layer: EnlargingConvolution, x: Tensor, drop: int, settings: ComputeSettings) -> None:
    with torch.autocast(x.device.type, settings.dtype, enabled=settings.dtype != torch.float32):
        y = layer(x, drop) if drop else layer(x)
    torch.autograd.grad(y, [x, *layer.parameters()], torch.ones_like(y))


def _time(run: Callable[[], None], device: torch.device) -> float:
    """Return the shortest time of several runs, after some runs that do not count."""
    seconds = []
    for _ in range(WARM_UP_PASSES + TIMED_PASSES):
        _wait_for(device)
        start = time.perf_counter()
        run()
        _wait_for(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[WARM_UP_PASSES:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def settle_upsampling(
    recipe: Recipe, networks: Networks, settings: ComputeSettings, device: torch.device, pieces: int = 1
) -> tuple[ComputeSettings, str | None]:
    """Choose the fastest way of each layer if `upsampling` is ``auto`` and nothing was chosen; else change nothing.

    Args:
        recipe: the recipe that is trained.
        networks: its networks, by role.
        settings: the compute settings.
        device: the device on which the layers are timed.
        pieces: number of pieces into which processes and micro-batches divide a batch.

    Returns:
        The settings, and a sentence for the log or None.
    """
    if settings.upsampling != "auto" or settings.upsampling_by_layer:
        return settings, None
    step = list_stage_steps(recipe)[-1]  # this step uses all layers
    inputs = find_layer_inputs(recipe, step, -(-step.batch_size // pieces))
    if not inputs:
        return settings, None
    ways, told = choose_ways(networks, inputs, settings, device)
    return settings.replace(upsampling_by_layer=ways), told


def choose_ways(
    networks: Networks, inputs: dict[str, LayerInput], settings: ComputeSettings, device: torch.device
) -> tuple[tuple[tuple[str, Way], ...], str]:
    """Choose the way of each layer, by its name among the networks; return it with a sentence for the log."""
    chosen: list[tuple[str, Way]] = []
    told = []
    for name, given in inputs.items():
        layer = cast(EnlargingConvolution, networks[ROLE].get_submodule(name))
        learns = [parameter.requires_grad for parameter in layer.parameters()]
        layer.requires_grad_(True)
        seconds = time_ways(layer, given, settings, device)
        for parameter, before in zip(layer.parameters(), learns, strict=True):
            parameter.requires_grad_(before)
        best = pick_way(seconds, layer.way)
        chosen.append((f"{ROLE}.{name}", best))
        told.append(f"{name} {best} ({', '.join(f'{way} {1e3 * s:.3g} ms' for way, s in seconds.items())})")
    return tuple(chosen), f"Up-sampling timed on {device}: {'; '.join(told)}"


def pick_way(seconds: dict[Way, float], usual: Way) -> Way:
    """Pick the fastest way if it saves at least the share `LEAST_GAIN` of the time of the usual way, else the usual."""
    best = min(seconds, key=lambda way: seconds[way], default=usual)
    if usual in seconds and seconds[best] > (1 - LEAST_GAIN) * seconds[usual]:
        return usual
    return best
