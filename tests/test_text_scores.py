"""Scores by words, against sacreBLEU's own corpus score, values by hand, and those of pycocoevalcap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_tables import FACTS, description, table
from sacrebleu.metrics.bleu import BLEU

from barnlib.analyses.text_scores import (
    MEASURES,
    bleu,
    bleu_counts,
    bleu_signature,
    cider_d,
    rouge_l,
    text_scores,
    words,
)
from barnlib.data.descriptions import write_description

RNG = np.random.default_rng
REFERENCES = (
    "A strong deep earthquake struck the region Banda Sea. The station lies 58 degrees away.",
    "The map marks a weak shallow earthquake, region Fiji. The station lies 21 degrees away.",
    "In the region Chile there was a shallow earthquake of strong size. The station is 90 degrees away.",
)
ANSWERS = (
    "A strong deep earthquake struck the region Fiji. The station lies 58 degrees away.",
    "A weak shallow earthquake, region Fiji, is marked. Away, away, away.",
    "nothing",
)


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("In the Region Chile, S−P: 3.5°!") == ["in", "the", "region", "chile", "s", "p", "3", "5"]


def test_cider_d_is_that_of_pycocoevalcap() -> None:
    """CiderScorer(n=4, sigma=6.0) of pycocoevalcap 1.2 on the same words gave these."""
    expected = [6.7648287929899045, 3.0689964291377265, 0.0]
    np.testing.assert_allclose(cider_d(ANSWERS, REFERENCES, REFERENCES), expected, rtol=1e-12)


def test_cider_d_by_hand() -> None:
    """Two pictures; only 1-grams in common, each in one reference: a cosine of 1/sqrt(2), lengths one word apart."""
    found = cider_d(["one"], ["one two"], ["one two", "three four"])
    expected = 10 / 4 * (1 / math.sqrt(2)) * math.exp(-1 / (2 * 36))
    np.testing.assert_allclose(found, [expected])


def test_cider_d_of_the_reference_is_ten_and_of_one_picture_nothing() -> None:
    np.testing.assert_allclose(cider_d(REFERENCES, REFERENCES, REFERENCES), 10)
    np.testing.assert_allclose(cider_d(REFERENCES[:1], REFERENCES[:1], REFERENCES[:1]), 0)
    np.testing.assert_allclose(cider_d([""], REFERENCES[:1], REFERENCES), 0)
    with pytest.raises(ValueError, match="1 references are not part of the corpus, such as 'x'"):
        cider_d(["x"], ["x"], REFERENCES)


def test_rouge_l_by_hand() -> None:
    # longest common subsequence 3; precision 3/4, recall 3/5
    expected = 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5)
    np.testing.assert_allclose(rouge_l(["a b x d"], ["a b c d e"]), [expected])
    np.testing.assert_allclose(rouge_l(["", "A, b!"], ["a", "a b"]), [0, 1])


@given(st.lists(st.sampled_from(ANSWERS + REFERENCES), min_size=3, max_size=3))
def test_summed_counts_give_sacrebleus_corpus_score(answers: list[str]) -> None:
    expected = BLEU().corpus_score(answers, [list(REFERENCES)]).score
    assert bleu(bleu_counts(answers, REFERENCES).sum(0)) == pytest.approx(expected)


def test_the_signature_says_how() -> None:
    assert "tok:13a" in bleu_signature() and "version:" in bleu_signature()


def test_tables_of_scores() -> None:
    perfect = write_description(FACTS, RNG(0))
    rows = table(
        [
            description(str(item), answer, backbone=backbone, seed=seed)
            for backbone, answer in (("a", perfect), ("b", "rain"))
            for seed in (0, 1)
            for item in range(4)
        ]
        + [{"item": "other task"}]
    )
    found = text_scores(rows, ("backbone",), rng=RNG(0), resamples=50).set_index(["backbone", "measure"])
    assert set(found.index.get_level_values("measure")) == set(MEASURES)
    assert found.loc[("a", "BLEU"), "estimate"] == pytest.approx(100)
    assert found.loc[("a", "ROUGE-L"), "estimate"] == pytest.approx(1)
    assert found.loc[("b", "BLEU"), "estimate"] < 1 and found.loc[("b", "ROUGE-L"), "estimate"] == 0
    assert (found[["items", "images", "seeds"]] == [4, 4, 2]).all().all()
    assert text_scores(table([{"item": "other"}]), ("backbone",), rng=RNG(0)).empty


def test_the_interval_of_bleu_holds_the_score_of_new_pictures() -> None:
    """Answers right or wrong at random per picture: the interval over 40 pictures holds the score over 4,000."""
    rng, hits = RNG(7), 0
    right, wrong = (
        write_description(FACTS, RNG(0)),
        "It rained and nothing else was seen on the card that day at all",
    )

    def drawn(count: int):
        return table([description(str(n), right if rng.random() < 0.5 else wrong) for n in range(count)])

    truth = (
        text_scores(drawn(4000), ("backbone",), rng=rng, resamples=2)
        .query("measure == 'BLEU'")["estimate"]
        .iloc[0]
    )
    for _ in range(30):
        row = text_scores(drawn(40), ("backbone",), rng=rng, resamples=100).query("measure == 'BLEU'").iloc[0]
        hits += row["low"] <= truth <= row["high"]
    assert hits >= 25


def test_one_picture_has_no_interval() -> None:
    found = text_scores(table([description("a", "rain")]), ("backbone",), rng=RNG(0), resamples=5)
    assert found["low"].isna().all()
