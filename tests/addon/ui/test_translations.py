"""The interface in other languages: nothing is left out, nothing is cut, and messages with values are recognised."""

import ast
import json
import re
import time

import bpy
import interface_texts
import pytest

from addon import translations
from addon.ui import text as texts

LANGUAGES = translations.languages()

SIDEBAR = 236
"""Pixels that a panel has in a sidebar of Blender's usual width, at interface scale 1; measured in a window."""

NAME, VALUE, BUTTON = 0.42 * SIDEBAR - 8, 0.58 * SIDEBAR - 34, SIDEBAR - 40
"""What a property's name, the value of an enum, and a button with an icon have of it for their text."""


@pytest.fixture(scope="module")
def all_texts(registered):
    return interface_texts.messages() | interface_texts.registered()


def test_there_is_simplified_chinese():
    assert "zh_HANS" in LANGUAGES


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_an_import_made_ready_is_told_in_every_language(dreamzoom, code):
    from addon import rig
    from addon.results import render_settings

    bpy.ops.dreamzoom.create_rig(levels=1)
    scene = bpy.context.scene
    scene.camera, scene.world = None, None
    told = {
        re.sub("“.*”", "“{path}”", re.sub(r"^\d+ samples", "{count} samples", text))
        for text in render_settings.make_ready(scene, rig.active_rig(bpy.context))
    }
    assert len(told) >= 5 and told <= translations.catalogue(code).keys()


@pytest.mark.parametrize("code", LANGUAGES)
class TestFile:
    def test_nothing_is_left_out(self, all_texts, code):
        known = translations.catalogue(code)
        missing = {text: place for text, place in all_texts.items() if text not in known}
        lines = "\n".join(f' {json.dumps(text, ensure_ascii=False)}: "",    {place}' for text, place in missing.items())
        assert not missing, f"{len(missing)} texts are not in {code}.json:\n{lines}"

    def test_every_value_keeps_its_place(self, code):
        wrong = [
            text
            for text, target in translations.catalogue(code).items()
            if sorted(translations.PLACE.findall(text)) != sorted(translations.PLACE.findall(target))
        ]
        assert not wrong

    def test_no_translation_is_empty_or_untrimmed(self, code):
        wrong = [
            text for text, target in translations.catalogue(code).items() if not target or target != target.strip()
        ]
        assert not wrong


def test_what_layouts_show_is_translated():
    """Texts with values that are drawn go through `translated` or Blender's own function."""
    wrong = []
    for file in sorted((interface_texts.ROOT / "addon/ui").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in interface_texts.SHOWING:
                continue
            for keyword in node.keywords:
                raw = keyword.arg in ("text", "heading") and isinstance(keyword.value, ast.JoinedStr)
                if raw and any(letter.isalpha() for letter in interface_texts._template(keyword.value)):
                    wrong.append(f"{file.name}:{node.lineno} {ast.unparse(keyword.value)}")
    assert not wrong, "\n".join(wrong)


class TestTranslated:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Generate", "生成"),
            ("About 3 min 5 s left", "约剩 3 分 5 秒"),
            ("There is no file flights/a b.txt", "没有文件 flights/a b.txt"),
            ("Level 3 in Detail", "层级 3 详情"),
            ("46 s so far. Blender stays usable", "已用 46 秒。Blender 可照常使用"),
            ("The packages could not be found", "找不到软件包"),
            ("No model is called x", "没有名为 x 的模型"),
            ("Parented to level 2: 1 object", "已绑定到层级 2：1 个物体"),
            ("what holds objects", "what holds objects"),
            ("Level 3: the prompt must be a whole number", "层级 3 的提示词 必须是整数"),
            ("Done: nothing had changed.", "完成：没有任何变化。"),
            (
                "The job of this flight is running already. Wait for it, or cancel it",
                "此飞行的任务已在运行。请等待其完成，或取消它",
            ),
            ("nothing that is known here", "nothing that is known here"),
            ("", ""),
        ],
    )
    def test_by_form_or_by_pattern(self, dreamzoom, text, expected):
        assert translations.into(text, "zh_HANS") == expected

    @pytest.mark.parametrize("code", ["en_US", "xx", "../zh_HANS"])
    def test_in_a_language_without_a_file_it_stays(self, dreamzoom, code):
        assert translations.into("About 3 min 5 s left", code) == "About 3 min 5 s left"

    def test_a_long_value_takes_no_time(self, dreamzoom):
        before = time.thread_time()
        translations.into("word " * 20000, "zh_HANS")
        assert time.thread_time() - before < 20


class TestWidths:
    """Measured with Blender's own font."""

    @pytest.fixture(autouse=True)
    def scale_1(self, monkeypatch):
        monkeypatch.setattr(texts, "_size", lambda: (11.0, 1.0))

    @pytest.mark.parametrize("code", ["en_US", *LANGUAGES])
    def test_buttons_fit(self, dreamzoom, code):
        known = translations.catalogue(code)
        labels = [getattr(bpy.ops.dreamzoom, name).get_rna_type().name for name in dir(bpy.ops.dreamzoom)]
        cut = {label: texts.width(known.get(label, label)) for label in labels}
        assert not {label: wide for label, wide in cut.items() if wide > BUTTON}

    @pytest.mark.parametrize("code", ["en_US", *LANGUAGES])
    def test_names_and_values_fit(self, dreamzoom, code):
        known = translations.catalogue(code)
        cut = []
        for name, room in interface_texts.column_texts():
            shown = known.get(name, name)
            limit = NAME if room == "name" else VALUE
            if texts.width(shown) > limit:
                cut.append(f"{shown}: {texts.width(shown):.0f} of {limit:.0f} pixels")
        assert not cut, "\n".join(cut)

    def test_lines_are_no_wider_than_their_room(self, dreamzoom):
        english = "The server's packages are not installed yet. " * 5 + "a" * 90
        for text in (english, "服务器的软件包尚未安装，请按安装。" * 8, ""):
            lines = texts.lines(text, 150)
            assert all(texts.width(line) <= 150 for line in lines)
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")

    def test_a_shortened_text_fits_and_says_so(self, dreamzoom):
        short = texts.shortened("the crown of an old tree in a forest", 100)
        assert texts.width(short) <= 100 and short.endswith("…")
        assert texts.shortened("a tree", 100) == "a tree"
