"""Listing of the files of a raw folder in a fixed order."""

import os
from pathlib import Path

from ganatomy.errors import Refused


def list_files(raw: Path) -> list[tuple[Path, str]]:
    """Every file below `raw` but hidden ones and tables, sorted by path, with its path below `raw`.

    Raises:
        Refused: the folder is missing or has no file.
    """
    if not raw.is_dir():
        raise Refused(f"{raw} is not a folder; give the folder that holds the raw files.")
    found = []
    for folder, folders, names in os.walk(raw):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(".csv"):
                path = Path(folder) / name
                found.append((path, path.relative_to(raw).as_posix()))
    if not found:
        raise Refused(f"{raw} holds no file; give the folder that holds the raw files.")
    return found
