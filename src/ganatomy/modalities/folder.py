"""The files of a raw folder, in a fixed order: every path is a file to read, left out with a reason, or skipped.

Links are followed once. A folder that cannot be read, a link that leads nowhere, a named pipe, a socket and a device
are rows with a reason, since each may stand for images that somebody believes to be in the set. What is no image by its
name is skipped by a rule with a name (`SKIP_RULES`); a skipped folder is one row, and nothing in it is looked at.
"""

import os
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ganatomy.errors import Refused
from ganatomy.machine.places import LOCK_SUFFIX, get_lock_file

TABLE_SUFFIXES = (".csv", ".tsv", ".xls", ".xlsx")
SYSTEM_NAMES = ("thumbs.db", "desktop.ini", "__macosx")  # left in folders of images by desktops, in lower case
HIDDEN, TABLE, DICOM_DIRECTORY, SYSTEM, STORE = "hidden", "table", "DICOMDIR", "system file", "store of ours"
KNOWN_FOLDER, KNOWN_FILE = "link to a folder that is listed already", "link to a file that is listed already"
FOLDER_ABOVE = "link to a folder above"
SKIP_RULES = {
    HIDDEN: "the name begins with a dot",
    TABLE: f"the name ends in {', '.join(TABLE_SUFFIXES)}",
    DICOM_DIRECTORY: "an index of a DICOM medium, without images of its own (PS3.10 section 8.6)",
    SYSTEM: f"one of {', '.join(SYSTEM_NAMES)}, in any case of letters",
    STORE: "the folder given as --out, or another that prepare has made",
    KNOWN_FOLDER: "its files count once, under the folder's own name",
    KNOWN_FILE: "the file counts once, under its own name",
    FOLDER_ABOVE: "it leads to a folder that holds the raw folder itself",
}
SPECIAL_FILES = (  # what `stat` tells of a path that is neither a file nor a folder
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
SPECIAL_KINDS = tuple(dict.fromkeys(word for _, word in SPECIAL_FILES))  # paths that never hold an image
STORE_MARKS = (("plan.json", "arrays"), ("balance.json", "quarantine.jsonl"))  # names that tell a store of ours


@dataclass
class FolderListing:
    """What is below a folder; every path is in exactly one of the three lists.

    Args:
        root: the folder.
        files: regular files that may be read, with their paths below the root, in a fixed order.
        left_out: rows ``file``, ``reason``, ``detail`` of paths that cannot be read.
        skipped: rows ``file``, ``rule`` of paths that are no images by their names, or are listed elsewhere.
    """

    root: Path
    files: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    @property
    def total_paths(self) -> int:
        return len(self.files) + len(self.left_out) + len(self.skipped)


def list_folder(raw: Path, out: Path | None = None) -> FolderListing:
    """Look through a folder.

    Args:
        raw: the folder.
        out: a folder that is being written and may lie below `raw`; it is skipped.

    Raises:
        Refused: `raw` is missing, is no folder, or cannot be read.
    """
    if not raw.is_dir():
        raise Refused(f"{raw} is not a folder; give the folder that holds the raw files.")
    walk = _Walk(raw, out)
    if any(row["file"] == "." for row in walk.listing.left_out):
        raise Refused(f"{raw} cannot be read ({walk.listing.left_out[0]['detail']}); ask for the right to read it.")
    return walk.listing


def list_files(raw: Path) -> list[tuple[Path, str]]:
    """List the regular files below a folder, as `list_folder` finds them.

    Raises:
        Refused: the folder is missing or has no file that can be read; the message says what it has instead.
    """
    listing = list_folder(raw)
    if not listing.files:
        raise refuse_empty_folder(listing)
    return listing.files


def refuse_empty_folder(listing: FolderListing) -> Refused:
    """Make the error that a folder has no file to read; its message says what the folder holds instead."""
    others = [f"{row['file']} ({row['reason']})" for row in listing.left_out]
    others += [f"{row['file']} ({row['rule']})" for row in listing.skipped]
    told = f" but {len(others)} other paths, such as {others[0]}" if others else ""
    return Refused(f"{listing.root} holds no file{told}; give the folder that holds the raw files.")


class _Walk:
    """Walks real folders depth first, then links, so that a file is listed under its own name if it has one."""

    def __init__(self, root: Path, out: Path | None) -> None:
        self.listing = FolderListing(root)
        self._real_root = os.path.realpath(root)
        self._out = None if out is None or not out.exists() else _identify(str(out))
        self._lock = None if out is None else _identify(str(get_lock_file(out)))  # of the command in hand
        self._folders: set[tuple[int, int]] = set()  # device and inode of every folder that was entered
        self._links: deque[tuple[str, str]] = deque()
        self._targets: set[str] = set()  # real paths of files that links lead to
        self._walk_folder(str(root), "")
        inside = {os.path.join(self._real_root, name) for _, name in self.listing.files} if self._links else set()
        while self._links:
            self._follow(*self._links.popleft(), inside)

    def _walk_folder(self, start: str, below: str) -> None:
        pending = [(start, below)]
        while pending:
            path, name = pending.pop()
            try:
                about = os.stat(path)
                with os.scandir(path) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError as error:
                self._leave_out(name or ".", "folder cannot be read", error.strerror or type(error).__name__)
                continue
            if (about.st_dev, about.st_ino) in self._folders:  # reached by a link in the meantime
                self._skip(name, KNOWN_FOLDER)
                continue
            self._folders.add((about.st_dev, about.st_ino))
            folders = [found for entry in entries if (found := self._take(entry, f"{name}/" if name else ""))]
            pending += reversed(folders)

    def _take(self, entry: os.DirEntry[str], prefix: str) -> tuple[str, str] | None:
        """Add the row for one path, or return the folder that is to be searched next."""
        name = prefix + entry.name
        if entry.name.endswith(LOCK_SUFFIX) and self._lock is not None and _identify(entry.path) == self._lock:
            return None
        if (rule := _find_rule(entry.name)) is not None:
            self._skip(name, rule)
        elif entry.is_symlink():
            self._links.append((entry.path, name))
        elif entry.is_dir(follow_symlinks=False):
            if not self._is_store(entry.path):
                return entry.path, name
            self._skip(name, STORE)
        elif entry.is_file(follow_symlinks=False):
            self._take_file(entry.path, name)
        else:
            self._take_special(entry.path, name)
        return None

    def _take_file(self, path: str, name: str) -> None:
        if os.access(path, os.R_OK):
            self.listing.files.append((Path(path), name))
        else:
            self._leave_out(name, "not readable", "there is no right to read it; change its mode")

    def _take_special(self, path: str, name: str) -> None:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            return self._leave_out(name, "not readable", error.strerror or type(error).__name__)
        kind = next((word for is_kind, word in SPECIAL_FILES if is_kind(mode)), "no file")
        self._leave_out(name, kind, "only regular files hold images; remove it from the folder")

    def _follow(self, path: str, name: str, inside: set[str]) -> None:
        target = os.path.realpath(path)
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            told = error.strerror or type(error).__name__
            goal = os.readlink(path)
            return self._leave_out(name, "dangling link", f"{told}: {goal}; fetch what it leads to, or remove it")
        if stat.S_ISDIR(mode):
            self._follow_folder(path, name, target)
        elif not stat.S_ISREG(mode):
            self._take_special(path, name)
        elif target in inside or target in self._targets:
            self._skip(name, KNOWN_FILE)
        else:
            self._targets.add(target)
            self._take_file(path, name)

    def _follow_folder(self, path: str, name: str, target: str) -> None:
        if os.path.commonpath([self._real_root, target]) == target:
            self._skip(name, FOLDER_ABOVE if target != self._real_root else KNOWN_FOLDER)
        elif self._is_store(path):
            self._skip(name, STORE)
        else:
            self._walk_folder(path, name)

    def _is_store(self, path: str) -> bool:
        if self._out is not None and _identify(path) == self._out:
            return True
        return any(all(os.path.exists(os.path.join(path, mark)) for mark in marks) for marks in STORE_MARKS)

    def _leave_out(self, name: str, reason: str, detail: str) -> None:
        self.listing.left_out.append({"file": name, "reason": reason, "detail": detail})

    def _skip(self, name: str, rule: str) -> None:
        self.listing.skipped.append({"file": name, "rule": rule})


def _identify(path: str) -> tuple[int, int] | None:
    """Return device and inode, which are the same under every name of a folder; None if they cannot be read."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _find_rule(name: str) -> str | None:
    """Find the rule by which a path is skipped for its name alone."""
    lower = name.lower()
    if name.startswith("."):
        return HIDDEN
    if lower.endswith(TABLE_SUFFIXES):
        return TABLE
    if lower == "dicomdir":
        return DICOM_DIRECTORY
    return SYSTEM if lower in SYSTEM_NAMES else None
