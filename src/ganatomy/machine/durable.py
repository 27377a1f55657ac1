"""Durable writing: files are written beside their target, synchronised to disk and renamed, so none is incomplete."""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ganatomy.errors import Refused
from ganatomy.machine.places import DISK_FULL_ERRORS, get_temporary_path


@contextmanager
def new_file(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` when the block succeeds, and removed when it fails.

    Args:
        path: the file that is written.
        sync: wait for the disk, so that a power cut cannot undo the write. A caller that writes many files that belong
            together passes False and calls `sync_tree` before it writes the file that marks them as complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = get_temporary_path(path)
    try:
        with _refuse_when_full(path):
            yield temporary
            if sync:
                _sync(temporary)
            os.replace(temporary, path)
            if sync:
                _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` when the block succeeds, and removed when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = get_temporary_path(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with _refuse_when_full(path):
            yield temporary
            for file in temporary.iterdir():
                _sync(file)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder; a process that is killed leaves it complete, or leaves what `remove_leftovers` removes."""
    temporary = get_temporary_path(path)
    os.replace(path, temporary)
    shutil.rmtree(temporary)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8; bytes of file names that are not UTF-8 are written as escapes."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write JSON as ASCII, because a file name that is not UTF-8 has surrogates, which UTF-8 cannot encode."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, as ASCII, so that no Unicode line separator in a name breaks a line."""
    with new_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a file that `write_lines` wrote.

    Raises:
        Refused: the file is missing, or one of its lines is not a JSON object.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"{path} cannot be read ({_get_first_line(error)}); restore it or make it again.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise Refused(f"{path} has lines that are not JSON objects; restore it or make it again.")
    return rows


def _get_first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def compute_sha256(path: Path | zipfile.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """Compute SHA-256 of a JSON value, independent of spaces and the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_json(path: Path | zipfile.Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Refused: the file is missing or is not a complete JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise Refused(f"{path} cannot be read ({_get_first_line(error)}); restore it or make it again.") from error
    if not isinstance(content, dict):
        raise Refused(f"{path} is not a JSON object; restore it or make it again.")
    return content


def sync_tree(folder: Path) -> None:
    """Wait until every file below `folder` is on the disk."""
    for path in (folder, *folder.rglob("*")):
        _sync(path)


@contextmanager
def _refuse_when_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        raise Refused(
            f"The disk is full: {path} could not be written, and no incomplete file was left. Free some space or give"
            " another folder, then give the same command again."
        ) from error


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened on Windows
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
