"""The commands that use an encoder: outliers, transfer."""

from pathlib import Path

from tyro.conf import Positional

from ganatomy.cli.app import command
from ganatomy.cli.options import DryRun, OptionalCount, Pairs, Quiet, Seed, join_pairs
from ganatomy.errors import Refused
from ganatomy.machine import progress


@command()
def outliers(
    run: Positional[Path],
    store: Positional[Path],
    out: Path = Path("outliers"),
    split: str = "test",
    others: Path | None = None,
    planted: bool = False,
    seed: Seed = 0,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Score how unusual images are for a model with an encoder, by reconstruction error and discriminator features.

    Args:
        run: a run or a snapshot folder
        store: the store that the model was trained on; its validation images define the usual scores
        out: folder for scores.csv and outliers.json
        split: split of the images to score: train, validation or test
        others: a store of images from another distribution, to measure how well the score separates them
        planted: add artificial anomalies of several kinds to every image and measure how well they are detected
        seed: seed of the artificial anomalies
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store

    snapshot, opened = open_snapshot(find_snapshot(run), None), open_store(store)
    strangers = None if others is None else open_store(others)
    if dry_run:
        return progress.say(
            f"The {split} images of {store} would be scored by {snapshot.path} and the results written to {out}."
        )
    from ganatomy.studies.outliers import score_outliers as run_

    told = run_(snapshot, opened, out, split, planted, seed, strangers, device)
    for what, found in told["found"].items():
        areas = {k: v for k, v in found.items() if k != "images"}
        words = ", ".join(f"{k} {v['auc']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for k, v in areas.items())
        progress.say(f"{what}: AUC of {words}")
    progress.say(f"scores: {out / 'scores.csv'}")


@command()
def transfer(
    run: Positional[Path],
    store: Positional[Path],
    to: Pairs = (),
    out: Path = Path("transfer"),
    split: str = "test",
    n: OptionalCount = None,
    like: Path | None = None,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Translate images to another domain, such as another scanner, and measure what was preserved and what changed.

    Args:
        run: a run or a snapshot folder of a model with an encoder that is conditioned on the facts
        store: store of the images to transfer
        to: a fact of the target domain, such as kernel=sharp; may be given several times
        out: output folder, new or empty
        split: split of the images to transfer: train, validation or test
        n: maximum number of images
        like: a store of the target domain, if the first store has only one domain
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store

    wanted = join_pairs(to, "--to")
    if not wanted:
        raise Refused("No target domain is given: use --to NAME=VALUE.")
    snapshot, opened = open_snapshot(find_snapshot(run), None), open_store(store)
    other = None if like is None else open_store(like)
    if dry_run:
        return progress.say(f"The {split} images of {store} would be transferred to {wanted} by {snapshot.path}.")
    from ganatomy.studies.transfer import transfer_images as run_

    told = run_(snapshot, opened, wanted, out, split, n, other, device)
    for name, shares in told["told_to_be_the_target"].items():
        words = ", ".join(f"{form} {100 * share:.0f} %" for form, share in shares.items())
        progress.say(f"classified as {name}={wanted[name]}: {words}")
    ssim = {form: kept["ssim"] for form, kept in told["kept"].items()}
    progress.say(f"similarity to the original: {ssim}; {told['images']} images in {out}")
