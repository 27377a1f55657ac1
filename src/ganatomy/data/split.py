"""Assignment of patients to train, validation and test splits, as a pure function of the patients' identities."""

import hashlib
from collections.abc import Mapping

SPLITS = ("train", "validation", "test")
SPLIT_SHARES = {"validation": 0.1, "test": 0.1}
PSEUDONYM_BYTES = 8  # among a million patients, two share a pseudonym with a probability of 1 in 37 million


def make_pseudonym(patient: str, key: bytes = b"") -> str:
    """Make the pseudonym of a patient, a keyed BLAKE2b hash of the identity (RFC 7693).

    Patient IDs are so few that all of them can be tried, so a hash without a key reveals the patient, as the
    pseudonyms of stores of earlier versions do. With a key, only its owner can try them. The split depends on the hash
    without a key, so that a patient is in the same split in every store; this hash is never stored unmasked.

    Args:
        patient: the identity; if a file name identifies the patient, it may be invalid UTF-8.
        key: the key of `data.keys.load_key`; empty = no key.
    """
    plain = patient.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(plain, digest_size=PSEUDONYM_BYTES, key=key, person=b"ganatomy patient").hexdigest()


def mask_hash(digest: str, pseudonym: str, key: bytes) -> str:
    """Mask a hash without a key by exclusive-or with a keyed pad; a second call with the same arguments unmasks it.

    The parts of a store keep the masked hashes of identities until all parts are finished and the split can be made.
    """
    pad = hashlib.blake2b(pseudonym.encode(), digest_size=PSEUDONYM_BYTES, key=key, person=b"ganatomy split").digest()
    return bytes(a ^ b for a, b in zip(bytes.fromhex(digest), pad, strict=True)).hex()


def assign_splits(patients: list[str], seed: int = 0, before: Mapping[str, int] | None = None) -> dict[str, str]:
    """Assign a split to each pseudonym without a key; patients are ranked by a hash, so the order does not matter.

    With three or more patients, every split has at least one.

    Args:
        patients: the patients to assign.
        seed: seed of the ranks.
        before: numbers of other patients by split, who were assigned earlier and keep their splits. Validation and test
            get as many patients as they lack of their shares of all patients; None = there are no others.
    """
    before = before or {}
    ranked = sorted(set(patients), key=lambda p: hashlib.blake2b(f"{seed}/{p}".encode(), digest_size=8).digest())
    total = len(ranked) + sum(before.values())
    assigned = dict.fromkeys(ranked, "train")
    first = 0
    for name, share in SPLIT_SHARES.items():
        wanted = max(1, round(share * total)) if total >= 3 else 0
        count = max(0, wanted - before.get(name, 0))
        assigned |= dict.fromkeys(ranked[first : first + count], name)
        first += count
    return assigned
