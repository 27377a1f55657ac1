"""Channels that a case lacks: hidden from discriminators, left out of reconstructions, told by the store."""

import numpy as np
import pytest
import torch
from label_maps import write_chests

from ganatomy.channels import make_images
from ganatomy.data.cases import Cases, compute_fingerprint, encode_rows
from ganatomy.data.columns import Columns, join_tables
from ganatomy.data.feed import Feed
from ganatomy.data.prepare import prepare
from ganatomy.data.store import open_store, write_store
from ganatomy.errors import Refused
from ganatomy.objectives.phase import Batch, score_images
from ganatomy.recipes import get_recipe
from ganatomy.steps.condition import UNCONDITIONAL, Condition
from ganatomy.steps.missing import HIDDEN, average_present, hide_missing
from ganatomy.steps.scope import Region, crop_whole_images
from ganatomy.training.callbacks import Intervals
from ganatomy.training.state import State
from ganatomy.training.train import train

SHAPE = (16, 16, 16)
PRESENT = torch.tensor([[True, False, True], [True, True, True], [False, True, True], [True, True, False]])


def _lacking(condition, present):
    return Condition(condition.categories, condition.groups, condition.numbers, present)


def _start(name, present=PRESENT):
    """The networks of a tiny recipe with three images a case, and a batch whose cases lack some."""
    recipe = get_recipe(name).make_tiny().replace(channels=3)
    state = State(recipe, 0, torch.device("cpu"), {})
    scope = recipe.get_final_scope() if name != "hagan" else recipe.plan_step(0, 0).scope
    facts = [recipe.condition_space.choose_facts({}, n) for n in range(len(present))]
    condition = _lacking(recipe.condition_space.encode(facts), present)
    torch.manual_seed(0)
    whole = torch.rand(len(present), 3, *recipe.shape) * 2 - 1
    regions = tuple(whole for _ in scope.regions) if len(scope.regions) == 1 else crop_whole_images(scope, whole)
    return recipe, state.networks, Batch(regions, condition, scope, 0, range(4), make_images(3))


def test_a_missing_array_is_a_constant_outside_the_range_of_images():
    images = torch.rand(4, 3, 5, 4) * 2 - 1
    condition = _lacking(UNCONDITIONAL.make_blank(4), PRESENT)
    (hidden,) = hide_missing((images,), condition)
    assert (hidden[~PRESENT] == HIDDEN).all()
    assert torch.equal(hidden[PRESENT], images[PRESENT])
    assert not -1 <= HIDDEN <= 1
    assert hide_missing((images,), UNCONDITIONAL.make_blank(4))[0] is images
    (third,) = hide_missing((images[2:3],), condition[2:3])
    assert torch.equal(third, hidden[2:3])


def test_errors_are_averaged_over_what_is_present():
    errors = torch.tensor([[1.0, 100.0], [2.0, 4.0]]).view(2, 2, 1, 1).expand(2, 2, 3, 2)
    blank = UNCONDITIONAL.make_blank(2)
    lacking = _lacking(blank, torch.tensor([[True, False], [True, True]]))
    assert average_present(errors, lacking).item() == (1 + 3) / 2
    assert average_present(errors, blank).item() == errors.mean().item()


@pytest.mark.parametrize("name", ["mammogram", "pggan-mammogram", "hagan", "vae-gan", "alpha-gan", "vae"])
def test_no_gradient_comes_from_a_missing_array(name):
    """Of any phase in which the generator learns."""
    recipe, networks, batch = _start(name)
    phases = [phase for phase in recipe.build_phases() if "generator" in phase.trained_roles]
    assert phases
    for phase in phases:
        made = []
        hook = networks["generator"].register_forward_hook(lambda module, given, images, made=made: made.extend(images))
        networks.set_trainable(phase.trained_roles)
        loss = sum(phase.compute_losses(networks, batch).values())
        hook.remove()
        found = torch.autograd.grad(loss, made, allow_unused=True)
        seen = [gradient for gradient in found if gradient is not None]
        assert seen
        for gradient in seen:
            assert (gradient[~PRESENT] == 0).all()
            assert all(one.abs().max() > 0 for one in gradient[PRESENT])


@pytest.mark.parametrize("name", ["mammogram", "pggan-mammogram", "hagan", "wgan-gp"])
def test_a_discriminator_knows_what_is_missing_and_not_what_stood_there(name):
    _, networks, batch = _start(name)
    judge = networks["discriminator"].eval()
    parts = batch.real
    others = tuple(torch.where(PRESENT.view(4, 3, *[1] * (x.ndim - 2)), x, torch.rand_like(x)) for x in parts)
    with torch.no_grad():
        scores = score_images(judge, parts, batch).scores
        assert torch.equal(score_images(judge, others, batch).scores, scores)
        _, _, whole = _start(name, torch.ones_like(PRESENT))
        assert not torch.equal(score_images(judge, parts, whole).scores, scores)


@pytest.fixture
def lacking(tmp_path):
    """A store of volumes with label maps, in which every other case lacks the label map."""
    write_chests(tmp_path / "raw")
    labels = {"body": "seg/{stem}_seg.nii.gz:1", "lesion": "seg/{stem}_seg.nii.gz:2"}
    store = prepare(tmp_path / "raw", "chest_ct", tmp_path / "store", 0, shape=SHAPE, labels=labels)
    table = store.cases.read_table()
    table["absent"] = np.array([[False, i % 2 == 1] for i in range(len(store.cases))])
    write_store(store.path, store.manifest, table)
    return open_store(store.path)


def test_rows_say_what_a_case_lacks_and_the_fingerprint_covers_it():
    row = {"patient": "p", "split": "train", "facts": {}, "pixels": "00" * 16}
    rows = [{"row": 0, **row, "absent": [False, True]}, {"row": 1, **row}]
    cases = Cases.from_rows(rows)
    assert [case["absent"] for case in cases] == [[False, True], [False, False]]
    whole = Cases.from_rows([{"row": i, **row} for i in range(2)])
    assert whole.find_absent() is None
    prints = {compute_fingerprint(SHAPE, "chest_ct", each, channels=make_images(2)) for each in (cases, whole)}
    assert len(prints) == 2
    joined = Cases(Columns(join_tables([encode_rows([{"row": 2, **row}]), encode_rows(rows)])))
    assert joined.find_absent().tolist() == [[False, False], [False, True], [False, False]]


def test_batches_say_which_arrays_their_cases_have(lacking):
    feed = Feed(lacking, "train", UNCONDITIONAL, 0, torch.device("cpu"))
    (images,), condition = feed.read_batch(range(len(feed)), (Region(SHAPE),))
    rows = lacking.split("train").rows
    for place, image in enumerate(images):
        (row,) = (r for r in rows if np.allclose(lacking.read_arrays(r, SHAPE)[0] / 32767.5 - 1, image[0], atol=1e-4))
        has_labels = lacking.cases[int(row)]["absent"] == [False, False]
        assert condition.present[place].tolist() == [True] + [has_labels] * 3


def test_a_case_without_any_channel_is_refused(lacking):
    table = lacking.cases.read_table()
    write_store(lacking.path, lacking.manifest, {**table, "absent": np.ones_like(table["absent"])})
    with pytest.raises(Refused, match="have no channel; leave them out"):
        Feed(open_store(lacking.path), "train", UNCONDITIONAL, 0, torch.device("cpu"))


def test_training_with_missing_channels_resumes_bit_for_bit(lacking, tmp_path):
    recipe = get_recipe("hagan").make_tiny().resize(SHAPE).replace(channels=lacking.manifest.channels)
    part = recipe.plan_step(0, 0).batch_size * 2 / 1000
    often = Intervals(tick_kimg=part, grid_kimg=4 * part, snapshot_kimg=4 * part, checkpoint_kimg=part)
    whole = train(recipe.replace(total_kimg=2 * part), lacking, tmp_path / "whole", intervals=often)
    train(recipe.replace(total_kimg=part), lacking, tmp_path / "parts", intervals=often)
    parts = train(recipe.replace(total_kimg=2 * part), lacking, tmp_path / "parts", intervals=often)
    (a, _), (b, _) = whole.load_newest_checkpoint(), parts.load_newest_checkpoint()
    assert all(torch.equal(a[file][key], b[file][key]) for file in a for key in a[file])
    table = lacking.cases.read_table()
    write_store(lacking.path, lacking.manifest, {**table, "absent": np.zeros_like(table["absent"])})
    other = train(recipe.replace(total_kimg=2 * part), open_store(lacking.path), tmp_path / "other", intervals=often)
    c, _ = other.load_newest_checkpoint()
    assert any(not torch.equal(a[file][key], c[file][key]) for file in a for key in a[file])
