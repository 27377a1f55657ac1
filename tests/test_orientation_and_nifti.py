"""Every orientation of a file comes to one; what is broken is named; what is written opens upright elsewhere."""

import itertools
import json

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ganatomy.imaging import nifti
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.marking import mark_synthetic
from ganatomy.imaging.orientation import convert_to_ras, reorient_volume, sample_nearest

ORIENTATIONS = [
    codes
    for order in itertools.permutations(range(3))
    for codes in itertools.product(*(("RL", "AP", "SI")[i] for i in order))
]


def _positions(shape, affine):
    """Of every voxel in millimetres, R A S."""
    return np.einsum("ij,jabc->iabc", affine[:3, :3], np.indices(shape)) + affine[:3, 3][:, None, None, None]


def _oriented(codes, shape=(5, 6, 7), spacing=(1.0, 2.0, 3.0)):
    """A volume whose value tells the position, stored in the orientation of the codes."""
    turn = nib.orientations.axcodes2ornt(codes)
    affine = np.diag([*spacing, 1.0]) @ np.eye(4)
    matrix = np.zeros((4, 4))
    for axis, (to, sign) in enumerate(turn):
        matrix[int(to), axis] = sign
    matrix[3, 3] = 1
    affine = matrix @ affine
    r, a, s = _positions(shape, affine)
    return (100 * s + 10 * a + r).astype(np.float32), affine


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_all_orientations_come_to_superior_posterior_left(codes):
    voxels, affine = _oriented(codes)
    found, spacing, oblique, _ = reorient_volume(voxels, affine)
    assert oblique == 0
    assert np.allclose(np.diff(found, axis=0), 100 * spacing[0])
    assert np.allclose(np.diff(found, axis=1), -10 * spacing[1])
    assert np.allclose(np.diff(found, axis=2), -1 * spacing[2])


@settings(max_examples=20, deadline=None)
@given(st.floats(-25, 25), st.floats(-25, 25))
def test_an_oblique_volume_keeps_its_spacing(first, second):
    a, b = np.radians([first, second])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 2.0, 3.0])
    if np.degrees(np.arccos(np.abs(turn).max(axis=0).min())) < 29:
        assert reorient_volume(np.zeros((4, 5, 6)), affine)[1] == pytest.approx((3, 2, 1))


@pytest.mark.parametrize("degrees", [0, 5])
def test_a_mask_that_is_turned_about_the_diagonal_lies_on_another_grid(degrees):
    """Such a turn leaves the first and the last corner of a cube where they are."""
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.ones(3) / np.sqrt(3)).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn
    values = np.arange(12**3, dtype=np.int32).reshape(12, 12, 12)
    sampled, is_same = sample_nearest(values, affine, np.eye(4), values.shape)
    assert is_same == (degrees == 0)
    assert np.array_equal(sampled, values) == (degrees == 0)


def _affine(**change):
    affine = np.eye(4)
    for place, value in change.items():
        affine[int(place[1]), int(place[2])] = value
    return affine


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (_affine(_01=0.2), "sheared affine"),
        (_affine(_22=0.0), "broken affine"),
        (_affine(_03=np.nan), "broken affine"),
        (
            np.block(
                [
                    [np.array([[0.7071, -0.7071, 0], [0.7071, 0.7071, 0], [0, 0, 1]]), np.zeros((3, 1))],
                    [np.zeros((1, 3)), np.ones((1, 1))],
                ]
            ),
            "too oblique",
        ),
    ],
)
def test_affines_that_cannot_be_used_are_named(affine, reason):
    with pytest.raises(UnusableImage) as fault:
        reorient_volume(np.zeros((4, 4, 4)), affine)
    assert fault.value.kind == reason


def _saved(tmp_path, array, affine=None, **codes):
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    for name, code in codes.items():
        getattr(image, f"set_{name}")(None if code == 0 else np.eye(4), code)
    nib.save(image, tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


@pytest.mark.parametrize(
    ("array", "reason", "words"),
    [
        (np.zeros((4, 4, 4, 3), np.float32), "4D NIfTI", "3 volumes where one is expected"),
        (np.zeros((4, 4), np.float32), "not a volume", "2 axes"),
        (np.full((4, 4, 4), np.nan, np.float32), "values are not finite", "64 voxels"),
    ],
)
def test_niftis_that_cannot_be_used_are_named(tmp_path, array, reason, words):
    with pytest.raises(UnusableImage, match=words) as fault:
        nifti.read_nifti(_saved(tmp_path, array))
    assert fault.value.kind == reason


def test_a_nifti_without_orientation_or_cut_short_is_named(tmp_path):
    path = _saved(tmp_path, np.zeros((4, 4, 4), np.float32), sform=0, qform=0)
    with pytest.raises(UnusableImage, match="no orientation"):
        nifti.read_nifti(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnusableImage, match="not readable as NIfTI"):
        nifti.read_nifti(path)


def test_a_trailing_axis_of_one_and_a_scale_are_taken(tmp_path):
    image = nib.Nifti1Image(np.arange(64, dtype=np.int16).reshape(4, 4, 4, 1), np.eye(4))
    image.header.set_slope_inter(2.0, -5.0)
    nib.save(image, tmp_path / "a.nii")
    voxels, *_ = nifti.read_nifti(tmp_path / "a.nii")
    assert (voxels.min(), voxels.max()) == (-5, 2 * 63 - 5)


def test_what_is_written_says_so_and_comes_back(tmp_path):
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nifti.write_nifti(tmp_path / "a.nii.gz", volume, (2.0, 1.0, 0.5), mark_synthetic({"seed": 7}))
    voxels, spacing, *_ = nifti.read_nifti(tmp_path / "a.nii.gz")
    assert np.array_equal(voxels, volume)
    assert spacing == (2, 1, 0.5)
    image = nib.load(tmp_path / "a.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header["descrip"].tobytes().startswith(b"SYNTHETIC")
    assert json.loads(image.header.extensions[0].get_content())["record"] == {"seed": 7}
    assert int(image.header["qform_code"]) == int(image.header["sform_code"]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_the_same_volume_gives_the_same_file(tmp_path):
    volume = np.ones((3, 4, 5), np.float32)
    for name in ("a", "b"):
        nifti.write_nifti(tmp_path / f"{name}.nii.gz", volume, (1.0, 1.0, 1.0), mark_synthetic({}))
    assert (tmp_path / "a.nii.gz").read_bytes()[20:] == (tmp_path / "b.nii.gz").read_bytes()[20:]


def test_right_anterior_superior_puts_the_origin_at_the_centre():
    turned, affine = convert_to_ras(np.zeros((4, 6, 8)), (3.0, 2.0, 1.0))
    assert turned.shape == (8, 6, 4)
    assert np.allclose(affine @ [3.5, 2.5, 1.5, 1], [0, 0, 0, 1])
