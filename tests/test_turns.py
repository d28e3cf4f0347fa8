"""A turn knows what was said before it, and which turn it goes on from."""

from barnlib.data.turns import Turn

FIRST = Turn("How many?", "3")
SECOND = Turn("What colour?", "red", (("How many?", "3"),))
THIRD = Turn("Where?", "left", (("How many?", "3"), ("What colour?", "red")))


def test_a_question_is_asked_without_its_answer_and_with_its_history():
    assert SECOND.asked == Turn("What colour?", None, (("How many?", "3"),))
    assert FIRST.asked == Turn("How many?") and hash(FIRST.asked) != hash(FIRST)


def test_a_turn_continues_the_one_that_its_history_ends_with():
    assert SECOND.continues(FIRST) and THIRD.continues(SECOND)
    assert not THIRD.continues(FIRST), "a turn lies between them"
    assert not FIRST.continues(FIRST) and not SECOND.continues(SECOND)
    assert not SECOND.continues(FIRST.asked), "the answer is not there to be read"
    assert not SECOND.continues(Turn("How many?", "4")), "another answer"
    assert not SECOND.continues(Turn("How many?", "3", (("Is it day?", "yes"),))), "another history"
