"""Charts of coordinates: what each must carry, and that each draws."""

import json

import numpy as np
import pytest
import vl_convert
from prediction_tables import coordinates, table

from barnlib import charts, findings_coordinates
from barnlib.charts_coordinates import answer_map, land_cells, tolerance_curves
from barnlib.coordinate_bias import answered_places, favourites, pull
from barnlib.coordinate_digits import digit_errors
from barnlib.coordinates import coordinate_curve, coordinate_failures, reference_losses
from barnlib.data.descriptions import write_coordinates

TITLES = {"a": "First", "b": "Second"}
PALETTE = charts.Palette(TITLES, {"a": "#0072B2", "b": "#D55E00"})
NOTE = charts.Note("toy", 6, "cards", "95 % interval over cards")
HOW = {"resamples": 10}


def rows(readable: bool = True):
    rng = np.random.default_rng(0)
    places = [(rng.uniform(-80, 80), rng.uniform(-180, 180)) for _ in range(6)]
    made = [
        coordinates(
            str(n),
            write_coordinates(*place) if readable else "nowhere",
            backbone=backbone,
            condition=condition,
            reference_logprob=-9.0,
            reference_tokens=20,
        )
        for backbone in TITLES
        for condition in ("image", "constrained")
        for n, place in enumerate(places)
    ]
    return table(made)


def draws(chart) -> dict:
    spec = chart.to_dict()
    assert vl_convert.vegalite_to_png(json.dumps(spec)).startswith(b"\x89PNG")
    assert NOTE.text() in spec["description"] and NOTE.text() in spec["title"]["subtitle"]
    return spec


@pytest.mark.parametrize("readable", [True, False])
def test_curves_with_and_without_guesses(readable):
    free = rows(readable).query("condition == 'image'")
    curve = coordinate_curve(free, rng=np.random.default_rng(0), **HOW)
    title = findings_coordinates.curve_title(curve, TITLES, 1000)
    spec = draws(tolerance_curves(curve, PALETTE, NOTE, title=title, tolerance_km=1000))
    assert "First" in spec["description"] and title.startswith("Within ")
    guesses = curve[curve["backbone"] == "a"].assign(backbone="random_answer")
    spec = draws(tolerance_curves(curve, PALETTE, NOTE, title="x", tolerance_km=1000, guesses=guesses))
    assert "random answer" in json.dumps(spec["datasets"])


def test_a_map_has_land_answers_and_crosses():
    found = favourites(answered_places(rows().query("condition == 'image'")))
    title = findings_coordinates.map_title(found, TITLES)
    spec = draws(answer_map(found, PALETTE, NOTE, title=title, middles={"mean": (10.0, -170.0)}))
    marks = {row["mark"] for data in spec["datasets"].values() for row in data if "mark" in row}
    assert marks == {"land", "answers", "place"} and "Crosses: mean" in spec["description"]
    crosses = [row for data in spec["datasets"].values() for row in data if row.get("mark") == "place"]
    assert {row["longitude"] for row in crosses} == {190.0}, "on the map that starts at 30 W"


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


@pytest.mark.parametrize("readable", [True, False])
def test_titles_say_something_of_any_table(readable):
    both, rng = rows(readable), np.random.default_rng(0)
    free = both.query("condition == 'image'")
    failures = coordinate_failures(both, tolerance_km=1000, rng=rng, **HOW)
    told = findings_coordinates.form_title(failures, TITLES)
    share = failures[failures["outcome"] == "unreadable, right once in form"]["estimate"].max()
    assert (f"costs {share:.0%} of answers at most" if share else "costs no answer;") in told
    losses = reference_losses(free, rng=rng, **HOW)
    assert "bits per byte" in findings_coordinates.loss_title(losses, TITLES)
    digits = findings_coordinates.digits_title(digit_errors(free, rng=rng, **HOW), TITLES)
    slopes = findings_coordinates.pull_title(pull(free, rng=rng, **HOW), TITLES)
    if not readable:
        assert digits == "No readable latitude has a wrong digit"
        assert slopes == "No backbone wrote coordinates that could be read"
