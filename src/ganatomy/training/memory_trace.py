"""What a step would keep in memory, found by running it on tensors that have sizes and no numbers.

The real code runs, networks, losses, backward passes and optimisers, on PyTorch's fake tensors; a book is kept of what
is alive at every operation. So nothing has to be known of a method, and a change of the code changes what is
predicted. Fake tensors are not yet part of PyTorch's public interface (`torch._subclasses`): a test runs every recipe
through them.
"""

import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganatomy.networks.hierarchical import HierarchicalGenerator
from ganatomy.objectives.phase import Draw
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.strategies import Moment
from ganatomy.training.computing import Computing
from ganatomy.training.loop import run
from ganatomy.training.state import State

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Held:
    """Bytes of tensors: of the weights with their average, of the optimisers, and of all at the peak of a step."""

    weights: int
    optimiser: int
    peak: int

    @property
    def passing(self) -> int:
        """What comes and goes within a step: images, activations, gradients."""
        return self.peak - self.weights - self.optimiser


class Ledger(TorchDispatchMode):
    """Counts the bytes of every storage while it lives; a convolution works on copies in a layout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:  # a number is asked for: is a loss finite?
            return True if args[0].dtype == torch.bool else 1.0
        out = func(*args, **(kwargs or {}))
        made = _tensors(out)
        for tensor in made:
            self._note(tensor.untyped_storage())
        scratch = _bytes(made + _tensors((args, kwargs))) if "convolution" in func._schema.name else 0
        self.peak = max(self.peak, self.live + scratch)
        return out

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        weakref.finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextmanager
def _book() -> Iterator[Ledger]:
    ledger = Ledger()
    state = torch.get_rng_state()
    with warnings.catch_warnings(), FakeTensorMode(allow_non_fake_inputs=True), ledger:
        warnings.simplefilter("ignore")
        try:
            yield ledger
        finally:
            torch.set_rng_state(state)


def trained(recipe: Recipe, moment: Moment, how: Computing, processes: int = 1) -> Held:
    """What the second step at a moment would hold in one of so many processes; the first makes Adam's moments."""
    how = how.model_copy(update={"hold_memory": False, "compiled": False, "channels_last": False})
    pieces = processes * how.micro_batches
    size = -(-moment.batch_size // pieces)
    with _book() as ledger:
        given = {role: dict(recipe.networks[role].build(recipe.space).state_dict()) for role in recipe.given}
        state = State(recipe, 0, CPU, given, scaled=how.precision == "float16")
        how.applied(state.players, len(recipe.shape))
        state.enter(moment.era)
        weights = ledger.live
        for _ in range(2):
            _step(recipe, state, moment, size, how)
        return Held(weights, ledger.live - weights, ledger.peak)


def _step(recipe: Recipe, state: State, moment: Moment, size: int, how: Computing) -> None:
    draws: list[list[Draw]] = []
    for phase in recipe.phases(moment.part):
        for update in range(min(2, int(phase.updates(state.images)))):  # a third batch is held no longer than a second
            if update == len(draws):
                draws.append([_draw(recipe, moment, size) for _ in range(how.micro_batches)])
            run(phase, state, draws[update], how)
    state.follow(moment.batch_size)


def _draw(recipe: Recipe, moment: Moment, size: int) -> Draw:
    sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in moment.scope.reads]
    read = tuple(torch.empty(size, recipe.channels, *each) for each in sizes)
    condition = torch.empty(size, sum(recipe.groups))
    return Draw(read, condition, recipe.groups, moment.scope, 0, range(size))


def sampled(recipe: Recipe, batch: int, planes: int | None = None) -> Held:
    """What drawing so many images at once would hold; a volume by so many planes at a time, if given."""
    with _book() as ledger, torch.inference_mode():
        generator: Any = recipe.build_generator().eval().requires_grad_(False)
        weights = ledger.live
        z, condition = torch.empty(batch, recipe.latent), torch.empty(batch, sum(recipe.groups))
        if planes is None:
            generator(z, condition, recipe.final())
        else:
            whole = torch.empty(batch, *recipe.shape)
            for _ in generator.slabs(z, condition, planes):
                pass
            del whole
        return Held(weights, 0, ledger.peak)


def by_planes(recipe: Recipe) -> bool:
    """Whether volumes can be drawn some planes at a time."""
    return isinstance(recipe.networks.get("generator"), HierarchicalGenerator)
