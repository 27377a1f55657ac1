"""The plan of `prepare`, made once and written into the store: the files, the parts, the key of pseudonyms."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.data import store as storing
from ganatomy.data.balance import REPORT_FILES, PassedOver, make_balance, pass_over, write_balance
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.split import make_pseudonym
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


def look_through(raw: Path, modality: Modality, out: Path | None = None) -> Findings:
    """List a raw folder and read its table of facts.

    Args:
        raw: the raw folder.
        modality: the modality of the images.
        out: the store, which may lie below the folder.

    Raises:
        Refused: the folder is missing or empty, or its table is wrong.
    """
    listing = list_folder(raw, out)
    table = modality.facts.read_table(raw)
    candidates = modality.list_candidates(raw, listing) if listing.files or not listing.total_paths else []
    return Findings(*pass_over(listing, candidates, table, modality), listing, table)


def _hash_facts(table: FactTable, modality: Modality, key: PseudonymKey) -> str:
    """Hash all facts of the files with the key, because a table may contain Patient IDs that could be guessed."""
    told = [
        sorted(modality.facts.constants.items()),
        sorted((name, sorted(row.items())) for name, row in table.facts.items()),
    ]
    return _keyed_hash(key, [repr(told)])


def _hash_paths(listing: FolderListing, told: str, key: PseudonymKey) -> str:
    """Hash names, sizes and facts of all files; if the hash is unchanged, the candidates are unchanged.

    No header is read, so this takes a moment even if the search for the candidates of many series takes minutes.
    """
    return _keyed_hash(key, (told, *(f"{name}\0{_measure_file(path)}\n" for path, name in listing.files)))


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
        size = sum(_measure_file(path) for path in candidate.paths)
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
    }


def _measure_file(path: Path) -> int:
    """Return the bytes of a file; 0 if it has disappeared, which is reported when it is read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def count_parts(plan: dict[str, Any]) -> int:
    return int(-(-plan["files"] // plan["part"]))


def begin_store(out: Path, raw: Path, modality: Modality, key: PseudonymKey) -> tuple[dict[str, Any], list[Candidate]]:
    """Begin a store, or continue one with the same plan; if several processes begin at once, one writes the plan.

    Returns:
        The plan and its candidates.

    Raises:
        Refused: there is nothing to read, `out` is not a store, or it was begun with another plan.
    """
    if (begun := _read_unchanged_store(out, raw, modality, key)) is not None:
        return begun
    found = look_through(raw, modality, out)
    told = _hash_facts(found.table, modality, key)
    plan = make_plan(found.candidates, modality, key) | {"told": told, "paths": _hash_paths(found.listing, told, key)}
    if not (out / storing.PLAN_FILE).exists():
        check_free(out)
        if not found.candidates:
            raise leave_report(out, plan["files"], found.aside.left_out, found.aside)
        try:
            _remove_report(out)
            with new_folder(out) as temporary:
                rows = count_parts(plan) * plan["part"]
                for level in storing.list_stored_levels(tuple(plan["shape"])):
                    storing.create_array(temporary, level, rows, plan["part"])
                (temporary / "parts").mkdir()
                write_lines(temporary / LISTING_FILE, [_describe_candidate(one, raw) for one in found.candidates])
                write_json(temporary / ASIDE_FILE, found.aside.to_json())
                write_json(temporary / storing.PLAN_FILE, plan)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    _check_same_plan(out, plan)
    return plan, found.candidates


def read_begun_store(
    out: Path, raw: Path, modality: Modality, key: PseudonymKey
) -> tuple[dict[str, Any], list[Candidate]]:
    """Read plan and candidates of a store that another job has begun, without listing the folder again.

    Raises:
        Refused: the store has another modality or shape, or was begun with another key or table.
    """
    plan = read_json(out / storing.PLAN_FILE)
    _check_same_kind(out, plan, modality.name, list(modality.shape), dict(modality.options))
    _check_same_key(out, plan, key.name)
    table = modality.facts.read_table(raw)
    if plan["told"] != _hash_facts(table, modality, key):
        raise Refused(
            f"The facts have changed since {out} was begun; give the same table and --fact, or another --out."
        )
    candidates = [
        Candidate(
            tuple(raw / path for path in row["paths"]),
            row["name"],
            modality.facts.combine_facts(table, row["name"]),
            row.get("remark", ""),
        )
        for row in read_lines(out / LISTING_FILE)
    ]
    return plan, candidates


def _read_unchanged_store(
    out: Path, raw: Path, modality: Modality, key: PseudonymKey
) -> tuple[dict[str, Any], list[Candidate]] | None:
    """Read like `read_begun_store`; None if the store was not begun, or if files or table have changed since."""
    if not (out / storing.PLAN_FILE).exists():
        return None
    before = read_json(out / storing.PLAN_FILE).get("paths")
    told = _hash_facts(modality.facts.read_table(raw), modality, key)
    if before != _hash_paths(list_folder(raw, out), told, key):
        return None
    return read_begun_store(out, raw, modality, key)


def read_passed_over(out: Path) -> PassedOver:
    """Read which paths were set aside when a store was begun."""
    return PassedOver(**read_json(out / ASIDE_FILE))


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


def _check_same_kind(
    out: Path, before: dict[str, Any], modality: str, shape: list[int], options: dict[str, Any]
) -> None:
    for what, value in (("modality", modality), ("shape", shape), ("options", options)):
        if before[what] != value:
            raise Refused(f"{out} is a store of {what} {before[what]}, not {value}; give another --out.")


def _check_same_key(out: Path, before: dict[str, Any], name: str | None) -> None:
    """Refuse another key than that with which the store was begun; a complete store needs no key."""
    if (out / storing.MANIFEST_FILE).exists():
        return
    if before.get("key") is None:
        raise Refused(
            f"{out} was begun by an earlier version, whose pseudonyms are not keyed and can be guessed; give another"
            " --out."
        )
    if before["key"] != name:
        raise Refused(f"{out} was begun with another key of pseudonyms; give the same --key as then, or another --out.")


def _check_same_plan(out: Path, plan: dict[str, Any]) -> None:
    before = read_json(out / storing.PLAN_FILE)
    _check_same_kind(out, before, plan["modality"], plan["shape"], plan["options"])
    left = {"key": None, "told": None, "paths": None}  # earlier versions did not write these
    if (out / storing.MANIFEST_FILE).exists() and before.get("key") != plan["key"]:
        left["listing"] = None  # contains pseudonyms, which depend on the key
    if before | left != plan | left:
        raise Refused(
            f"The raw folder has changed since {out} was begun ({before['files']} files then, {plan['files']} now);"
            " give another --out for the new set."
        )
    _check_same_key(out, before, plan["key"])


def _describe_candidate(candidate: Candidate, raw: Path) -> dict[str, Any]:
    """Make the row of a candidate without its facts, because a table may contain Patient IDs and names."""
    paths = [os.path.relpath(path, raw) for path in candidate.paths]
    return {"name": candidate.name, "paths": paths, "remark": candidate.remark}
