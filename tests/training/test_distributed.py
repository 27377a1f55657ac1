"""Two gloo processes: gradients are averaged, those that are absent are skipped."""

import multiprocessing
import socket

import torch
from torch import distributed, nn

from ganatomy.training.distributed import average_gradients, rank, world_size


def _one(number, port, answers):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    used, unused = nn.Linear(3, 2), nn.Linear(2, 2)
    for parameter in used.parameters():
        parameter.grad = torch.full_like(parameter, float(number + 1))
    average_gradients([*used.parameters(), *unused.parameters()])
    means = [p.grad.unique().tolist() for p in used.parameters()]
    answers.put((rank(), world_size(), means, [p.grad is None for p in unused.parameters()]))
    distributed.destroy_process_group()


def test_two_processes_average_their_gradients():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=_one, args=(number, port, answers)) for number in range(2)]
    for process in processes:
        process.start()
    told = sorted(answers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(30)
    assert told == [(n, 2, [[1.5], [1.5]], [True, True]) for n in range(2)]


def test_one_process_needs_no_group():
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.ones_like(layer.weight)
    average_gradients(layer.parameters())
    assert (layer.weight.grad == 1).all()
    assert (rank(), world_size()) == (0, 1)
