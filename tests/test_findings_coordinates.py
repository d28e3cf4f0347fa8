"""barnlib.report.findings_coordinates: titles say what their tables say, or that there is nothing to say."""

import pandas as pd

from barnlib.analyses.coordinates import OUTCOMES
from barnlib.report import findings_coordinates as said

TITLES = {"a": "First", "b": "Second"}


def table(columns: tuple[str, ...], *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def test_the_curve_is_said_at_the_nearest_tolerance():
    columns = ("backbone", "tolerance_km", "estimate")
    curve = table(columns, ("a", 500.0, 0.1), ("a", 980.0, 0.25), ("b", 500.0, 0.2), ("b", 980.0, 0.4))
    assert said.curve_title(curve, TITLES, 1000) == "Within 980 km: First 25%, Second 40%"
    assert said.curve_title(curve, TITLES, 600) == "Within 500 km: First 10%, Second 20%"


def failures(**form: float) -> pd.DataFrame:
    """Half of each backbone's answers well-formed in a wrong place; the given shares fail by form alone."""
    rows = [
        row
        for name, lost in form.items()
        for row in zip(
            [name] * 4,
            OUTCOMES,
            (0.5 - lost - 0.1 * (name == "b"), 0.5, lost, 0.1 * (name == "b")),
            strict=True,
        )
    ]
    return table(("backbone", "outcome", "estimate"), *rows)


def test_form_is_told_from_knowledge():
    assert said.form_title(failures(a=0.05, b=0.2), TITLES) == (
        "Form alone costs 20% of answers at most (Second); a wrong place 50% to 60%"
    )
    little = "Form alone costs less than 1% of answers at most (First); a wrong place 50%"
    assert said.form_title(failures(a=0.002), TITLES) == little
    assert said.form_title(failures(a=0.0), TITLES) == "Form alone costs no answer; a wrong place 50%"


def test_the_digit_that_most_often_goes_wrong_first_is_that_of_a_latitude():
    columns = ("backbone", "measure", "place", "estimate")
    digits = table(
        columns,
        ("a", "first wrong", "latitude tens", 0.3),
        ("a", "first wrong", "latitude ones", 0.5),
        ("a", "first wrong", "longitude tens", 0.9),
        ("a", "wrong", "latitude tens", 0.8),
        ("b", "first wrong", "latitude sign", 0.1),
        ("b", "first wrong", "latitude ones", 0.0),
    )
    told = "A latitude most often goes wrong first"
    assert said.digits_title(digits, TITLES) == f"{told}: First at the ones, Second at the sign"
    right = digits.assign(estimate=digits["estimate"].where(digits["backbone"] == "a", 0.0))
    assert said.digits_title(right, TITLES) == f"{told}: First at the ones"
    nothing = "No readable latitude has a wrong digit"
    assert said.digits_title(digits.assign(estimate=0.0), TITLES) == nothing
    assert said.digits_title(digits.head(0), TITLES) == nothing


def test_the_flattest_and_the_steepest_slope_are_named():
    columns = ("backbone", "measure", "axis", "estimate")
    pull = table(
        columns,
        ("a", "slope", "latitude", 0.9),
        ("a", "slope", "longitude", 0.4),
        ("b", "slope", "latitude", -0.1),
        ("b", "slope", "longitude", float("nan")),
        ("b", "offset", "latitude", 40.0),
    )
    assert said.pull_title(pull, TITLES) == (
        "Slopes of answers on the truth go from -0.10 (Second, latitude) to 0.90 (First, latitude)"
    )
    unread = "No backbone wrote coordinates that could be read"
    assert said.pull_title(pull.assign(estimate=float("nan")), TITLES) == unread
    assert said.pull_title(pull[pull["measure"] == "offset"], TITLES) == unread


def test_the_most_frequent_cell_of_each_backbone_is_said():
    favourites = table(("backbone", "share"), ("a", 0.2), ("a", 0.7), ("b", 0.4), ("b", 0.1))
    assert (
        said.map_title(favourites, TITLES)
        == "Answers in the most frequent cell of the map: First 70%, Second 40%"
    )


def test_losses_are_said_in_bits_per_byte():
    columns = ("backbone", "measure", "estimate")
    losses = table(
        columns,
        ("a", "bits per byte", 0.9),
        ("b", "bits per byte", 0.65),
        ("a", "bits", 90.0),
        ("b", "bits", 5.0),
    )
    assert (
        said.loss_title(losses, TITLES) == "The true answer costs 0.65 bits per byte (Second) to 0.90 (First)"
    )
    assert said.loss_title(losses.assign(estimate=float("nan")), TITLES) == (
        "The loss of the true answers is not known"
    )


def test_what_a_head_reads_stands_beside_what_is_said():
    read = table(("backbone", "estimate"), ("a", 1200.4), ("b", 800.0))
    answers = table(("backbone", "estimate"), ("b", 2500.0), ("a", float("inf")))
    assert said.head_title(read, answers, TITLES) == (
        "Median error: First 1,200 km read, nothing readable said, Second 800 km read, 2,500 km said"
    )
    assert said.head_title(read, answers.head(1), TITLES) == "Median error: Second 800 km read, 2,500 km said"
