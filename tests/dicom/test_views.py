"""What a mammogram says that it shows: every code system, meanings, contradictions, contrast medium."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence

from ganatomy.dicom import write
from ganatomy.dicom.mammogram import read_mammogram
from ganatomy.imaging.image import UnusableImage


@pytest.fixture
def read(cohort, tmp_path):
    """Read a left CC view after a change of its data set."""

    def change(edit):
        ds = dcmread(cohort / "PHA-000001" / "LCC.dcm")
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress(generate_instance_uid=False)
        edit(ds)
        ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        return read_mammogram(tmp_path / "a.dcm")[0]

    return change


def _modify(code, designator, meaning, beside=False):
    def edit(ds):
        holder = ds if beside else ds.ViewCodeSequence[0]
        holder.ViewModifierCodeSequence = Sequence([write.make_code_item(code, designator, meaning)])

    return edit


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("code", "designator", "meaning", "reason"),
    [
        ("399163009", "SCT", "Magnification", "magnification"),
        ("R-102D6", "SRT", "Magnification", "magnification"),
        ("R-102D6", "SNM3", "x", "magnification"),
        ("R-102D6", "99SDM", "x", "magnification"),
        ("R-102D7", "SRT", "Spot Compression", "spot compression"),
        ("R-102D5", "SRT", "Implant Displaced", "implant displaced"),
        ("R-102D2", "SRT", "x", "cleavage"),
        ("R-102C2", "SRT", "x", "tangential"),
        ("R-102D3", "SRT", "x", "rolled"),
        ("R-40ABE", "SRT", "x", "infra-mammary fold"),
        ("P2-00161", "SRT", "x", "anterior compression"),
        ("MAG", "99VENDOR", "Magnified view", "magnification"),
        ("7", "99VENDOR", "Spot", "spot compression"),
        ("8", "99VENDOR", "Implant displaced (Eklund)", "implant displaced"),
    ],
)
def test_modified_views_are_left_out_in_every_code_system(read, code, designator, meaning, reason, beside):
    with pytest.raises(UnusableImage, match=f"modified view: {reason}"):
        read(_modify(code, designator, meaning, beside))


@pytest.mark.parametrize("code", [("442581004", "SCT"), ("R-40AB3", "SRT"), ("R-40AB2", "SRT")])
def test_harmless_modifiers_are_kept(read, code):
    assert not read(_modify(*code, "Nipple in profile")).doubts


def test_an_unknown_modifier_is_doubtful(read):
    (doubt,) = read(_modify("X1", "99VENDOR", "Elbow up")).doubts
    assert doubt == ("unknown view modifier", "X1 99VENDOR Elbow up")


@pytest.mark.parametrize(
    ("code", "view"),
    [
        (("R-10242", "SRT", "x"), "CC"),
        (("R-10242", "99SDM", "x"), "CC"),
        (("CC", "99VENDOR", "cranio-caudal"), "CC"),
        (("1", "99VENDOR", "Craniocaudal"), "CC"),
        (("2", "99VENDOR", "medio-lateral oblique"), "MLO"),
    ],
)
def test_views_are_known_by_code_and_by_meaning(read, code, view):
    def edit(ds):
        ds.ViewCodeSequence = Sequence([write.make_code_item(*code)])
        del ds.ViewPosition

    assert read(edit).facts["view_position"] == view


@pytest.mark.parametrize(
    ("code", "view"),
    [
        (("R-10224", "SRT", "x"), "ML"),
        (("R-1024A", "SRT", "x"), "XCCL"),
        (("R-102D0", "SRT", "x"), "SIO"),
        (("3", "99VENDOR", "cranio-caudal exaggerated laterally"), "XCC"),
    ],
)
def test_other_views_are_left_out_in_every_code_system(read, code, view):
    def edit(ds):
        ds.ViewCodeSequence = Sequence([write.make_code_item(*code)])
        del ds.ViewPosition

    with pytest.raises(UnusableImage, match=f"view is not CC or MLO: {view}$"):
        read(edit)


@pytest.mark.parametrize("other", ["R", "B"])
def test_lateralities_that_contradict_one_another_are_a_reason(read, other):
    with pytest.raises(UnusableImage, match=f"ImageLaterality is L, Laterality is {other}") as caught:
        read(lambda ds: setattr(ds, "Laterality", other))
    assert caught.value.kind == "contradictory laterality"
    assert read(lambda ds: setattr(ds, "Laterality", "L")).facts["laterality"] == "L"


def test_both_breasts_are_a_reason(read):
    with pytest.raises(UnusableImage, match="no laterality: both breasts"):
        read(lambda ds: setattr(ds, "ImageLaterality", "B"))


@pytest.mark.parametrize("word", ["RECOMBINED", "SUBTRACTED", "SUBTRACTION", "HIGH_ENERGY"])
def test_images_of_contrast_medium_are_left_out(read, word):
    with pytest.raises(UnusableImage, match="contrast image"):
        read(lambda ds: setattr(ds, "ImageType", ["DERIVED", "PRIMARY", "", word]))


def _describe(**values):
    def edit(ds):
        for name, value in values.items():
            setattr(ds, name, value)

    return edit


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"SeriesDescription": "L CC CESM recombined"}, "contrast medium"),
        ({"ContrastBolusAgent": "Iohexol"}, "contrast medium"),
        ({"SeriesDescription": "L CC MAG"}, "modified view by its description"),
        ({"ProtocolName": "Spot L CC"}, "modified view by its description"),
        ({"SeriesDescription": "R CC"}, "description of another view"),
        ({"SeriesDescription": "LMLO"}, "description of another view"),
    ],
)
def test_descriptions_that_say_something_else_are_doubtful(read, values, kind):
    assert [doubt.kind for doubt in read(_describe(**values)).doubts] == [kind]


@pytest.mark.parametrize(
    "values",
    [
        {"SeriesDescription": "L CC"},
        {"SeriesDescription": "RCC, LCC, RMLO, LMLO"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], "ContrastBolusAgent": "Iohexol"},
        {"ImageComments": "Image magnetic archive"},
    ],
)
def test_descriptions_that_fit_are_no_doubts(read, values):
    assert not read(_describe(**values)).doubts


def test_a_chest_wall_at_the_other_side_is_doubtful_where_the_header_does_not_explain_it(read):
    def mirror(ds):
        stored = ds.pixel_array[:, ::-1]
        ds.PixelData = np.ascontiguousarray(stored).astype("<u2").tobytes()
        del ds.PatientOrientation

    (doubt,) = read(mirror).doubts
    assert doubt.kind == "chest wall at the other side"
    assert "laterality is L and the chest wall lies right" in doubt.detail
    assert not read(lambda ds: delattr(ds, "PatientOrientation")).doubts
