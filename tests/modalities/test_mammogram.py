"""Reading pictures with a table of facts, the grid, and the way back."""

import numpy as np
import pytest
from PIL import Image as Pillow

from ganatomy.errors import Refused
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.hanging import VIEWS, hang_views
from ganatomy.modalities.mammogram import Mammogram


def _half_disc(height, width):
    y, x = np.mgrid[:height, :width]
    return (0.8 * np.clip(1 - np.hypot((y - height / 2) / (0.4 * height), x / (0.7 * width)), 0, 1)).astype(np.float32)


@pytest.mark.parametrize("size", [(1280, 1024), (2560, 1800), (2560, 2500), (900, 700)])
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_the_way_there_and_back(size, laterality):
    kind = Mammogram(shape=(320, 256))
    image = Image(_half_disc(*size), (0.07, 0.07), {"view_position": "CC", "laterality": laterality})
    grid = kind.normalise(image)
    assert grid.shape == (320, 256)
    assert -1 <= grid.pixels.min() < grid.pixels.max() <= 1
    factor = max(size[0] / 320, size[1] / 256)
    assert grid.spacing == pytest.approx((0.07 * factor, 0.07 * factor))
    back = kind.denormalise(grid)
    assert back.shape == size
    assert back.spacing == pytest.approx((0.07, 0.07))
    hung = image.pixels[:, ::-1] if laterality == "R" else image.pixels
    assert np.abs(back.pixels - hung).mean() < 0.01


def test_padding_is_on_the_anterior_or_lower_side_only():
    kind = Mammogram(shape=(320, 256))
    white = np.ones((640, 400), np.float32)
    grid = kind.normalise(Image(white, None, {})).pixels
    assert (grid[:, :200] > 0.99).all()
    assert (grid[:, 200:] == -1).all()
    grid = kind.normalise(Image(np.ones((400, 512), np.float32), None, {})).pixels
    assert (grid[:200] > 0.99).all()
    assert (grid[200:] == -1).all()


def test_a_thumbnail_is_not_enlarged_for_ever():
    with pytest.raises(UnusableImage, match="too small"):
        Mammogram(shape=(320, 256)).normalise(Image(_half_disc(100, 80), None, {}))


def test_synthetic_images_go_to_the_display_and_back():
    kind = Mammogram(shape=(80, 64))
    for laterality in "LR":
        image = Image(_half_disc(80, 64) * 2 - 1, (0.8, 0.8), {"laterality": laterality, "view_position": "CC"})
        np.testing.assert_allclose(kind.canonicalise(kind.denormalise(image)).pixels, image.pixels, atol=1e-6)


def _picture_folder(tmp_path, facts="file,view_position,laterality,chest_wall\n", name="a.png", turns=0, mode=np.uint8):
    pixels = np.rot90(_half_disc(400, 320), -turns)
    top = np.iinfo(mode).max
    Pillow.fromarray(np.round(pixels * top).astype(mode)).save(tmp_path / name)
    (tmp_path / "facts.csv").write_text(facts)
    return Mammogram(shape=(80, 64), facts=FactSource())


@pytest.mark.parametrize(("wall", "turns"), [("left", 0), ("top", 1), ("right", 2), ("bottom", 3)])
def test_pictures_are_turned_by_the_table(tmp_path, wall, turns):
    kind = _picture_folder(tmp_path, f"file,view_position,laterality,chest_wall\na.png,cc,l,{wall}\n", turns=turns)
    (candidate,) = kind.list_candidates(tmp_path)
    image, _ = kind.read(candidate)
    assert image.pixels[:, :10].mean() > 2 * image.pixels[:, -10:].mean()
    assert image.facts == {"view_position": "CC", "laterality": "L"}


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", np.uint16), ("a.tif", np.uint16), ("a.png", np.uint8), ("a.jpg", np.uint8)]
)
def test_picture_formats_and_depths(tmp_path, name, mode):
    kind = _picture_folder(
        tmp_path, f"file,view_position,laterality,patient,spacing_mm\n{name},MLO,R,p1,0.1\n", name, mode=mode
    )
    image, patient = kind.read(kind.list_candidates(tmp_path)[0])
    assert patient.identity == "p1"
    assert image.spacing == (0.1, 0.1)
    assert 0.7 < image.pixels.max() <= 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.png,ML,L,left", "view is not CC or MLO"),
        ("a.png,,L,left", "view is not CC or MLO"),
        ("a.png,CC,,left", "no laterality"),
    ],
)
def test_pictures_without_their_facts_say_so(tmp_path, row, reason):
    kind = _picture_folder(tmp_path, f"file,view_position,laterality,chest_wall\n{row}\n")
    with pytest.raises(UnusableImage, match=reason):
        kind.read(kind.list_candidates(tmp_path)[0])


def test_broken_pictures_say_so(tmp_path):
    kind = _picture_folder(tmp_path, "file,view_position,laterality\na.png,CC,L\n")
    whole = (tmp_path / "a.png").read_bytes()
    for content, reason in ((b"nothing", "not readable"), (whole[: len(whole) // 2], "not readable")):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(UnusableImage, match=reason):
            kind.read(kind.list_candidates(tmp_path)[0])
    Pillow.fromarray(np.zeros((400, 320), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(UnusableImage, match="no image"):
        kind.read(kind.list_candidates(tmp_path)[0])


def test_columns_of_the_table_may_have_other_names(tmp_path):
    _picture_folder(tmp_path, "file,side\na.png,R\n")
    facts = FactSource(columns={"laterality": "side"}, constants={"view_position": "CC"})
    (candidate,) = Mammogram(facts=facts).list_candidates(tmp_path)
    assert candidate.facts["laterality"] == "R"
    assert candidate.facts["view_position"] == "CC"
    with pytest.raises(Refused, match="no column nothing"):
        Mammogram(facts=FactSource(columns={"laterality": "nothing"})).list_candidates(tmp_path)


def test_the_hanging_puts_the_chest_walls_back_to_back():
    views = {key: (_half_disc(80, 64)[:, ::-1] if key[0] == "R" else _half_disc(80, 64)) for key in VIEWS}
    sheet = hang_views(views)
    assert sheet.shape == (1280, 1024)  # small views are enlarged
    middle, edges = sheet[:, 432:592].mean(), (sheet[240:400, :64].mean() + sheet[240:400, -64:].mean()) / 2
    assert middle > 5 * edges


def test_empty_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(Refused, match="holds no file"):
        Mammogram().list_candidates(tmp_path)
    with pytest.raises(Refused, match="not a folder"):
        Mammogram().list_candidates(tmp_path / "nowhere")
