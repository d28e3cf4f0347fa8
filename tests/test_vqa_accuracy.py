"""Official VQA accuracy: values worked out by hand from the published algorithm, and its invariants."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.vqa_accuracy import CONTRACTIONS, agreement, normalise, vqa_accuracy

ANSWERS = st.lists(
    st.sampled_from(["2", "two", "a cat", "cat", "no", "No.", "3,000", "dont know"]), min_size=10, max_size=10
)


def people(count: int, answer: str, other: str = "something else") -> list[str]:
    return [answer] * count + [other] * (10 - count)


@pytest.mark.parametrize(
    ("agree", "percent"), [(0, 0), (1, 30), (2, 60), (3, 90), (4, 100), (9, 100), (10, 100)]
)
def test_an_answer_is_as_right_as_others_agree(agree, percent):
    """With n who agree, n of the ten averages see n - 1 others and the rest n: n = 3 gives (3 * 2/3 + 7) / 10."""
    assert 100 * vqa_accuracy("red", people(agree, "red")) == pytest.approx(percent, abs=1e-10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Dog", "dog"),
        ("an apple a day", "apple day"),
        ("two", "2"),
        ("Ten", "10"),
        ("none", "0"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),  # both apostrophes missing: not in the table
        ("somebody'd", "somebodyd"),  # the official table's slip
        ("Im here", "im here"),  # its key has a capital, and words are lower case by then
        ("red/white", "red white"),  # no space beside the mark: it becomes one
        ("red / white", "red white"),
        ("red, white", "red white"),
        ("red,white, blue", "redwhite blue"),  # a space beside one comma takes all commas out
        ("t-shirt", "t shirt"),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 tshirts"),  # a comma between digits takes every mark out
        ("3.50", "3.50"),
        ("3.50.", "3.50"),
        ("U.S.", "us"),
        (".5", ".5"),
        ("10:30", "10:30"),  # a colon stays
        ("what's that?", "what's that"),
        ("  spaced   out ", "spaced out"),
        ("", ""),
        ("." * 40, "." * 8),  # at most 32 periods go
    ],
)
def test_normalised_by_hand(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "references", "percent"),
    [
        ("2", people(10, "2"), 100),
        ("two", people(10, "2"), 0),  # all the same: not normalised
        ("two", people(9, "2", "3"), 100),  # not all the same: normalised
        ("the 2.", people(10, "2"), 0),
        ("YES\n", people(10, "yes"), 100),  # capitals and outer spaces are forgiven always
        ("yes", people(10, " yes"), 100),
        ("a dog", people(2, "dog", "The cat"), 60),
        ("2", ["2", "two", "Two.", *["many"] * 7], 90),  # three ways to say one answer
        ("yes.", ["Yes", *["yes"] * 9], 100),  # a capital makes them differ: normalised
        ("", ["", *["x"] * 9], 30),
    ],
)
def test_worked_examples(answer, references, percent):
    assert 100 * vqa_accuracy(answer, references) == pytest.approx(percent, abs=1e-10)


def test_contractions_lead_to_words_that_lead_no_further():
    one_missing = {key: word for key, word in CONTRACTIONS.items() if key != "somebody'd"}
    assert all(key.replace("'", "") == word.replace("'", "") for key, word in one_missing.items())
    assert all(len(word) == len(key) + 1 for key, word in one_missing.items())
    assert {word for word in one_missing.values() if word in CONTRACTIONS} == set()


@settings(deadline=None)
@given(answer=st.text(), references=ANSWERS, order=st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_value_is_in_range(answer, references, order):
    value = vqa_accuracy(answer, references)
    shuffled = references[:]
    order.shuffle(shuffled)
    assert 0 <= value <= 1 and vqa_accuracy(answer, shuffled) == pytest.approx(value)


@settings(deadline=None)
@given(references=ANSWERS, index=st.integers(0, 9))
def test_only_the_number_who_agree_decides(references, index):
    """The closed form: n (min(3, n - 1)) + (10 - n) min(3, n), in thirtieths."""
    answer = references[index]
    form = normalise if len(set(references)) > 1 else str.lower
    n = sum(form(reference) == form(answer) for reference in references)
    assert vqa_accuracy(answer, references) == pytest.approx((n * min(3, n - 1) + (10 - n) * min(3, n)) / 30)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_normalised(text):
    assert normalise(text) == " ".join(normalise(text).split())


def test_one_person_cannot_be_left_out():
    with pytest.raises(ValueError, match="expected two answers or more, found 1"):
        vqa_accuracy("a", ["a"])


@pytest.mark.parametrize(("answer", "count"), [("two", 3), ("2", 3), ("many", 7), ("several", 0)])
def test_who_agrees_is_told_for_each_person(answer, count):
    told = agreement(answer, ["2", "two", "Two.", *["many"] * 7])
    assert len(told) == 10 and sum(told) == count
