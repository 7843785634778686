"""Several steps at once: each begins when the steps whose files it reads are done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from core.errors import Cancelled
from dreamzoom.pipeline.steps import Step

POLL = 0.1


def run_side_by_side(
    steps: Sequence[Step], work: Callable[[Step], None], slots: Callable[[], int], stop: threading.Event
) -> None:
    """Call `work` for every step, each call in a thread. Of the steps that can begin, the first in the order does.

    Args:
        steps: In an order in which they can run.
        work: Runs one step; it ends with Cancelled soon after `stop` is set.
        slots: How many steps may run now.
        stop: Set by this function after a failure, so that the other steps end.

    Raises:
        Exception: What the first step failed with. The others have ended then.
    """
    waiting, names = list(steps), {step.name for step in steps}
    done: set[str] = set()
    running: dict[Future[None], Step] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(max_workers=len(steps) or 1, thread_name_prefix="step") as threads:
        while running or (waiting and failure is None):
            while failure is None and len(running) < slots():
                step = next((one for one in waiting if done.issuperset(names.intersection(one.needs))), None)
                if step is None:
                    break
                waiting.remove(step)
                running[threads.submit(work, step)] = step
            for ended in wait(running, POLL, FIRST_COMPLETED).done:
                step, error = running.pop(ended), ended.exception()
                if error is None:
                    done.add(step.name)
                elif failure is None or (isinstance(failure, Cancelled) and not isinstance(error, Cancelled)):
                    failure = error
                    stop.set()
    if failure is not None:
        raise failure
