"""Compiles the server's code for this machine before it is needed: the last step of an installation.

Compiled kernels are kept on disk (see `numba_cache`), so that the first job of this machine is as fast as all others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from core import step_times
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

QUALITIES = ("draft", "preview")
"""Between them, jobs of these qualities call all kernels that a job of the procedural engine calls."""

PROMPTS, SIZE = ("snowy mountains at sunrise", "a dense autumn forest"), (64, 36)
"""As small as a job can be that calls them all: landscapes have edges of depth, whose pixels are shaded by a kernel of
their own.
"""

Tell = Callable[[float], None]
"""Called with the fraction that is done, 0 to 1."""


def compile_kernels(tell: Tell) -> None:
    """Run small jobs of the procedural engine in a temporary folder, whose kernels are then on disk.

    Args:
        tell: Follows the progress.

    Raises:
        DreamzoomError: A job failed.
    """
    before = os.environ.get(step_times.VARIABLE)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[step_times.VARIABLE] = str(Path(scratch, "step_times.json"))  # these times say nothing of others
        try:
            for index, quality in enumerate(QUALITIES):
                levels = [{"prompt": prompt} for prompt in PROMPTS]
                request = example(len(levels), SIZE) | {"quality": quality, "levels": levels}
                generate(convert_request(request), Folder(Path(scratch, quality)), _Listener(tell, index))
        finally:
            del os.environ[step_times.VARIABLE]
            if before is not None:
                os.environ[step_times.VARIABLE] = before


class _Listener(Sink):
    """Tells the progress of one of the jobs as that of all."""

    def __init__(self, tell: Tell, index: int):
        self._tell, self._index = tell, index

    def progress(self, progress: Progress) -> None:
        self._tell((self._index + progress.fraction) / len(QUALITIES))
