"""What the documents say is done: their Python, and the commands of README and the how-to guides, in their order.

The commands are executed at small sizes: `--shape` becomes the smallest one that a recipe of that number of axes takes,
`train` is `--tiny`, and at most eight images are drawn or compared. A block that prepares RAW begins in an empty folder
with phantoms of its modality as RAW; the other blocks go on where the one before has ended. README prepares and trains
everything; the guides find the store of the mammograms and the run of `pggan-mammogram` complete.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pages import ROOT, is_file, list_commands, list_pages, read_blocks

import ganatomy
from ganatomy.cli import main
from ganatomy.phantoms.cohort import write_cohort

SMALL = {2: "80,64", 3: "32,32,32"}
MOST_IMAGES = 8
OFTEN = ["--tick-kimg", "0.1", "--snapshot-kimg", "0.2", "--threads", "1"]
LONG = ("select", "evaluate", "augment-study")  # of the guides, only what they would do; the README does them
GOLD = {"none": "0", "mild": "1", "severe": "2"}

# What is not executed here, by a word of the command, and why.
NOT_RUN = {
    "fetch": "downloads",
    "import": "needs files of others; tests/importing makes such files",
    "plan": "minutes of prediction; tests/training/test_plan.py",
    "benchmark": "trains many models; tests/benchmark",
    "pacs": "needs an archive; tests/pacs has one",
    "dicomweb": "needs an archive; tests/pacs has one",
    "--dask": "needs a scheduler; tests/data/test_jobs.py",
    "--shard": "completes a store only with all other parts; tests/data/test_jobs.py",
    "--processes": "needs several processes; tests/training/test_distributed.py",
}
NEEDS_FILES = {
    "docs/marking.md": "reads one file of each format, which tests/test_marks.py does",
    "docs/masks.md": "needs a model of images with masks; tests/test_pairs.py has one",
}


def _blocks(name, language):
    return [block for block in read_blocks(ROOT / name) if block.language == language]


PYTHON = [name for page in list_pages() if _blocks(name := page.relative_to(ROOT).as_posix(), "python")]
GUIDES = [f"docs/how-to/{path.name}" for path in sorted((ROOT / "docs" / "how-to").glob("*.md"))]
SHELL = ["README.md", *(name for name in GUIDES if _blocks(name, "shell"))]


@pytest.mark.parametrize("name", [name for name in PYTHON if name not in NEEDS_FILES])
def test_the_python_of_a_page_runs_in_its_order(name, cohort, store, run, tmp_path, monkeypatch, capfd):
    """In a folder with a store, a run and a bundle, so that `prepare` and `train` find theirs complete."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mammograms").symlink_to(cohort)
    shutil.copytree(store.path, tmp_path / "store")
    (tmp_path / "STORE").symlink_to(tmp_path / "store")
    shutil.copytree(run.path, tmp_path / "runs" / run.path.name)
    shutil.copytree(run.path, tmp_path / "RUN")
    shutil.copy(ganatomy.get_example_model(), tmp_path / "MODEL.zip")
    names = {"__name__": "page"}
    for block in _blocks(name, "python"):
        if is_file(block) is None:
            exec(compile(block.text, str(block), "exec"), names)
    if name == "docs/library.md":
        assert len(list((tmp_path / "samples").glob("*.png"))) == 8
        assert names["batch"]["image"].shape[1:] == (1, 20, 16)
        assert "view_position cannot be 'ML'; the model accepts CC, MLO." in capfd.readouterr().out
        assert torch.is_tensor(names["image"].to_torch())


def _shrink(arguments):
    """The same command at a small size."""
    words = list(arguments)
    for at, word in enumerate(words[:-1]):
        if word == "--shape":
            words[at + 1] = SMALL[words[at + 1].count(",") + 1]
        if word == "--n":
            words[at + 1] = str(min(MOST_IMAGES, int(words[at + 1])))
    if words[:1] == ["prepare"] and "--shape" not in words:
        words += ["--shape", SMALL[2]]  # without a size, mammograms have millions of pixels
    return [*words, "--tiny", *OFTEN] if words[0] == "train" else words


def _begin(folder, modality, raw):
    """A folder with phantoms as RAW, and for volumes a table of labels."""
    if (folder / "RAW").exists():
        shutil.rmtree(folder)
        folder.mkdir()
    (folder / "RAW").symlink_to(raw[modality])
    with open(raw[modality] / "truth.csv") as table:
        rows = list(csv.DictReader(table))
    if "emphysema" in rows[0]:
        lines = [f"{row['file']},{GOLD[row['emphysema']]}" for row in rows]
        (folder / "labels.csv").write_text("\n".join(["file,GOLD", *lines]))


def _find_complete(folder, name, store, run):
    """What the first lines of a guide would make of the phantom mammograms, and a second store."""
    for place in ("STORE", "OTHERS"):
        shutil.copytree(store.path, folder / place)
    if f"RUNS/{run.path.name}" in (ROOT / name).read_text():
        shutil.copytree(run.path, folder / "RUNS" / run.path.name)


def _make_pictures(folder):
    """Grey pictures, as of a modality that the package does not know."""
    model = ganatomy.open(ganatomy.get_example_model())
    model.sample(12, seed=3).save(folder / "RAW", to="png")
    (folder / "RAW" / "samples.jsonl").unlink()
    lines = [f"{path.name},patient {number // 2}" for number, path in enumerate(sorted((folder / "RAW").glob("*.png")))]
    (folder / "RAW" / "facts.csv").write_text("\n".join(["file,patient", *lines]))


def _run(command, folder, whole):
    """Execute a command; returns whether it was."""
    arguments, words = command.arguments, command.words
    if words[0] == "python" and (folder / words[1]).exists():
        done = subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return True
    if words[0] != "ganatomy" or set(words) & set(NOT_RUN) or words[1].startswith("--"):
        return False
    if arguments[0] in LONG and not whole and "--dry-run" not in arguments:
        arguments = [*arguments, "--dry-run"]
    assert main(_shrink(arguments)) == 0, command
    return True


@pytest.mark.ci
@pytest.mark.parametrize("name", SHELL)
def test_the_commands_of_a_page_run_in_their_order(name, cohort, thoraces, store, run, tmp_path, monkeypatch):
    raw = {"mammogram": cohort, "chest_ct": thoraces}
    if name == "README.md":  # two test patients, so that samples of one view can be evaluated
        write_cohort("mammogram", tmp_path / "twenty", 20, seed=0, shape=(80, 64))
        raw["mammogram"] = tmp_path / "twenty"
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ran = 0
    for block in read_blocks(ROOT / name):
        if (file := is_file(block)) is not None:
            Path(file[1]).write_text(block.text)
        if block.language != "shell":
            continue
        for number, command in enumerate(list_commands(block)):
            if number == 0 and command.words[:3] == ("ganatomy", "prepare", "RAW") and "--shard" not in command.words:
                _begin(folder, command.words[command.words.index("--modality") + 1], raw)
                os.chdir(folder)
                if name != "README.md":
                    _find_complete(folder, name, store, run)
            elif command.words[0] == "python" and not Path("RAW").exists():
                _make_pictures(folder)
            ran += _run(command, folder, whole=name == "README.md")
    assert ran or name in ("docs/how-to/cluster.md",)
