"""Count of the arithmetic operations of a training step, by running it on PyTorch fake tensors (`memory_trace`)."""

from typing import Any, NamedTuple

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganatomy.recipes.recipe import Recipe
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.memory_trace import CPU, list_tensors, run_traced_step, traced_memory
from ganatomy.training.state import State

OPERATIONS_PER_ELEMENT = 16  # operations in the time of reading and writing an element; 10 to 50 by machine


class StepCost(NamedTuple):
    """The cost of a step, independent of the machine.

    Args:
        calls: number of kernel calls, each of which takes some time however little it computes.
        operations: multiplications and additions of products and convolutions; every element of any other result
            counts as `OPERATIONS_PER_ELEMENT` operations.
    """

    calls: int
    operations: int


class _Counter(TorchDispatchMode):
    """Counts the operations of forward and backward passes, with torch's formulas for products and convolutions."""

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
    """Count the cost of a step of all networks, by stage; a stage that begins with a fade is counted after the fade."""
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
