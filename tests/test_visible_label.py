"""The word lies in an image where there is no anatomy, or nowhere."""

import numpy as np
import pytest

from ganatomy.errors import Refused
from ganatomy.exporting.label import MARGIN, MIN_LETTER_HEIGHT, draw_label


def _disc(shape, radius):
    y, x = np.indices(shape)
    inside = (y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 < radius**2
    return np.where(inside, np.float32(0.5), np.float32(0.1)), inside


def test_the_word_keeps_off_the_anatomy_and_changes_nothing_else():
    pixels, inside = _disc((320, 256), 120)
    out = draw_label(pixels, inside)
    changed = out != pixels
    assert changed.sum() > 150
    assert not (changed & inside).any()
    assert set(np.unique(out[changed])) == {np.float32(0.5)}  # the brightest value that was there
    rows, columns = np.nonzero(changed)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert MIN_LETTER_HEIGHT // 2 <= min(height, width) <= 320 / 24 + 2
    assert max(height, width) > 5 * min(height, width)  # nine letters in a row
    corner = [
        (rows.min(), columns.min()),
        (319 - rows.max(), columns.min()),
        (rows.min(), 255 - columns.max()),
        (319 - rows.max(), 255 - columns.max()),
    ]
    assert min(a + b for a, b in corner) <= 2 * MARGIN + 2


def test_where_the_corners_are_taken_it_goes_where_there_is_room():
    taken = np.ones((200, 160), bool)
    taken[60:140, 140:] = False
    out = draw_label(np.zeros((200, 160), np.float32) + taken * np.float32(0.7), taken)
    rows, columns = np.nonzero(out > np.where(taken, 0.7, 0))
    assert rows.size
    assert (rows.min(), columns.min()) > (60, 140)
    assert np.ptp(rows) > np.ptp(columns)  # upright, since only that fits


def test_a_volume_has_it_in_every_plane_outside_of_what_any_plane_shows():
    inside = np.zeros((6, 120, 120), bool)
    inside[0, :, :60] = inside[5, 60:, :] = True
    volume = np.where(inside, np.float32(40), np.float32(-1000))
    out = draw_label(volume, inside)
    changed = out != volume
    assert not (changed & inside.any(0)).any()
    assert (changed == changed[0]).all()
    assert changed[0].any()


@pytest.mark.parametrize("shape", [(32, 32), (200, 200)])
def test_no_room_is_said(shape):
    with pytest.raises(Refused, match="no room outside the anatomy"):
        draw_label(np.ones(shape, np.float32), np.ones(shape, bool))
