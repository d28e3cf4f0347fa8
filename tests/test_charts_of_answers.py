"""Charts of the instances and confidence notebooks: what each must carry, that it draws, and what it refuses."""

import itertools

import numpy as np
import pandas as pd
import pytest
import vl_convert
from prediction_tables import answers as draw_answers
from small_book import NOTE

from barnlib import charts, charts_confidence, charts_instances
from barnlib.calibration_curves import null_bands, reliability_table
from barnlib.calibration_tables import estimates, resample
from barnlib.chart_parts import DARK
from barnlib.ensembles import solved_by
from barnlib.instances import change_table
from barnlib.metrics import accuracy_table
from barnlib.parameters import load_study

STUDY = load_study("smoke")
PALETTE = charts.palette(STUDY)
RNG = np.random.default_rng
ROWS = draw_answers({"llama1": 0.4, "llama2": 0.5, "llama3": 0.6}, seeds=3, images=20, questions=4)
ROWS = ROWS.assign(said=RNG(1).uniform(0.1, 0.9, len(ROWS)))


def steps() -> pd.DataFrame:
    """From each backbone to the next."""
    table, names = change_table(ROWS, (), rng=RNG(0), resamples=20), list(PALETTE.titles)
    following = dict(itertools.pairwise(names))
    return table[(table["view"] == "majority") & (table["a"].map(following) == table["b"])]


def types() -> pd.DataFrame:
    return accuracy_table(ROWS, ("backbone", "question_type"), rng=RNG(0), resamples=20)


def bands() -> pd.DataFrame:
    table = estimates(resample(ROWS, ("task",), ("said",), rng=RNG(0), resamples=20))
    null = null_bands(ROWS, ("task",), "said", rng=RNG(0), draws=50)
    return table[table["measure"] == "ece"].merge(null, on=["task", "backbone"])


def mixed() -> pd.DataFrame:
    return pd.DataFrame(
        {"panel": panel, "stratum": name, "a": a, "b": b, "items": 40}
        for panel in ("types alone", "this study")
        for name, a, b in (("count", 0.9, 0.2), ("colour", 0.3, 0.7))
    )


DRAWN = {
    "sets": charts_instances.sets(solved_by(ROWS), PALETTE, NOTE, title="Most are solved by one"),
    "flow": charts_instances.flow(steps(), PALETTE, NOTE, title="More is gained than lost"),
    "dumbbell": charts_instances.dumbbell(types(), PALETTE, NOTE, title="Types differ", label="accuracy"),
    "mixture": charts_instances.mixture(mixed(), NOTE, title="Types alone turn it negative"),
    "reliability": charts_confidence.reliability(
        reliability_table(ROWS, definition="said", rng=RNG(0), resamples=20),
        ROWS,
        PALETTE,
        NOTE,
        title="Confidence is random here",
        definition="said",
    ),
    "against_chance": charts_confidence.against_chance(bands(), PALETTE, NOTE, title="All lie above chance"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_says_what_it_shows_and_draws(name: str) -> None:
    spec = DRAWN[name].to_dict()
    subtitle = spec["title"]["subtitle"]
    assert "n = 640 questions on 80 images, 2 seeds" in subtitle and "study smoke" in subtitle
    assert NOTE.interval in subtitle
    assert spec["description"].startswith(f"{spec['title']['text']}. ") and subtitle in spec["description"]
    assert any(character.isdigit() for character in spec["description"].split(". ", 2)[2].split(subtitle)[0])
    assert spec["usermeta"]["barn"]["dark"] == DARK
    svg = vl_convert.vegalite_to_svg(DRAWN[name].to_json(), vl_version="6.4")
    assert svg.count("<path") > 3 and "NaN" not in svg


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_backbones_draws(count: int) -> None:
    some = ROWS[ROWS["backbone"].isin(list(PALETTE.titles)[:count])]
    drawn = [charts_instances.sets(solved_by(some), PALETTE, NOTE, title="t")]
    table = reliability_table(some, definition="said", rng=RNG(0), resamples=20)
    drawn.append(charts_confidence.reliability(table, some, PALETTE, NOTE, title="t", definition="said"))
    for chart in drawn:
        assert "NaN" not in vl_convert.vegalite_to_svg(chart.to_json(), vl_version="6.4")


def test_ribbons_start_and_end_where_the_bars_do() -> None:
    row = {"kept": 0.4, "gained": 0.2, "lost": 0.1, "neither": 0.3}
    outline = charts_instances._ribbons(0, row).set_index("flow")
    start, end = outline.groupby(level=0).first(), outline.groupby(level=0).last()
    assert start.loc[["kept", "lost"], "high"].max() == pytest.approx(0.5)  # solved before
    assert end.loc[["kept", "gained"], "high"].max() == pytest.approx(0.6)  # solved after
    assert start["high"].max() == pytest.approx(1) and end["high"].max() == pytest.approx(1)


def test_tables_that_do_not_fit_are_refused() -> None:
    table = steps()
    with pytest.raises(
        ValueError, match="steps do not follow one another: llama2 to llama3, llama1 to llama2"
    ):
        charts_instances.flow(table.iloc[::-1], PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="shares of a step must add up to 1"):
        charts_instances.flow(table.assign(kept=0.9), PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="nothing to draw"):
        charts_instances.sets(solved_by(ROWS).iloc[:0], PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="of which there are no answers"):
        binned = reliability_table(ROWS, definition="said", rng=RNG(0), resamples=20)
        few = ROWS[ROWS["backbone"] == "llama1"]
        charts_confidence.reliability(binned, few, PALETTE, NOTE, title="t", definition="said")
    with pytest.raises(ValueError, match="no column 'null_low'"):
        charts_confidence.against_chance(bands().drop(columns="null_low"), PALETTE, NOTE, title="t")
