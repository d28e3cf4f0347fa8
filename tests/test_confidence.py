"""Confidence by hand, against scipy, and temperatures that come back from a known one."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_tables import table
from scipy.special import expit, softmax

from barnlib.analyses.confidence import DEFINITIONS, LARGEST, temperatures, with_confidence, with_scaled

LIST = {"red": -0.5, "blue": -1.5, "green": -3.0}


def row(answer: str = "red", **given: object) -> dict:
    """A closed question: the answer's log-probability is that of its candidate."""
    plain = {"answer": answer, "reference": "red", "logprob": LIST.get(answer, -2.0), "tokens": 2}
    return {"item": "i", "bytes": len(answer), "first_token_logprob": -0.3, **plain, **given}


def rows(*given: dict, choices: object = json.dumps(LIST)) -> pd.DataFrame:
    return table([{**one, "item": f"i{k}"} for k, one in enumerate(given)]).assign(choices=choices)


def test_each_definition_by_hand() -> None:
    found = with_confidence(rows(row())).iloc[0]
    share = softmax(list(LIST.values()))[0]
    assert found["closed_list"] == pytest.approx(share) and found["primary"] == pytest.approx(share)
    assert found["whole"] == pytest.approx(np.exp(-0.5))
    assert found["per_byte"] == pytest.approx(np.exp(-0.5 / 3))
    assert found["token_mean"] == pytest.approx(np.exp(-0.5 / 2))
    assert found["first_token"] == pytest.approx(np.exp(-0.3))
    assert bool(found["listed"])


def test_candidates_match_after_normalisation() -> None:
    found = with_confidence(rows(row("Red."), row("The green")))
    assert found["closed_list"].tolist() == pytest.approx(softmax(list(LIST.values()))[[0, 2]])


def test_an_answer_off_its_list_or_without_one_has_its_own_probability() -> None:
    off = with_confidence(rows(row("grey")))
    assert off["primary"].tolist() == pytest.approx([np.exp(-2.0)])
    assert off["closed_list"].isna().all() and off["listed"].tolist() == [False]
    for missing in (None, pd.NA, float("nan")):
        open_list = with_confidence(rows(row(), choices=missing))
        assert open_list["primary"].tolist() == pytest.approx([np.exp(-0.5)])
        assert open_list["listed"].isna().all()
    older = with_confidence(rows(row()).drop(columns="choices"))
    assert older["primary"].tolist() == pytest.approx([np.exp(-0.5)])


def test_rows_without_log_probabilities_have_no_confidence() -> None:
    found = with_confidence(table([{"item": "i"}]))
    assert found[list(DEFINITIONS)].isna().all().all()
    assert with_confidence(table([]).assign(choices=[])).empty
    assert temperatures(with_confidence(table([{"item": "i"}])))["temperature"].isna().all()
    empty = with_confidence(rows(row("", logprob=-0.1, tokens=1), choices=None)).iloc[0]
    assert empty["per_byte"] == empty["token_mean"] == empty["whole"] == pytest.approx(np.exp(-0.1))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="a log-probability is at most zero"):
        with_confidence(rows(row(logprob=0.2)))
    with pytest.raises(ValueError, match="lack the columns tokens"):
        with_confidence(rows(row()).drop(columns="tokens"))


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=9), st.data())
def test_shares_of_a_list_are_a_distribution(nats: list[float], data) -> None:
    names = [f"n{k}" for k in range(len(nats))]
    given_list = json.dumps(dict(zip(names, nats, strict=True)))
    found = with_confidence(rows(*[row(name, logprob=-1.0) for name in names], choices=given_list))
    assert found["closed_list"].sum() == pytest.approx(1)
    temperature = data.draw(st.floats(0.1, 10))
    fitted = pd.DataFrame([{"backbone": "a", "seed": 0, "task": "vqa_scene", "temperature": temperature}])
    scaled = with_scaled(found, fitted)["scaled"]
    assert scaled.tolist() == pytest.approx(softmax(np.array(nats) / temperature).tolist())


def test_a_known_temperature_comes_back_from_lists() -> None:
    """Candidates drawn from logits z, while the model states 3 z: the temperature is 3."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 4))
    names = np.array(["n0", "n1", "n2", "n3"])
    truth = [rng.choice(4, p=softmax(z)) for z in logits]
    made = [
        {**row(names[z.argmax()], logprob=-1.0), "reference": names[right], "item": f"i{k}"}
        for k, (z, right) in enumerate(zip(logits, truth, strict=True))
    ]
    stated = [json.dumps(dict(zip(names, (3 * z).tolist(), strict=True))) for z in logits]
    answers = with_confidence(table(made).assign(choices=stated))
    fitted = temperatures(answers)
    assert fitted["fitted_on"].tolist() == ["choices"] and not fitted["at_edge"].any()
    assert fitted["temperature"].iloc[0] == pytest.approx(3, rel=0.06)
    scaled = with_scaled(answers, fitted)
    right = answers["answer"] == answers["reference"]
    assert scaled["scaled"].mean() == pytest.approx(right.mean(), abs=0.02)
    assert answers["primary"].mean() > right.mean() + 0.1


def test_a_known_temperature_comes_back_from_open_answers() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(0, 1, 6000)
    right = rng.random(6000) < expit(odds)
    stated = np.log(expit(2.5 * odds))
    made = [
        {"item": f"i{k}", "logprob": nats, "first_token_logprob": nats, "tokens": 1, "bytes": 1, "score": hit}
        for k, (nats, hit) in enumerate(zip(stated, right.astype(float), strict=True))
    ]
    answers = with_confidence(table(made))
    fitted = temperatures(answers)
    assert fitted["fitted_on"].tolist() == ["answers"]
    assert fitted["temperature"].iloc[0] == pytest.approx(2.5, rel=0.06)
    assert with_scaled(answers, fitted)["scaled"].to_numpy() == pytest.approx(
        expit(np.log(np.exp(stated) / -np.expm1(stated)) / fitted["temperature"].iloc[0])
    )


@pytest.mark.parametrize(("stated", "scaled"), [(0.9, 0.75), (0.1, 0.25), (0.5, 0.5)])
def test_a_temperature_above_one_moves_confidence_towards_one_half(stated: float, scaled: float) -> None:
    """Odds of 9 to 1 become 3 to 1 at a temperature of 2."""
    answers = with_confidence(table([{"item": "i"}]).assign(logprob=np.log(stated)))
    fitted = pd.DataFrame([{"backbone": "a", "seed": 0, "task": "vqa_scene", "temperature": 2.0}])
    assert with_scaled(answers, fitted)["scaled"].tolist() == pytest.approx([scaled])


def test_a_fit_without_an_optimum_says_so() -> None:
    made = [{"item": f"i{k}", "logprob": -0.1, "tokens": 1, "bytes": 1, "score": 0.0} for k in range(20)]
    fitted = temperatures(with_confidence(table(made))).iloc[0]
    assert fitted["at_edge"] and fitted["temperature"] == pytest.approx(LARGEST, rel=0.05)
    unlikely = [{**row, "logprob": -9.0, "score": float(k > 4)} for k, row in enumerate(made)]
    most_are_right = temperatures(with_confidence(table(unlikely))).iloc[0]
    assert most_are_right["at_edge"] and most_are_right["temperature"] == pytest.approx(LARGEST, rel=0.05)
    unfitted = with_scaled(with_confidence(table(made)), temperatures(with_confidence(table([]))))
    assert unfitted["scaled"].isna().all()
