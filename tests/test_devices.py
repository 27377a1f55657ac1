"""Where to compute and how exactly: refused in a sentence, chosen and written down, undone afterwards."""

import json
import os

import numpy as np
import pytest
import torch

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.evaluation import feature_cache
from ganatomy.evaluation.extractors.extractor import Extractor
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.machine import device as devices
from ganatomy.machine.device import ALLOCATOR_VARIABLES, describe_device, select_device, usual_device
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import distributed, launch, loop
from ganatomy.training.computing import ComputeSettings, get_default_settings, override_settings
from ganatomy.training.train import train

CPU, CARD = torch.device("cpu"), torch.device("cuda")
GIB = 2**30


@pytest.fixture(autouse=True)
def _restore_flags():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def cards(monkeypatch):
    """Torch says that there are two GPUs."""
    for name in ALLOCATOR_VARIABLES:
        monkeypatch.setenv(name, "")  # so that the test's own setting of the variable is undone after it
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def short():
    return change_recipe(get_recipe("pggan-mammogram").make_tiny(), {"total_kimg": 0.016})


# ----------------------------------------------------------------------------------------------------------------------
# Devices.


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda:7", "--device cuda:7: there is no such GPU here; give cuda:0 to cuda:1"),
        ("mps", "--device mps: Apple's GPUs have no float64, which ganatomy needs; give cpu"),
        ("tpu", "--device tpu: give cpu, cuda or cuda:NUMBER"),
    ],
)
def test_devices_that_are_not_here_are_refused(name, words, cards):
    with pytest.raises(Refused, match=words):
        select_device(name)
    assert select_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ALLOCATOR_VARIABLES)
def test_memory_of_a_gpu_grows_in_place_unless_the_user_has_configured_it(name, cards, monkeypatch):
    select_device("cpu")
    assert ALLOCATOR_VARIABLES[0] not in os.environ
    select_device("cuda")
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    monkeypatch.setenv(name, "max_split_size_mb:512")
    select_device("cuda")
    assert {n: os.environ[n] for n in ALLOCATOR_VARIABLES if n in os.environ} == {name: "max_split_size_mb:512"}
    assert devices.get_allocator_settings() == "max_split_size_mb:512"
    assert describe_device(CPU)["allocator"] is None


def test_what_none_stands_for_may_be_said_for_a_while(cards):
    assert select_device(None).type == "cuda"
    with usual_device("cpu"):
        assert select_device(None) == CPU
    assert select_device(None).type == "cuda"


@pytest.mark.ci
def test_selection_and_report_stay_away_from_a_busy_card(run, tmp_path, cards):
    assert main(["select", str(run.path), "--device", "cpu", "--quiet"]) == 0
    assert main(["evaluate", str(run.path), "--device", "cpu", "--quiet", "--out", str(tmp_path / "report")]) == 0
    assert not list((tmp_path / "report").rglob("*cuda*"))


@pytest.mark.parametrize(
    ("device", "count", "words"),
    [
        ("cuda:0", "2", "2 processes cannot share --device cuda:0"),
        ("cuda", "4", "4 processes need as many GPUs and there are 2; give --processes 2"),
    ],
)
def test_processes_that_would_share_a_card_are_refused(
    device, count, words, store, tmp_path, cards, monkeypatch, capsys
):
    monkeypatch.setattr(launch, "launch_processes", lambda *given: pytest.fail("processes were started"))
    line = f"train pggan-mammogram {store.path} --out {tmp_path} --tiny --processes {count} --device {device}"
    assert main(line.split()) == 2
    assert words in capsys.readouterr().err


def test_one_process_on_each_of_two_machines_may_name_its_card(cards, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    distributed.check_device("cuda:0", 2)


def test_the_context_on_a_card_is_counted_once(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * GIB, 16 * GIB))
    assert devices.measure_free_memory(CARD) == 10 * GIB + devices.CUDA_CONTEXT_BYTES
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 * GIB, 16 * GIB))
    assert devices.measure_free_memory(CARD) == 16 * GIB


# ----------------------------------------------------------------------------------------------------------------------
# Precision.


def _get_tf32():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_only_training_shortens_float32_and_only_when_it_says_so(cards):
    torch.backends.cudnn.allow_tf32 = True  # PyTorch's own default
    select_device("cuda")
    assert _get_tf32() == (False, False)
    with get_default_settings(2, CARD).flags(CARD):
        assert _get_tf32() == (True, True)
    assert _get_tf32() == (False, False)
    with ComputeSettings(precision="float32").flags(CARD):
        assert _get_tf32() == (False, False)


def test_precisions_have_names():
    assert get_default_settings(3, CARD).precision == "tf32"
    assert override_settings(ComputeSettings(), precision="tf32").dtype == torch.float32
    with pytest.raises(Refused, match="--precision tf32 is for NVIDIA GPUs, but the device is cpu"):
        ComputeSettings(precision="tf32").check(2, CPU)
    with pytest.raises(
        Refused, match="--precision half: there is no such precision; choose one of float32, tf32, bfloat16, float16"
    ):
        override_settings(ComputeSettings(), precision="half")


def test_features_of_a_card_are_kept_apart(store, monkeypatch):
    class Mean(Extractor):
        name, digest, description = "mean", "0" * 64, "mean of an image"

        def __call__(self, images):
            return np.array([[image.mean()] for image in images], dtype=np.float32)

    reals = select_real_images(store, "test", store.manifest.shape, 4)
    feature_cache.FeatureCache().get_features(Mean(), reals, "reals")
    monkeypatch.setattr(feature_cache, "select_device", lambda name: CARD)
    feature_cache.FeatureCache().get_features(Mean(), reals, "reals")
    kept = sorted(path.name.partition("0-")[2] for path in reals.cache_folder.glob("mean-*"))
    assert len(kept) == 2
    assert kept[0].removesuffix("-cuda-float32.npz") == kept[1].removesuffix(".npz")


# ----------------------------------------------------------------------------------------------------------------------
# The same bits every time.


def test_deterministic_settings_hold_for_a_training_and_are_written_down(short, store, tmp_path):
    run = train(short, store, tmp_path, computing=ComputeSettings(deterministic=True))
    told = json.loads((run.path / "environment.json").read_text())
    assert told["device"]["deterministic"]
    assert told["device"] | {"cudnn_benchmark": False} == told["device"]
    assert {"cuda", "cudnn", "tf32_products", "tf32_convolutions", "gpu"} <= set(told["device"])
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_an_operation_without_a_deterministic_form_is_refused_in_a_sentence(store, tmp_path, monkeypatch, capsys):
    def update(*given):
        assert torch.are_deterministic_algorithms_enabled()
        raise RuntimeError(
            "avg_pool3d_backward_cuda does not have a deterministic implementation, but you set"
            " 'torch.use_deterministic_algorithms(True)'."
        )

    monkeypatch.setattr(loop, "run_update", update)
    line = f"train pggan-mammogram {store.path} --out {tmp_path} --tiny --deterministic --device cpu --quiet"
    assert main(line.split()) == 2
    assert "--deterministic: avg_pool3d_backward_cuda has no form on cpu" in capsys.readouterr().err
