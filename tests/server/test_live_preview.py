"""The picture of a running step."""

import threading

import numpy as np
from PIL import Image
from small_stages import Listener, stage, steps

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.live_preview import LivePicture
from dreamzoom.pipeline.runner import run


class TestLivePicture:
    def shown(self, tmp_path, work):
        """The sizes of the pictures that were there while `work(report)` ran."""
        sizes = []

        class Looking(Listener):
            def artifact(self, kind, level, name):
                with Image.open(tmp_path / name) as image:
                    sizes.append(image.size)

        def preview(inputs, parameters, report):
            work(report)
            return {}

        run(steps(stage("s", work=preview, level=0, writes={})), Folder(tmp_path), Looking())
        return sizes

    def test_it_is_at_most_512_pixels_wide_or_high_and_keeps_its_aspect(self, tmp_path):
        sizes = self.shown(tmp_path, lambda report: report.preview(np.zeros((600, 1200, 3), np.float32)))
        assert sizes == [(512, 256)]

    def test_a_small_one_keeps_its_size(self, tmp_path):
        sizes = self.shown(tmp_path, lambda report: report.preview(np.zeros((30, 50, 3), np.float32)))
        assert sizes == [(50, 30)]

    def test_the_step_does_not_wait_and_the_newest_is_shown_last(self, tmp_path):
        told, gate = [], threading.Event()

        def written(level):
            gate.wait(5)
            told.append(level)

        live = LivePicture(Folder(tmp_path), written, told.append)
        for level in range(5):
            live.show(np.zeros((8, 8, 3), np.float32), level)
        assert not told
        gate.set()
        live.wait_written()
        assert told[-1] == 4 and told == sorted(told) and len(told) <= 3
        live.close()
        assert not (tmp_path / "live.png").exists()

    def test_one_that_can_not_be_written_does_not_stop_the_step(self, tmp_path):
        (tmp_path / "live.png").mkdir()
        (tmp_path / "live.png" / "in the way").touch()
        told = []
        live = LivePicture(Folder(tmp_path), told.append, told.append)
        live.show(np.zeros((8, 8, 3), np.float32), 0)
        live.wait_written()
        live.show(np.zeros((8, 8, 3), np.float32), 0)
        live.wait_written()
        assert len(told) == 2 and all("live picture" in line for line in told)
