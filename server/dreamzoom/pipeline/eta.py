"""A job's progress and remaining time, estimated from how long steps took in it and in earlier jobs."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from core import step_times
from dreamzoom.pipeline.steps import Step
from dreamzoom.request import schema

TRUST = 0.06
"""Times that were measured in earlier jobs count as much as this share of the job at that speed, so that a first step
that was held up does not spoil the estimate, and another load of the machine is soon noticed.
"""

LATE = 0.3
"""Of a step that should have ended by now so much of what it has not reported yet is expected to take its time."""

FAR = 3.0
"""A step counts as at most so many times slower, or faster, than the median of the steps."""


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
        self._is_measured = bool(measured)
        self._paces: list[tuple[float, float]] = []  # of finished steps: measured by expected seconds, and the latter
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
            self._paces += [(seconds / expected, expected)] if expected else []
        self.skip(step)
        return seconds

    def seconds_left(self) -> float | None:
        """Seconds left; None until the first measurement.

        If times were measured in earlier jobs: what the steps are expected to take, times how much slower steps ran
        than expected, on the average, since the machine's load is what differs. Else by the mean of the same stage,
        where it has any, and by the weights.
        """
        running = dict(self._running)
        left = self._by_pace(running) if self._is_measured else self._by_stage(running)
        return None if left is None else left / self._lanes_in_use(running)

    def _by_pace(self, running: Mapping[str, tuple[Step, float, float]]) -> float:
        """Sum of the seconds of all steps that are left, each on one lane, from times that were measured before."""
        paces, now = list(self._paces), self._time()
        for step, began, _ in running.values():  # one that takes longer than expected says so before its end
            expected = self._expected[step.name]
            paces += [((now - began) / expected, expected)] if 0 < expected < now - began else []
        slower = _mean_pace(paces, TRUST * self._total)
        left = 0.0
        for step in list(self._waiting.values()):
            whole = slower * self._expected[step.name]
            if step.name in running:
                _, began, fraction = running[step.name]
                left += max(whole - (now - began), (1 - fraction) * LATE * whole)
            else:
                left += whole
        return left

    def _by_stage(self, running: Mapping[str, tuple[Step, float, float]]) -> float | None:
        """The same from what the stages took in this job, and from the weights."""
        done, spent = dict(self._done), dict(self._spent)
        for step, began, fraction in running.values():
            if fraction > 0.05:
                expected, seconds = fraction * self._expected[step.name], self._time() - began
                done[step.stage.shown_as] = done.get(step.stage.shown_as, 0.0) + expected
                spent[step.stage.shown_as] = spent.get(step.stage.shown_as, 0.0) + seconds
        if not sum(done.values()):
            return None
        overall, left = sum(spent.values()) / sum(done.values()), 0.0
        for step in list(self._waiting.values()):
            share = 1 - running[step.name][2] if step.name in running else 1.0
            stage = step.stage.shown_as
            left += share * self._expected[step.name] * (spent[stage] / done[stage] if done.get(stage) else overall)
        return left

    def _lanes_in_use(self, running: Mapping[str, tuple[Step, float, float]]) -> float:
        """How many steps ran at once so far, on the average: steps that need others leave lanes empty."""
        if self._lanes == 1:
            return 1.0
        now = self._time()
        worked = sum(self._spent.values()) + sum(now - began for _, began, _ in running.values())
        passed = now - self._began
        return min(max(worked / passed, 1.0), float(self._lanes)) if worked and passed > 0 else float(self._lanes)


def _mean_pace(paces: Sequence[tuple[float, float]], trust: float) -> float:
    """The geometric mean of paces with weights, and of pace 1 with the weight `trust`; none counts as more than `FAR`
    times faster or slower than the median of the others.
    """
    logs = sorted((math.log(max(pace, 1e-9)), weight) for pace, weight in paces)
    half, passed, median = sum(weight for _, weight in logs) / 2, 0.0, 0.0
    for pace, weight in logs:
        passed, median = passed + weight, pace
        if passed >= half:
            break
    most = math.log(FAR)
    total = sum(weight * min(max(pace, median - most), median + most) for pace, weight in logs)
    return math.exp(total / (trust + 2 * half or 1.0))


def _expected(steps: Sequence[Step], measured: Mapping[str, float]) -> dict[str, float]:
    """Seconds that each step is expected to take; in units of the weights where nothing was measured."""
    weight = sum(step.weight for step in steps if step.name in measured)
    scale = sum(measured[step.name] for step in steps if step.name in measured) / weight if weight else 1.0
    return {step.name: measured.get(step.name, step.weight * scale) for step in steps}


_loaded: set[str] = set()
"""Engines whose code and kernels this process has loaded, since it has run a job of theirs."""


class StepTimer:
    """The measured times of steps on this machine, for one request.

    The first job of a process also loads code and kernels, so that its steps have times of their own.

    Args:
        request: Its engine, quality and size decide which measurements apply.
    """

    def __init__(self, request: schema.Request):
        self._engine = str(getattr(request.engine.__struct_config__, "tag", ""))
        self._kind = self._engine if self._engine in _loaded else step_times.first_job(self._engine)
        self._quality, self._pixels = request.quality, request.width * request.height
        self._times = step_times.read()

    def measured(self, steps: Sequence[Step]) -> Mapping[str, float]:
        """How long steps took in earlier jobs, by name, or usually take; those of which neither is known are left
        out.
        """
        found = {}
        for step in steps:
            seconds = self._expected(step)
            if seconds is not None:
                found[step.name] = seconds * (len(step.scope.levels) if step.level is None else 1)
        return found

    def add(self, seconds: Mapping[str, float], steps: Sequence[Step]) -> None:
        """Add the seconds of the steps that have run, by name, and keep them for later jobs."""
        for step in steps:
            if step.name in seconds:
                each = seconds[step.name] / (len(step.scope.levels) if step.level is None else 1)
                name = step_times.key(self._kind, self._quality, _kind(step), self._pixels)
                step_times.add(self._times, name, each)
        if seconds:
            step_times.write(self._times)
            _loaded.add(self._engine)

    def _expected(self, step: Step) -> float | None:
        """Seconds for a step of this job, else of any, else as usual."""
        for engine in dict.fromkeys((self._kind, self._engine, step_times.first_job(self._engine))):
            found = step_times.expected(self._times, engine, self._quality, _kind(step), self._pixels)
            if found is not None:
                return found
        return step_times.usual(self._engine, self._quality, _kind(step), self._pixels)


def _kind(step: Step) -> str:
    """Steps of one kind take about as long. The first levels have fewer coarser ones to show: they take less."""
    return step_times.kind(step.stage.name, step.level)
