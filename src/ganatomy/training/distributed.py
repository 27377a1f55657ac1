"""Training in several processes: joining them, splitting a batch, averaging gradients and comparing replicas.

Networks are not wrapped. Therefore, penalties with a second derivative, networks of which a pass uses only a part, and
several backward passes per step work; DistributedDataParallel gives wrong results without an error for some of them.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from ganatomy.errors import Ended, Refused
from ganatomy.machine.device import select_device as named_device
from ganatomy.nn.across import get_rank, get_world_size
from ganatomy.recipes.recipe import Recipe

Result = TypeVar("Result")
DIGEST_CHUNK = 2**22  # numbers of a weight that are converted to float64 at a time
TIMEOUT = timedelta(minutes=30)  # longest time for which a process waits for the others; a checkpoint takes less


def count_processes() -> int:
    """Return the number of processes that torchrun, or a program that sets its variables, has started; 1 = alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_device(name: str | None, processes: int) -> None:
    """Check that a device can serve this many processes; one GPU serves one process.

    Raises:
        Refused: one GPU is named for several processes.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))  # torchrun may have started others elsewhere
    if here > 1 and name is not None and name.startswith("cuda:"):
        raise Refused(
            f"{here} processes cannot share --device {name}, since each needs its own GPU; give --device cuda, so that"
            " each process takes another GPU, or start one process."
        )
    if here > 1 and named_device(name).type == "cuda" and here > (count := torch.cuda.device_count()):
        raise Refused(f"{here} processes need as many GPUs and there are {count}; give --processes {count}.")


def select_process_device(name: str | None) -> torch.device:
    """Select the device of a name for this process. Several processes on a machine get a GPU each.

    Raises:
        Refused: there are more processes than GPUs.
    """
    device = named_device(name)
    if device.type != "cuda" or device.index is not None or count_processes() == 1:
        return device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise Refused(
            f"There are more processes than the {count} GPUs of this machine; start at most {count} per machine."
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes that torchrun has started for the block; without other processes, do nothing.

    Raises:
        Ended: another process has ended. The saved checkpoints are complete.
    """
    if count_processes() == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    except distributed.DistError as error:
        raise Ended(_describe_lost_process(error)) from error
    except RuntimeError as error:
        if "gloo" not in str(error) and "Connection" not in str(error):
            raise
        raise Ended(_describe_lost_process(error)) from error
    finally:
        distributed.destroy_process_group()


def _describe_lost_process(error: Exception) -> str:
    why = str(error).splitlines()[0]
    return f"Another process of this training has ended ({why}); the same command continues from the last checkpoint."


def run_on_first_process(work: Callable[[], Result]) -> Result:
    """Run a function in process 0 only, and return its result, or raise its `Refused`, in every process."""
    if get_world_size() == 1:
        return work()
    said: list[Any] = [None, None]
    if get_rank() == 0:
        try:
            said[0] = work()
        except Refused as refusal:
            said[1] = refusal
    distributed.broadcast_object_list(said, src=0)
    if said[1] is not None:
        raise said[1]
    return said[0]


def is_true_in_any_process(flag: bool, device: torch.device) -> bool:
    """Return in every process whether `flag` is true in any of them."""
    if get_world_size() == 1:
        return flag
    votes = torch.tensor(float(flag), device=device)
    distributed.all_reduce(votes)
    return bool(votes)


def average_tensors(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over processes, with one reduction of all tensors joined."""
    if get_world_size() == 1:
        return
    flat = torch.cat([tensor.float().flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def list_gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """List the gradients of the parameters that have one, which depends on the scope and is alike in all processes."""
    return [p.grad for p in parameters if p.grad is not None]


def find_differing_replicas(networks: Mapping[str, nn.Module]) -> list[str]:
    """List the roles whose weights differ between processes. Every process gets the same list."""
    if get_world_size() == 1:
        return []
    sums = torch.stack(
        [
            sum((_digest(t) for t in n.state_dict().values()), torch.zeros((), dtype=torch.float64))
            for n in networks.values()
        ]
    )
    device = next(p.device for n in networks.values() for p in n.parameters())
    low, high = sums.to(device).clone(), sums.to(device).clone()
    distributed.all_reduce(low, distributed.ReduceOp.MIN)
    distributed.all_reduce(high, distributed.ReduceOp.MAX)
    return [role for role, a, b in zip(networks, low, high, strict=True) if a != b]


def _digest(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor's values, weighted by their positions, which almost any change of them changes."""
    total = torch.zeros((), dtype=torch.float64)
    for number, part in enumerate(tensor.detach().flatten().split(DIGEST_CHUNK), 1):
        weights = torch.linspace(1, 2, len(part), dtype=torch.float64, device=part.device)
        total += number * (part.double() * weights).sum().cpu()
    return total


# ----------------------------------------------------------------------------------------------------------------------
# A batch in pieces.


def split_batch(numbers: range, micro_batches: int = 1) -> list[range]:
    """Split a batch into micro-batches and return this process's share of each, as the global numbers of its images.

    Piece p of n has the images p, p + n, p + 2 n, ... of the batch, so that images that a discriminator compares
    with one another (`nn.norm.append_minibatch_deviation`) stay in one piece. Each of w processes has every w-th image
    of a piece.
    """
    return [numbers[piece::micro_batches][get_rank() :: get_world_size()] for piece in range(micro_batches)]


def check_pieces(recipe: Recipe, processes: int, micro_batches: int) -> None:
    """Check that every batch can be split into these processes and micro-batches without a change of the result.

    Raises:
        Refused: a batch cannot be split so; the message says why.
    """
    pieces = f"{processes} processes x {micro_batches} micro-batches"
    for _, step in recipe.make_timetable():
        if step.batch_size % (processes * micro_batches):
            raise Refused(
                f"A batch of {step.batch_size} images cannot be divided into equal parts for {pieces}; give numbers"
                " whose product divides it, or another batch size with --set."
            )
    if micro_batches > 1 and (why := recipe.find_split_problem(micro_batches)):
        raise Refused(
            f"--micro-batches {micro_batches} would change the result of {recipe.name}: {why}. Leave the flag out."
        )
