"""Where a command will write: tried before the work begins, held by one command, cleared of leftovers."""

import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganatomy.errors import Refused

try:
    import fcntl
except ImportError:  # Windows has no flock; there two commands at once are not told apart
    fcntl = None  # type: ignore[assignment]

PROBE_BYTES = 4096  # one block: on a full disk not even that can be written
LOCK_POLL_SECONDS = 0.05
LOCK_SUFFIX = ".lock"
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_writable(path: Path, folder: bool = True) -> None:
    """Whether a folder, or a file, can be made or written there; nothing is left.

    Raises:
        Refused: a file is where a folder should be or the other way round, or the system does not let us write there.
    """
    if path.exists() and path.is_dir() != folder:
        wanted, found = ("folder", "file") if folder else ("file", "folder")
        raise Refused(f"{path} is a {found} and not a {wanted}; give another name.")
    place = path if folder else path.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise Refused(f"{place} is a file and not a folder, so that {path} cannot be made; give another name.")
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            file.write(b"\0" * PROBE_BYTES)
    except OSError as error:
        raise Refused(describe_system_error(error, place)) from error


def describe_system_error(error: OSError, path: Path | str | None = None) -> str:
    """Describe an error of the operating system in a sentence for the user.

    Args:
        error: the error.
        path: what could not be used; None = what the error names.
    """
    names = (error.filename, error.filename2)
    where = path or " and ".join(str(name) for name in names if name is not None)
    if error.errno in DISK_FULL_ERRORS:
        return f"The disk is full{f' ({where})' if where else ''}. Free some space, then give the same command again."
    return f"{where} cannot be used: {error.strerror or error}. Give another place, or change what may be done there."


@contextmanager
def hold_lock(file: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock of the operating system (flock), which ends with this process, however it ends.

    The empty file is removed afterwards; one that a killed process left is taken over.

    Args:
        file: absent, or empty.
        refusal: what the user is told where another process holds it.
        patience: seconds to wait for it.

    Raises:
        Refused: another process holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = _acquire(file, refusal, time.monotonic() + patience)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is held: who waits on this file sees that it is no longer the one
        os.close(descriptor)


def _acquire(file: Path, refusal: str, deadline: float) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        except FileNotFoundError:
            pass  # its holder has removed it between our opening and locking it
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Refused(refusal) from error
            time.sleep(LOCK_POLL_SECONDS)
        os.close(descriptor)


@contextmanager
def hold_output(path: Path) -> Iterator[None]:
    """Be the only command that writes `path`, and remove what a killed one left half-written beside it and in it.

    Raises:
        Refused: another command is writing there.
    """
    created = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _hold_parent(path):
            yield
    finally:
        for folder in created:  # a command that was refused leaves none behind
            with suppress(OSError):
                folder.rmdir()


def get_lock_file(path: Path) -> Path:
    """The lock of what is written at `path`: an empty hidden file beside it, there only while a command writes."""
    return path.with_name(f".{path.name}{LOCK_SUFFIX}")


@contextmanager
def _hold_parent(path: Path) -> Iterator[None]:
    if not os.access(path.parent, os.W_OK):  # a mounted folder in one that is not ours: no lock, and nothing beside it
        yield
        return
    refusal = f"Another command is writing {path}; wait until it has ended, or give another place."
    with hold_lock(get_lock_file(path), refusal):
        for name in {path.name, path.with_suffix(".png").name}:  # a table has a picture of the same name
            remove_leftovers(path.parent, name)
        remove_leftovers(path)
        yield


def get_temporary_path(path: Path) -> Path:
    """Where this process writes what is to become `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files and folders that a killed process left in `folder`.

    Args:
        folder: the folder, whose subfolders are not searched.
        name: the final name of what the process was writing; None = any name.
    """
    pattern = ".*.part" if name is None else f".{glob.escape(name)}.*.part"
    for path in list(folder.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
