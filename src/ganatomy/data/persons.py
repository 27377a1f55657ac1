"""Assignment of images to persons, from the sources of each image: pseudonyms, splits and warnings."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.data.columns import ABSENT, CODE, Columns, Table
from ganatomy.data.split import assign_splits, make_pseudonym, mask_hash
from ganatomy.imaging.person import BIDS, FILE, FOLDER, PATIENT_ID, STUDY, Person

BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
GUESSES = (STUDY, FOLDER, FILE)  # sources that identify a person only if there is no better source
KEPT_SOURCES = ("person", "issuer", "told_by")  # columns by which the images of a later `prepare` find their patients
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
    """Make the entries of a part's row that tell its patient; the pseudonym key protects all of them."""
    pseudonym = make_pseudonym(person.key, key)
    return {
        "person": pseudonym,
        "issuer": make_pseudonym(person.issuer, key) if person.issuer else "",
        "order": mask_hash(make_pseudonym(person.identity), pseudonym, key),
        "told_by": person.told_by,
    }


def find_patients(cases: Table, key: bytes, known: int = 0) -> list[str | None]:
    """Find the patients of cases, as pseudonyms.

    One ID is one person, with or without an issuer. If several issuers have given the same ID and every image with this
    ID names its issuer, they are different persons. Patients who have an image with the same pixels count as one
    person, since one of the two names is wrong.

    Args:
        cases: columns ``pixels`` and those of `describe_person`; the known cases come first and have ``patient`` and
            ``split``.
        key: the key of pseudonyms.
        known: number of cases that keep their patients, because they were in the store before it grew.

    Returns:
        The patient of every other case. None if a case may be of two known patients who are in different splits.
    """
    sources, splits = _Sources(cases), _find_splits(cases, known)
    names, links = sources.name_pairs(key, known), _Links()
    patient_of = Columns(cases).list_values("patient") if known else []
    before = cases["patient" + CODE] if known else np.empty(0, np.int32)
    known_of_pair = {pair: {patient_of[i] for i in found} for pair, found in sources.find_known(known, before).items()}
    doubtful = set[int]()
    for group in find_equal_pixels(cases["pixels"], known):
        shown = {patient_of[before[i]] for i in group if i < known}
        of_group = sorted(shown)
        for i in (i for i in group if i >= known):
            pair = int(sources.pair[i])
            if len({splits[name] for name in shown | known_of_pair.get(pair, set())}) > 1:
                doubtful.add(i)
            else:
                of_group.append(names[pair])
        links.join(*of_group)
    for pair, found in known_of_pair.items():
        links.join(names[pair], *found)
    chosen = _choose_patients(names, links, splits)
    return [None if i in doubtful else chosen[pair] for i, pair in enumerate(sources.pair[known:].tolist(), known)]


def split_patients(cases: Table, key: bytes, known: int = 0) -> list[str]:
    """Find the splits of cases with patients; known patients keep theirs.

    Args:
        cases: as for `find_patients`, with the column ``patient`` for all cases.
        key, known: as for `find_patients`.

    Returns:
        The split of every case that is not known.
    """
    columns = Columns(cases)
    patients, persons, hashes = (columns.list_values(name) for name in ("patient", "person", "order"))
    splits = _find_splits(cases, known)
    orders: dict[str, str] = {}
    triples = zip(*(cases[name + CODE][known:].tolist() for name in ("patient", "person", "order")), strict=True)
    for patient, person, hashed in dict.fromkeys(triples):
        if (name := patients[patient]) not in splits:
            order = mask_hash(hashes[hashed], persons[person], key)
            orders[name] = min(order, orders.get(name, order))
    assigned = assign_splits(list(orders.values()), before=Counter(splits.values()))
    splits |= {name: assigned[order] for name, order in orders.items()}
    return [splits[patients[code]] for code in cases["patient" + CODE][known:].tolist()]


def count_persons(cases: Table, key: bytes) -> dict[str, Any]:
    """Count the patients of a store, and make the warnings about them.

    Args:
        cases: columns of all cases with patients, and those of `describe_person`.
        key: the key of pseudonyms.
    """
    sources, columns = _Sources(cases), Columns(cases)
    told_by = columns.list_values("told_by")
    sources_each = np.bincount(cases["told_by" + CODE], minlength=len(told_by)).tolist()
    counts = Counter({name: count for name, count in zip(told_by, sources_each, strict=True) if count})
    each = np.bincount(cases["patient" + CODE])
    each = each[each > 0]
    middle = float(np.median(each))
    return {
        "told_by": dict(counts.most_common()),
        "patients": len(each),
        "images_each": {
            "least": int(each.min()),
            "median": int(middle) if middle.is_integer() else middle,
            "most": int(each.max()),
        },
        "warnings": list(_warn(each, counts, sources.count_doubtful_ids(), sources.count_joined(cases, key))),
    }


def list_guesses(cases: Table) -> NDArray[np.bool_]:
    """List for every case whether its person is only a guess."""
    return np.array([name in GUESSES for name in Columns(cases).list_values("told_by")])[cases["told_by" + CODE]]


def find_equal_pixels(pixels: NDArray[np.uint8], known: int = 0) -> list[list[int]]:
    """Find the cases with the same pixels as another one, in groups, of which at least one case is not known.

    Args:
        pixels: hashes, (cases, bytes).
        known: number of known cases, which come first.
    """
    heads = np.ascontiguousarray(pixels[:, :8]).view(np.uint64)[:, 0]  # numbers are sorted faster than 16 bytes
    _, inverse, counts = np.unique(heads, return_inverse=True, return_counts=True)
    groups: dict[bytes, list[int]] = {}
    for i in np.flatnonzero(counts[inverse] > 1).tolist():
        groups.setdefault(pixels[i].tobytes(), []).append(i)
    return [group for group in groups.values() if len(group) > 1 and group[-1] >= known]


class _Sources:
    """The different pairs of an ID and its issuer, which name the patients.

    Args:
        cases: columns of the cases.
    """

    def __init__(self, cases: Table) -> None:
        columns = Columns(cases)
        self._persons, self._issuers = columns.list_values("person"), columns.list_values("issuer")
        self._person = cases["person" + CODE].astype(np.int64)
        pairs, self.pair = np.unique(self._person * len(self._issuers) + cases["issuer" + CODE], return_inverse=True)
        self._of_person, self._of_issuer = np.divmod(pairs, max(1, len(self._issuers)))
        has_name = np.array([issuer != "" for issuer in self._issuers], dtype=bool)[self._of_issuer]
        count = len(self._persons)
        self._issuers_each = np.bincount(self._of_person[has_name], minlength=count)
        blank = np.bincount(self._of_person[~has_name], minlength=count) > 0
        self._is_shared = (self._issuers_each > 1) & ~blank  # by person: an ID that several issuers gave to persons

    def name_pairs(self, key: bytes, known: int) -> dict[int, str]:
        """Make the pseudonyms of the pairs of cases that are not known."""
        return {pair: self._name(pair, key) for pair in np.unique(self.pair[known:]).tolist()}

    def find_known(self, known: int, patients: NDArray[np.int32]) -> dict[int, set[int]]:
        """Find the known patients of the pairs of other cases, by the same pair or, else, by the same ID.

        Args:
            known: number of known cases.
            patients: codes of their patients.

        Returns:
            Codes of patients by pair.
        """
        new = np.unique(self.pair[known:])
        touched = np.flatnonzero(np.isin(self._person[:known], self._of_person[new]))
        by_pair: dict[int, set[int]] = {}
        by_person: dict[int, set[int]] = {}
        for i in touched.tolist():
            by_pair.setdefault(int(self.pair[i]), set()).add(int(patients[i]))
            by_person.setdefault(int(self._person[i]), set()).add(int(patients[i]))
        found = {}
        for pair in new.tolist():
            person = int(self._of_person[pair])
            others = set() if self._is_shared[person] else by_person.get(person, set())
            found[pair] = by_pair.get(pair, set()) | others
        return found

    def count_doubtful_ids(self) -> int:
        """Count the IDs that several issuers have given."""
        return int((self._issuers_each > 1).sum())

    def count_joined(self, cases: Table, key: bytes) -> int:
        """Count the patients who count as another one because of an image in common."""
        codes = {name: code for code, name in enumerate(Columns(cases).list_values("patient"))}
        own = np.array([codes.get(name, ABSENT) for name in self._persons])[self._person]
        rest = np.flatnonzero((own != cases["patient" + CODE]) | self._is_shared[self._person])
        different = dict.fromkeys(zip(self.pair[rest].tolist(), cases["patient" + CODE][rest].tolist(), strict=True))
        lost = set()
        for pair, patient in different:
            name, plain = self._name(pair, key), self._persons[self._of_person[pair]]
            if codes.get(name) != patient and codes.get(plain) != patient:
                lost.add(name)
        return len(lost)

    def _name(self, pair: int, key: bytes) -> str:
        person = int(self._of_person[pair])
        if not self._is_shared[person]:
            return self._persons[person]
        return make_pseudonym(f"{self._persons[person]} {self._issuers[self._of_issuer[pair]]}", key)


class _Links:
    """Names that are of one person; the least of them stands for all."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def find(self, name: str) -> str:
        while (above := self._above.get(name, name)) != name:
            name = above
        return name

    def join(self, *names: str) -> None:
        for name in names[1:]:
            one, other = self.find(names[0]), self.find(name)
            if one != other:
                self._above[max(one, other)] = min(one, other)

    def list_linked(self) -> set[str]:
        """List the names that were joined with others."""
        return {*self._above, *self._above.values()}


def _choose_patients(names: Mapping[int, str], links: _Links, splits: Mapping[str, str]) -> dict[int, str | None]:
    """Choose one name for each pair: that of its known patients if they are in one split, or the least of its names.

    Args:
        names: names of the pairs.
        links: names that are of one person.
        splits: splits of the known patients.
    """
    known_of: dict[str, set[str]] = {}
    for name in links.list_linked() & splits.keys():
        known_of.setdefault(links.find(name), set()).add(name)
    chosen: dict[int, str | None] = {}
    for pair, name in names.items():
        first = links.find(name)
        candidates = known_of.get(first, {first})
        is_one = len({splits.get(one) for one in candidates}) == 1
        chosen[pair] = min(candidates) if is_one else None
    return chosen


def _find_splits(cases: Table, known: int) -> dict[str, str]:
    """Find the splits of the patients of the known cases."""
    if not known:
        return {}
    columns = Columns(cases)
    patients, splits = columns.list_values("patient"), columns.list_values("split")
    codes, first = np.unique(cases["patient" + CODE][:known], return_index=True)
    found = cases["split" + CODE][:known][first]
    return {patients[code]: splits[split] for code, split in zip(codes.tolist(), found.tolist(), strict=True)}


def _warn(each: NDArray[np.int64], sources: Counter[str], doubtful_ids: int, joined: int) -> Iterable[str]:
    """Make warnings about doubtful persons; `each` has the number of images of every patient."""
    images, most = int(each.sum()), int(each.max())
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
    if sources[PATIENT_ID] and most > max(images // 2, 2) and len(each) > 1:
        yield (
            f"Warning: one patient has {most} of {images} images; an ID such as ANONYMOUS may stand for several"
            f" persons. {ADVICE}"
        )
