"""A job's progress and remaining time, estimated from the steps' weights and the measured speed of finished steps."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from dreamzoom.pipeline.steps import Step


class Eta:
    """Sums the weights and seconds of a job's steps. Skipped steps count as progress, but not for the speed.

    Args:
        steps: All steps of the job.
        now: Returns the current time in seconds.
        lanes: How many steps run at once.
    """

    def __init__(self, steps: Sequence[Step], now: Callable[[], float] = time.monotonic, *, lanes: int = 1):
        self._lanes = lanes
        self._time = now
        self._began = now()
        self._total = sum(step.weight for step in steps) or 1.0
        self._waiting = {step.name: step for step in steps}
        self._passed = 0.0  # total weight of the steps that are finished or skipped
        self._running: dict[str, tuple[Step, float, float]] = {}  # the running steps, start times, fractions, by name
        self._weight: dict[str, float] = defaultdict(float)  # total weight of the steps that ran, by stage
        self._spent: dict[str, float] = defaultdict(float)  # their total seconds
        self._highest = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._time() - self._began

    @property
    def fraction(self) -> float:
        """The fraction of the whole job that is done, 0 to 1; never decreases."""
        part = sum(step.weight * fraction for step, _, fraction in list(self._running.values()))
        self._highest = min(max(self._highest, (self._passed + part) / self._total), 1.0)
        return self._highest

    def skip(self, step: Step) -> None:
        """Record a step that was already done."""
        self._waiting.pop(step.name)
        self._passed += step.weight

    def at(self, step: Step, fraction: float) -> None:
        """Record that `fraction` of the running step is done."""
        _, began, _ = self._running.get(step.name, (step, self._time(), 0.0))
        self._running[step.name] = (step, began, min(max(fraction, 0.0), 1.0))

    def finish(self, step: Step) -> None:
        """Record that a step is finished."""
        running = self._running.pop(step.name, None)
        if running is not None:
            self._weight[step.stage.shown_as] += step.weight
            self._spent[step.stage.shown_as] += self._time() - running[1]
        self.skip(step)

    def seconds_left(self) -> float | None:
        """Seconds left, by each stage's measured speed, or by the mean speed if it was not measured yet. None until the
        first measurement.
        """
        weight, spent = dict(self._weight), dict(self._spent)
        running = dict(self._running)
        for step, began, fraction in running.values():
            if fraction > 0.05:
                weight[step.stage.shown_as] = weight.get(step.stage.shown_as, 0.0) + fraction * step.weight
                spent[step.stage.shown_as] = spent.get(step.stage.shown_as, 0.0) + self._time() - began
        if not sum(weight.values()):
            return None
        overall = sum(spent.values()) / sum(weight.values())
        left = 0.0
        for step in list(self._waiting.values()):
            share = 1 - running[step.name][2] if step.name in running else 1.0
            stage = step.stage.shown_as
            rate = spent[stage] / weight[stage] if weight.get(stage) else overall
            left += share * step.weight * rate
        return left / self._lanes
