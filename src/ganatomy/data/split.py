"""Train, validation and test, always by patient: a pure function of who the patient is."""

import hashlib

SPLITS = ("train", "validation", "test")
SPLIT_SHARES = {"validation": 0.1, "test": 0.1}
PSEUDONYM_BYTES = 8  # two of a million patients share a pseudonym once in 37 million stores


def make_pseudonym(patient: str, key: bytes = b"") -> str:
    """A name for a patient that only who has the key can find again, by trying names: keyed BLAKE2b (RFC 7693).

    Patient IDs are few enough to be tried one after another, so without a key it tells who the patient is: so do the
    pseudonyms of stores that older versions have made. The split depends on the name without a key, which is never
    stored as it is, so that a patient is in the same split everywhere.

    Args:
        patient: who it is; a file name that stands for a patient may be no UTF-8.
        key: `data.keys.load_key`.
    """
    plain = patient.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(plain, digest_size=PSEUDONYM_BYTES, key=key, person=b"ganatomy patient").hexdigest()


def mask_hash(digest: str, pseudonym: str, key: bytes) -> str:
    """A hash without a key exclusive-or a keyed pad of its own; the same call takes the mask off again.

    A part of a store keeps the hash of an identity so until all parts are there and the split can be made.
    """
    pad = hashlib.blake2b(pseudonym.encode(), digest_size=PSEUDONYM_BYTES, key=key, person=b"ganatomy split").digest()
    return bytes(a ^ b for a, b in zip(bytes.fromhex(digest), pad, strict=True)).hex()


def assign_splits(patients: list[str], seed: int = 0) -> dict[str, str]:
    """Pseudonym without a key -> split. Patients are ranked by a hash, so it never depends on the order of files.

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
