"""A job's progress and remaining time, estimated from how long steps took in it and in earlier jobs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from core import step_times
from dreamzoom.pipeline.steps import Step
from dreamzoom.request import schema

TRUST = 0.05
"""Times that were measured in earlier jobs count as much as this share of the job at that speed, so that a slow first
step, in which code is loaded, does not spoil the estimate.
"""


class Eta:
    """Sums the expected and the measured seconds of a job's steps. Skipped steps count as progress, not for the speed.

    Args:
        steps: All steps of the job.
        now: Returns the current time in seconds.
        measured: Seconds that steps took in earlier jobs, by name. Steps that it lacks are expected to take as long as
            their weight says, relative to the others. If empty, only the weights count.
        lanes: How many steps run at once.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        now: Callable[[], float] = time.monotonic,
        *,
        measured: Mapping[str, float] | None = None,
        lanes: int = 1,
    ):
        self._lanes = lanes
        self._time = now
        self._began = now()
        self._waiting = {step.name: step for step in steps}
        self._expected = _expected(steps, measured or {})
        self._total = sum(self._expected.values()) or 1.0
        self._ratios: list[tuple[float, float]] = [(1.0, TRUST * self._total)] if measured else []
        self._passed = 0.0  # expected seconds of the steps that are finished or skipped
        self._running: dict[str, tuple[Step, float, float]] = {}  # the running steps, start times, fractions, by name
        self._done: dict[str, float] = defaultdict(float)  # expected seconds of the steps that ran, by stage
        self._spent: dict[str, float] = defaultdict(float)  # their measured seconds
        self._highest = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._time() - self._began

    @property
    def fraction(self) -> float:
        """The fraction of the whole job that is done, 0 to 1; never decreases."""
        part = sum(self._expected[name] * fraction for name, (_, _, fraction) in list(self._running.items()))
        self._highest = min(max(self._highest, (self._passed + part) / self._total), 1.0)
        return self._highest

    def skip(self, step: Step) -> None:
        """Record a step that was already done."""
        self._waiting.pop(step.name)
        self._passed += self._expected[step.name]

    def at(self, step: Step, fraction: float) -> None:
        """Record that `fraction` of the running step is done."""
        _, began, _ = self._running.get(step.name, (step, self._time(), 0.0))
        self._running[step.name] = (step, began, min(max(fraction, 0.0), 1.0))

    def finish(self, step: Step) -> float:
        """Record that a step is finished; returns its seconds."""
        running, seconds = self._running.pop(step.name, None), 0.0
        if running is not None:
            seconds, expected = self._time() - running[1], self._expected[step.name]
            self._done[step.stage.shown_as] += expected
            self._spent[step.stage.shown_as] += seconds
            if self._ratios and expected:
                self._ratios.append((seconds / expected, expected))
        self.skip(step)
        return seconds

    def seconds_left(self) -> float | None:
        """Seconds left: what the waiting steps are expected to take, times how much slower than expected steps ran so
        far; None until the first measurement. If times were measured in earlier jobs, that is the median over all
        steps, since the machine's load is what differs; else the mean of the same stage, where it has any.
        """
        done, spent, ratios = dict(self._done), dict(self._spent), list(self._ratios)
        running = dict(self._running)
        for step, began, fraction in running.values():
            if fraction > 0.05:
                expected, seconds = fraction * self._expected[step.name], self._time() - began
                done[step.stage.shown_as] = done.get(step.stage.shown_as, 0.0) + expected
                spent[step.stage.shown_as] = spent.get(step.stage.shown_as, 0.0) + seconds
                ratios += [(seconds / expected, expected)] if expected and ratios else []
        if not sum(done.values()) and not ratios:
            return None
        overall = _weighted_median(ratios) if ratios else sum(spent.values()) / sum(done.values())
        left = 0.0
        for step in list(self._waiting.values()):
            share = 1 - running[step.name][2] if step.name in running else 1.0
            stage = step.stage.shown_as
            slower = spent[stage] / done[stage] if done.get(stage) and not ratios else overall
            left += share * self._expected[step.name] * slower
        return left / self._lanes


def _weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of values with weights, given as pairs."""
    ordered = sorted(pairs)
    half, passed = sum(weight for _, weight in ordered) / 2, 0.0
    for value, weight in ordered:
        passed += weight
        if passed >= half:
            return value
    return ordered[-1][0]


def _expected(steps: Sequence[Step], measured: Mapping[str, float]) -> dict[str, float]:
    """Seconds that each step is expected to take; in units of the weights where nothing was measured."""
    weight = sum(step.weight for step in steps if step.name in measured)
    scale = sum(measured[step.name] for step in steps if step.name in measured) / weight if weight else 1.0
    return {step.name: measured.get(step.name, step.weight * scale) for step in steps}


class StepTimer:
    """The measured times of steps on this machine, for one request.

    Args:
        request: Its engine, quality and size decide which measurements apply.
    """

    def __init__(self, request: schema.Request):
        self._engine = str(getattr(request.engine.__struct_config__, "tag", ""))
        self._quality, self._pixels = request.quality, request.width * request.height
        self._times = step_times.read()

    def measured(self, steps: Sequence[Step]) -> Mapping[str, float]:
        """How long steps took in earlier jobs, by name; those that have not been measured are left out."""
        found = {}
        for step in steps:
            seconds = step_times.expected(self._times, self._engine, self._quality, _kind(step), self._pixels)
            if seconds is not None:
                found[step.name] = seconds * (len(step.scope.levels) if step.level is None else 1)
        return found

    def add(self, seconds: Mapping[str, float], steps: Sequence[Step]) -> None:
        """Add the seconds of the steps that have run, by name, and keep them for later jobs."""
        for step in steps:
            if step.name in seconds:
                each = seconds[step.name] / (len(step.scope.levels) if step.level is None else 1)
                name = step_times.key(self._engine, self._quality, _kind(step), self._pixels)
                step_times.add(self._times, name, each)
        if seconds:
            step_times.write(self._times)


def _kind(step: Step) -> str:
    """Steps of one kind take about as long. The first levels have fewer coarser ones to show: they take less."""
    return step_times.kind(step.stage.name, step.level)
