"""Output places of a command: checked before the work begins, locked for one command, and cleared of leftovers."""

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
except ImportError:  # Windows has no flock; there, two commands can write to one place at the same time
    fcntl = None  # type: ignore[assignment]

PROBE_BYTES = 4096  # one block, which cannot be written on a full disk
LOCK_POLL_SECONDS = 0.05
LOCK_SUFFIX = ".lock"
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_writable(path: Path, folder: bool = True) -> None:
    """Check that a folder, or a file, can be made or written at `path`; nothing remains of the check.

    Raises:
        Refused: there is a file where a folder should be or vice versa, or the system does not permit writing.
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
        path: the path that could not be used; None = the path that the error names.
    """
    names = (error.filename, error.filename2)
    where = path or " and ".join(str(name) for name in names if name is not None)
    if error.errno in DISK_FULL_ERRORS:
        return f"The disk is full{f' ({where})' if where else ''}. Free some space, then give the same command again."
    return f"{where} cannot be used: {error.strerror or error}. Give another path, or change its permissions."


@contextmanager
def hold_lock(file: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock of the operating system (flock), which ends with this process in any case.

    The empty lock file is removed afterwards; the lock file of a killed process is reused.

    Args:
        file: the lock file, which is empty or does not exist.
        refusal: message for the user if another process holds the lock.
        patience: seconds to wait for the lock.

    Raises:
        Refused: another process holds the lock.
    """
    if fcntl is None:
        yield
        return
    descriptor = _acquire(file, refusal, time.monotonic() + patience)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # removed while it is held, so that a waiting process sees that it is outdated
        os.close(descriptor)


def _acquire(file: Path, refusal: str, deadline: float) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        except FileNotFoundError:
            pass  # the previous holder removed the file after we opened it and before we locked it
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Refused(refusal) from error
            time.sleep(LOCK_POLL_SECONDS)
        os.close(descriptor)


@contextmanager
def hold_output(path: Path) -> Iterator[None]:
    """Reserve `path` for this command, and remove incomplete files that a killed command left beside it and in it.

    Raises:
        Refused: another command is writing there.
    """
    created = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _hold_parent(path):
            yield
    finally:
        for folder in created:  # after a refusal, no empty folders remain
            with suppress(OSError):
                folder.rmdir()


def is_locked(file: Path) -> bool:
    """Return whether a process holds the lock of a lock file; False where the system has no such locks.

    A process that asks for the lock in the same microseconds as this look is refused, as if another held it.
    """
    if fcntl is None:
        return False
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def get_lock_file(path: Path) -> Path:
    """Return the lock file of `path`: an empty hidden file beside it, which exists only while a command writes."""
    return path.with_name(f".{path.name}{LOCK_SUFFIX}")


@contextmanager
def _hold_parent(path: Path) -> Iterator[None]:
    if not os.access(path.parent, os.W_OK):  # `path` is mounted in a folder that is not writable: no lock is possible
        yield
        return
    refusal = f"Another command is writing {path}; wait until it has ended, or give another path."
    with hold_lock(get_lock_file(path), refusal):
        for name in {path.name, path.with_suffix(".png").name}:  # a table has a picture of the same name
            remove_leftovers(path.parent, name)
        remove_leftovers(path)
        yield


def get_temporary_path(path: Path) -> Path:
    """Return the temporary path at which this process writes the later `path`."""
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
