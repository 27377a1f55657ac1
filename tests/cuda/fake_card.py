"""Recipes on a card without numbers: this file is run by itself, one JSON object a line comes out.

PyTorch's processor build with a CUDA device that does nothing (`guard.cpp`). Tensors have sizes, types, layouts and a
device; CUDA's dispatch and autocast decide about them, and whoever mixes devices or types is found out.

    python fake_card.py LIBRARY step float32,bfloat16 hagan,pggan     a whole training step each
    python fake_card.py LIBRARY sample float32 hagan                  sampling, slabs, encoding
"""

import ctypes
import json
import sys
import traceback
import warnings

ctypes.CDLL(sys.argv[1])  # before PyTorch looks for devices

import torch  # noqa: E402

# What PyTorch's Python half asks of a CUDA build, answered for the processor's.
torch.cuda.amp.common.amp_definitely_not_available = lambda: False
torch.amp.is_autocast_available = lambda device: True
torch.cuda.is_bf16_supported = lambda *args, **options: True


def _replace_tensors(network, convert, recurse=True):
    """What PyTorch does when a network changes its device; its own way knows no tensors without numbers."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = torch.nn.Parameter(convert(weight.detach()), weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = convert(buffer)
    return network


torch.nn.Module._apply = _replace_tensors

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from ganatomy.data.feed import decode_values  # noqa: E402
from ganatomy.objectives.phase import Batch, Networks  # noqa: E402
from ganatomy.recipes import get_recipe  # noqa: E402
from ganatomy.training import memory_trace  # noqa: E402
from ganatomy.training.computing import get_default_settings  # noqa: E402
from ganatomy.training.loop import run_update  # noqa: E402
from ganatomy.training.memory_estimate import list_stage_steps  # noqa: E402
from ganatomy.training.state import State  # noqa: E402

CARD = torch.device("cuda:0")
ONE_TYPE = ("convolution", "native_group_norm", "native_layer_norm")  # whose kernels on a card take one type only


class Inspector(TorchDispatchMode):
    """Refuses what a card's kernels refuse and tensors without numbers do not; remembers the types of results."""

    def __init__(self):
        super().__init__()
        self.types = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        made = [x for x in memory_trace.list_tensors(out) if x.is_floating_point()]
        if name in ONE_TYPE:
            given = {x.dtype for x in memory_trace.list_tensors(args[:3])}
            assert len(given) == 1, f"{name} of {given}"
        for x in made:
            key = f"{name} {x.dtype}"
            self.types[key] = self.types.get(key, 0) + 1
        return out


def _settings(recipe, precision):
    """The defaults of a card; in float16 channels-last, so that both layouts are seen."""
    usual = get_default_settings(len(recipe.shape), CARD).replace(precision=precision)
    return usual.replace(channels_last=True) if precision == "float16" else usual


def _make_batch(recipe, step, size, layout):
    sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in step.scope.regions]
    stored = (
        torch.empty(size, recipe.space.channels, *each, dtype=torch.uint16) for each in sizes
    )  # as the feed has them
    read = tuple(decode_values(values, CARD, layout) for values in stored)
    assert all(image.is_contiguous(memory_format=layout) and image.dtype == torch.float32 for image in read)
    return Batch(read, recipe.condition_space.make_blank(size).to(CARD), step.scope, 0, range(size))


def run_training_steps(name, precision):
    """Two steps of each set of phases, where the timetable has it last; what was held, and what the plan said."""
    recipe = get_recipe(name)
    steps = {tuple(phase.name for phase in recipe.build_phases(s.stage)): s for s in list_stage_steps(recipe)}
    return {"stages": [_run_stage(recipe, step, precision) for step in steps.values()]}


def _run_stage(recipe, step, precision):
    ndim, settings = len(recipe.shape), _settings(recipe, precision)
    layout, inspector = settings.get_layout(ndim), Inspector()
    with memory_trace.traced_memory() as trace, inspector:
        given = {role: dict(recipe.networks[role].build(recipe.space).state_dict()) for role in recipe.pretrained_roles}
        state = State(recipe, 0, CARD, given, layout, precision == "float16")
        del given
        settings.apply_to(state.networks, ndim)
        state.restart_optimizers(step.optimizer_epoch)
        trace.peak_bytes = trace.live_bytes
        for _ in range(2):
            inspector.types.clear()
            draws = []
            for phase in recipe.build_phases(step.stage):
                for update in range(min(2, int(phase.updates(state.images)))):
                    if update == len(draws):
                        draws.append([_make_batch(recipe, step, step.batch_size, layout)])
                    run_update(phase, state, draws[update], settings)
            state.update_ema(step.batch_size)
        del draws
        kernels = [p for p in state.networks.parameters() if p.ndim == ndim + 2]
        laid_out = all(p.is_contiguous(memory_format=layout) for p in kernels)
        tensors = [*state.networks.parameters(), *state.networks.buffers(), *state.ema.parameters()]
        devices = sorted({str(x.device) for x in tensors})
    peak = trace.peak_bytes
    planned = memory_trace.trace_training(recipe, step, settings, device="cuda").peak
    return {
        "stage": step.stage,
        "peak": peak,
        "planned": planned,
        "alpha": getattr(step.scope, "alpha", None),
        "kernels_laid_out": laid_out,
        "devices": devices,
        "types": inspector.types,
    }


def run_sampling(name, precision):
    """An image, a volume slab by slab, and codes of an image, where a recipe can."""
    recipe = get_recipe(name) if name != "autoregressive" else get_recipe(name).make_tiny()  # one pass a token
    settings, done = _settings(recipe, precision), []
    ndim = len(recipe.shape)
    layout = settings.get_layout(ndim)
    with memory_trace.traced_memory(), Inspector(), torch.no_grad():
        networks = Networks({role: config.build(recipe.space) for role, config in recipe.networks.items()}).to(CARD)
        networks.eval()
        z = torch.empty(2, recipe.latent, device=CARD)
        condition = recipe.condition_space.make_blank(2).to(CARD)
        generator = networks["generator"]
        image = generator(z, condition, recipe.get_final_scope())[0]
        assert image.device == CARD, image.device
        assert image.dtype == torch.float32, image.dtype
        assert image.shape[2:] == recipe.shape, image.shape
        done.append("image")
        planes = recipe.networks["generator"].min_slab_planes
        if planes is not None:
            depth = sum(slab.shape[2] for slab in generator.generate_slabs(z[:1], condition[:1], 4 * planes))
            assert depth == recipe.shape[0], depth
            done.append("slabs")
        if recipe.encoding_objective is not None:
            image = torch.empty(1, recipe.space.channels, *recipe.shape).to(CARD, memory_format=layout)
            code = recipe.encoding_objective.encode(networks, image, condition[:1])
            assert code.shape == (1, recipe.latent), code.shape
            assert code.device == CARD, code.device
            done.append("code")
    return {"done": done}


def main(what, precisions, names):
    run = {"step": run_training_steps, "sample": run_sampling}[what]
    for name in names.split(","):
        for precision in precisions.split(","):
            row = {"recipe": name, "precision": precision}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    row |= run(name, precision)
                except Exception as error:
                    ours = [f for f in traceback.extract_tb(error.__traceback__) if "ganatomy" in f.filename]
                    where = [f"{f.filename.rpartition('ganatomy/')[2]}:{f.lineno}" for f in ours[-3:]]
                    row["error"] = f"{type(error).__name__}: {str(error)[:400]} at {', '.join(where)}"
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[2:])
