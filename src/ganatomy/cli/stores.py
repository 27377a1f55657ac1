"""From raw files to a store: phantom, fetch, prepare."""

from pathlib import Path

from tyro.conf import Positional

from ganatomy.cli.app import answer, command
from ganatomy.cli.options import (
    Count,
    DryRun,
    Json,
    OptionalAmount,
    OptionalCount,
    OptionalShape,
    Pairs,
    Quiet,
    Seed,
    Shard,
    join_pairs,
)
from ganatomy.errors import Refused
from ganatomy.machine import progress


@command()
def phantom(
    kind: Positional[str],
    out: Path,
    patients: Count = 16,
    seed: Seed = 0,
    shape: OptionalShape = None,
    to: str = "dicom",
    labels: bool = False,
    workers: OptionalCount = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Generate a cohort of phantom patients as DICOM or NIfTI, with a table of the true values.

    Args:
        kind: modality of the phantoms: mammogram, chest_ct or brain_mri
        out: output folder, new or empty
        patients: number of patients; each has four views for mammogram, one volume otherwise
        seed: seed of the random numbers; the same seed gives the same files
        to: output format: dicom or, for volumes, nifti
        labels: write the true structures of volumes as label maps beside the images, with --to nifti
        workers: number of worker processes; by default one per core
    """
    from ganatomy.phantoms.cohort import write_cohort
    from ganatomy.phantoms.table import get_phantom

    get_phantom(kind)  # refuses an unknown kind first
    if seed < 0:
        raise Refused(f"--seed {seed}: give a number of zero or more.")
    if dry_run:
        return progress.say(f"{patients} phantom patients and truth.csv would be written to {out}.")
    made = write_cohort(kind, out, patients, seed, shape, to, workers, labels)
    progress.say(f"{made} images of {patients} phantom patients in {out}, true values in {out / 'truth.csv'}")


@command()
def fetch(
    collection: str,
    out: Path = Path("raw"),
    modality: str | None = None,
    patients: OptionalCount = None,
    match: Pairs = (),
    licence: tuple[str, ...] = (),
    endpoint: str | None = None,
    workers: Count = 8,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Download a public collection of the NCI Imaging Data Commons.

    --dry-run shows its size, licence and citation without a network connection.

    Args:
        collection: name of the collection, such as cmmd or lctsc
        out: folder for the downloaded files
        modality: DICOM modality code, such as MG, CT or MR
        patients: number of patients to download, the first in the order of their names
        match: select series by a column of the index, such as SeriesDescription=CHEST; may be given several times
        licence: licences to accept in addition to CC0 and CC BY
        endpoint: another server with the same buckets, such as a mirror
        workers: number of series to download at the same time
    """
    from ganatomy.fetching.fetch import fetch_collection as run
    from ganatomy.fetching.index import FREE_LICENCES, select_series

    found = select_series(collection, modality, patients, join_pairs(match, "--match"), (*FREE_LICENCES, *licence))
    progress.say(found.describe())
    if dry_run:
        return progress.say(f"They would be downloaded to {out}.")
    files = run(found, out, workers, endpoint)
    progress.say(f"{out / collection}: {files} files, all that the index lists; LICENCE.txt says how to attribute them")


@command(alone=lambda _: False)  # `prepare` itself holds the place; the jobs of a sharded store share it
def prepare(
    raw: Positional[Path],
    modality: str,
    out: Path,
    facts: Path | None = None,
    column: Pairs = (),
    fact: Pairs = (),
    voi: bool | None = None,
    field_of_view_mm: OptionalAmount = None,
    shape: OptionalShape = None,
    labels: Pairs = (),
    workers: OptionalCount = None,
    shard: Shard = None,
    dask: str | None = None,
    key: Path | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Convert a folder of raw files to a store; the same command resumes, or takes files that were added since.

    Args:
        raw: folder of DICOM, NIfTI, PNG, TIFF or JPEG files
        modality: mammogram, chest_ct or brain_mri
        out: folder of the store
        facts: CSV with a column "file" (for a series: its folder) and facts, which override those of a file's header
        column: column of the CSV that holds a fact, such as laterality=side or gold=GOLD; may be given several times
        fact: a fact that is the same for every file, such as view_position=CC; may be given several times
        voi: apply the VOI LUT or window of DICOM mammograms; applied by default
        field_of_view_mm: width of the grid of a brain in mm; 192 by default
        labels: a class of a label map and the pattern of its masks relative to the folder of an image, such as
            lung={stem}_lung.nii.gz or lesion={stem}_seg.nii.gz:2 for the value 2; {stem} is the name of the image
            without its suffix; may be given several times
        workers: number of worker processes; by default one per core
        shard: i/n: prepare every n-th part, beginning with part i, and leave the others to other jobs, such as those of
            a SLURM array
        dask: address of a Dask scheduler whose workers prepare the store, such as tcp://127.0.0.1:8786
        key: file of the secret key for pseudonyms, created if absent; by default the path in GANATOMY_PSEUDONYM_KEY,
            or ganatomy/pseudonyms.key in the user's configuration folder
    """
    from ganatomy.data.balance import describe_balance, read_balance
    from ganatomy.data.doubts import describe_doubts
    from ganatomy.data.numbers import describe_facts
    from ganatomy.data.prepare import prepare as run
    from ganatomy.data.prepare import preview_store
    from ganatomy.modalities.facts import FactSource
    from ganatomy.modalities.label_files import make_label_source
    from ganatomy.modalities.table import make_modality

    table = FactSource(facts, join_pairs(column, "--column"), join_pairs(fact, "--fact"))
    masks = make_label_source(join_pairs(labels, "--labels")) if labels else None
    own = {"voi": voi, "field_of_view_mm": field_of_view_mm, "shape": shape, "labels": masks}
    kind = make_modality(modality, facts=table, **own)
    if dry_run:
        return progress.say(preview_store(raw, kind, out))
    done = run(raw, kind, out, workers, dask, key, shard=shard)
    if done is None:
        if json:
            answer({"store": out, "complete": False})
        return progress.say(f"{out}: this shard is done; the store is complete when all shards are done.")
    manifest = done.manifest
    progress.say(f"{out}: {manifest.cases} images of {manifest.patients} patients; {manifest.splits}")
    progress.say(f"facts: {describe_facts(manifest.facts)}")
    if manifest.synthetic:
        progress.say(f"{manifest.synthetic} of the images say that they are synthetic: phantoms or samples")
    if (balance := read_balance(out)) is not None:
        for line in describe_balance(balance):
            progress.say(line)
    for line in describe_doubts(out):
        progress.say(line)
    progress.say(f"fingerprint {manifest.fingerprint[:16]}")
    if json:
        answer({"store": out, "complete": True, **manifest.model_dump(mode="json")})
