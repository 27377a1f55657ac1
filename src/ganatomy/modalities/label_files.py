"""Label maps beside images: which files hold the classes of a case, and which values stand for which class.

A rule names a class and a pattern of files, relative to the folder of the image. ``{stem}`` in it stands for the name
of the image without its suffix, or for the name of the folder of a series. A file that a pattern can match with any
stem is a mask and never an image. Each rule has to match exactly one file for each image.
"""

import fnmatch
import glob
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ganatomy.channels import BACKGROUND, MAX_CLASSES, ONE_IMAGE, Channels, LabelChannel
from ganatomy.errors import Refused
from ganatomy.imaging.nifti import NIFTI_SUFFIXES
from ganatomy.modalities.folder import FolderListing

STEM = "{stem}"
ABOVE = ".."
VALUES = re.compile(r"(?P<pattern>.+):(?P<values>[0-9]+(,[0-9]+)*)")
MAX_VALUE = 2**31 - 1
EXAMPLES = "such as --labels lung={stem}_lung.nii.gz, or --labels lesion={stem}_seg.nii.gz:2 for a value of a map"


@dataclass(frozen=True)
class LabelRule:
    """A class, the files that hold it, and its values in them.

    Args:
        name: name of the class.
        pattern: pattern of files, relative to the folder of an image, with ``{stem}`` for the image's name.
        values: the values of the class in these files; empty = the only value that is not zero.
    """

    name: str
    pattern: str
    values: tuple[int, ...] = ()

    def __str__(self) -> str:
        values = ",".join(map(str, self.values))
        return f"{self.name}={self.pattern}{f':{values}' if values else ''}"

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The pattern by folders, without those that lead upwards."""
        return tuple(part for part in self.pattern.split("/") if part != ABOVE)

    @cached_property
    def levels_up(self) -> int:
        """How many folders upwards of the image the pattern begins."""
        return self.pattern.split("/").count(ABOVE)

    def can_match(self, name: str) -> bool:
        """Whether a file below the raw folder is a mask by this rule for an image of any name in any folder."""
        last = name.split("/")[-len(self.parts) :]
        wanted = [part.replace(STEM, "*") for part in self.parts]
        return len(last) == len(wanted) and all(map(fnmatch.fnmatchcase, last, wanted))


@dataclass(frozen=True)
class LabelSource:
    """The classes of the label maps of a raw folder.

    Args:
        rules: one for each class, in the order of their numbers. Where classes overlap, the later one counts.
    """

    rules: tuple[LabelRule, ...] = ()

    @property
    def channels(self) -> Channels:
        """The channels of a case that is read with these rules."""
        return (*ONE_IMAGE, LabelChannel(classes=tuple(rule.name for rule in self.rules))) if self.rules else ONE_IMAGE

    def describe(self) -> list[str]:
        """The rules as they are written in a command."""
        return [str(rule) for rule in self.rules]

    def leave_out_masks(self, listing: FolderListing) -> FolderListing:
        """The listing without the masks.

        Raises:
            Refused: a rule matches no file, or no other file is left.
        """
        names = [name for _, name in listing.files]
        for rule in self.rules:
            if names and not any(map(rule.can_match, names)):
                raise Refused(
                    f"--labels {rule} matches no file below {listing.root}; give a pattern relative to the folder of"
                    f" an image, {EXAMPLES}."
                )
        images = [(path, name) for path, name in listing.files if not any(rule.can_match(name) for rule in self.rules)]
        if self.rules and names and not images:
            raise Refused(
                f"--labels {', '.join(self.describe())} matches every file below {listing.root}, so that no image is"
                f" left; give a pattern that only masks match, {EXAMPLES}."
            )
        return replace(listing, files=images)

    def find_masks(
        self, images: Iterable[tuple[Path, ...]], listing: FolderListing
    ) -> list[tuple[tuple[Path, ...], ...]]:
        """Find the masks of each image.

        Args:
            images: the files of each image.
            listing: all files below the raw folder.

        Returns:
            For each image and each rule, the files that match.

        Raises:
            Refused: two images have the same mask.
        """
        index, names = _Index(listing), {path: name for path, name in listing.files}
        found, owners = [], dict[Path, str]()
        for paths in images:
            folder, stem = _locate(paths, names, listing.root)
            masks = tuple(tuple(index.match(rule, folder, stem)) for rule in self.rules)
            for mask in {path for paths_of_rule in masks for path in paths_of_rule}:
                if mask in owners:
                    raise Refused(
                        f"{names[mask]} is the mask of two images, {owners[mask]} and {names[paths[0]]}; write {STEM}"
                        " into the pattern of --labels, which stands for the name of an image without its suffix."
                    )
                owners[mask] = names[paths[0]]
            found.append(masks)
        return found


def make_label_source(given: Mapping[str, str] | None) -> LabelSource:
    """Make the source from what a verb is given: the pattern of each class, with its values behind a colon if any.

    Raises:
        Refused: a name, pattern or value is not accepted.
    """
    rules = tuple(_parse_rule(name, text) for name, text in (given or {}).items())
    if len(rules) > MAX_CLASSES:
        raise Refused(f"--labels names {len(rules)} classes; at most {MAX_CLASSES} are accepted.")
    taken: dict[tuple[str, int], str] = {}
    for rule in rules:
        for value in rule.values:
            if (earlier := taken.get((rule.pattern, value))) is not None:
                raise Refused(f"--labels {rule}: the value {value} is {earlier} already; give it once.")
            taken[rule.pattern, value] = rule.name
    return LabelSource(rules)


def _parse_rule(name: str, text: str) -> LabelRule:
    parsed = VALUES.fullmatch(text)
    pattern = posixpath.normpath((parsed["pattern"] if parsed else text).replace("\\", "/")) if text else ""
    values = tuple(map(int, parsed["values"].split(","))) if parsed else ()
    told = f"--labels {name}={text}"
    if not name or name == BACKGROUND:
        raise Refused(f"{told}: a class has a name of its own, other than {BACKGROUND}, {EXAMPLES}.")
    parts = pattern.split("/")
    if not pattern or pattern.startswith("/") or "**" in parts or parts[-1] in (".", ABOVE):
        raise Refused(f"{told}: give a pattern of files relative to the folder of an image, {EXAMPLES}.")
    if any(not 0 < value <= MAX_VALUE for value in values):
        raise Refused(f"{told}: give values above zero, which stands for the background.")
    return LabelRule(name, pattern, values)


def _locate(paths: tuple[Path, ...], names: Mapping[Path, str], root: Path) -> tuple[str, str]:
    """Find the folder of an image below the raw folder, and what ``{stem}`` stands for."""
    folder = posixpath.commonpath([posixpath.dirname(names[path]) or "." for path in paths])
    folder = "" if folder == "." else folder
    if len(paths) > 1:
        return folder, posixpath.basename(folder) or root.name
    name = posixpath.basename(names[paths[0]])
    suffix = next((suffix for suffix in NIFTI_SUFFIXES if name.lower().endswith(suffix)), posixpath.splitext(name)[1])
    return folder, name[: len(name) - len(suffix)]


@dataclass
class _Index:
    """The files of a listing by folder."""

    listing: FolderListing
    _folders: dict[str, dict[str, Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path, name in self.listing.files:
            folder, base = posixpath.split(name)
            self._folders.setdefault(folder, {})[base] = path

    def match(self, rule: LabelRule, folder: str, stem: str) -> Iterator[Path]:
        """Find the files that a rule matches for an image."""
        above = folder.split("/") if folder else []
        if rule.levels_up > len(above):
            return
        start = [glob.escape(part) for part in above[: len(above) - rule.levels_up]]
        *folders, last = (part.replace(STEM, glob.escape(stem)) for part in rule.parts)
        for files in self._find_folders([*start, *folders]):
            if _is_plain(last):
                if (path := files.get(_unescape(last))) is not None:
                    yield path
            else:
                yield from (files[name] for name in sorted(files) if fnmatch.fnmatchcase(name, last))

    def _find_folders(self, parts: list[str]) -> Iterator[dict[str, Path]]:
        if all(map(_is_plain, parts)):
            yield self._folders.get("/".join(map(_unescape, parts)), {})
            return
        for folder in sorted(self._folders):
            found = folder.split("/")
            if len(found) == len(parts) and all(map(fnmatch.fnmatchcase, found, parts)):
                yield self._folders[folder]


def _unescape(part: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", part)


def _is_plain(part: str) -> bool:
    """Whether a part of a pattern matches one name only."""
    return not glob.has_magic(re.sub(r"\[[*?[]\]", "", part))
