"""How exact the facts of a description must be, in words: one wording for all pages.

In:  the tolerances of ``barnlib.scoring``.
Out: one sentence. Next: the page on the protocol and the notebooks that show scores of descriptions.
"""

from barnlib.data.descriptions import FACTS
from barnlib.scoring import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE

WORDS = {
    "magnitude_class": "magnitude class",
    "depth_class": "depth class",
    "region": "region",
    "distance_deg": "distance",
    "p_time_s": "time of P",
    "s_minus_p_s": "time from P to S",
}
UNITS = {"deg": "degree", "s": "second"}


def description_tolerances() -> str:
    """Which facts must be equal to the truth, and by how much each of the others may be off."""
    equal = [WORDS[fact] for fact in FACTS if fact not in RELATIVE_TOLERANCE]
    off = [f"the {WORDS[fact]} by {_allowed(fact)}" for fact in FACTS if fact in RELATIVE_TOLERANCE]
    return (
        f"In a description the {', '.join(equal[:-1])} and {equal[-1]} must be the true ones. "
        f"A number may be off by a share of its true value: {'; '.join(off)}."
    )


def _allowed(fact: str) -> str:
    share = f"{RELATIVE_TOLERANCE[fact]:.0%}".replace("%", " %")
    least = ABSOLUTE_TOLERANCE.get(fact)
    if least is None:
        return share
    unit = UNITS[fact.rsplit("_", 1)[1]] + ("" if least == 1 else "s")
    return f"{share} or {least:g} {unit}, whichever is more"
