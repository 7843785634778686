"""The steps of a job: their stages and levels, their order, the files they read and write, and their digests."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamzoom.engines.base import Engine
from dreamzoom.request.inputs import Input
from dreamzoom.request.schema import Request
from dreamzoom.stages import all_stages
from dreamzoom.stages.base.context import Context, make_context
from dreamzoom.stages.base.digest import digest_of
from dreamzoom.stages.base.layout import Entry
from dreamzoom.stages.base.stage import Read, Scope, Stage, Write


@dataclass(frozen=True)
class File:
    """One file of the job: an entry of a level, or of the whole job (level None)."""

    entry: Entry
    level: int | None

    @property
    def name(self) -> str:
        """The path relative to the job's folder."""
        return self.entry.path(self.level)


@dataclass(frozen=True)
class Source:
    """A file that a step reads.

    Attributes:
        key: The level by which the stage looks it up; in a loop it may run past the ends. None for the step's own.
        file: The version of the entry that the step reads.
        writer: The name of the step that writes it.
    """

    key: int | None
    file: File
    writer: str


@dataclass(frozen=True)
class Step:
    """A stage applied to certain levels of a job.

    Attributes:
        name: Unique in the job, for example "levels/002/dream".
        stage: The stage.
        scope: The levels.
        parameters: The stage's parameters for these levels.
        sources: The files for each name in the stage's `reads`; empty for the engine.
        outputs: The files for each name in the stage's `writes`.
        digest: SHA-256 in hex of everything that the step depends on.
        weight: Its expected share of the job's time.
        engine: The job's engine; None if the stage does not read it.
    """

    name: str
    stage: Stage[Any]
    scope: Scope
    parameters: Any
    sources: Mapping[str, Sequence[Source]]
    outputs: Mapping[str, Sequence[File]]
    digest: str
    weight: float
    engine: Engine | None = field(repr=False, compare=False, default=None)

    @property
    def level(self) -> int | None:
        """The step's level; None for a group of levels or the whole job."""
        return self.scope.level

    @property
    def files(self) -> list[File]:
        """All files that the step writes."""
        return [file for written in self.outputs.values() for file in written]

    @property
    def needs(self) -> list[str]:
        """The names of the steps whose files it reads."""
        return list(dict.fromkeys(source.writer for read in self.sources.values() for source in read))


def build(request: Request, engine: Engine, inputs: Mapping[str, Input] | None = None) -> list[Step]:
    """All steps of a job, in an order in which they can run.

    Args:
        request: The request.
        engine: The engine.
        inputs: The files that the request names, by field; if None, they are read from their original paths.

    Raises:
        BadRequest: A file that the request names can't be read, or the engine does not support an option.
    """
    return bind(all_stages(), make_context(request, engine, inputs))


def digests(steps: Sequence[Step]) -> dict[str, str]:
    """The digest of each step, by name."""
    return {step.name: step.digest for step in steps}


def bind(stages: Sequence[Stage[Any]], context: Context) -> list[Step]:
    """The steps of these stages for a job, in an order in which they can run.

    Raises:
        ValueError: Two steps have the same name or write the same file; a step reads a file that no step writes; steps
            depend on each other in a cycle; or a parameter is a NaN.
        TypeError: A parameter has a type without a digest.
    """
    drafts = _drafts(stages, context)
    writers = _writers(drafts)
    sources = [_sources(draft, drafts, writers, context) for draft in drafts]
    made: dict[str, Step] = {}
    for index in _ordered(drafts, sources):
        step = _step(drafts[index], _in_order(drafts[index], sources[index], list(made)), made, context)
        made[step.name] = step
    return list(made.values())


@dataclass(frozen=True)
class _Draft:
    """A step whose sources are not determined yet.

    Attributes:
        place: Index of the stage in the list of stages.
        pass_: Consecutive stages that run level by level form one pass; every other stage is a pass of its own.
    """

    name: str
    stage: Stage[Any]
    place: int
    pass_: int
    scope: Scope
    outputs: Mapping[str, Sequence[File]]


_Writers = Mapping[tuple[str, int | None], Sequence[tuple[int, File, str]]]
"""By entry name and level: (index of the stage, file, name of the step), in the order of the stages."""


def _drafts(stages: Sequence[Stage[Any]], context: Context) -> list[_Draft]:
    found: list[_Draft] = []
    number, mixed = 0, False
    for place, stage in enumerate(stages):
        if not stage.when(context):
            continue
        level_by_level = stage.level_by_level(context)
        if not (level_by_level and mixed):
            number += 1
        mixed = level_by_level
        for levels in stage.scopes(context):
            scope = _scope(levels, context)
            outputs = {name: _outputs(write, scope, context) for name, write in stage.writes.items()}
            found.append(_Draft(_name(stage, levels), stage, place, number, scope, outputs))
    for name, count in Counter(draft.name for draft in found).items():
        if count > 1:
            raise ValueError(f"two steps are named {name!r}")
    return found


def _scope(levels: int | range | None, context: Context) -> Scope:
    if levels is None:
        return Scope(range(context.path.levels), None)
    return Scope(levels, None) if isinstance(levels, range) else Scope(range(levels, levels + 1), levels)


def _name(stage: Stage[Any], levels: int | range | None) -> str:
    if levels is None:
        return stage.name
    return f"{stage.name}/{levels.start:03d}" if isinstance(levels, range) else f"levels/{levels:03d}/{stage.name}"


def _outputs(write: Entry | Write, scope: Scope, context: Context) -> list[File]:
    entry, levels = (write.entry, write.levels(context, scope)) if isinstance(write, Write) else (write, scope.levels)
    return [File(entry, level) for level in levels] if entry.per_level else [File(entry, None)]


def _writers(drafts: Sequence[_Draft]) -> _Writers:
    found: dict[tuple[str, int | None], list[tuple[int, File, str]]] = {}
    owners: dict[str, str] = {}
    for draft in drafts:
        for file in (file for written in draft.outputs.values() for file in written):
            if file.name in owners:
                raise ValueError(f"{draft.name!r} and {owners[file.name]!r} both write {file.name!r}")
            owners[file.name] = draft.name
            found.setdefault((file.entry.name, file.level), []).append((draft.place, file, draft.name))
    return found


def _sources(draft: _Draft, drafts: Sequence[_Draft], writers: _Writers, context: Context) -> dict[str, list[Source]]:
    """The files that a step reads, by the names in its stage's `reads`."""
    found: dict[str, list[Source]] = {}
    for name, read in draft.stage.reads.items():
        if read.kind == "exports":
            found[name] = [
                Source(None, file, other.name) for other in drafts if other is not draft for file in _exported(other)
            ]
        else:
            keys = _keys(read, draft.scope, context)
            found[name] = [one for key in keys if (one := _source(draft, read, key, writers, context)) is not None]
    return found


def _exported(draft: _Draft) -> list[File]:
    return [file for written in draft.outputs.values() for file in written if file.entry.exported]


def _keys(read: Read, scope: Scope, context: Context) -> Iterable[int | None]:
    if read.kind == "each":
        assert read.levels is not None
        return read.levels(context, scope)
    return () if read.entry is None else [None]


def _source(draft: _Draft, read: Read, key: int | None, writers: _Writers, context: Context) -> Source | None:
    """The last version written by a stage before this one; if there is none, the first version of a later stage."""
    entry = read.entry
    assert entry is not None
    level = draft.scope.first if key is None else key % context.path.levels
    versions = writers.get((entry.name, level if entry.per_level else None), ())
    before = [version for version in versions if version[0] < draft.place]
    chosen = before[-1] if before else versions[0] if versions else None
    if chosen is None:
        if read.optional:
            return None
        raise ValueError(f"{draft.name!r} reads {entry.path(level)!r}, which no step writes")
    return Source(key, chosen[1], chosen[2])


def _ordered(drafts: Sequence[_Draft], sources: Sequence[Mapping[str, Sequence[Source]]]) -> list[int]:
    """The drafts' indices in an order in which they can run: sorted by pass, then level, then stage."""
    index_of = {draft.name: index for index, draft in enumerate(drafts)}
    waits = [{index_of[one.writer] for read in found.values() for one in read} for found in sources]
    followers: list[list[int]] = [[] for _ in drafts]
    for index, needed in enumerate(waits):
        for other in needed:
            followers[other].append(index)
    missing = [len(needed) for needed in waits]
    keys = [(draft.pass_, draft.scope.first, draft.place) for draft in drafts]
    ready = [(keys[index], index) for index, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for other in followers[index]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(ready, (keys[other], other))
    if len(order) < len(drafts):
        stuck = [draft.name for index, draft in enumerate(drafts) if index not in set(order)]
        raise ValueError(f"these steps depend on each other in a cycle: {', '.join(stuck)}")
    return order


def _in_order(draft: _Draft, sources: Mapping[str, Sequence[Source]], order: list[str]) -> dict[str, Sequence[Source]]:
    """The sources with the exported files sorted in the order of the steps."""
    return {
        name: sorted(found, key=lambda one: order.index(one.writer)) if read.kind == "exports" else found
        for (name, found), read in zip(sources.items(), draft.stage.reads.values())
    }


def _step(draft: _Draft, sources: Mapping[str, Sequence[Source]], made: Mapping[str, Step], context: Context) -> Step:
    stage, scope = draft.stage, draft.scope
    parameters = stage.parameters(context, scope)
    weight = stage.weight(context, scope) if callable(stage.weight) else stage.weight
    uses_engine = any(read.kind == "engine" for read in stage.reads.values())
    engine = context.engine if uses_engine else None
    depends_on = {
        "step": draft.name,
        "version": stage.version,
        "parameters": parameters,
        "reads": {
            name: [[one.key, one.file.name, made[one.writer].digest] for one in read] for name, read in sources.items()
        },
        "writes": {name: [file.name for file in written] for name, written in draft.outputs.items()},
        "engine": None if engine is None else [engine.identity(), [engine.dependencies(k) for k in scope.levels]],
    }
    return Step(draft.name, stage, scope, parameters, sources, draft.outputs, digest_of(depends_on), weight, engine)
