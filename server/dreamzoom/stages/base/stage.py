"""The declaration of a stage: what it reads and writes, its parameters, and the function that does the work.

A stage never opens a file of the job. Its `run` receives what `reads` declares and what `parameters` returns, and
returns what `writes` declares. The pipeline creates steps from the stages, orders them by their reads and writes, and
reads and writes the files. The digest that decides whether a step has to run again covers exactly what `run` receives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from dreamzoom.progress import Report
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.layout import Entry

P = TypeVar("P")

Inputs = Mapping[str, Any]
"""What `run` reads, by the names in `reads`. Each look-up of a name reads the file again; nothing is cached."""

Outputs = Mapping[str, Any] | Iterator[tuple[int, Mapping[str, Any]]]
"""What `run` returns: values by the names in `writes`. A step that writes several levels yields (level, values) pairs;
each pair is written before the next is requested.
"""


@dataclass(frozen=True)
class Scope:
    """The levels that one step covers.

    Attributes:
        levels: All covered levels.
        level: The level if the step covers only one; None for a group of levels or the whole job.
    """

    levels: range
    level: int | None

    @property
    def first(self) -> int:
        """The first covered level."""
        return self.levels.start


Levels = Callable[[Context, Scope], Iterable[int]]
"""Selects levels for a step. In a loop the indices may run past both ends: index k means level k mod N."""


@dataclass(frozen=True)
class Read:
    """One input of a stage; created by `own` and `each`, or one of the constants `ENGINE` and `EXPORTS`.

    Attributes:
        kind: "own": the entry of the step's own level, or of the job; "each": the entries of several levels; "engine":
            the engine; "exports": the hashes of all exported files.
        entry: The entry that is read; None for "engine" and "exports".
        levels: Selects the levels for "each".
        optional: Whether `run` gets None if no stage of the job writes the entry.
    """

    kind: Literal["own", "each", "engine", "exports"]
    entry: Entry | None = None
    levels: Levels | None = None
    optional: bool = False


def own(entry: Entry, *, optional: bool = False) -> Read:
    """Read the entry of the step's own level. With `optional`, `run` gets None if no stage of the job writes it."""
    return Read("own", entry, None, optional)


def each(entry: Entry, levels: Levels) -> Read:
    """Read the entries of several levels. `run` gets a mapping level → value that reads a file at each look-up."""
    return Read("each", entry, levels)


ENGINE = Read("engine")
"""The engine. The digest covers its identity and its dependencies at the step's levels."""

EXPORTS = Read("exports")
"""The SHA-256 (hex) of every exported file, by name, in the order of the steps that write them."""


@dataclass(frozen=True)
class Write:
    """An entry that a stage writes for only some levels of its step.

    Attributes:
        entry: The entry that is written.
        levels: Selects the levels for which it is written.
    """

    entry: Entry
    levels: Levels


def every_level(context: Context) -> range:
    """One step for each level."""
    return range(context.path.levels)


def whole_job(context: Context) -> list[None]:
    """One step for the job."""
    return [None]


def always(context: Context) -> bool:
    """True for every job."""
    return True


@dataclass(frozen=True)
class Stage(Generic[P]):
    """One kind of step.

    Attributes:
        name: The last part of its steps' names: "levels/002/dream".
        version: Increase it when `run` returns different results for the same inputs and parameters.
        reads: The inputs of `run`, by name.
        writes: What `run` returns, by name.
        parameters: Returns the other arguments of `run`: numbers, strings, cameras and `Input`s, in dataclasses, lists
            and dicts.
        run: Does the work. Calls `Report.progress` or `Report.check` at least every half second.
        shown_as: The stage's name in progress messages; the add-on translates these names.
        scopes: One item per step: a level (int), several levels (range), or the whole job (None).
        when: Whether a job has this stage.
        level_by_level: Whether a level may continue with the next stage before this stage has processed all levels.
        weight: A step's expected share of the job's time, in arbitrary units common to all stages.
    """

    name: str
    version: int
    reads: Mapping[str, Read]
    writes: Mapping[str, Entry | Write]
    parameters: Callable[[Context, Scope], P]
    run: Callable[[Inputs, P, Report], Outputs]
    shown_as: str
    scopes: Callable[[Context], Iterable[int | range | None]] = every_level
    when: Callable[[Context], bool] = always
    level_by_level: Callable[[Context], bool] = always
    weight: Callable[[Context, Scope], float] | float = 1.0
