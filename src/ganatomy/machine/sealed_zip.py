"""Zip files that end with a hash of themselves, which reveals a change of any byte, including headers.

The comment of the archive is the SHA-256 of all bytes before its 64 digits. Any program can open the archive, and ours
check it. Members are stored without compression and with the same date, so that the same content makes the same file.
"""

import hashlib
import re
import zipfile
from pathlib import Path

from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256, new_file

DIGITS = 64  # hexadecimal digits of a SHA-256
LABEL = b"sha256:"
SUMS_FILE = "SHA256SUMS"  # a member with the hashes of all other members, in the format of sha256sum
DATE = (1980, 1, 1, 0, 0, 0)  # date of every member, the earliest that a zip can store
SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
PIECE = 2**20  # bytes that are hashed at a time


def write_sealed_zip(path: Path, folder: Path) -> None:
    """Pack all files below a folder with a list of their hashes; the file is written atomically."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    sums = "".join(f"{compute_sha256(file)}  {name}\n" for name, file in files.items())
    with new_file(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, file in files.items():
                with file.open("rb") as content, archive.open(zipfile.ZipInfo(name, DATE), "w") as member:
                    while piece := content.read(PIECE):
                        member.write(piece)
            archive.writestr(zipfile.ZipInfo(SUMS_FILE, DATE), sums)
            archive.comment = LABEL + b"0" * DIGITS
        with temporary.open("r+b") as written:
            written.seek(-DIGITS, 2)
            end = written.tell()
            digest = _hash_beginning(temporary, end)
            written.seek(end)
            written.write(digest)


def check_sealed_zip(path: Path, what: str) -> None:
    """Check that a file is a sealed zip and has not been changed.

    Args:
        path: the file.
        what: a word for the message that says what the file should be, such as ``bundle``.

    Raises:
        Refused: the file is not a sealed zip, was changed, or has members that we never write.
    """
    if not zipfile.is_zipfile(path):
        raise Refused(f"{path} is not a {what}: it is not a zip file or is incomplete; get it again.")
    with path.open("rb") as file:
        file.seek(-min(DIGITS + len(LABEL), path.stat().st_size), 2)
        label, told = file.read(len(LABEL)), file.read()
    if label != LABEL or _hash_beginning(path, path.stat().st_size - DIGITS) != told:
        raise Refused(f"{path} is not a {what}, or was changed since it was written (SHA-256 differs); get it again.")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not SAFE_NAME.fullmatch(member.filename) or member.compress_type != zipfile.ZIP_STORED:
                raise Refused(f"{path} is not a {what}: it contains {member.filename!r}, which ganatomy never writes.")


def _hash_beginning(path: Path, size: int) -> bytes:
    """Compute SHA-256 of the first bytes of a file, as digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (piece := file.read(min(PIECE, size))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest().encode()
