"""Files between machines, by their content: nothing twice, nothing damaged, nothing that was not asked for."""

from pathlib import Path

import pytest

from core.errors import DreamzoomError, RefusedFile
from dreamzoom.cluster import cache, transfer
from dreamzoom.pipeline.folder import Folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMZOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "CHUNK", 1000)


@pytest.fixture
def files(tmp_path):
    """Three files of several parts, one part and none, and a copy of the first."""
    (tmp_path / "here").mkdir()
    contents = {"large": bytes(range(256)) * 20, "small": b"x", "empty": b"", "copy": bytes(range(256)) * 20}
    for name, data in contents.items():
        (tmp_path / "here" / name).write_bytes(data)
    return {name: str(tmp_path / "here" / name) for name in contents}


class Machine:
    """The other machine, in this process; remembers what it was asked."""

    def __init__(self, spoil=lambda method, arguments: arguments):
        self.shelf, self.asked, self.spoil = transfer.Shelf(), [], spoil

    def __call__(self, method, *arguments):
        self.asked.append(method)
        return getattr(self.shelf, method)(*self.spoil(method, arguments))


def test_each_content_is_sent_once_and_never_again(files):
    machine = Machine()
    found, sent = transfer.send(machine, files)
    assert sent == 256 * 20 + 1
    assert machine.asked.count("take") == 6 + 1 + 1
    for name, digest in found.items():
        assert cache.place_of(digest).read_bytes() == Path(files[name]).read_bytes()
    assert transfer.send(machine, files) == (found, 0)
    assert machine.asked[-1] == "missing"


def test_what_is_damaged_on_the_way_is_not_kept(files, tmp_path):
    machine = Machine(lambda method, given: (given[0], b"?" * len(given[1]), *given[2:]) if method == "take" else given)
    with pytest.raises(cache.Damaged):
        transfer.send(machine, files)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_sender_that_died_half_way_leaves_nothing_that_is_used(files):
    class Gone(Exception):
        pass

    def dies(method, given):
        if method == "take" and given[2] == 2000:
            raise Gone
        return given

    with pytest.raises(Gone):
        transfer.send(Machine(dies), {"large": files["large"]})
    found, sent = transfer.send(Machine(), {"large": files["large"]})
    assert sent == 256 * 20
    assert cache.has(found["large"])


def test_only_declared_files_come_back_whole(files, tmp_path):
    machine = Machine()
    outputs, _ = transfer.send(machine, files)
    folder = Folder(tmp_path / "job")
    fetched = transfer.fetch(machine, folder, ["large", "empty", "never"], outputs | {"../evil": outputs["small"]})
    assert fetched == 256 * 20
    assert sorted(path.name for path in folder.root.iterdir()) == ["empty", "large"]
    assert folder.digest("large") == outputs["large"]
    with pytest.raises(RefusedFile):
        transfer.fetch(machine, folder, ["../evil"], {"../evil": outputs["small"]})
    cache.place_of(outputs["small"]).rename(cache.place_of(outputs["large"]))
    with pytest.raises(DreamzoomError, match="damaged"):
        transfer.fetch(machine, folder, ["large"], {"large": outputs["large"]})
    assert folder.digest("large") == outputs["large"]
