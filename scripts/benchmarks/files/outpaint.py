"""A picture continued by a model that edits: the step of colour at the seam and what was moved, before and after."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import shifting_models
from photographs import photograph
from shifting_models import ShiftingModel, seam_step, unknown_db

from benchmarks.shared.table import Table
from dreamzoom.engines.diffusion.editing import extend, registration
from dreamzoom.request.images import read_picture

SIZE = 512, 384
"""Width and height of the picture; the middle quarter is known."""


def add_rows(table: Table, options: argparse.Namespace) -> None:  # noqa: ARG001
    """For each change of colours, with a movement of 3.6 pixels and 1 %: ΔE at the seam, and dB of what was unknown."""
    with tempfile.TemporaryDirectory() as folder:
        truth = read_picture(photograph(Path(folder) / "photo.png", SIZE), SIZE, lambda message: None)
    height, width = truth.shape[:2]
    known = np.zeros((height, width), bool)
    known[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    given = np.where(known[..., None], truth, 0.5).astype(np.float32)
    ways = extend.Ways(1024, 16, scales=False, from_nothing=True, marking=extend.GREY)
    for colours in shifting_models.COLOURS:
        model = ShiftingModel(truth, colours)
        raw = np.where(known[..., None], truth, model.answer(None, "", known.shape, 0))
        found = extend.extended(given, known, ways, model.answer, lambda line, level: None)
        assert found is not None
        before, after = seam_step(raw, truth, known), seam_step(found, truth, known)
        table.add(f"{colours}: ΔE at the seam as painted", before)
        table.add(f"{colours}: ΔE at the seam carried", after, "≤ 1", after <= 1, **{f"seam_{colours}_de": after})
        table.add(f"{colours}: unknown part as painted, dB", unknown_db(raw, truth, known))
        wanted = unknown_db(found, truth, known)
        table.add(f"{colours}: unknown part carried, dB", wanted, **{f"unknown_{colours}_db": wanted})
        kept = bool((found[known] == truth[known]).all())
        table.add(f"{colours}: known pixels the same bits", kept, "yes", kept)
    model = ShiftingModel(truth, "gradient")
    move = registration.movement(model.answer(None, "", known.shape, 0), given, known)
    wrong = float(np.hypot(*np.subtract(move.offset, model.offset)))
    table.add("offset found, error in pixels", wrong, "≤ 0.2", wrong <= 0.2, offset_error_px=wrong)
    scale = max(abs(one - model.scale) for one in move.scale)
    table.add("scale found, error", scale, "≤ .001", scale <= 1e-3, scale_error=scale)
