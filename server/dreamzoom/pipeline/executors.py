"""Executors run a step's work: they read the files that its stage declares as values, and write what it returns.

Executors for several processes and for other machines are in `dreamzoom.cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from core.errors import DreamzoomError
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import File, Source, Step
from dreamzoom.progress import Report, check, reporting_to


class SetAside(DreamzoomError):
    """A step ended its process again and again, and is left out of this run."""


class Executor(Protocol):
    """Runs the work of steps."""

    @property
    def slots(self) -> int:
        """How many steps may run at once; each in a thread of its own if there are several."""
        ...

    def lane(self, step: Step) -> tuple[str, int]:
        """The kind of slot that a step takes, and how many there are of it."""
        ...

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """Run a step whose sources exist, and write its outputs.

        Args:
            step: The step.
            folder: The job's folder.
            report: Receives progress and raises `Cancelled`.

        Raises:
            Exception: Any exception of the stage; `errors.Cancelled` if the job was cancelled.
        """
        ...

    def prioritise(self, folder: Folder, priority: int) -> None:
        """Give a job's steps a priority: where slots are short, a larger number goes first. 0 without this call."""
        ...

    def close(self) -> None:
        """Let go of everything that it holds."""
        ...


class InProcess:
    """Runs the work in this process, so that models loaded by the engine stay in memory for the next step."""

    slots = 1

    def lane(self, step: Step) -> tuple[str, int]:
        """All slots are of one kind."""
        return "", self.slots

    def prioritise(self, folder: Folder, priority: int) -> None:
        """Nothing to do: there is one slot."""

    def close(self) -> None:
        """Nothing to do."""

    def execute_apart(self, step: Step, folder: Folder, report: Report) -> None:
        """Run a step that has ended this process before; see `cluster.quarantine`."""
        self.execute(step, folder, report)

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """See `Executor.execute`."""
        with reporting_to(report):
            found = step.stage.run(StoredInputs(step, folder), step.parameters, report)
            report.before_writing()
            for level, values in [(step.level, found)] if isinstance(found, Mapping) else found:
                for name, value in values.items():
                    file = _output(step, name, level)
                    folder.save(file.entry.format, file.name, value)


def _output(step: Step, name: str, level: int | None) -> File:
    for file in step.outputs.get(name, ()):
        if file.level is None or file.level == level:
            return file
    raise ValueError(f"step {step.name} returned {name!r} for level {level}, which is not declared in writes")


class StoredInputs(Mapping[str, Any]):
    """A step's inputs, by the names that its stage declares. Each look-up reads the file again; nothing is cached."""

    def __init__(self, step: Step, folder: Folder):
        self._step, self._folder = step, folder

    def __getitem__(self, name: str) -> Any:
        read = self._step.stage.reads.get(name)
        if read is None:
            declared = ", ".join(self._step.stage.reads) or "nothing"
            raise KeyError(f"stage {self._step.stage.name} does not declare {name!r} in reads; it declares {declared}")
        sources = self._step.sources[name]
        if read.kind == "engine":
            return self._step.engine
        if read.kind == "exports":
            return {source.file.name: self._folder.digest(source.file.name) for source in sources}
        if read.kind == "each":
            return StoredLevels(sources, self._folder)
        return _value(sources[0], self._folder) if sources else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._step.stage.reads)

    def __len__(self) -> int:
        return len(self._step.stage.reads)


class StoredLevels(Mapping[int, Any]):
    """One entry of several levels, by level. Each look-up reads the file again; nothing is cached."""

    def __init__(self, sources: Sequence[Source], folder: Folder):
        self._sources = {source.key: source for source in sources}
        self._folder = folder

    def __getitem__(self, level: int) -> Any:
        return _value(self._sources[level], self._folder)

    def __iter__(self) -> Iterator[int]:
        return (key for key in self._sources if key is not None)

    def __len__(self) -> int:
        return len(self._sources)


def _value(source: Source, folder: Folder) -> Any:
    check()
    return folder.load(source.file.entry.format, source.file.name)
