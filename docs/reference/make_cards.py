"""README's table of recipes against cards: what fits as it is, what fits with which options, what does not.

    python docs/reference/make_cards.py

Predicted by `ganatomy plan` for a GPU in float32, at the recipe's own shape and batch; nothing is allocated.
"""

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


print("| recipe | shape, batch | GB | " + " | ".join(f"{card} GB" for card in CARDS) + " |")
print("|---|---|---|" + "---|" * len(CARDS))
for name in RECIPES:
    print(row(name), flush=True)
