"""How much a training step computes, counted on tensors that have sizes and no numbers (`memory_trace`)."""

from typing import Any, NamedTuple

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganatomy.recipes.recipe import Recipe
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.memory_trace import CPU, list_tensors, run_traced_step, traced_memory
from ganatomy.training.state import State

OPERATIONS_PER_ELEMENT = 16  # of a product in the time in which an element is read and written: 10 to 50 by machine


class StepCost(NamedTuple):
    """What a step takes, whatever the machine.

    Args:
        calls: of kernels, each of which takes a time of its own however little it computes.
        operations: of products and convolutions, a multiplication and an addition being two; an element of any other
            result stands for `OPERATIONS_PER_ELEMENT`.
    """

    calls: int
    operations: int


class _Counter(TorchDispatchMode):
    """Adds up what is computed, forwards and backwards; products and convolutions by the formulas of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=out)
        elif not func.is_view:
            self.operations += OPERATIONS_PER_ELEMENT * sum(tensor.numel() for tensor in list_tensors(out))
        return out


def count_operations(recipe: Recipe) -> dict[str, StepCost]:
    """The cost of a step of all networks, by stage.

    Of a level that fades in and is then stable the last part counts.
    """
    settings = ComputeSettings()
    found: dict[str, StepCost] = {}
    moments = {step.stage: (kimg, step) for kimg, step in recipe.make_timetable()}
    with traced_memory():
        given = {role: dict(recipe.networks[role].build(recipe.space).state_dict()) for role in recipe.pretrained_roles}
        state = State(recipe, 0, CPU, given)
        for stage, (kimg, step) in moments.items():
            state.images = round(kimg * 1000)
            state.restart_optimizers(step.optimizer_epoch)
            with _Counter() as counter:
                run_traced_step(recipe, state, step, step.batch_size, settings)
            found[stage] = StepCost(counter.calls, counter.operations)
    return found
