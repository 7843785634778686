"""The compiled kernels that ship: not older than their sources, and called as they want to be called."""

import re

import cuda_simulator  # noqa: F401 (first: it chooses the simulator)
import pytest
import torch

from dreamzoom.splats.cuda import driver, kernels, probe
from dreamzoom.splats.cuda.layout import SIGNATURES

TENSORS = {"f": torch.float32, "d": torch.float64, "i": torch.int32, "l": torch.int64, "b": torch.bool}


def test_the_texts_were_compiled_from_these_sources():
    stored = (driver.FOLDER / "sources.sha256").read_text(encoding="ascii").strip()
    assert stored == kernels.digest(), "kernels have changed: run scripts/build_ptx.py"


def test_a_changed_constant_or_line_of_a_borrowed_function_changes_the_digest(monkeypatch):
    from dreamzoom.splats import project

    before = kernels.digest()
    monkeypatch.setattr(project, "CUT", project.CUT + 1)
    assert kernels.digest() != before


def test_modules_may_move_and_be_explained_without_compiling_again():
    plain = kernels._code("x = y + 1\n")
    assert kernels._code('"""What it is."""\nfrom dreamzoom.a import y\n\nx = y + 1  # why\n') == plain
    assert kernels._code("from numba import y\nx = y + 1\n") != plain
    assert kernels._code("x = y + 2\n") != plain


def test_every_kernel_is_there_and_no_other():
    assert {file.stem for file in driver.FOLDER.glob("*.ptx")} == set(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_text_is_for_old_drivers_and_takes_what_the_host_packs(name):
    text = (driver.FOLDER / f"{name}.ptx").read_text(encoding="ascii")
    assert text.startswith(".version 6.0\n.target sm_50\n")
    (entry,) = re.findall(rf"\.visible \.entry {name}\((.*?)\)", text, re.DOTALL)
    wanted, arguments = [], []
    for code in SIGNATURES[name].split():
        if len(code) == 1:
            arguments.append(1)
            wanted.append({"I": "u64", "F": "f32", "D": "f64"}[code])
        else:
            arguments.append(torch.zeros([2] * int(code[1]), dtype=TENSORS[code[0]]))
            wanted += ["u64"] * (5 + 2 * int(code[1]))
    assert re.findall(r"\.param \.(\w+) ", entry) == wanted
    assert len(driver.packed(name, tuple(arguments))) == len(wanted)


def test_packing_an_array_tells_where_it_lies_and_its_strides():
    counts = torch.zeros(5, dtype=torch.int32)
    box = torch.zeros((2, 4), dtype=torch.int32)
    words = driver.packed("count_tiles", (box, 7, counts))
    assert words[:9] == [0, 0, 8, 4, box.data_ptr(), 2, 4, 16, 4]
    assert words[9] == 7 and words[10:] == [0, 0, 5, 4, counts.data_ptr(), 5, 4]


def test_a_gpu_is_used_only_where_a_kernel_was_seen_to_run_on_it():
    card, why = probe.card(), probe.obstacle()
    assert (card is None) == bool(why)
    assert "\n" not in why
    if card is not None:
        out = torch.zeros(10, dtype=torch.int32, device=card.device)
        card.launch("probe", 1, 128, out)
        assert out.tolist() == [3 * i + 1 for i in range(10)]
