"""Reading ahead gives the batches that were asked for, in the order of the loop, for every recipe; and its errors."""

import threading

import pytest
import torch

from ganatomy.data.feed import Feed
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


def test_an_error_while_reading_ahead_comes_when_its_batch_is_asked_for():
    class Broken:
        def read(self, numbers, regions):
            assert threading.current_thread() is not threading.main_thread()
            if numbers.start == 2:
                raise OSError("the disk is gone")
            return numbers

        def to_tensors(self, found):
            return found

    ahead = Prefetcher(Broken(), iter([(range(n, n + 1), ()) for n in range(5)]))
    assert [ahead.read_batch(range(n, n + 1), ()) for n in (0, 1)] == [range(0, 1), range(1, 2)]
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.read_batch(range(2, 3), ())
    with pytest.raises(AssertionError, match="is next"):
        ahead.read_batch(range(9, 10), ())
    ahead.close()
