"""What a studio shows: the parts that were found at the paths it was given, each of which has its own page."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.library.model import Model
from ganatomy.library.opening import find_kind
from ganatomy.library.report import Report
from ganatomy.library.samples import Samples
from ganatomy.studies.reader_study import KEY
from ganatomy.studio.curating import Curating
from ganatomy.studio.maker import Maker
from ganatomy.studio.reading import Reading
from ganatomy.studio.shelves import Shelf, shelve_samples, shelve_store
from ganatomy.studio.steering import Steering
from ganatomy.studio.watching import WatchedRun, list_watched_runs

OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass
class Subject:
    """The parts of a studio; a page that has no part is not shown.

    Args:
        out: the folder below which the studio writes; it writes nowhere else.
        names: what was opened, for the title.
        runs: runs to watch.
        shelves: images to look at.
        steering: the model that makes images; None without one.
        curating: the samples that are accepted or rejected; None without a folder of samples.
        store: the store with whose training images samples are compared; None without one.
        report: the report; None without one.
        reading: the reader study; None without one.
        notes: sentences about what could not be opened, such as a run without a snapshot.
    """

    out: Path
    names: list[str] = field(default_factory=list)
    runs: list[WatchedRun] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)
    steering: Steering | None = None
    curating: Curating | None = None
    store: Store | None = None
    report: Report | None = None
    reading: Reading | None = None
    notes: list[str] = field(default_factory=list)
    maker: Maker = field(default_factory=Maker)

    def add_runs(self, path: Path, runs: list[WatchedRun]) -> None:
        """Add a run, or the runs of a folder; the newest snapshot of a single run is its model."""
        self.runs += runs
        if len(runs) > 1:
            return
        try:
            self.add_model(path)
        except Refused as refusal:  # it is watched all the same
            self.notes.append(str(refusal))

    def add_model(self, path: Path) -> None:
        """Add a model, which makes images."""
        self.steering = Steering(Model(path), self.maker)
        self.shelves.append(self.steering.shelve_samples())

    def add_samples(self, path: Path) -> None:
        """Add a folder of samples; the first one is curated."""
        samples = Samples(path)
        self.shelves.append(shelve_samples(samples))
        if self.curating is None:
            file = self.out / f"{path.resolve().name}-decisions.json"
            self.curating = Curating(samples, file, self.maker)

    def add_store(self, path: Path) -> None:
        """Add the cases of a store."""
        self.store = open_store(path)
        self.shelves += shelve_store(self.store)

    def add_report(self, path: Path) -> None:
        """Add a report."""
        self.report = Report(path)

    def find_output(self, name: str) -> Path:
        """Find the path of an output by its name, below the folder in which the studio writes.

        Raises:
            Refused: the name would lead elsewhere.
        """
        if not OUTPUT_NAME.fullmatch(name):
            raise Refused(
                f"{name!r} is not the name of a folder in {self.out}; give letters, figures, '-', '_' and '.', and"
                " begin with a letter or figure."
            )
        return self.out / name

    def open(self, path: Path) -> None:
        """Open a path as what it is.

        Raises:
            Refused: it is nothing that the studio shows, or it is damaged.
        """
        if runs := list_watched_runs(path):  # also those without a snapshot, which `ganatomy.open` refuses
            self.add_runs(path, runs)
        elif (path / KEY).is_file():
            self.reading = Reading(path)
        else:
            ADDERS[find_kind(path).name](self, path)
        self.names.append(path.resolve().name)


ADDERS: dict[str, Callable[[Subject, Path], None]] = {  # by the name of a kind of `library.opening`
    "a store": Subject.add_store,
    "a snapshot": Subject.add_model,
    "a bundle": Subject.add_model,
    "a folder of samples": Subject.add_samples,
    "a report": Subject.add_report,
}


def open_subject(paths: Iterable[Path], out: Path) -> Subject:
    """Open what a studio is to show.

    Args:
        paths: runs, folders of runs, snapshots, bundles, stores, folders of samples, reports.
        out: the folder below which the studio may write.

    Raises:
        Refused: a path is nothing of these, or is damaged.
    """
    subject = Subject(out)
    for path in paths:
        subject.open(path)
    return subject
