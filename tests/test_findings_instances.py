"""Titles and tables of the instances page: each says what its table says, or that there is nothing to say."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers, by_hand
from sklearn.metrics import matthews_corrcoef

from barnlib.analyses.agreement_tables import agreement_table
from barnlib.analyses.ensembles import ensembles, solved_by
from barnlib.analyses.metrics import accuracy_table
from barnlib.analyses.run_pairs import compare_runs
from barnlib.report.findings_instances import (
    example,
    flow_title,
    gap_title,
    headroom_title,
    interval_texts,
    mixtures,
    p_text,
    pooling_title,
    seeds_note,
    sets_title,
    side_by_side,
    successive,
    yardstick_title,
)

TITLES = {"a": "A", "b": "B", "c": "C"}
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return answers({"a": 0.3, "b": 0.5, "c": 0.6}, seeds=2, images=20, questions=4)


@pytest.fixture(scope="module")
def measured(rows: pd.DataFrame) -> pd.DataFrame:
    return agreement_table(compare_runs(rows, rng=RNG(0), resamples=10))


def test_the_worked_example_is_what_it_says() -> None:
    found = example()
    assert set(found["panel"]) == {"worked example: φ -0.38, within types +0.00"}
    assert found["a"].tolist() == [7 / 8, 1 / 8] and found["b"].tolist() == [1 / 4, 3 / 4]
    a, b = [], []
    for row in found.itertuples():  # items of a type in which both are right independently of each other
        shares = (row.a * row.b, row.a * (1 - row.b), (1 - row.a) * row.b, (1 - row.a) * (1 - row.b))
        for (x, y), share in zip(((1, 1), (1, 0), (0, 1), (0, 0)), shares, strict=True):
            a += [x] * round(row.items * share)
            b += [y] * round(row.items * share)
    assert len(a) == found["items"].sum() and matthews_corrcoef(a, b) == pytest.approx(-0.375)


def test_a_p_value_is_never_written_as_zero() -> None:
    assert [p_text(p) for p in (0.5, 0.02834, 3.2e-90, 0.0)] == ["0.5", "0.0283", "3.2e-90", "< 1e-300"]
    assert p_text(float("nan")) == "–"


def test_every_pair_has_a_panel_with_its_accuracies_by_type(
    rows: pd.DataFrame, measured: pd.DataFrame
) -> None:
    mixed = mixtures(rows, measured, TITLES)
    assert mixed["panel"].nunique() == 1 + 3 and mixed["panel"].str.contains("A and B: φ").sum() == 2
    counted = rows[(rows["backbone"] == "a") & (rows["question_type"] == "count")]
    pair = mixed[mixed["panel"].str.startswith("A and B") & (mixed["stratum"] == "count")].iloc[0]
    assert pair["a"] == pytest.approx(counted["correct"].mean())
    assert pair["items"] == counted["item"].nunique()
    perfect = by_hand({("a", 0): "11", ("b", 0): "11"}, "xx")
    none = mixtures(perfect, agreement_table(compare_runs(perfect, rng=RNG(0), resamples=5)), TITLES)
    assert none["panel"].iloc[-1] == "A and B: φ none, within types none"


def test_successive_steps_follow_the_study_and_not_the_table() -> None:
    pairs = pd.DataFrame({"a": ["c", "a", "b"], "b": ["a", "b", "c"], "x": [1, 2, 3]})
    found = successive(pairs, ["b", "c", "a"])
    assert found["a"].tolist() == ["b", "c"] and found["x"].tolist() == [3, 1]
    assert successive(pairs.iloc[:0], ["a"]).empty and successive(pairs, ["b"]).empty


def test_backbones_stand_before_seeds_and_what_does_not_exist_is_left_out(measured: pd.DataFrame) -> None:
    turned = measured.sort_values("kind", ascending=False)
    turned.loc[(turned["a"] == "c") & (turned["b"] == "c"), "estimate"] = np.nan
    found = side_by_side(turned, TITLES)
    assert found["how"].value_counts().to_dict() == {"pooled": 5, "within types": 5}
    assert found["pair"].drop_duplicates().tolist() == ["A → B", "A → C", "B → C", "seeds of A", "seeds of B"]


def test_cells_of_tables() -> None:
    table = pd.DataFrame({"estimate": [-0.3, np.nan, 0.25], "low": [-0.4, np.nan, np.nan], "high": -0.1})
    assert interval_texts(table) == ["-0.30 (-0.40 to -0.10)", "–", "+0.25"]
    assert interval_texts(table.iloc[:1], ".1f") == ["-0.3 (-0.4 to -0.1)"]


@pytest.mark.parametrize(("seeds", "said"), [(1, True), (2, True), (3, False)])
def test_with_few_seeds_an_interval_speaks_of_pictures_only(seeds: int, said: bool) -> None:
    assert ("other pictures only" in seeds_note(seeds)) == said


def test_the_title_of_the_yardstick() -> None:
    floor = pd.DataFrame(
        {"estimate": [-0.3, 0.1, np.nan], "low": [-0.4, 0, np.nan], "high": [-0.1, 0.2, np.nan]}
    )
    assert yardstick_title(floor) == "1 of 2 pairs of backbones agree less than their own seeds do"
    assert yardstick_title(floor.iloc[2:]) == "What seeds alone would exchange is not known"


def test_the_title_of_pooling() -> None:
    phi = pd.DataFrame(
        [
            {"kind": kind, "a": a, "b": b, "measure": f"phi_{how}", "estimate": value}
            for kind, a, b, values in (
                ("backbones", "a", "b", (-0.2, 0.15)),
                ("backbones", "a", "c", (0.1, 0.0)),
                ("seeds", "a", "a", (0.9, 0.0)),
            )
            for how, value in zip(("pooled", "stratified"), values, strict=True)
        ]
    )
    assert pooling_title(phi) == "Pooling question types moves the correlation by 0.35 at most"
    assert pooling_title(phi[phi["kind"] == "seeds"]).startswith("One backbone")
    unknown = phi.assign(estimate=phi["estimate"].where(phi["measure"] == "phi_pooled"))
    assert pooling_title(unknown).startswith("No correlation exists")


def test_the_title_of_sets(rows: pd.DataFrame) -> None:
    by_backbone = rows.groupby(["item", "backbone"])["correct"].mean().unstack() > 0.5
    disputed = (by_backbone.any(axis=1) & ~by_backbone.all(axis=1)).mean()
    told = sets_title(solved_by(rows), ["a", "b", "c"])
    assert told == f"{disputed:.0%} of the items are solved by some backbones and not by others"
    alone = solved_by(rows[rows["backbone"] == "a"])
    assert sets_title(alone, ["a"]).startswith("0% of the items")


def test_the_title_of_the_flow_is_the_step_that_exchanges_most() -> None:
    steps = pd.DataFrame({"a": ["a", "b"], "b": ["b", "c"], "gained": [0.1, 0.3], "lost": [0.1, 0.2]})
    assert flow_title(steps, TITLES) == "B to C exchanges 50% of the items: 30% gained, 20% lost"
    assert flow_title(steps.iloc[:1], TITLES).startswith("A to B exchanges 20%")


def test_the_title_of_gaps() -> None:
    gaps = pd.DataFrame({"type": ["x", "x", "y", "y"], "estimate": [0.2, 0.6, 0.5, 0.6]})
    assert gap_title(gaps, "type") == "Backbones lie 40 points apart on x, 10 on y"
    assert gap_title(gaps.iloc[:2], "type") == "On x the backbones lie 40 points apart"
    assert gap_title(gaps.iloc[[0, 3]], "type") == "One backbone: 20% on x to 60% on y"


def test_the_title_of_ensembles(rows: pd.DataFrame) -> None:
    def table(some: pd.DataFrame) -> pd.DataFrame:
        return accuracy_table(ensembles(some), ["backbone", "rule", "task"], rng=RNG(0), resamples=10)

    several = rows.assign(logprob=-1.0)
    together = several.groupby(["seed", "item"])["correct"].any().mean()
    best = several.groupby(["backbone", "item"])["correct"].any().groupby("backbone").mean().max()
    assert headroom_title(table(several)) == (
        f"Some backbone is right on {together:.0%} of the items, averaged over tasks; "
        f"seeds of one backbone {best:.0%} at most"
    )
    one_seed = headroom_title(table(several[several["seed"] == 0]))
    assert one_seed.endswith("averaged over tasks")
    seeds_alone = headroom_title(table(several[several["backbone"] == "a"]))
    assert seeds_alone == "One backbone alone makes no ensemble"
    assert headroom_title(table(several.iloc[:0])) == "One backbone alone makes no ensemble"
