"""What encoders are for: outliers, transfer."""

from pathlib import Path

from tyro.conf import Positional

from ganatomy.cli.app import DryRun, Pairs, Quiet, app
from ganatomy.cli.parsing import check_above_zero, parse_pairs
from ganatomy.errors import Refused
from ganatomy.machine import progress


@app.command
def outliers(
    run: Positional[Path],
    store: Positional[Path],
    out: Path = Path("outliers"),
    split: str = "test",
    others: Path | None = None,
    planted: bool = False,
    seed: int = 0,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Score how strange images are to a model with an encoder: their reconstruction, and what the discriminator sees.

    Args:
        run: a run or a snapshot folder
        store: what the model was trained on; its validation images tell what is usual
        out: folder of scores.csv and outliers.json
        split: of the images that are scored
        others: a store of strangers, to be told apart from them
        planted: spoil every image in several ways and tell how well that is found
        seed: of what is planted
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store

    snapshot, opened = open_snapshot(find_snapshot(run), None), open_store(store)
    strangers = None if others is None else open_store(others)
    if dry_run:
        return progress.say(f"The {split} images of {store} would be scored by {snapshot.path}, results in {out}.")
    from ganatomy.studies.outliers import score_outliers as run_

    told = run_(snapshot, opened, out, split, planted, seed, strangers, device)
    for what, found in told["found"].items():
        areas = {k: v for k, v in found.items() if k != "images"}
        words = ", ".join(f"{k} {v['auc']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for k, v in areas.items())
        progress.say(f"{what}: AUC of {words}")
    progress.say(f"scores: {out / 'scores.csv'}")


@app.command
def transfer(
    run: Positional[Path],
    store: Positional[Path],
    to: Pairs = (),
    out: Path = Path("transfer"),
    split: str = "test",
    n: int | None = None,
    like: Path | None = None,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Show images of one domain as another would have them, and measure what was kept and what was changed.

    Args:
        run: a run or a snapshot folder of a model with an encoder, conditioned on the facts
        store: the images
        to: a wanted fact, such as kernel=sharp; may be given several times
        out: a new folder
        split: of the images that are transferred
        n: at most so many
        like: a store of the other domain, if the first has one domain only
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store

    check_above_zero(n=n)
    wanted = parse_pairs(to, "--to")
    if not wanted:
        raise Refused("Say what the images shall become: --to NAME=VALUE.")
    snapshot, opened = open_snapshot(find_snapshot(run), None), open_store(store)
    other = None if like is None else open_store(like)
    if dry_run:
        return progress.say(f"The {split} images of {store} would be transferred to {wanted} by {snapshot.path}.")
    from ganatomy.studies.transfer import transfer_images as run_

    told = run_(snapshot, opened, wanted, out, split, n, other, device)
    for name, shares in told["told_to_be_the_target"].items():
        words = ", ".join(f"{form} {100 * share:.0f} %" for form, share in shares.items())
        progress.say(f"told to be {name}={wanted[name]}: {words}")
    ssim = {form: kept["ssim"] for form, kept in told["kept"].items()}
    progress.say(f"similarity to the original: {ssim}; {told['images']} images in {out}")
