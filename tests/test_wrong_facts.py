"""Texts with a known number of wrong facts: the words stay, the facts do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tables import FACTS as TRUTH
from prediction_tables import description, table

from barnlib.analyses.text_scores import rouge_l
from barnlib.analyses.wrong_facts import REWORDED, restated, with_wrong_facts
from barnlib.data.answers import extract_facts
from barnlib.data.descriptions import FACTS, write_description
from barnlib.data.earthquakes import REGIONS
from barnlib.scoring import score_description

OTHER = {
    "magnitude_class": "light",
    "depth_class": "shallow",
    "region": next(name for name in REGIONS if name != TRUTH["region"]),
    "distance_deg": 21,
    "p_time_s": 280,
    "s_minus_p_s": 230,
}
RNG = np.random.default_rng


def rows(count: int = 6):
    """Descriptions of two earthquakes that differ in every fact."""
    return table(
        [
            description(str(n), "", reference=write_description((TRUTH, OTHER)[n % 2], RNG(n)))
            for n in range(count)
        ]
    )


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from(FACTS))
def test_one_fact_is_exchanged_and_every_other_word_stays(seed: int, name: str) -> None:
    reference = write_description(TRUTH, RNG(seed))
    text = restated(reference, TRUTH, {name: OTHER[name]})
    assert extract_facts(text, (TRUTH["region"], OTHER["region"])) == {**TRUTH, name: OTHER[name]}
    kept = [word for word in reference.split() if word.strip(".,") not in str(TRUTH[name]).split()]
    assert all(word in text.split() for word in kept if str(TRUTH[name]) not in word)


def test_a_text_in_other_words_is_refused() -> None:
    with pytest.raises(ValueError, match="is in none of the 720 wordings"):
        restated("It shook.", TRUTH, {})


def test_versions_have_as_many_wrong_facts_as_they_say() -> None:
    given_rows = rows()
    found = with_wrong_facts(given_rows, RNG(1))
    assert found["version"].tolist() == [*"0123456", REWORDED] * 6
    for row in found.itertuples():
        truth = (TRUTH, OTHER)[int(row.item) % 2]
        verdicts = score_description(row.answer, truth).details["verdicts"]
        wrong = 0 if row.version == REWORDED else int(row.version)
        assert sorted(verdicts.values()) == ["right"] * (6 - wrong) + ["wrong"] * wrong
    assert (found[found["version"] == "0"]["answer"] == found[found["version"] == "0"]["reference"]).all()


def test_words_reward_a_wrong_fact_more_than_other_words_for_the_right_ones() -> None:
    found = with_wrong_facts(rows(40), RNG(2))
    scores = found.assign(rouge=rouge_l(found["answer"].tolist(), found["reference"].tolist()))
    mean = scores.groupby("version")["rouge"].mean()
    assert mean["0"] == 1 and mean["1"] > 0.85 and mean["1"] > mean[REWORDED]
    assert mean[list("0123456")].is_monotonic_decreasing


def test_a_fact_without_a_second_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no description states another"):
        with_wrong_facts(rows(1), RNG(0))


def test_a_reference_without_a_fact_is_refused() -> None:
    with pytest.raises(ValueError, match="does not state magnitude_class"):
        with_wrong_facts(table([description("a", "", reference="It shook.")]), RNG(0))
