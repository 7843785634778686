"""What a draft's fit is shown: pictures with their finest detail raised, and nothing from outside the mask."""

import numpy as np

from dreamzoom.consistency import high_band
from dreamzoom.stages.splat import sharpened


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((40, 60, 3), np.float32) * 0.4 + 0.3


def test_the_finest_octave_is_raised_and_the_mean_stays():
    rgb, everywhere = picture(), np.ones((40, 60), bool)
    sharp = sharpened(rgb, everywhere, 0.25)
    assert 1.2 < high_band(sharp) / high_band(rgb) < 1.6
    assert abs(sharp.mean() - rgb.mean()) < 1e-3
    assert sharpened(rgb, everywhere, 0.0) is rgb


def test_what_lies_outside_the_mask_changes_nothing_inside():
    rgb, mask = picture(), np.zeros((40, 60), bool)
    mask[:, :30] = True
    other = rgb.copy()
    other[:, 30:] = 1.0
    found, again = sharpened(rgb, mask, 0.25), sharpened(other, mask, 0.25)
    assert np.array_equal(found[mask], again[mask])
    assert np.array_equal(again[~mask], other[~mask])
