"""Stages that really write small files, and a listener to their job."""

import json

from dreamzoom.example import example
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.steps import bind
from dreamzoom.request.validation import convert_request
from dreamzoom.stages.base.context import make_context
from dreamzoom.stages.base.files import Format
from dreamzoom.stages.base.layout import Entry
from dreamzoom.stages.base.stage import Stage, own

TEXT = Format(lambda path: path.read_text(), lambda path, text: path.write_text(text))
BYTES = Format(lambda path: path.read_bytes(), lambda path, data: path.write_bytes(data))
CONTEXT = make_context(convert_request(example(2, (64, 48))), None)


def entry(name):
    return Entry(name, f"{name}.txt", TEXT)


def stage(name, needs=(), parameters=None, work=None, *, version=1, level=None, weight=1.0, writes=None):
    """A stage that writes `<name>.txt`: its parameters and the content of what it needs."""

    def write(inputs, parameters, report):
        report.progress(0.5, f"writing {name}")
        return {"text": json.dumps([name, parameters, [inputs[need] for need in needs]])}

    return Stage(
        name,
        version,
        reads={need: own(entry(need)) for need in needs},
        writes={"text": entry(name)} if writes is None else writes,
        parameters=lambda context, scope: parameters or {},
        run=work or write,
        shown_as="test",
        scopes=lambda context: [level],
        weight=weight,
    )


def steps(*stages):
    return bind(stages, CONTEXT)


def chain(second="b"):
    return steps(stage("one", parameters={"v": "a"}), stage("two", ["one"], {"v": second}), stage("three", ["two"]))


class Listener(Sink):
    def __init__(self):
        self.told, self.logged, self.artifacts = [], [], []

    def progress(self, progress: Progress):
        self.told.append(progress)

    def log(self, message, level):
        self.logged.append((level, message))

    def artifact(self, kind, level, name):
        self.artifacts.append((kind, level, name))


def events(folder):
    return [(event["event"], event["step"]) for event in journal.read(folder)]
