"""Train, validation and test, always by patient: a pure function of who the patient is."""

import hashlib

SPLITS = ("train", "validation", "test")
SPLIT_SHARES = {"validation": 0.1, "test": 0.1}


def make_pseudonym(patient: str) -> str:
    """A name for a patient that does not tell who it is. The same patient always gets the same one."""
    return hashlib.blake2b(patient.encode(), digest_size=8, person=b"ganatomy patient").hexdigest()


def assign_splits(patients: list[str], seed: int = 0) -> dict[str, str]:
    """Pseudonym -> split. Patients are ranked by a hash, so adding a case never depends on the order of files.

    With three patients or more every split has at least one.
    """
    ranked = sorted(set(patients), key=lambda p: hashlib.blake2b(f"{seed}/{p}".encode(), digest_size=8).digest())
    counts = {
        name: max(1, round(share * len(ranked))) if len(ranked) >= 3 else 0 for name, share in SPLIT_SHARES.items()
    }
    assigned = dict.fromkeys(ranked, "train")
    first = 0
    for name, count in counts.items():
        assigned |= dict.fromkeys(ranked[first : first + count], name)
        first += count
    return assigned
