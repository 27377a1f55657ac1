"""The key of pseudonyms: random, made once, kept outside every store.

A Patient ID has often six digits, so a hash without a key tells it to anybody who tries all of them. Who has the key
and a store can still do so: the key stays where the patients' names may be. All stores made with one key give a patient
the same pseudonym, so that two of them can be searched for patients that they share.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ganatomy.errors import Refused

KEY_VARIABLE = "GANATOMY_PSEUDONYM_KEY"  # of the environment: path of the key's file
KEY_BYTES = 32
KEY_MODE = 0o600  # for its owner alone


@dataclass(frozen=True)
class PseudonymKey:
    """A key and where it is kept.

    Args:
        secret: what pseudonyms are made with.
        path: its file; None = it was given as it is.
    """

    secret: bytes
    path: Path | None = None

    @property
    def name(self) -> str:
        """Tells one key from another without telling the key."""
        return hashlib.blake2b(self.secret, digest_size=8, person=b"ganatomy key").hexdigest()


def find_key_path() -> Path:
    """Where the key is kept unless told: `KEY_VARIABLE`, or the user's folder of settings."""
    if given := os.environ.get(KEY_VARIABLE):
        return Path(given)
    settings = os.environ.get("XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "ganatomy" / "pseudonyms.key"


def load_key(path: Path | None = None, outside: Path | None = None) -> PseudonymKey:
    """The key of a file; a new one where there is no file. Of several processes that begin at once one makes it.

    Args:
        path: the file; None = `find_key_path`.
        outside: a folder that the key must not be in, since it is given to others.

    Raises:
        Refused: the file holds something else, cannot be read or made, or lies in `outside`.
    """
    try:
        path = (path or find_key_path()).expanduser()
    except RuntimeError as error:
        raise Refused(
            f"No folder of settings for the key of pseudonyms is known ({error}); give --key FILE."
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
            f"The key of pseudonyms {path} cannot be read or made ({error.strerror}); give a file that can: --key FILE."
        ) from error
    except ValueError as error:
        raise Refused(f"{path} holds no key of pseudonyms; give another file: --key FILE.") from error
    if len(secret) != KEY_BYTES:
        raise Refused(f"{path} holds {len(secret)} bytes, and a key has {KEY_BYTES}; give another file: --key FILE.")
    return PseudonymKey(secret, path)


def _make_key(path: Path) -> None:
    """Write a new key beside, then give it its name, which fails if another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, KEY_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)  # unlike a renaming, it never takes the place of another process's key
    finally:
        temporary.unlink(missing_ok=True)
