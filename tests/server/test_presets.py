"""Ready paths in place of cameras, through whole jobs: what the flight sees is what gets dreamed."""

import numpy as np
import pytest

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.render import flight
from dreamzoom.request import validation
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("preset", ["rotate360", "lookdown", "back_and_forth"])
def test_a_ready_path_is_covered_even_by_a_draft(tmp_path, preset):
    request = validation.convert_request(example(1, (48, 36), preset=preset) | {"quality": "draft"})
    generate(request, Folder(tmp_path / "job"))
    flown = flight.open_flight(tmp_path / "job")
    moments = [flown.path.at_frame(frame) for frame in list(flown.frames())[::5]]
    covered = [float((flown.view(moment).alpha > 0.5).mean()) for moment in moments]
    assert np.mean(covered) > 0.999
    assert min(covered) > 0.995
