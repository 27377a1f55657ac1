"""Files as HA-GAN's authors lay them out become a run whose networks compute what the authors' networks compute."""

import pickle

import hagan_files
import numpy as np
import pytest
import torch

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.errors import Refused
from ganatomy.importing.import_weights import import_weights
from ganatomy.sampling import sample
from ganatomy.steps.scope import SubVolumeScope, WholeScope

CPU = torch.device("cpu")
GOLD = {"gold": ("0", "1", "2", "3", "4")}
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The run of seeded weights at 128 cubed with five classes, and these weights; half the authors' widths."""
    folder = tmp_path_factory.mktemp("authors")
    parts = hagan_files.make_files(128, 32, classes=5)
    files = hagan_files.save_files(folder, parts, wrapped=True)
    run = import_weights(files[::-1], "hagan-2022", (128, 128, 128), folder / "runs", condition=GOLD, spacing=(2.5,))
    return run, parts


def _check_networks(run, parts, size):
    snapshot = open_snapshot(find_snapshot(run.path), None)
    g, d, e, sub = parts
    recipe = snapshot.recipe
    space = recipe.condition_space
    condition = space.encode([space.choose_facts({}, n) for n in (1, 3)]) if space.width else space.make_blank(2)
    networks = {role: snapshot.load_network(role, CPU) for role in recipe.networks}
    torch.manual_seed(1)
    z, start, depth = torch.randn(2, recipe.latent), size // 4, size // 8
    scope = SubVolumeScope(recipe.shape, start, depth, "nearest", whole=True)
    with torch.inference_mode():
        high, low = networks["generator"](z, condition, scope)
        for made, wanted in zip((high, low), hagan_files.generate(g, size, z, condition.vector, start), strict=True):
            torch.testing.assert_close(made, wanted, **TOLERANCE)
            assert made.std() > 0.05  # neither is a constant
        whole = networks["generator"](z[:1], condition[:1], WholeScope(recipe.shape))[0]
        torch.testing.assert_close(whole, hagan_files.generate(g, size, z[:1], condition.vector[:1]), **TOLERANCE)
        answer = networks["discriminator"]((high, low), condition, scope)
        score, labels = hagan_files.discriminate(d, size, high, low, start)
        torch.testing.assert_close(answer.scores, score[:, 0], **TOLERANCE)
        torch.testing.assert_close(answer.labels, labels, **TOLERANCE)
        features = networks["high_encoder"](high)
        torch.testing.assert_close(features, hagan_files.encode_high(e, high), **TOLERANCE)
        given = torch.randn(1, features.shape[1], *(n // 4 for n in recipe.shape))
        code = networks["ground_encoder"](given)
        torch.testing.assert_close(code, hagan_files.encode_ground(sub, size, given), **TOLERANCE)


def test_every_network_computes_what_the_authors_compute(imported):
    _check_networks(*imported, 128)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "classes"), [(128, 0), (256, 0), (256, 5)])
def test_at_the_authors_widths(size, classes, tmp_path):
    parts = hagan_files.make_files(size, classes=classes)
    given = GOLD if classes else {}
    files = hagan_files.save_files(tmp_path, parts)
    _check_networks(import_weights(files, "hagan-2022", (size,) * 3, tmp_path / "runs", condition=given), parts, size)


def test_the_run_says_what_it_was_made_from(imported):
    snapshot = open_snapshot(find_snapshot(imported[0].path))
    assert snapshot.images == 320_000
    assert snapshot.spacing == (2.5, 2.5, 2.5)
    assert snapshot.modality == "chest_ct"
    assert snapshot.value_range is None  # the authors' range is that of our stores
    assert snapshot.recipe.networks["generator"].features == 32
    assert snapshot.recipe.conditions == GOLD
    assert snapshot.trained_on["fingerprint"] == "unknown"


def test_whole_and_slab_by_slab_are_one_volume(imported):
    snapshot = open_snapshot(find_snapshot(imported[0].path))
    (whole, record), (slabs, _) = (next(sample(snapshot, 1, 3, {"gold": "4"}, planes=p)) for p in (None, 32))
    assert record["gold"] == "4"
    np.testing.assert_allclose(whole.pixels, slabs.pixels, atol=2e-5)


def test_a_generator_alone_is_enough_to_sample(imported, tmp_path):
    files = hagan_files.save_files(tmp_path, imported[1][:1])
    run = import_weights(files, "hagan-2022", (128, 128, 128), tmp_path, condition=GOLD, value_range=(-1000, 1000))
    snapshot = open_snapshot(find_snapshot(run.path), None)
    with pytest.raises(Refused, match="holds no high_encoder, only generator"):
        snapshot.load_network("high_encoder", CPU)
    image, _ = next(sample(snapshot, 1, 3, {"gold": "4"}))
    usual, _ = next(sample(open_snapshot(find_snapshot(imported[0].path)), 1, 3, {"gold": "4"}))
    hu = np.clip(usual.pixels.astype(float) * 1000, -1024, 600)  # the same output stands for other values
    np.testing.assert_allclose((image.pixels + 1) * 812 - 1024, hu, atol=1e-3)
    inside = np.linspace(-1, 0.6, 7, dtype=np.float32)
    np.testing.assert_allclose(snapshot.convert_to_network(snapshot.convert_from_network(inside)), inside, atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g: g.pop("bn3.weight"), "it lacks bn3.weight"),
        (lambda g: g.update({"bn9.weight": torch.ones(2)}), "it has the unknown tensors bn9.weight"),
        (lambda g: g.update({"tp_conv7.bias": torch.ones(2)}), r"the shape is wrong of tp_conv7.bias \(2, not 1\)"),
        (lambda g: g["bn2.bias"].fill_(torch.nan), "not all numbers are finite in bn2.bias"),
        (lambda g: g.update({"fc1.weight": g["fc1.weight"][:, :-1]}), "a generator with 4 classes, and the conditions"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(spoil, words, imported, tmp_path):
    generator = {name: tensor.clone() for name, tensor in imported[1][0].items()}
    spoil(generator)
    files = hagan_files.save_files(tmp_path, (generator,))
    with pytest.raises(Refused, match=words):
        import_weights(files, "hagan-2022", (128, 128, 128), tmp_path / "runs", condition=GOLD)
    assert not (tmp_path / "runs").exists()


def test_the_files_of_another_size_are_told_by_the_discriminator(imported, tmp_path):
    files = hagan_files.save_files(tmp_path, imported[1])
    with pytest.raises(
        Refused, match="is not a discriminator of hagan-2022 at 256x256x256 with 5 classes: it lacks conv1"
    ):
        import_weights(files, "hagan-2022", (256, 256, 256), tmp_path / "runs", condition=GOLD)
    with pytest.raises(Refused, match="makes volumes of 256x256x256 or 128x128x128, not of 64x64x64"):
        import_weights(files, "hagan-2022", (64, 64, 64), tmp_path / "runs", condition=GOLD)
    with pytest.raises(Refused, match="holds a generator, only high_encoder; give that file"):
        import_weights(files[2:3], "hagan-2022", (128, 128, 128), tmp_path / "runs", condition=GOLD)
    with pytest.raises(Refused, match=r"are both the generator of hagan-2022; give one of them"):
        import_weights([files[0], files[0]], "hagan-2022", (128, 128, 128), tmp_path / "runs", condition=GOLD)


class _Evil:
    """What runs when it is loaded; it would leave a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_what_would_run_code_is_refused_and_does_not_run(tmp_path):
    mark, file = tmp_path / "it ran", tmp_path / "G_iter1.pth"
    torch.save({"model": {}, "more": _Evil(mark)}, file)
    with pytest.raises(Refused, match=r"contains .*open besides tensors; loading it would run code"):
        import_weights([file], "hagan-2022", (128, 128, 128), tmp_path / "runs")
    assert not mark.exists()


def test_a_pickle_of_tensorflow_is_refused_in_a_sentence_that_says_why(tmp_path):
    file = tmp_path / "network-final.pkl"
    file.write_bytes(b"cdnnlib.tflib.network\nNetwork\n" + pickle.dumps(())[2:-1] + b"\x81.")
    with pytest.raises(Refused, match=r"TensorFlow network \(dnnlib.tflib.network.Network\); loading it would run the"):
        import_weights([file], "hagan-2022", (128, 128, 128), tmp_path / "runs")


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02}q\x00."])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(Refused, match="file of PyTorch"):
        import_weights([tmp_path / "x.pth"], "hagan-2022", (128, 128, 128), tmp_path / "runs")
