"""A step's work, tried once more where that can help."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from core.errors import DreamzoomError, explained
from dreamzoom.engines.base import Engine, FreesMemory
from dreamzoom.pipeline.recovery import failures
from dreamzoom.progress import Report
from dreamzoom.splats import threads

PAUSE = 1.0
"""Seconds before work is tried again that failed for a disk or network drive."""


def attempt(work: Callable[[], None], title: str, engine: Engine | None, report: Report, failed: Callable) -> None:
    """Do the work; if memory ran out, once more with less, and if a disk did not answer, once more after a pause.

    Args:
        work: May be called twice: it writes its files whole or not at all.
        title: What is done, for the log.
        engine: The job's engine, whose models are unloaded; None if there is none.
        report: Is told what is tried; `less_memory` is set at the second time.
        failed: Called with the first error before the work is tried again.

    Raises:
        DreamzoomError: Memory ran out again.
        Exception: Any other exception of the work.
    """
    reason = ""
    try:
        work()
        return
    except Exception as error:
        lacks_memory = failures.lacks_memory(error)
        if not lacks_memory and not failures.may_pass(error):
            raise
        failed(error)
        reason = explained(error)[0]
    # outside the except block, where the exception no longer keeps arrays and tensors alive
    if lacks_memory:
        _with_less_memory(work, title, engine, report)
    else:
        report.log(f"{title}: {reason}; trying once more", level="warning")
        time.sleep(PAUSE)
        report.check()
        work()


def _with_less_memory(work: Callable[[], None], title: str, engine: Engine | None, report: Report) -> None:
    measures = use_less_memory(engine, report)
    report.log(f"{title}: not enough memory; trying once more with {measures}", level="warning")
    try:
        with threads.one_at_a_time():
            work()
    except Exception as error:
        if not failures.lacks_memory(error):
            raise
        raise DreamzoomError(
            f"{title}: there is not enough memory, not even with {measures}",
            "choose a smaller picture, a lower quality or a smaller model, or close other programs, then generate "
            "again: finished steps are kept",
        ) from error
    finally:
        report.less_memory = False


def use_less_memory(engine: Engine | None, report: Report) -> str:
    """Free what can be made again, and let the rest of the step use less; returns the measures, for the log."""
    measures = ["one thread", "splats fitted on the CPU"]
    if isinstance(engine, FreesMemory):
        measures.append(engine.free_memory())
    report.less_memory = True
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return ", ".join(measures)
