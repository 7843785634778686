"""How a stage is declared: what it reads and writes, what it depends on, and the function that does the work.

A stage never opens a file of the job. Its `run` gets what `reads` declares and what `parameters` returns, and returns
what `writes` declares. The pipeline makes steps of the stages, finds their order by who writes what, and reads and
writes the files. The digest that tells whether a step has to run again covers exactly what `run` gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from dreamzoom.report import Report
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.layout import Entry

P = TypeVar("P")

Inputs = Mapping[str, Any]
"""What `run` reads, by the names in `reads`. The files are read when a name is looked up, each time anew."""

Outputs = Mapping[str, Any] | Iterator[tuple[int, Mapping[str, Any]]]
"""What `run` returns: values by the names in `writes`; where a step writes several levels, one (level, values) after
another, each of which is written before the next is asked for.
"""


@dataclass(frozen=True)
class Scope:
    """The levels that one step is for.

    Attributes:
        levels: All of them.
        level: The only one; None for a group of levels or the whole job.
    """

    levels: range
    level: int | None

    @property
    def first(self) -> int:
        """The only level, or the first one."""
        return self.levels.start


Levels = Callable[[Context, Scope], Iterable[int]]
"""Chooses levels for a step. In a loop they may count on past both ends: level k is level k mod N."""


@dataclass(frozen=True)
class Read:
    """One thing that a stage reads; made by the functions below.

    Attributes:
        kind: "own": the entry of the step's own level, or of the job; "each": those of several levels; "engine";
            "exports": the hashes of all files that the artist gets.
        entry: None for the last two.
        levels: Of "each".
        optional: Whether None stands for an entry that no stage of the job writes.
    """

    kind: Literal["own", "each", "engine", "exports"]
    entry: Entry | None = None
    levels: Levels | None = None
    optional: bool = False


def own(entry: Entry, *, optional: bool = False) -> Read:
    """The step's own level's; `run` gets the value. With `optional`, None where no stage of the job writes it."""
    return Read("own", entry, None, optional)


def each(entry: Entry, levels: Levels) -> Read:
    """That of several levels; `run` gets a mapping level → value, which reads a file when its level is looked up."""
    return Read("each", entry, levels)


ENGINE = Read("engine")
"""The engine. The digest covers its identity, and its dependencies at the step's levels."""

EXPORTS = Read("exports")
"""The SHA-256 (hex) of every file that the artist gets, by name, in the order of the steps that write them."""


@dataclass(frozen=True)
class Write:
    """An entry that a stage does not write for all levels of its step.

    Attributes:
        entry: What it writes.
        levels: Those for which it does.
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
    """In every job; in every case."""
    return True


@dataclass(frozen=True)
class Stage(Generic[P]):
    """One kind of step.

    Attributes:
        name: Its steps are named after it: "levels/002/dream".
        version: Raise it when `run` gives other results for the same inputs and parameters.
        reads: What `run` reads, by the name under which it finds it.
        writes: What it returns, by name.
        parameters: What `run` gets beside: numbers, texts, cameras, `Input`s, in dataclasses, lists and dicts.
        run: The work. It tells its progress to the report at least every half second, and notices a cancel there.
        shown_as: What progress calls the stage; the add-on knows these names.
        scopes: For which level (int), levels (range) or job (None) there is a step.
        when: Which jobs have the stage.
        level_by_level: Whether a level may go on to the next stage before this one is done with all levels.
        weight: A step's expected share of the job's time, in any unit common to all steps.
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
