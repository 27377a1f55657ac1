"""Write docs/reference/cards.md: which recipe fits into the memory of which GPU, and with which options.

    python docs/reference/make_cards.py

The figures are those of `ganatomy plan` for a GPU in float32, at the recipe's own shape and batch; nothing is allocated.
"""

from pathlib import Path

import torch

from ganatomy.pyramid import format_shape
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.training import memory_estimate
from ganatomy.training.computing import ComputeSettings

CARDS = (8, 12, 16, 24, 40, 80)
CUDA = torch.device("cuda")


def short(how):
    """Such as ``m2 r``: two micro-batches and recomputation."""
    words = [f"m{how.micro_batches}"] if how.micro_batches > 1 else []
    words += ["r"] if how.recompute else []
    words += ["b"] if how.precision == "bfloat16" else []
    return " ".join(words) or "yes"


def row(name):
    recipe = get_recipe(name)
    part, base = memory_estimate.find_heaviest_stage(recipe, ComputeSettings(), CUDA)
    tried = [(ComputeSettings(), base.total)]
    others = memory_estimate.cheaper_settings(recipe, ComputeSettings(), CUDA, CARDS[0] * 10**9)
    cells = []
    for card in reversed(CARDS):
        room = card * 10**9
        while not any(total <= room for _, total in tried) and (found := next(others, None)) is not None:
            tried.append((found[0], found[1].total))
        cells.append(next((short(how) for how, total in tried if total <= room), "-"))
    batch = memory_estimate.list_stage_steps(recipe)[part].batch_size
    return f"| `{name}` | {format_shape(recipe.shape)}, {batch} | {base.total / 1e9:.1f} | " + " | ".join(reversed(cells)) + " |"


HEAD = """# Recipes and GPU memory

Predicted peak memory of training on a GPU, in GB, at each recipe's own shape and batch, in a process of its own. Made by
`python docs/reference/make_cards.py`.

- `yes`: fits in float32 without further options.
- `mN`: fits with `--micro-batches N`, which gives the same result to rounding.
- `r`: fits with `--recompute`.
- `b`: fits with `--precision bfloat16`.
- `-`: does not fit at this shape and batch.

`train --fit` finds these options automatically, and `ganatomy plan` lists them for any shape, batch and memory. The prediction
runs one step on PyTorch fake tensors, which have shapes but no values
([decision 9](../decisions/0009-a-step-without-numbers.md)). On a CPU it is within 12 % of the measured peak for every recipe at
two sizes; it has not been compared with measurements on a GPU. `stylegan2`, `relativistic` and `relativistic-mammogram` refuse
to divide their own batch, because their discriminators compare its images in groups.

"""

if __name__ == "__main__":
    lines = ["| recipe | shape, batch | GB | " + " | ".join(f"{card} GB" for card in CARDS) + " |"]
    lines.append("|---|---|---|" + "---|" * len(CARDS))
    lines += [row(name) for name in RECIPES]
    Path(__file__).with_name("cards.md").write_text(HEAD + "\n".join(lines) + "\n")
