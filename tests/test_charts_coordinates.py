"""barnlib.report.charts_coordinates: curves over tolerance and maps of answers draw what their tables have."""

import pandas as pd
import pytest
from chart_checks import complete, layers, mark, rows

from barnlib.report.charts_coordinates import answer_map, land_cells, tolerance_curves
from barnlib.report.theme import Note, Palette

PALETTE = Palette({"a": "First", "b": "Second"}, {"a": "#0072B2", "b": "#D55E00"})
NOTE = Note("toy", 6, "cards", "95 % interval over cards")


def curve(backbones: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    """Shares of answers that grow with the tolerance, the second backbone ahead."""
    return pd.DataFrame(
        {"backbone": name, "tolerance_km": km, "estimate": share, "low": share - 0.05, "high": share + 0.05}
        for place, name in enumerate(backbones)
        for km, share in ((50.0, 0.05), (980.0, 0.25 + 0.1 * place), (20_000.0, 0.95))
    )


def answered() -> pd.DataFrame:
    """Two cells of each backbone's answers, the first the more frequent."""
    return pd.DataFrame(
        {
            "backbone": name,
            "latitude": latitude,
            "longitude": 130.0,
            "answers": answers,
            "share": answers / 8,
            "true_share": 0.1,
        }
        for name in ("a", "b")
        for latitude, answers in ((-5.0, 6), (5.0, 2))
    )


def drawn_lines(guesses: pd.DataFrame | None) -> dict:
    chart = tolerance_curves(curve(), PALETTE, NOTE, title="t", tolerance_km=1000, guesses=guesses)
    return complete(chart, NOTE)


def test_curves_are_said_at_the_tolerance_nearest_to_the_studys():
    text = drawn_lines(None)["description"]
    assert "First, within 980 km: 25% (20% to 30%); Second, within 980 km: 35% (30% to 40%). " in text


def test_the_studys_tolerance_is_a_dotted_line_on_the_axis_of_the_curves():
    line, band = list(layers(drawn_lines(None)))[:2]
    assert mark(line) == "rule" and line["mark"]["strokeDash"] == [2, 3]
    assert line["encoding"]["x"]["scale"]["domain"] == [50, 20_000]
    assert (mark(band), band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == (
        "area",
        "low",
        "high",
    )


def test_guesses_are_dashed_and_named_where_their_lines_are():
    guesses = curve(("random_answer", "mean_location"))
    spec = drawn_lines(guesses)
    dashed = next(layers(spec))
    assert mark(dashed) == "line" and dashed["mark"]["strokeDash"] == [5, 3]
    (names,) = {layer["data"]["name"] for layer in layers(spec) if mark(layer) == "text"}
    assert [(row["backbone"], row["tolerance_km"]) for row in spec["datasets"][names]] == [
        ("random answer", 20_000),
        ("mean location", 980),
    ], "each where its line first is high enough: 75 and 35 per cent"
    without = drawn_lines(guesses.head(0))
    assert [mark(layer) for layer in layers(without)] == [mark(layer) for layer in layers(drawn_lines(None))]


def test_a_map_has_land_answers_and_crosses():
    chart = answer_map(answered(), PALETTE, NOTE, title="t", middles={"mean": (10.0, -170.0)})
    spec = complete(chart, NOTE.without_interval())
    assert "interval" not in spec["title"]["subtitle"], "a map draws none"
    marked = pd.DataFrame(rows(spec, "mark"))
    assert set(marked["mark"]) == {"land", "answers", "place"}
    assert "First: most often near -5, 130 (75%)" in spec["description"]
    assert "Crosses: mean" in spec["description"]
    crosses = marked[marked["mark"] == "place"]
    assert crosses["backbone"].tolist() == ["First", "Second"]
    assert set(crosses["longitude"]) == {190}, "on the map that starts at 30 W"


def test_a_map_may_have_no_crosses():
    spec = answer_map(answered(), PALETTE, NOTE, title="t", middles={}).to_dict()
    assert "No crosses" in spec["description"]
    assert "place" not in {row["mark"] for row in rows(spec, "mark")}


def test_land_is_where_land_is():
    cells = land_cells()

    def near(latitude: float, longitude: float) -> bool:
        return bool(
            ((cells["latitude"] - latitude).abs() < 3).to_numpy()
            @ ((cells["longitude"] - longitude).abs() < 3)
        )

    assert near(50, 100) and near(-25, 135) and near(10, 20)  # Asia, Australia, Africa
    assert not near(0, 200) and not near(-40, 90)  # the Pacific and the Indian Ocean
    assert 0.2 < len(cells) / (90 * 42) < 0.45


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not hold its value"):
        tolerance_curves(curve().assign(low=0.99), PALETTE, NOTE, title="t", tolerance_km=1000)
    with pytest.raises(ValueError, match="table has backbone 'c'; the study has a, b"):
        tolerance_curves(curve(("c",)), PALETTE, NOTE, title="t", tolerance_km=1000)
    with pytest.raises(ValueError, match="no column 'estimate'"):
        nothing = curve().drop(columns="estimate")
        tolerance_curves(curve(), PALETTE, NOTE, title="t", tolerance_km=1000, guesses=nothing)
    with pytest.raises(ValueError, match="nothing to draw"):
        answer_map(answered().head(0), PALETTE, NOTE, title="t", middles={})
