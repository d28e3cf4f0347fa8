"""barnlib.report.tolerances: the words say what scoring does."""

import re

import pytest

from barnlib.report import tolerances
from barnlib.scoring import fact_is_right

TEXT = tolerances.description_tolerances()


def test_every_fact_has_a_word():
    assert all(word in TEXT for word in tolerances.WORDS.values()) and TEXT.count(".") == 2


@pytest.mark.parametrize("fact", ["distance_deg", "p_time_s", "s_minus_p_s"])
def test_the_share_is_the_one_that_is_scored(fact):
    """Just inside it is right, just outside wrong; the number is read from the text."""
    share = int(re.search(rf"the {tolerances.WORDS[fact]} by (\d+) %", TEXT)[1]) / 100
    truth = 1000.0
    assert fact_is_right(fact, truth * (1 + share) - 1e-3, truth)
    assert not fact_is_right(fact, truth * (1 + share) + 1e-3, truth)


def test_the_least_distance_is_the_one_that_is_scored():
    least = float(re.search(r"or (\d+) degree, whichever is more", TEXT)[1])
    assert fact_is_right("distance_deg", 2.0 + least, 2.0)
    assert not fact_is_right("distance_deg", 2.0 + least + 0.01, 2.0)


def test_units_are_counted(monkeypatch):
    monkeypatch.setitem(tolerances.ABSOLUTE_TOLERANCE, "p_time_s", 20.0)
    assert "time of P by 10 % or 20 seconds, whichever is more" in tolerances.description_tolerances()
