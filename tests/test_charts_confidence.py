"""barnlib.report.charts_confidence: reliability diagrams and calibration errors draw what their tables have."""

import pandas as pd
import pytest
from chart_checks import complete, layers, mark, rows
from small_book import NOTE

from barnlib.parameters import load_study
from barnlib.report.charts_confidence import HISTOGRAM, SHARES, against_chance, reliability
from barnlib.report.theme import palette

STUDY = load_study("smoke")
PALETTE = palette(STUDY)
NAMES = list(STUDY.backbones)


def bins(backbones: list[str] = NAMES) -> pd.DataFrame:
    """Two bins of each backbone: unsure and mostly wrong, sure and mostly right."""
    return pd.DataFrame(
        {
            "backbone": name,
            "confidence": confidence,
            "estimate": right,
            "low": right - 0.1,
            "high": right + 0.1,
            "answers": 4,
        }
        for name in backbones
        for confidence, right in ((0.125, 0.25), (0.975, 0.75))
    )


def answers(backbones: list[str] = NAMES) -> pd.DataFrame:
    """Eight answers of each backbone: six of one confidence, two of another."""
    said = [0.12] * 6 + [0.97] * 2
    return pd.DataFrame({"backbone": name, "said": one} for name in backbones for one in said)


def diagram(backbones: list[str] = NAMES) -> dict:
    chart = reliability(
        bins(backbones), answers(backbones), PALETTE, NOTE, title="Sure and right", definition="said"
    )
    return complete(chart, NOTE)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_diagram_has_a_panel_for_each_backbone(count):
    spec = diagram(NAMES[:count])
    assert spec["facet"]["sort"] == [PALETTE.titles[name] for name in NAMES[:count]]
    assert spec["columns"] == count
    drawn = [row for row in rows(spec, "part") if row["part"] == "bin"]
    assert [(row["panel"], row["confidence"], row["low"], row["high"]) for row in drawn] == [
        (PALETTE.titles[row.backbone], row.confidence, row.low, row.high)
        for row in bins(NAMES[:count]).itertuples()
    ]
    assert "confidence 12%: accuracy 25% (15% to 35%) of 4 answers" in spec["description"]


def test_the_histogram_counts_the_answers():
    shares = [row for row in rows(diagram(NAMES[:1]), "part") if row["part"] == "share"]
    assert len(shares) == SHARES
    held = {round(row["start"], 2): row["held"] for row in shares if row["held"]}
    assert held == {0.1: 6, 0.95: 2}
    tall = {round(row["start"], 2): row["tall"] for row in shares if row["held"]}
    assert tall == {0.1: pytest.approx(HISTOGRAM), 0.95: pytest.approx(HISTOGRAM / 3)}


def test_what_is_grey_and_dashed_is_named():
    assert diagram()["title"]["subtitle"].endswith(" · grey: answers by confidence · dashed: calibrated")


def errors() -> pd.DataFrame:
    """Calibration errors of two tasks, above, inside and below what chance makes."""
    return pd.DataFrame(
        {
            "task": task,
            "backbone": name,
            "estimate": error,
            "low": error - 0.02,
            "high": error + 0.02,
            "null_low": 0.04,
            "null_high": 0.08,
            "p": 0.01,
        }
        for task in ("VQA-Scene", "Seismic text description")
        for name, error in zip(NAMES, (0.1, 0.06, 0.02), strict=True)
    )


def test_errors_are_drawn_over_the_band_of_chance():
    spec = complete(against_chance(errors(), PALETTE, NOTE, title="One is above"), NOTE)
    band, interval = list(layers(spec))[:2]
    assert mark(band) == mark(interval) == "rule"
    assert (band["encoding"]["x"]["field"], band["encoding"]["x2"]["field"]) == ("null_low", "null_high")
    assert (interval["encoding"]["x"]["field"], interval["encoding"]["x2"]["field"]) == ("low", "high")
    assert band["encoding"]["x"]["scale"]["domain"] == [0, pytest.approx(1.25 * 0.12)]
    told = f"VQA-Scene, {PALETTE.titles['llama1']}: 10.0% (8.0% to 12.0%), by chance 4.0% to 8.0%"
    assert told in spec["description"]
    assert "p" in [tip["field"] for tip in band["encoding"]["tooltip"]]


@pytest.mark.parametrize(("error", "end"), [(0.0, 1), (0.98, 1)])
def test_the_axis_of_errors_has_a_length_and_ends_at_one(error, end):
    table = errors().assign(estimate=error, low=error, high=error, null_low=0, null_high=0)
    spec = against_chance(table, PALETTE, NOTE, title="t").to_dict()
    assert next(layers(spec))["encoding"]["x"]["scale"]["domain"] == [0, end]


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=f"the table has {PALETTE.titles['llama2']}, of which there are no answers"
    ):
        reliability(bins(), answers(NAMES[:1]), PALETTE, NOTE, title="t", definition="said")
    with pytest.raises(ValueError, match="no column 'primary'; it has backbone, said"):
        reliability(bins(), answers(), PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="nothing to draw"):
        reliability(bins().head(0), answers(), PALETTE, NOTE, title="t", definition="said")
    with pytest.raises(ValueError, match="no column 'null_low'"):
        against_chance(errors().drop(columns="null_low"), PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="does not hold its value"):
        against_chance(errors().assign(low=0.9), PALETTE, NOTE, title="t")
