"""Images with label maps that have no symmetry, so that a flip or a shift of one of the two shows."""

import nibabel as nib
import numpy as np
from PIL import Image as Pillow

import ganatomy

LABELS = {"body": "seg/{stem}_seg.nii.gz:1", "lesion": "seg/{stem}_seg.nii.gz:2"}  # of `write_chests`
AFFINE = np.diag([3.0, 2.0, 2.5, 1.0])  # axes R, A, S


def write_volume(path, values, affine=AFFINE, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(dtype), affine), path)


def make_chest(seed, shape=(24, 20, 18)):
    """A block of tissue with a bright lesion that has no symmetry; and its mask: 1 tissue, 2 lesion."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(-1024, 1, shape).clip(-1024, -1000)
    mask = np.zeros(shape, dtype=np.int16)
    body = (slice(4, 20), slice(3, 17), slice(2, 16))
    hu[body], mask[body] = rng.normal(40, 12, hu[body].shape), 1
    hu[:4], hu[20:] = -1024, -1024
    lesion = (slice(6, 10), slice(4, 12), slice(10, 14))
    hu[lesion], mask[lesion] = rng.normal(500, 8, hu[lesion].shape), 2
    return hu, mask


def write_chests(raw, n=6, masks=True):
    for i in range(n):
        hu, mask = make_chest(i)
        write_volume(raw / f"p{i}.nii.gz", hu)
        if masks:
            write_volume(raw / "seg" / f"p{i}_seg.nii.gz", mask)


def prepare_chests(folder, n):
    """Write chests with their masks and prepare them at 16 cubed; returns the store."""
    write_chests(folder / "raw", n)
    return ganatomy.prepare(folder / "raw", "chest_ct", folder / "store", 0, shape=(16, 16, 16), labels=LABELS)


def write_breasts(raw, n=4):
    """Breasts with a marker that has no symmetry; the chest wall at the right edge."""
    rng = np.random.default_rng(0)
    lines = ["file,view_position,laterality,chest_wall,patient"]
    y, x = np.indices((100, 80))
    for i in range(n):
        pixels = np.where((y - 50) ** 2 + (79 - x) ** 2 < 45**2, 90 + rng.integers(0, 20, (100, 80)), 0)
        marker = (y > 20) & (y < 40) & (x > 50) & (x < 62)
        raw.mkdir(exist_ok=True)
        Pillow.fromarray(np.where(marker, 250, pixels).astype(np.uint8)).save(raw / f"b{i}.png")
        Pillow.fromarray((marker * 255).astype(np.uint8)).save(raw / f"b{i}.mask.png")
        lines.append(f"b{i}.png,{('CC', 'MLO')[i % 2]},R,right,p{i}")
    (raw / "facts.csv").write_text("\n".join(lines))
