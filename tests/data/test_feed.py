"""Image number n of a run is always the same image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from ganatomy.channels import make_images
from ganatomy.data.feed import Feed, check_store_for_training, decode_values
from ganatomy.data.level_cache import LevelCache, _KeptLevel
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.library.recipe import condition_recipe
from ganatomy.recipes import get_recipe
from ganatomy.steps.condition import UNCONDITIONAL, ConditionSpace
from ganatomy.steps.scope import Region
from ganatomy.training.train import describe_unused_facts

CONDITIONS = ConditionSpace({"view_position": ("CC", "MLO")})


def _feed(store, seed=0, **options):
    return Feed(store, "train", CONDITIONS, seed, torch.device("cpu"), **options)


def test_batches_do_not_depend_on_the_batch_size(store):
    (images,), condition = _feed(store).read_batch(range(0, 24), (Region((20, 16)),))
    parts = [_feed(store).read_batch(range(i, i + 4), (Region((20, 16)),)) for i in range(0, 24, 4)]
    assert torch.equal(images, torch.cat([p[0][0] for p in parts]))
    assert torch.equal(condition.vector, torch.cat([part.vector for _, part in parts]))


def test_every_epoch_visits_every_case_once_in_an_order_of_its_own(store):
    feed = _feed(store)
    n = len(feed)
    orders = [
        feed.read_batch(range(e * n, (e + 1) * n), (Region((10, 8)),))[0][0].flatten(1).sum(1).tolist()
        for e in range(3)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("shape", "level"), [((5, 4), (10, 8)), ((10, 8), (10, 8)), ((80, 64), (80, 64))])
def test_the_level_that_is_read(store, shape, level):
    (images,), condition = _feed(store).read_batch(range(3), (Region(shape),))
    assert images.shape == (3, 1, *level)
    assert images.min() >= -1
    assert images.max() <= 1
    assert condition.vector.sum(1).tolist() == [1, 1, 1]


REGIONS = (Region((40, 32)), Region((20, 16), 4, 8))


def test_reading_from_disk_and_from_memory_agree(store):
    kept, _ = _feed(store).read_batch(range(8), REGIONS)
    read, _ = _feed(store, cache_bytes=0).read_batch(range(8), REGIONS)
    assert [image.shape[2:] for image in read] == [(40, 32), (8, 16)]
    assert all(torch.equal(a, b) for a, b in zip(kept, read, strict=True))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_stored_value_is_decoded_to_the_same_bits_as_by_numpy(layout):
    values = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(2, 1, 128, 256)
    expected = torch.from_numpy(dequantise_pixels(values.numpy())).to(torch.device("cpu"), memory_format=layout)
    decoded = decode_values(values, torch.device("cpu"), layout)
    assert torch.equal(decoded.view(torch.int32), expected.view(torch.int32))
    assert decoded.stride() == expected.stride()


def test_a_chunk_is_opened_once_and_only_as_far_as_it_is_needed(volumes):
    """The second volume of the cache comes from memory; of the first only the planes that are asked for are read."""
    rows = volumes.split("train").rows
    level, read = (32, 32, 32), []
    array = volumes.array(level)

    class Counted:
        shape, chunks = array.shape, (1, 4, 32, 32)

        def __getitem__(self, key):
            read.append(key)
            return array[key]

    kept = _KeptLevel(Counted(), rows)
    for planes in (slice(6, 14), slice(8, 16), slice(0, 32), slice(0, 32)):
        expected = array[rows[3], planes]
        assert np.array_equal(kept.read(3, planes), expected)
    row = rows[3]
    assert read == [(slice(row, row + 1), slice(*planes)) for planes in ((4, 16), (0, 32))]


def _read_cases(cache, indices, level):
    found = np.empty((len(indices), *level), dtype=np.uint16)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda place: cache.read_into(found[place], indices[place], level), range(len(indices))))
    return found


@pytest.mark.parametrize("max_bytes", [0, 2**30])
def test_many_threads_read_what_is_stored(store, max_bytes):
    rows = [case["row"] for case in store.split("train")]
    found = _read_cases(LevelCache(store, rows, max_bytes), list(range(len(rows))) * 3, (40, 32))
    assert np.array_equal(found, store.read(rows * 3, (40, 32)))


def test_a_level_is_kept_where_it_fits_into_what_is_left(store):
    rows = [case["row"] for case in store.split("train")]
    cache = LevelCache(store, rows, 2 * len(rows) * (40 * 32 + 10 * 8))
    for level in ((40, 32), (20, 16), (10, 8)):
        _read_cases(cache, [0], level)
    assert [cache._levels[level] is not None for level in ((40, 32), (20, 16), (10, 8))] == [True, False, True]


def test_a_region_is_that_part_of_the_whole(volumes):
    feed = Feed(volumes, "train", UNCONDITIONAL, 0, torch.device("cpu"))
    (whole,), _ = feed.read_batch(range(4), (Region((32, 32, 32)),))
    (part,), _ = feed.read_batch(range(4), (Region((32, 32, 32), 12, 8),))
    assert torch.equal(part, whole[:, :, 12:20])


def test_a_step_of_hagan_reads_an_eighth_of_the_volume(volumes, monkeypatch):
    read = []
    real = type(volumes).read_into
    monkeypatch.setattr(type(volumes), "read_into", lambda *a: read.append(a[1].size) or real(*a))
    scope = get_recipe("hagan").resize((32, 32, 32)).plan_step(0, 0).scope
    feed = Feed(volumes, "train", UNCONDITIONAL, 0, torch.device("cpu"), cache_bytes=0)
    feed.read_batch(range(1), scope.regions)
    assert sum(read) == 32**3 / 8 + 8**3


def test_the_stored_order_for_ever(volumes):
    feed = Feed(volumes, "train", UNCONDITIONAL, 0, torch.device("cpu"), whole_batch_size=5)
    n = len(feed) - len(feed) % 5
    assert n < len(feed)
    first, again = (feed.read_batch(range(e * n, (e + 1) * n), (Region((8, 8, 8)),))[0][0] for e in range(2))
    assert torch.equal(first, again)
    with pytest.raises(Refused, match="do not fill a batch of 40"):
        Feed(volumes, "train", UNCONDITIONAL, 0, torch.device("cpu"), whole_batch_size=40)


@pytest.mark.parametrize(
    ("shape", "channels", "wanted", "words"),
    [
        ((320, 256), 1, CONDITIONS, "the store has"),
        ((80, 64), 3, CONDITIONS, "3 channels"),
        ((80, 64), 1, ConditionSpace({"gold": ("0", "1")}), "conditioned on 'gold'"),
        ((80, 64), 1, ConditionSpace({"view_position": ("CC",)}), "the recipe accepts CC"),
        ((80, 64), 1, ConditionSpace({"view_position": ("CC", "MLO", "ML")}), "no training case of ML"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(store, shape, channels, wanted, words):
    with pytest.raises(Refused, match=words):
        check_store_for_training(store, shape, make_images(channels), wanted)


def test_an_empty_split_is_refused(store):
    with pytest.raises(Refused, match="no nowhere case"):
        Feed(store, "nowhere", CONDITIONS, 0, torch.device("cpu"))


# ----------------------------------------------------------------------------------------------------------------------
# Classes, and labels that are left aside.


def _without_training_cases(volumes, value):
    """The store as it would be with all cases of a class outside the training split."""
    cases = [{**case, "split": "test"} if case["facts"]["emphysema"] == value else case for case in volumes.cases]
    return Store(volumes.path, volumes.manifest, cases)


def test_a_class_without_a_training_case_is_refused(volumes):
    values = sorted(volumes.manifest.facts["emphysema"])
    recipe = get_recipe("hagan").make_tiny().resize((32, 32, 32))
    chosen = condition_recipe(recipe, ("emphysema",), volumes)
    assert chosen.conditions["emphysema"] == tuple(values)
    less = _without_training_cases(volumes, values[0])
    assert values[0] not in less.count_facts("train")["emphysema"]
    with pytest.raises(Refused, match=f"no training case of {values[0]}"):
        check_store_for_training(less, (32, 32, 32), chosen.channels, chosen.condition_space)
    with pytest.raises(Refused, match=f"--condition emphysema: no training case has emphysema {values[0]}, only"):
        condition_recipe(recipe, ("emphysema",), less)


def test_labels_that_a_recipe_leaves_aside_are_named(store, volumes):
    recipe = get_recipe("hagan").make_tiny().resize((32, 32, 32))
    told = describe_unused_facts(recipe, volumes)
    assert told.startswith("The store has emphysema (")
    assert told.endswith("which the recipe is not conditioned on; --condition emphysema would use it.")
    assert describe_unused_facts(condition_recipe(recipe, ("emphysema",), volumes), volumes) is None
    assert describe_unused_facts(get_recipe("pggan-mammogram"), store) is None  # laterality shows in no image
