"""Prediction of the memory of a training step by running it on PyTorch fake tensors (shapes only).

The real code of networks, losses, backward passes and optimisers runs on fake tensors, and all storages that are alive
are recorded at every operation. The prediction therefore needs no knowledge of the method and follows every change of
the code. Fake tensors are not yet part of PyTorch's public interface (`torch._subclasses`), so a test runs every
recipe on them.
"""

import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganatomy.objectives.phase import Batch
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.modules import SlabGenerator
from ganatomy.steps.strategies import TrainingStep
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.loop import run_update
from ganatomy.training.state import State

CPU = torch.device("cpu")
TRACED_SLABS = 3  # of a volume; one at its end and two inside, and the others repeat them


@dataclass(frozen=True)
class PeakMemory:
    """Bytes of tensors: weights with their average, optimisers, and all tensors at the peak of a step."""

    weights: int
    optimiser: int
    peak: int

    @property
    def transient(self) -> int:
        """Bytes of images, activations and gradients, which exist only within a step."""
        return self.peak - self.weights - self.optimiser


class MemoryTrace(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, and of the copies that convolutions make in another layout."""

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:  # a value is requested, for the check of finite losses
            return True if args[0].dtype == torch.bool else 1.0
        out = func(*args, **(kwargs or {}))
        made = list_tensors(out)
        for tensor in made:
            self._add_storage(tensor.untyped_storage())
        scratch = _bytes(made + list_tensors((args, kwargs))) if "convolution" in func._schema.name else 0
        self.peak_bytes = max(self.peak_bytes, self.live_bytes + scratch)
        return out

    def restart_peak(self) -> int:
        """Return the peak since the last call, and record another one from here on."""
        peak, self.peak_bytes = self.peak_bytes, self.live_bytes
        return peak

    def _add_storage(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live_bytes += size
        weakref.finalize(storage, self._remove_storage, key, size).atexit = False

    def _remove_storage(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live_bytes -= size


def list_tensors(tree: Any) -> list[torch.Tensor]:
    """List the tensors of nested tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _DeviceThread(TorchFunctionMode):
    """Computes inner gradients as on a GPU: in a thread of the device, whose operations are numbered from zero.

    PyTorch's backward pass processes operations by these numbers, the highest first. On a CPU, the operations of an
    inner gradient (`objectives.penalties`) are numbered by the main thread, have the highest numbers of all, and are
    processed first. This holds up to 14 % more memory than on a GPU, where they are processed between the others.
    """

    def __init__(self, modes: tuple[TorchDispatchMode, ...], thread: ThreadPoolExecutor) -> None:
        super().__init__()
        self._modes, self._thread = modes, thread

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.autograd.grad:
            return func(*args, **(kwargs or {}))
        autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

        def run() -> Any:
            with ExitStack() as stack:
                for mode in self._modes:
                    stack.enter_context(mode)
                stack.enter_context(torch.autocast("cpu", autocast[1], enabled=autocast[0]))
                return func(*args, **(kwargs or {}))

        return self._thread.submit(run).result()


@contextmanager
def traced_memory(device_thread: bool = False) -> Iterator[MemoryTrace]:
    """Use fake tensors (shapes only) within the block, and record their memory.

    Args:
        device_thread: compute inner gradients in the order of a GPU.
    """
    ledger, fake = MemoryTrace(), FakeTensorMode(allow_non_fake_inputs=True)
    state = torch.get_rng_state()
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        stack.enter_context(fake)
        stack.enter_context(ledger)
        if device_thread:
            thread = stack.enter_context(ThreadPoolExecutor(1))
            stack.enter_context(_DeviceThread((fake, ledger), thread))
        try:
            yield ledger
        finally:
            torch.set_rng_state(state)


def trace_training(
    recipe: Recipe, step: TrainingStep, settings: ComputeSettings, processes: int = 1, device: str = "cpu"
) -> PeakMemory:
    """Trace the memory of any step but the first in one process; the first has no moments of Adam yet.

    Args:
        recipe: the recipe that is trained.
        step: the step of the timetable that is traced.
        settings: the compute settings.
        processes: number of processes that share a batch.
        device: ``cpu`` or ``cuda``, whose backward passes differ in their order (`_DeviceThread`).
    """
    settings = settings.keep_memory_settings()
    pieces = processes * settings.micro_batches
    size = -(-step.batch_size // pieces)
    with traced_memory(device_thread=device == "cuda") as ledger:
        given = {role: dict(recipe.networks[role].build(recipe.space).state_dict()) for role in recipe.pretrained_roles}
        state = State(recipe, 0, CPU, given, scale_losses=settings.precision == "float16")
        settings.apply_to(state.networks, len(recipe.shape))
        state.restart_optimizers(step.optimizer_epoch)
        weights = ledger.live_bytes
        moments = _MomentsLedger(ledger, list(state.optimizers.values()))
        run_traced_step(recipe, state, step, size, settings)
        return PeakMemory(weights, ledger.live_bytes - weights, moments.compute_later_peak())


class _MomentsLedger:
    """Finds the peak of later steps from a first step, in which each optimiser makes its moments when it is used.

    Before an optimiser is used for the first time, a later step holds as many bytes more as its moments take.
    """

    def __init__(self, ledger: MemoryTrace, optimizers: list[torch.optim.Adam]) -> None:
        self._ledger, self._optimizers = ledger, optimizers
        self._peaks: list[tuple[int, int]] = []  # of each stretch between two optimisers: peak, bytes of moments then
        self._made = 0
        ledger.restart_peak()
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(self._end_stretch)
            optimizer.register_step_post_hook(self._count_moments)

    def _end_stretch(self, *_: Any) -> None:
        self._peaks.append((self._ledger.restart_peak(), self._made))

    def _count_moments(self, *_: Any) -> None:
        self._made = sum(_bytes(list_tensors(list(one.state.values()))) for one in self._optimizers)

    def compute_later_peak(self) -> int:
        """Return the bytes at the peak of a step in which all moments exist from the beginning."""
        self._end_stretch()
        return max(peak + self._made - made for peak, made in self._peaks)


def run_traced_step(recipe: Recipe, state: State, step: TrainingStep, size: int, settings: ComputeSettings) -> None:
    """Run a step within `traced_memory` on batches of `size` blank images."""
    draws: list[list[Batch]] = []
    for phase in recipe.build_phases(step.stage):
        for update in range(min(2, int(phase.updates(state.images)))):  # a third one adds nothing
            if update == len(draws):
                draws.append([_make_batch(recipe, step, size) for _ in range(settings.micro_batches)])
            run_update(phase, state, draws[update], settings)
    state.update_ema(step.batch_size)


def _make_batch(recipe: Recipe, step: TrainingStep, size: int) -> Batch:
    sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in step.scope.regions]
    read = tuple(torch.empty(size, recipe.space.channels, *each) for each in sizes)
    return Batch(read, recipe.condition_space.make_blank(size), step.scope, 0, range(size), recipe.channels)


def trace_sampling(recipe: Recipe, batch_size: int, planes: int | None = None) -> PeakMemory:
    """Trace the memory of sampling `batch_size` images at once; volumes are drawn in slabs of `planes` if given."""
    with traced_memory() as ledger, torch.inference_mode():
        generator = recipe.build_generator().eval().requires_grad_(False)
        weights = ledger.live_bytes
        z, condition = torch.empty(batch_size, recipe.latent), recipe.condition_space.make_blank(batch_size)
        if planes is None:
            generator(z, condition, recipe.get_final_scope())
        else:
            whole = torch.empty(batch_size, recipe.space.channels, *recipe.shape)
            slabs = cast(SlabGenerator, generator).generate_slabs(z, condition, planes)
            for _ in islice(slabs, TRACED_SLABS):
                pass
            del whole
        return PeakMemory(weights, 0, ledger.peak_bytes)


def can_sample_by_planes(recipe: Recipe) -> bool:
    """Whether volumes can be sampled some planes at a time."""
    return recipe.networks["generator"].min_slab_planes is not None
