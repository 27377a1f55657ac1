"""A model that is steered: the image that seed, number, facts, truncation and sliders choose, or its draft."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ganatomy.config import Config
from ganatomy.data.samples import Sample
from ganatomy.directions import FIRST_MOVED_NUMBER, WALK_REACH, MovedSamples
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.image import Image
from ganatomy.library.model import Model
from ganatomy.machine.device import select_device
from ganatomy.machine.places import check_writable, hold_output
from ganatomy.modalities.table import get_modality
from ganatomy.sampling import list_facts, make_draft, sample
from ganatomy.studio.envelope import encode_shown_image
from ganatomy.studio.maker import Maker
from ganatomy.studio.shelves import MODEL_SEED, SYNTHETIC, Shelf, shelve_model

DRAFT_LANE, IMAGE_LANE = "draft", "image"


class Position(Config):
    """Where the controls of the page stand.

    Args:
        seed, number: of the sample from which the sliders start.
        facts: wanted facts; those not named are chosen as `ganatomy.sample` chooses them.
        truncation: as in `ganatomy.sample`.
        moves: position along each direction, in standard deviations of a code's component, by the direction's name.
    """

    seed: int = Field(0, ge=0, lt=2**63)
    number: int = Field(0, ge=0, lt=FIRST_MOVED_NUMBER)
    facts: dict[str, str] = Field(default_factory=dict)
    truncation: Annotated[float, Field(gt=0, le=10)] | None = None
    moves: dict[str, Annotated[float, Field(ge=-WALK_REACH, le=WALK_REACH)]] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a list shows."""
        moved = "".join(f", {name} {value:+.1f}" for name, value in self.moves.items())
        return f"seed {self.seed}, number {self.number}{moved}"


class Steering:
    """Makes the images of one model, one after another.

    Args:
        model: the model.
        maker: the thread in which images are made.
    """

    def __init__(self, model: Model, maker: Maker) -> None:
        self.model, self._maker = model, maker
        self.kind = get_modality(model.modality)()
        self.moved = MovedSamples(model.snapshot)
        model.snapshot.keep_network("generator", select_device(None))

    def shelve_samples(self) -> Shelf:
        """Make the shelf of the model's first samples, which are made when they are looked at."""
        return shelve_model(self.model, lambda place: self._maker.do(lambda: self._draw_plain(place)))

    def describe(self) -> dict[str, Any]:
        """Describe the controls that the model has."""
        snapshot = self.model.snapshot
        space, generator = list_facts(snapshot), snapshot.recipe.networks["generator"]
        return {
            "model": snapshot.recipe.name,
            "kimg": snapshot.images / 1000,
            "shape": list(self.model.shape),
            "facts": {name: list(values) for name, values in space.facts.items()},
            "numbers": {name: [scale.low, scale.high] for name, scale in space.numbers.items()},
            "truncation": generator.truncation_place == "code",
            "drafts": generator.makes_drafts,
            "reach": WALK_REACH,
            "formats": list(self.kind.formats),
        }

    def learn(self) -> list[dict[str, Any]]:
        """Learn the directions of the sliders; the first call takes as long as the images from which it learns."""
        found = self._maker.do(lambda: self.moved.directions)
        return [{"name": one.name, "r2": round(one.r2, 3)} for one in found.values()]

    def draw(self, position: Position, draft: bool) -> bytes:
        """Make the image of a position, or its draft, and encode it with what is measured on it.

        Raises:
            ReplacedError: a newer position came before this one was begun.
            Refused: a fact or direction is unknown.
        """
        if draft:
            return self._maker.do(lambda: self._encode_draft(position), DRAFT_LANE)
        return self._maker.do(lambda: self._encode_image(position), IMAGE_LANE)

    def write_samples(self, positions: list[Position], folder: Path, to: str) -> int:
        """Write the samples of positions as ``ganatomy sample`` writes its own; returns their number.

        Args:
            positions: as a list of liked samples holds them; a sample that was moved gets a number of its own.
            folder: a new or empty folder.
            to: format of the files.

        Raises:
            Refused: a fact, direction or format is unknown, or the folder holds something else.
        """
        check_writable(folder)
        with hold_output(folder):
            images = (self._make_when_free(one, place) for place, one in enumerate(positions))
            return write_samples(images, len(positions), self.model.modality, folder, to)

    def _make_when_free(self, at: Position, place: int) -> Sample:
        return self._maker.do(lambda: self._make(at, place))

    def _make(self, at: Position, place: int = 0) -> Sample:
        if not at.moves:
            return next(sample(self.model.snapshot, 1, at.seed, at.facts, at.truncation, first=at.number))
        index = FIRST_MOVED_NUMBER + place
        return self.moved.make_sample(at.seed, at.number, at.moves, at.facts, at.truncation, index)

    def _draw_plain(self, number: int) -> Image:
        return next(sample(self.model.snapshot, 1, MODEL_SEED, first=number))[0]

    def _encode_image(self, position: Position) -> bytes:
        image, record = self._make(position)
        measures = self.kind.measure_image(self.kind.denormalise(image))
        told = {name: value for name, value in measures.items() if value == value}  # JSON has no nan
        about = {"name": position.name, "warning": SYNTHETIC, "record": record, "measures": told, "draft": False}
        return encode_shown_image(image, self.kind, about)

    def _encode_draft(self, at: Position) -> bytes:
        facts = list_facts(self.model.snapshot).choose_facts(at.facts, at.number, at.seed)
        code = self.moved.find_code(at.seed, at.number, at.truncation, at.moves)
        image = make_draft(self.model.snapshot, code, facts)
        about = {"name": at.name, "warning": SYNTHETIC, "record": {}, "measures": {}, "draft": True}
        return encode_shown_image(image, self.kind, about)
