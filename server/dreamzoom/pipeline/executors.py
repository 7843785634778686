"""Where a step's work is done: it gets the files that its stage declares, as values, and what it returns is written.

An executor that does it elsewhere, on a cluster for example, runs `dreamzoom run-step JOB STEP` there: the job's folder
then has to be on storage that all machines see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import File, Source, Step
from dreamzoom.report import Report


class Executor(Protocol):
    """Does the work of steps."""

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """Run a step whose sources are there, and write its outputs.

        Args:
            step: What to do.
            folder: The job's.
            report: Progress and cancel.

        Raises:
            Exception: Whatever the stage raises; `errors.Cancelled` when it notices a cancel.
        """
        ...


class InProcess:
    """Does the work here and now. What engines keep in memory serves the next step too."""

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """See `Executor.execute`."""
        found = step.stage.run(StoredInputs(step, folder), step.parameters, report)
        for level, values in [(step.level, found)] if isinstance(found, Mapping) else found:
            for name, value in values.items():
                file = _output(step, name, level)
                folder.save(file.entry.format, file.name, value)


def _output(step: Step, name: str, level: int | None) -> File:
    for file in step.outputs.get(name, ()):
        if file.level is None or file.level == level:
            return file
    raise ValueError(f"step {step.name} returned {name!r} for level {level}, which its stage does not declare to write")


class StoredInputs(Mapping[str, Any]):
    """What a step reads, by the names that its stage declares. Each look-up reads the file anew; nothing is kept."""

    def __init__(self, step: Step, folder: Folder):
        self._step, self._folder = step, folder

    def __getitem__(self, name: str) -> Any:
        read = self._step.stage.reads.get(name)
        if read is None:
            declared = ", ".join(self._step.stage.reads) or "nothing"
            raise KeyError(f"stage {self._step.stage.name} does not declare that it reads {name!r}, but {declared}")
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
    """An entry of several levels, by level. Each look-up reads the file anew; nothing is kept."""

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
    return folder.load(source.file.entry.format, source.file.name)
