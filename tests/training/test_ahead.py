"""Reading ahead gives the batches that were asked for, in the order of the loop, for every recipe; and its errors."""

import threading

import pytest
import torch

from ganatomy.data.feed import Feed
from ganatomy.machine import share
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.training import loop
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.prefetch import Prefetcher
from ganatomy.training.state import State


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_loop_asks_for_is_known_before(name, monkeypatch):
    recipe = get_recipe(name).make_tiny()
    given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(recipe, 0, torch.device("cpu"), given)
    asked = []

    def batch(numbers, regions):
        asked.append((numbers, regions))
        return (), torch.empty(0)

    monkeypatch.setattr(loop, "_read_batch", lambda state, source, seed, scope, numbers: batch(numbers, scope.regions))
    monkeypatch.setattr(loop, "run_update", lambda phase, state, pieces, how: {})
    monkeypatch.setattr(State, "update_ema", lambda self, images: None)
    how = ComputeSettings(micro_batches=2)
    for _ in loop.run_steps(state, None, 0, lambda state: True, how):
        pass
    assert asked == list(loop.list_requests(recipe, 0, 0, how))


def test_batches_read_ahead_are_those_that_are_read_when_asked(store):
    recipe = get_recipe("pggan-mammogram").make_tiny()
    feed = Feed(store, "train", recipe.condition_space, 0, torch.device("cpu"))
    asked = list(loop.list_requests(recipe, 0, 0))[:12]
    ahead = Prefetcher(feed, iter(asked))
    for numbers, regions in asked:
        (image,), condition = ahead.read_batch(numbers, regions)
        (expected,), facts = feed.read_batch(numbers, regions)
        assert torch.equal(image, expected)
        assert torch.equal(condition.categories, facts.categories)
    ahead.close()


class Broken:
    """Image 5 cannot be read."""

    def allocate_batch(self, numbers, regions):
        return numbers

    def read_image(self, numbers, place):
        assert threading.current_thread() is not threading.main_thread()
        if numbers[place] == 5:
            raise OSError("the disk is gone")

    def to_tensors(self, numbers):
        return numbers


def test_an_error_while_reading_ahead_comes_when_its_batch_is_asked_for():
    ahead = Prefetcher(Broken(), iter([(range(n, n + 2), ()) for n in range(0, 10, 2)]))
    assert [ahead.read_batch(range(n, n + 2), ()) for n in (0, 2)] == [range(0, 2), range(2, 4)]
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.read_batch(range(4, 6), ())
    with pytest.raises(AssertionError, match="is next"):
        ahead.read_batch(range(9, 10), ())
    ahead.close()


def test_the_images_of_a_batch_are_read_at_the_same_time():
    together = threading.Barrier(3, timeout=20)  # seconds; a reader that waits in vain for two others raises

    class Slow(Broken):
        def read_image(self, numbers, place):
            together.wait()

    ahead = Prefetcher(Slow(), iter([(range(3), ())]), readers=3)
    assert ahead.read_batch(range(3), ()) == range(3)
    ahead.close()


def test_processes_of_a_machine_share_its_cores_and_memory(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(share, "measure_free_memory", lambda device: 2**34)
    alone = share.count_own_cores(), share.measure_own_memory()
    assert alone[1] == 2**34
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert share.count_own_cores() == max(1, alone[0] // 2)
    assert share.measure_own_memory() == 2**33
