"""The executor of jobs in this process, which runs a step that ended the process twice in a process of its own."""

from __future__ import annotations

from collections.abc import Callable

from dreamzoom.cluster.channel import WorkerDied
from dreamzoom.cluster.pool import WorkerPool
from dreamzoom.pipeline.executors import InProcess, SetAside
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import Report


class Local(InProcess):
    """Runs steps in this process, except those that have ended it before."""

    def execute_apart(self, step: Step, folder: Folder, report: Report) -> None:
        """Run a step in a process of its own, with less memory, once.

        Raises:
            SetAside: The step ended that process too.
            Exception: As `execute`.
        """
        pool = _OneWorker(report.log)
        try:
            pool.execute(step, folder, report)
        except WorkerDied as error:
            raise SetAside(
                f"{step.name} ended its process again ({error}) and is set aside",
                "the other steps are kept; to try it once more, generate again, with smaller pictures, a lower quality "
                "or a smaller model, or after closing other programs",
            ) from None
        finally:
            pool.close()


class _OneWorker(WorkerPool):
    """A single worker that uses as little memory as it can; a step whose process ends is not begun again."""

    def __init__(self, log: Callable[[str], None]):
        super().__init__(1, None, log, {"less_memory": True}, {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

    def _insist(self, name: str, report: Report, work: Callable):
        return work()
