"""barnlib.report.findings_descriptions: titles say what their tables say, on one scale."""

import pandas as pd
import pytest

from barnlib.analyses.wrong_facts import REWORDED
from barnlib.report import findings_descriptions as said


def test_scores_become_shares_of_their_highest():
    scores = pd.DataFrame({"measure": ["BLEU", "ROUGE-L", "CIDEr-D"], "estimate": [50.0, 0.5, 5.0]})
    scores = scores.assign(
        se=scores["estimate"] / 10,
        se_runs=scores["estimate"] / 20,
        low=scores["estimate"] / 2,
        high=2 * scores["estimate"],
    )
    shares = said.on_one_scale(scores)
    assert shares["estimate"].tolist() == [0.5, 0.5, 0.5]
    assert shares["se"].tolist() == pytest.approx([0.05] * 3)
    assert shares["se_runs"].tolist() == pytest.approx([0.025] * 3)
    assert shares["low"].tolist() == [0.25] * 3 and shares["high"].tolist() == [1.0] * 3
    assert scores["estimate"].tolist() == [50.0, 0.5, 5.0], "the caller's table stays"


def test_f1_is_said_over_all_facts():
    facts = pd.DataFrame(
        [
            ("a", "all", "f1", 0.42),
            ("a", "all", "recall", 0.9),
            ("a", "region", "f1", 0.8),
            ("b", "all", "f1", 0.5),
        ],
        columns=["backbone", "fact", "measure", "estimate"],
    )
    assert (
        said.facts_title(facts, {"a": "First", "b": "Second"}) == "F1 over the facts: First 42%, Second 50%"
    )


def controls(image: float, **other: float) -> pd.DataFrame:
    """Scores of two backbones by condition, one 0.1 above the mean and one below."""
    rows = [
        {"condition": name, "backbone": backbone, "estimate": mean + apart}
        for name, mean in {"image": image, **other}.items()
        for backbone, apart in (("a", -0.1), ("b", 0.1))
    ]
    return pd.DataFrame(rows)


def test_what_remains_without_the_picture_is_a_share_of_what_it_gives():
    told = said.control_title(controls(0.8, blank=0.2), "facts")
    assert told == "A blank picture keeps 25% of what the right one reaches in facts"


@pytest.mark.parametrize(
    "scores", [controls(0.8), controls(0.0, blank=0.2), controls(0.8, blank=0.2).head(0)]
)
def test_nothing_is_said_to_remain_of_nothing(scores):
    assert said.control_title(scores, "facts") == "facts with and without the picture"


def test_words_are_measured_against_facts():
    versions = pd.DataFrame(
        [("ROUGE-L", "1", 0.961), ("ROUGE-L", REWORDED, 0.44), ("BLEU", "1", 0.1), ("BLEU", REWORDED, 0.2)],
        columns=["measure", "version", "estimate"],
    )
    assert said.words_title(versions) == (
        "ROUGE-L: 0.96 with one fact wrong, 0.44 with all facts right in other words"
    )


def test_what_each_score_by_words_keeps_is_said():
    scores = {"BLEU": (0.8, 0.6, 0.4, 0.2), "CIDEr-D": (0.5, 0.25, 0.05, 0.3)}
    versions = pd.DataFrame(
        [
            (measure, version, estimate)
            for measure, estimates in scores.items()
            for version, estimate in zip(("0", "1", "10", REWORDED), estimates, strict=True)
        ],
        columns=["measure", "version", "estimate"],
    )
    assert said.words_line(versions) == (
        "Of what the reference itself gets, these scores keep with 10 facts wrong: BLEU 50%, CIDEr-D 10%; with all "
        "facts right in other words: BLEU 25%, CIDEr-D 60%. A score of facts keeps nothing in the first and all in the "
        "second."
    )


def test_versions_have_names():
    names = [said.version_title(version) for version in ("0", "1", "2", REWORDED)]
    assert names == ["the reference itself", "1 fact wrong", "2 facts wrong", "all right, in other words"]
