"""Tests of pairs against SciPy, formulas written out, and Holm's steps by hand."""

import numpy as np
import pytest
from prediction_tables import answers, by_hand
from scipy.stats import binomtest, chi2, fisher_exact

from barnlib.analyses.association import pair_tests

# Items that are right in both, only in a, only in b, in neither, of two types in each of which a and b are independent.
APART = {"x": (14, 42, 2, 6), "y": (6, 2, 42, 14)}


def test_tests_by_hand() -> None:
    marks: dict[str, list[str]] = {"a": [], "b": [], "types": []}
    for kind, counts in APART.items():
        for (a, b), count in zip(("11", "10", "01", "00"), counts, strict=True):
            marks["a"] += [a] * count
            marks["b"] += [b] * count
            marks["types"] += [kind] * count
    rows = by_hand({(name, 0): "".join(marks[name]) for name in "ab"}, "".join(marks["types"]))
    found = pair_tests(rows).iloc[0]
    assert found["phi"] == pytest.approx(-0.375) and found["p_phi"] == pytest.approx(
        fisher_exact([[20, 44], [44, 20]]).pvalue
    )
    assert found["odds_ratio"] == pytest.approx(1) and found["p_cmh"] == pytest.approx(1)
    assert (found["gained"], found["lost"], found["items"]) == (44, 44, 128)
    assert found["p_mcnemar"] == pytest.approx(binomtest(44, 88).pvalue) == found["p_holm"]


def test_cochran_mantel_haenszel_by_its_formula() -> None:
    rows = answers({"a": 0.4, "b": 0.6}, seeds=1, images=60, questions=4)
    wide = rows.pivot(index=["question_type", "item"], columns="backbone", values="correct")
    over, odds = np.zeros(2), np.zeros(2)
    for _, part in wide.groupby(level=0):
        (a, b), n = (part["a"], part["b"]), len(part)
        over += [
            (a & b).sum() - a.sum() * b.sum() / n,
            a.sum() * b.sum() * (~a).sum() * (~b).sum() / (n**2 * (n - 1)),
        ]
        odds += [(a & b).sum() * (~a & ~b).sum() / n, (a & ~b).sum() * (~a & b).sum() / n]
    found = pair_tests(rows).iloc[0]
    assert found["p_cmh"] == pytest.approx(chi2.sf(over[0] ** 2 / over[1], 1))
    assert found["odds_ratio"] == pytest.approx(odds[0] / odds[1])


def test_a_p_below_what_one_less_a_number_can_be_is_no_zero() -> None:
    marks = "1" * 300 + "0" * 300
    found = pair_tests(by_hand({("a", 0): marks, ("b", 0): marks}, "x" * 600)).iloc[0]
    over = (300 - 300 * 300 / 600) ** 2 / (300**4 / (600**2 * 599))
    assert found["p_cmh"] == pytest.approx(chi2.sf(over, 1)) and 0 < found["p_cmh"] < 1e-100


def test_holm_is_over_all_pairs_of_backbones_and_no_seeds() -> None:
    rows = answers({"a": 0.3, "b": 0.5, "c": 0.7}, seeds=2, images=60, questions=2)
    found = pair_tests(rows, ("question_type",))
    between = found[found["kind"] == "backbones"]
    assert len(between) == 6 and found.loc[found["kind"] == "seeds", "p_holm"].isna().all()
    ordered = between.sort_values("p_mcnemar")
    expected = np.minimum(1, np.maximum.accumulate(ordered["p_mcnemar"] * np.arange(6, 0, -1)))
    assert ordered["p_holm"].tolist() == pytest.approx(expected.tolist())


def test_backbones_are_taken_by_majority_and_seeds_run_by_run() -> None:
    marks = {("a", 0): "1100", ("a", 1): "1000", ("a", 2): "1010", ("b", 0): "0001", ("b", 1): "0101"}
    found = pair_tests(by_hand(marks, "xxxx"))
    assert found["kind"].tolist() == ["backbones", "seeds", "seeds", "seeds", "seeds"]
    assert found["seed_a"].isna().tolist() == [True, False, False, False, False]
    # by majority a solves the first item, b the last: half of two seeds is no majority
    assert found.loc[0, ["gained", "lost", "items"]].tolist() == [1, 1, 4]
    assert found.loc[1, ["seed_a", "seed_b", "gained", "lost"]].tolist() == [0, 1, 0, 1]


def test_strata_that_tell_nothing_are_left_out() -> None:
    """In type y both sides are all right, of type z there is one item: the tests are those of type x alone."""
    marks = {("a", 0): "1101001110", ("b", 0): "1001101111"}
    found, alone = (
        pair_tests(by_hand({name: text[:count] for name, text in marks.items()}, "xxxxxxyyyz")).iloc[0]
        for count in (10, 6)
    )
    assert found["odds_ratio"] == alone["odds_ratio"] > 0 and found["p_cmh"] == alone["p_cmh"] < 1
    assert (found["items"], alone["items"]) == (10, 6) and found["phi"] != alone["phi"]


def test_one_backbone_all_right_and_nothing() -> None:
    assert pair_tests(by_hand({("a", 0): "10"}, "xx")).empty
    perfect = by_hand({("a", 0): "1111", ("b", 0): "1111"}, "xxyy")
    told = pair_tests(perfect).iloc[0]
    assert told["p_mcnemar"] == told["p_holm"] == 1
    assert np.isnan([told["phi"], told["odds_ratio"], told["p_cmh"]]).all()
    assert pair_tests(perfect.iloc[:0]).empty and pair_tests(perfect.iloc[:0], ()).empty
    assert pair_tests(perfect, ())["items"].tolist() == [4]
