"""The plan of `prepare`, made once and written into the store: the files, the parts, the key of pseudonyms."""

import errno
import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ganatomy.data import store as storing
from ganatomy.data.balance import REPORT_FILES, PassedOver, make_balance, pass_over, write_balance
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.prepared import make_relative, mark_candidate, measure_file
from ganatomy.data.split import make_pseudonym
from ganatomy.data.store import name_generation
from ganatomy.errors import Refused
from ganatomy.machine.durable import new_folder, read_json, read_lines, write_json, write_lines
from ganatomy.modalities.facts import FactTable
from ganatomy.modalities.folder import FolderListing, list_folder
from ganatomy.modalities.modality import Candidate, Modality

PART_SIZE = {2: 16, 3: 1}  # images per part and shard, by the number of axes
LARGE_PART_SIZE, MANY_FILES = (
    {2: 64, 3: 8},
    4096,
)  # from so many files on, shards of hundreds of MB keep the number of shards low
LISTING_FILE, ASIDE_FILE = "listing.jsonl", "passed_over.json"


@dataclass(frozen=True)
class Findings:
    """The content of a raw folder before any image is read.

    Args:
        candidates: the candidates that will be read.
        aside: the paths that are set aside, with reasons.
        listing: the listing of the folder.
        table: the table of facts.
    """

    candidates: list[Candidate]
    aside: PassedOver
    listing: FolderListing
    table: FactTable


def look_through(
    raw: Path, modality: Modality, out: Path | None = None, listing: FolderListing | None = None
) -> Findings:
    """List a raw folder and read its table of facts.

    Args:
        raw: the raw folder.
        modality: the modality of the images.
        out: the store, which may lie below the folder.
        listing: the listing of the folder, if it is known; None = the folder is listed here.

    Raises:
        Refused: the folder is missing or empty, or its table is wrong.
    """
    listing = listing or list_folder(raw, out)
    table = modality.facts.read_table(raw)
    candidates = modality.list_candidates(raw, listing) if listing.files or not listing.total_paths else []
    return Findings(*pass_over(listing, candidates, table, modality), listing, table)


def hash_facts(table: FactTable, modality: Modality, key: PseudonymKey) -> str:
    """Hash all facts of the files with the key, because a table may contain Patient IDs that could be guessed."""
    told = [
        sorted(modality.facts.constants.items()),
        sorted((name, sorted(row.items())) for name, row in table.facts.items()),
    ]
    return _keyed_hash(key, [repr(told)])


def hash_paths(listing: FolderListing, told: str, key: PseudonymKey) -> dict[str, str]:
    """Hash names, sizes and facts of all files, and their dates; if both are unchanged, the candidates are unchanged.

    No header is read, so this takes a moment even if the search for the candidates of many series takes minutes.

    Returns:
        The entries ``paths`` and ``dates`` of a plan.
    """
    measured = [(name, *measure_file(path)) for path, name in listing.files]
    return {
        "paths": _keyed_hash(key, (told, *(f"{name}\0{size}\n" for name, size, _ in measured))),
        "dates": _keyed_hash(key, (f"{date}\n" for _, _, date in measured)),
    }


def _keyed_hash(key: PseudonymKey, texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=32, key=key.secret, person=b"ganatomy listing")
    for text in texts:
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def make_plan(candidates: list[Candidate], modality: Modality, key: PseudonymKey | None) -> dict[str, Any]:
    """Make the plan, which determines the content of a store; it depends on files, facts, options and key only.

    Args:
        candidates: the candidates that will be read.
        modality: the modality of the images.
        key: the key of pseudonyms; None = a preview, which has no pseudonyms.
    """
    listing = hashlib.sha256()
    for candidate in candidates:
        size = sum(measure_file(path)[0] for path in candidate.paths)
        facts = dict(candidate.facts)
        if "patient" in facts:
            facts["patient"] = make_pseudonym(facts["patient"], b"" if key is None else key.secret)
        row = f"{candidate.name}\0{size}\0{sorted(facts.items())}\n"
        listing.update(row.encode("utf-8", "surrogateescape"))
    return {
        "format": storing.STORE_FORMAT,
        "modality": modality.name,
        "options": dict(modality.options),
        "shape": list(modality.shape),
        "files": len(candidates),
        "listing": listing.hexdigest(),
        "part": (PART_SIZE if len(candidates) < MANY_FILES else LARGE_PART_SIZE)[len(modality.shape)],
        "key": None if key is None else key.name,
        **({"labels": modality.labels.describe()} if modality.labels.rules else {}),
    }


def get_generation(plan: Mapping[str, Any]) -> int:
    """Return how often the store will have grown when the plan is done; earlier versions did not write it."""
    return int(plan.get("generation", 0))


def list_parts(plan: Mapping[str, Any]) -> range:
    """List the numbers of the parts that a plan takes: those after the parts that the store has."""
    first = int(plan.get("first_part", 0))
    return range(first, first + -(-int(plan.get("new", plan["files"])) // int(plan["part"])))


def read_reached_generation(out: Path) -> int | None:
    """Read how often a store has grown; None if it was never complete."""
    file = out / storing.MANIFEST_FILE
    return int(read_json(file).get("generation", 0)) if file.exists() else None


def is_complete(out: Path) -> bool:
    """Whether a store has all that its plan takes; False for a store that is made or grows."""
    reached = read_reached_generation(out)
    if reached is None:
        return False
    return not (out / storing.PLAN_FILE).exists() or get_generation(read_json(out / storing.PLAN_FILE)) <= reached


def begin_store(out: Path, raw: Path, modality: Modality, key: PseudonymKey, found: Findings) -> dict[str, Any]:
    """Begin a store, or check that it was begun with the same plan; if several processes begin at once, one writes it.

    Returns:
        The plan.

    Raises:
        Refused: there is nothing to read, `out` is not a store, or it was begun with another plan.
    """
    plan = make_plan(found.candidates, modality, key) | hash_folder(found, modality, key)
    if not (out / storing.PLAN_FILE).exists():
        check_free(out)
        if not found.candidates:
            raise leave_report(out, plan["files"], found.aside.left_out, found.aside)
        try:
            _remove_report(out)
            with new_folder(out) as temporary:
                rows = list_parts(plan).stop * plan["part"]
                for level in storing.list_stored_levels(tuple(plan["shape"])):
                    storing.create_array(temporary, level, rows, plan["part"], modality.labels.channels)
                (temporary / "parts").mkdir()
                write_listing(temporary, plan, found.candidates, found.aside, raw, key)
                write_json(temporary / storing.PLAN_FILE, plan)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    check_same_kind(out, read_json(out / storing.PLAN_FILE), modality)
    check_same_plan(out, plan)
    return plan


def hash_folder(found: Findings, modality: Modality, key: PseudonymKey) -> dict[str, str]:
    """Make the entries of a plan by which `is_unchanged` recognises a raw folder: ``told``, ``paths`` and ``dates``."""
    told = hash_facts(found.table, modality, key)
    return {"told": told, **hash_paths(found.listing, told, key)}


def write_listing(
    folder: Path, plan: dict[str, Any], candidates: list[Candidate], aside: PassedOver, raw: Path, key: PseudonymKey
) -> None:
    """Write the candidates that a plan takes, without their facts, and the paths that were set aside."""
    rows = [_describe_candidate(one, raw, key) for one in candidates]
    write_lines(folder / name_generation(LISTING_FILE, get_generation(plan)), rows)
    write_json(folder / name_generation(ASIDE_FILE, get_generation(plan)), aside.to_json())


def read_begun_store(
    out: Path, raw: Path, modality: Modality, key: PseudonymKey
) -> tuple[dict[str, Any], list[Candidate]]:
    """Read the plan of a store that was begun, and the candidates that it takes, without listing the folder again.

    Raises:
        Refused: the store has another modality or shape, or was begun with another key or table.
    """
    plan = read_json(out / storing.PLAN_FILE)
    check_same_kind(out, plan, modality)
    check_same_key(out, plan, key.name)
    table = modality.facts.read_table(raw)
    if plan["told"] != hash_facts(table, modality, key):
        raise Refused(
            f"The facts have changed since {out} was begun; give the same table and --fact, or another --out."
        )
    candidates = [
        Candidate(
            tuple(raw / path for path in row["paths"]),
            row["name"],
            modality.facts.combine_facts(table, row["name"]),
            row.get("remark", ""),
            tuple(tuple(raw / path for path in paths) for paths in row.get("masks", ())),
        )
        for row in read_lines(out / name_generation(LISTING_FILE, get_generation(plan)))
    ]
    return plan, candidates


def is_unchanged(out: Path, raw: Path, modality: Modality, key: PseudonymKey, listing: FolderListing) -> bool:
    """Whether neither files nor table have changed since a store was begun; no header is read."""
    before = read_json(out / storing.PLAN_FILE)
    told = hash_facts(modality.facts.read_table(raw), modality, key)
    now = hash_paths(listing, told, key)
    return before.get("paths") == now["paths"] and before.get("dates", now["dates"]) == now["dates"]


def read_passed_over(out: Path, plan: Mapping[str, Any]) -> PassedOver:
    """Read which paths were set aside when a plan was made."""
    return PassedOver(**read_json(out / name_generation(ASIDE_FILE, get_generation(plan))))


def check_free(out: Path) -> None:
    """Refuse a folder that contains more than the report of an earlier attempt (`leave_report`)."""
    if out.exists() and any(path.name not in REPORT_FILES for path in out.iterdir()):
        raise Refused(f"{out} is not empty and not a store; give a new folder.")


def leave_report(out: Path, files: int, left_out: list[dict[str, Any]], aside: PassedOver) -> Refused:
    """Replace a store without cases by the reasons for it; the next attempt may use the same name.

    Returns:
        The error to raise.
    """
    balance = make_balance(0, 0, left_out, aside, {})
    with new_folder(out) as temporary:
        write_balance(temporary, balance, left_out, aside)
        shutil.rmtree(out, ignore_errors=True)
    told = "; ".join(f"{group['rows']} x {reason}" for reason, group in balance["reasons"].items())
    skipped = f" {balance['skipped']} paths were skipped." if balance["skipped"] else ""
    return Refused(
        f"None of the {max(files, len(left_out))} files can be used: {told or 'no file was left to read'}.{skipped}"
        f" No store was made; every reason is in {out / 'quarantine.jsonl'}."
    )


def _remove_report(out: Path) -> None:
    """Remove the report of `leave_report` if the folder contains nothing else."""
    for name in REPORT_FILES:
        (out / name).unlink(missing_ok=True)


def check_same_kind(out: Path, before: Mapping[str, Any], modality: Modality) -> None:
    """Refuse another modality, shape or option than that with which the store was begun."""
    given = {
        "modality": modality.name,
        "shape": list(modality.shape),
        "options": dict(modality.options),
        "labels": modality.labels.describe(),
    }
    for what, value in given.items():
        if (earlier := before.get(what, [])) != value:
            raise Refused(f"{out} is a store of {what} {earlier}, not {value}; give another --out.")


def check_same_key(out: Path, before: Mapping[str, Any], name: str | None) -> None:
    """Refuse another key than that with which the store was begun; a complete store needs no key."""
    if is_complete(out):
        return
    if before.get("key") is None:
        raise Refused(
            f"{out} was begun by an earlier version, whose pseudonyms are not keyed and can be guessed; give another"
            " --out."
        )
    if before["format"] < storing.STORE_FORMAT:
        raise Refused(f"{out} was begun by an earlier version and is not finished; give another --out.")
    if before["key"] != name:
        raise Refused(f"{out} was begun with another key of pseudonyms; give the same --key as then, or another --out.")


def check_same_plan(out: Path, plan: dict[str, Any]) -> None:
    """Refuse another raw folder than that with which a store was begun that cannot grow.

    Raises:
        Refused: the files, their facts, the options or the key differ.
    """
    before = read_json(out / storing.PLAN_FILE)
    left = dict.fromkeys(("format", "key", "told", "paths", "dates"))  # earlier versions did not write these, or others
    if is_complete(out) and before.get("key") != plan["key"]:
        left["listing"] = None  # contains pseudonyms, which depend on the key
    if before | left != plan | left:
        raise Refused(
            f"The raw folder has changed since {out} was begun ({before['files']} files then, {plan['files']} now);"
            " give another --out for the new set."
        )
    check_same_key(out, before, plan["key"])


def _describe_candidate(candidate: Candidate, raw: Path, key: PseudonymKey) -> dict[str, Any]:
    """Make the row of a candidate without its facts, because a table may contain Patient IDs and names."""
    paths = [make_relative(path, raw) for path in candidate.paths]
    marks = asdict(mark_candidate(candidate, raw, key))
    masks = [[make_relative(path, raw) for path in found] for found in candidate.masks]
    return {"name": candidate.name, "paths": paths, "remark": candidate.remark, **marks} | (
        {"masks": masks} if masks else {}
    )
