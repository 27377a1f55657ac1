"""Assignment of images to persons, from the sources of each image: pseudonyms, splits and warnings."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from ganatomy.data.split import assign_splits, make_pseudonym, mask_hash
from ganatomy.imaging.person import BIDS, FILE, FOLDER, PATIENT_ID, STUDY, Person

BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
GUESSES = (STUDY, FOLDER, FILE)  # sources that identify a person only if there is no better source
PRIVATE_KEYS = ("person", "issuer", "order", "told_by")  # keys of a part's rows that a finished store does not contain
ADVICE = "Give a column patient in the table of facts if they are not."


def settle_person(person: Person, name: str) -> Person:
    """Return the person of a candidate; a guess is replaced by the BIDS subject of its path, or by its folder.

    Args:
        person: the person according to the file, its header or the table.
        name: the candidate's path below the raw folder.
    """
    if person.told_by not in GUESSES:
        return person
    if (subject := find_bids_subject(name)) is not None:
        return Person(subject, BIDS)
    if person.told_by == FOLDER:  # relative to the raw folder, so that it does not depend on the raw folder's place
        return Person(name.rpartition("/")[0] or ".", FOLDER)
    return person


def find_bids_subject(name: str) -> str | None:
    """Find the ``sub-XX`` of a path, in the name of a folder or of the file; None if there is none.

    One label is one person, whatever sessions, derivatives and other folders the path contains.
    """
    for part in name.split("/"):
        match = BIDS_SUBJECT.match(part)
        if match and (match.end() == len(part) or part[match.end()] in "_."):
            return match[0]
    return None


def describe_person(person: Person, key: bytes) -> dict[str, str]:
    """Make the entries of a part's row that `name_patients` reads; the pseudonym key protects all of them."""
    pseudonym = make_pseudonym(person.key, key)
    return {
        "person": pseudonym,
        "issuer": make_pseudonym(person.issuer, key) if person.issuer else "",
        "order": mask_hash(make_pseudonym(person.identity), pseudonym, key),
        "told_by": person.told_by,
    }


def name_patients(cases: list[dict[str, Any]], key: bytes) -> dict[str, Any]:
    """Set ``patient`` and ``split`` of every case; return the counts and warnings about the persons.

    One ID is one person, with or without an issuer. If several issuers have given the same ID and every image with this
    ID names its issuer, they are different persons. Patients who have an image with the same pixels count as one
    person, since one of the two names is wrong.
    """
    issuers: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        issuers[case["person"]].add(case["issuer"])
    for case in cases:
        shared = len(issuers[case["person"]]) > 1 and "" not in issuers[case["person"]]
        case["patient"] = make_pseudonym(f"{case['person']} {case['issuer']}", key) if shared else case["person"]
    joined = _join_patients(cases)
    orders: dict[str, str] = {}
    for case in cases:
        order = mask_hash(case["order"], case["person"], key)
        orders[case["patient"]] = min(order, orders.get(case["patient"], order))
    splits = assign_splits(list(orders.values()))
    for case in cases:
        case["split"] = splits[orders[case["patient"]]]
    told = _count_persons(cases, sum(len(found - {""}) > 1 for found in issuers.values()), joined)
    for case in cases:
        for name in PRIVATE_KEYS:
            del case[name]
    return told


def is_guess(case: Mapping[str, Any]) -> bool:
    """Whether the person of a part's row is only a guess."""
    return case["told_by"] in GUESSES


def _join_patients(cases: list[dict[str, Any]]) -> int:
    """Give patients who have an image in common the same pseudonym; return how many have lost their own."""
    leader: dict[str, str] = {}

    def find(patient: str) -> str:
        while (above := leader.get(patient, patient)) != patient:
            patient = above
        return patient

    first: dict[str, str] = {}
    for case in cases:
        one, other = find(first.setdefault(case["pixels"], case["patient"])), find(case["patient"])
        if one != other:
            leader[max(one, other)] = min(one, other)
    for case in cases:
        case["patient"] = find(case["patient"])
    return len(leader)


def _count_persons(cases: list[dict[str, Any]], doubtful_ids: int, joined: int) -> dict[str, Any]:
    each = Counter(case["patient"] for case in cases)
    sources = Counter(case["told_by"] for case in cases)
    return {
        "told_by": dict(sources.most_common()),
        "patients": len(each),
        "images_each": {"least": min(each.values()), "median": median(each.values()), "most": max(each.values())},
        "warnings": list(_warn(len(cases), each, sources, doubtful_ids, joined)),
    }


def _warn(images: int, each: Counter[str], sources: Counter[str], doubtful_ids: int, joined: int) -> Iterable[str]:
    """Make warnings about doubtful persons."""
    if len(each) == 1 and images > 1:
        yield (
            f"Warning: all {images} images count as one patient, identified by {next(iter(sources))}, so there is no"
            f" validation and no test split. {ADVICE}"
        )
    elif len(each) < 3:
        yield f"Warning: {len(each)} patients are too few for validation and test splits; at least 3 are needed."
    for source in GUESSES:
        if sources[source] > 1:
            yield (
                f"Warning: {sources[source]} images do not name their patient, so each {source} counts as one patient;"
                f" images of one person may be both in training and in test. {ADVICE}"
            )
    if joined:
        yield (
            f"Warning: {joined} patients have an image with the same pixels as another patient's image; both count as"
            " one person, in one split. Give the right patient of each image in the table of facts."
        )
    if doubtful_ids:
        yield (
            f"Warning: {doubtful_ids} Patient IDs come from several issuers each (Issuer of Patient ID). They count as"
            " different patients if every image names its issuer, else as one patient. Give a column patient in the"
            " table of facts if that is wrong."
        )
    if sources[PATIENT_ID] and (most := max(each.values())) > max(images // 2, 2) and len(each) > 1:
        yield (
            f"Warning: one patient has {most} of {images} images; an ID such as ANONYMOUS may stand for several"
            f" persons. {ADVICE}"
        )
