"""barnlib.report.theme: colours that can be told apart, the note, and how a chart is stored."""

import base64
import itertools
import json

import altair as alt
import numpy as np
import pandas as pd
import pytest

from barnlib.parameters import backbone_names, load_backbone, load_study
from barnlib.report import theme
from barnlib.report.theme import DARK, PAPER

STUDY = load_study("smoke")
PALETTE = theme.palette(STUDY)
# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB of a hexadecimal colour."""
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_a_palette_has_the_titles_and_colours_of_the_backbones_files():
    files = {name: load_backbone(name, STUDY.scale) for name in STUDY.backbones}
    assert list(PALETTE.titles) == list(STUDY.backbones)
    assert PALETTE.titles == {name: file.title for name, file in files.items()}
    scale = PALETTE.colour().to_dict()["scale"]
    assert scale == {"domain": [f.title for f in files.values()], "range": [f.colour for f in files.values()]}


def test_backbones_are_named_by_title_and_others_refused():
    named = PALETTE.named(pd.DataFrame({"backbone": ["llama3", "llama1"], "x": [1, 2]}))
    assert named["backbone"].tolist() == [PALETTE.titles["llama3"], PALETTE.titles["llama1"]]
    assert PALETTE.present(named) == [PALETTE.titles["llama1"], PALETTE.titles["llama3"]], "the study's order"
    with pytest.raises(ValueError, match="table has backbone 'gpt'; the study has llama1, llama2, llama3"):
        PALETTE.named(pd.DataFrame({"backbone": ["llama1", "gpt"]}))


def test_colours_can_be_told_apart_by_everyone_in_both_modes():
    colours = {name: load_backbone(name, "nano").colour for name in backbone_names()}
    for name, colour in colours.items():
        for ground in (PAPER, DARK[PAPER]):
            assert contrast(colour, ground) >= 3, (
                f"{name}: {colour} on {ground}: {contrast(colour, ground):.2f} < 3"
            )
    for (a, one), (b, other) in itertools.combinations(colours.items(), 2):
        for deficiency, matrix in DEFICIENCIES.items():
            seen = [lab(np.clip(np.array(matrix) @ linear(colour), 0, 1)) for colour in (one, other)]
            apart = float(np.linalg.norm(seen[0] - seen[1]))
            assert apart >= 12, (
                f"{a} {one} and {b} {other} with {deficiency}: {apart:.1f} apart, at least 12 is wanted"
            )


def test_dark_mode_exchanges_every_ink_for_another():
    assert not set(DARK) & set(DARK.values())


def test_a_note_is_one_line():
    note = theme.Note("nano", 12400, "questions", "95 % interval")
    assert note.text() == "n = 12,400 questions · 95 % interval · study nano"
    assert note.without_interval().text() == "n = 12,400 questions · study nano"
    assert note.interval == "95 % interval", "the note itself stays"


def short(*titles: str) -> list[str]:
    named = {str(number): title for number, title in enumerate(titles)}
    return list(theme.Palette(named, dict.fromkeys(named, "#000000")).short.values())


def test_short_titles_leave_out_the_last_words_that_all_share():
    assert short("LLaMA-1 style", "LLaMA-3 style") == ["LLaMA-1", "LLaMA-3"]
    assert short("Vicuna 7B chat", "Llama 7B chat") == ["Vicuna", "Llama"]
    assert short("Llama 7B", "Llama 8B") == ["Llama 7B", "Llama 8B"], "what they begin with stays"
    assert short("style", "LLaMA-1 style") == ["style", "LLaMA-1 style"], "nothing would be left of the first"
    assert short("LLaMA-1 style") == ["LLaMA-1 style"]


def test_theme_stores_a_specification_and_a_picture_and_fetches_nothing():
    theme.use()
    points = alt.Chart(pd.DataFrame({"x": [1, 2]})).mark_point().encode(x="x:Q")
    bundle = points.properties(description="Two points.")._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert set(bundle) == {"application/vnd.vegalite.v6+json", "image/png", "text/plain"}
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["application/vnd.vegalite.v6+json"]["config"]["font"].startswith("system-ui")
    assert bundle["text/plain"] == "Chart: Two points."
    assert alt.theme.active == "barn"
    json.dumps(bundle["application/vnd.vegalite.v6+json"])


def test_a_chart_may_hold_more_rows_than_altair_allows_by_itself():
    theme.use()
    many = alt.Chart(pd.DataFrame({"x": range(6_000)})).mark_point().encode(x="x:Q")
    assert len(many.to_dict()["datasets"].popitem()[1]) == 6_000
