"""The key of pseudonyms: random, made once, and kept outside every store.

A Patient ID often has six digits, so anybody can find the ID of a hash without a key by trying all IDs. Somebody with
the key and a store can still do so; keep the key where patients' names may be kept. Stores that are made with the same
key give a patient the same pseudonym, so that they can be searched for patients in common.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganatomy.errors import Refused

KEY_VARIABLE = "GANATOMY_PSEUDONYM_KEY"  # environment variable with the path of the key's file
KEY_BYTES = 32
KEY_MODE = 0o600  # readable and writable by the owner only


@dataclass(frozen=True)
class PseudonymKey:
    """A key and its file.

    Args:
        secret: the bytes of the key.
        path: the key's file; None = the key was given without a file.
    """

    secret: bytes
    path: Path | None = None

    @property
    def name(self) -> str:
        """An identifier that distinguishes keys without revealing the key."""
        return hashlib.blake2b(self.secret, digest_size=8, person=b"ganatomy key").hexdigest()


def find_key_path() -> Path:
    """Find the default path of the key: `KEY_VARIABLE`, or a file in the user's configuration folder."""
    if given := os.environ.get(KEY_VARIABLE):
        return Path(given)
    settings = os.environ.get("XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "ganatomy" / "pseudonyms.key"


def load_key(path: Path | None = None, outside: Path | None = None) -> PseudonymKey:
    """Load the key of a file, and make it if there is no file; if several processes begin at once, one makes it.

    Args:
        path: the file; None = `find_key_path`.
        outside: a folder that must not contain the key because it is given to others, such as a store.

    Raises:
        Refused: the file is not a key, cannot be read or made, or lies in `outside`.
    """
    try:
        path = (path or find_key_path()).expanduser()
    except RuntimeError as error:
        raise Refused(
            f"There is no configuration folder for the key of pseudonyms ({error}); give --key FILE."
        ) from error
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise Refused(f"The key {path} would lie in the store {outside}; keep it elsewhere: --key FILE.")
    try:
        if not path.exists():
            _make_key(path)
        text = path.read_text(encoding="ascii").strip()
        secret = bytes.fromhex(text)
    except OSError as error:
        raise Refused(
            f"The key of pseudonyms {path} cannot be read or made ({error.strerror}); give another file: --key FILE."
        ) from error
    except ValueError as error:
        raise Refused(f"{path} holds no key of pseudonyms; give another file: --key FILE.") from error
    if len(secret) != KEY_BYTES:
        raise Refused(f"{path} holds {len(secret)} bytes, and a key has {KEY_BYTES}; give another file: --key FILE.")
    return PseudonymKey(secret, path)


def _make_key(path: Path) -> None:
    """Write a new key into a temporary file, then link it to its name, which fails if another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, KEY_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)  # unlike renaming, linking never replaces the key of another process
    finally:
        temporary.unlink(missing_ok=True)
