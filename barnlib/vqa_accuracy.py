"""The official accuracy of VQA, to the digit.

In:  an answer, and what ten people answered.
Out: its accuracy, between 0 and 1, and how many of them gave it, for barnlib/scoring.py;
     barnlib/analyses/vqa_report.py makes the table that the official evaluation prints.

Source: Antol et al. 2015 (arXiv 1505.00468), section 4, as the final form of the authors' evaluation computes it
(GT-Vision-Lab/VQA, vqaEval.py): an answer is as right as min(1, others who gave it / 3), averaged over leaving out
each of the ten, so that 0, 1, 2, 3, 4 who agree give 0, 30, 60, 90, 100 %. Texts are normalised only where the ten
are not all the same; where they are, only capitals and outer spaces are forgiven. Its oddities are kept, because the
published figures contain them, and :func:`normalise` names them.

LLaVA's own evaluation differs. Its processor normalises always, takes commas and question marks out first and parts
off 's. For VQA v2 it is applied to the answers before they are sent in, so that an answer "two dogs" becomes "2 dogs"
and is wrong where all ten said "two dogs". For TextVQA it is applied to both sides, so that "two" is right where all
ten said "2"; here it is wrong.
"""

import re
from collections.abc import Sequence

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'  # in the official order; apostrophe and colon stay
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {"none": "0"} | {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
# Each is recognised with any one of its apostrophes missing.
CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in CONTRACTED.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the official table has this one the wrong way round

_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS_AT_MOST = (
    32  # the official call gives a flag (re.UNICODE, 32) where the number of replacements belongs
)
AGREE = 3  # as many others make an answer fully right


def normalise(answer: str) -> str:
    """An answer in the form in which the official evaluation compares answers that differ.

    A punctuation mark with a space beside it anywhere is taken out, one without becomes a space; where a comma stands
    between digits anywhere, all marks are taken out. A period goes unless a digit follows. Then lower case, number
    words up to ten as digits ("none" as 0), articles out, apostrophes put into contractions.
    """
    kept = answer
    thousands = _DIGIT_COMMA_DIGIT.search(answer) is not None
    for mark in PUNCTUATION:
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        kept = kept.replace(mark, "" if beside_space or thousands else " ")
    kept = _PERIOD.sub("", kept, count=_PERIODS_AT_MOST)
    words = (NUMBERS.get(word, word) for word in kept.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """How right an answer is, 0 to 1.

    Args:
        references: what each person answered, ten in VQA v2.

    Raises:
        ValueError: fewer than two references, where leaving one out leaves none.
    """
    if len(references) < 2:
        raise ValueError(
            f"VQA accuracy leaves out one person at a time: expected two answers or more, found {len(references)}"
        )
    agree = agreement(answer, references)
    # A person who agrees leaves one fewer when left out.
    return sum(min(1.0, (sum(agree) - one) / AGREE) for one in agree) / len(agree)


def agreement(answer: str, references: Sequence[str]) -> list[bool]:
    """Which of the people gave this answer, as the official evaluation compares them; arguments as above."""
    answer, people = _one_line(answer), [_one_line(reference) for reference in references]
    if len(set(people)) > 1:
        answer, people = normalise(answer), [normalise(reference) for reference in people]
    return [person.lower() == answer.lower() for person in people]


def _one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()
