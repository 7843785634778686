"""Many jobs on many GPUs, simulated from the steps of a real job and the seconds that they took.

The policy is the one of `dreamzoom.cluster.fair_slots`: a free GPU goes to the job that holds the fewest. A step that
fails (a machine that goes away) is begun again. What is not simulated: reading and writing files, which `bytes_moved`
estimates.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dreamzoom.pipeline.steps import Step


@dataclass(frozen=True)
class Outcome:
    """What a simulation found.

    Attributes:
        hours: From the start to the end of the last job.
        utilisation: The share of the GPUs' time that went into steps which were finished.
        lost: The share that went into steps that failed.
        idle: The share in which a GPU had nothing to do.
        longest: Hours of the longest job if it were alone on as many GPUs as it can use: no cluster is faster.
    """

    hours: float
    utilisation: float
    lost: float
    idle: float
    longest: float


def simulate(
    steps: Sequence[Step], seconds: Mapping[str, float], jobs: int, gpus: int, failures: float, seed: int = 0
) -> Outcome:
    """Run `jobs` jobs of these steps on `gpus` GPUs.

    Args:
        steps: The steps of one job, in order.
        seconds: What each takes, by name; it varies by a fifth from job to job.
        jobs, gpus: How many.
        failures: The chance that a step fails; half of its time is lost then.
        seed: Of the chance.
    """
    chance = random.Random(seed)
    names = [step.name for step in steps]
    needs = {step.name: {name for name in step.needs if name in seconds} for step in steps}
    followers: dict[str, list[str]] = {name: [] for name in names}
    for name, needed in needs.items():
        for other in needed:
            followers[other].append(name)
    speed = [chance.uniform(0.8, 1.2) for _ in range(jobs)]
    missing = [{name: len(needs[name]) for name in names} for _ in range(jobs)]
    ready = [deque(name for name in names if not needs[name]) for _ in range(jobs)]
    held = [0] * jobs
    waiting = [(0, job) for job in range(jobs)]
    heapq.heapify(waiting)
    running: list[tuple[float, int, str, float, bool]] = []
    now = useful = lost = 0.0
    while running or any(ready):
        while len(running) < gpus and waiting:
            count, job = heapq.heappop(waiting)
            if not ready[job]:
                continue
            if count != held[job]:
                heapq.heappush(waiting, (held[job], job))
                continue
            name = ready[job].popleft()
            fails = chance.random() < failures
            took = seconds[name] * speed[job] * (0.5 if fails else 1)
            heapq.heappush(running, (now + took, job, name, took, fails))
            held[job] += 1
            if ready[job]:
                heapq.heappush(waiting, (held[job], job))
        now, job, name, took, fails = heapq.heappop(running)
        held[job] -= 1
        if fails:
            lost += took
            ready[job].appendleft(name)
        else:
            useful += took
            for other in followers[name]:
                missing[job][other] -= 1
                if not missing[job][other]:
                    ready[job].append(other)
        if ready[job]:
            heapq.heappush(waiting, (held[job], job))
    total = now * gpus
    longest = max(speed) * critical_path(steps, seconds) / 3600
    return Outcome(now / 3600, useful / total, lost / total, 1 - (useful + lost) / total, longest)


def shortest(steps: Sequence[Step], seconds: Mapping[str, float], workers: int) -> float:
    """Seconds of one job on some workers if nothing but its steps took time, in the order in which they are begun."""
    behind: dict[str, float] = {}
    for step in reversed(steps):
        after = [behind[other.name] for other in steps if step.name in other.needs and other.name in behind]
        behind[step.name] = seconds[step.name] + max(after, default=0.0)
    waiting = sorted(steps, key=lambda step: -behind[step.name])
    done: set[str] = set()
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        while len(running) < workers and (ready := [one for one in waiting if done.issuperset(one.needs)]):
            waiting.remove(ready[0])
            heapq.heappush(running, (now + seconds[ready[0].name], ready[0].name))
        now, name = heapq.heappop(running)
        done.add(name)
    return now


def critical_path(steps: Sequence[Step], seconds: Mapping[str, float]) -> float:
    """Seconds of the longest chain of steps that need each other."""
    ends: dict[str, float] = {}
    for step in steps:
        ends[step.name] = seconds[step.name] + max((ends[name] for name in step.needs if name in ends), default=0.0)
    return max(ends.values())


def bottleneck(outcome: Outcome, moved: float, bandwidth: float) -> str:
    """What would limit a larger cluster first.

    Args:
        outcome: What the simulation found.
        moved: Bytes that all jobs read and write.
        bandwidth: Bytes per second of the storage.
    """
    storage = moved / bandwidth / 3600
    limits = {
        "the storage's bandwidth": storage,
        "the chain of steps within one job (each level is dreamed over the coarser ones)": outcome.longest,
        "the number of GPUs": outcome.hours * outcome.utilisation,
    }
    return max(limits, key=lambda name: limits[name])
