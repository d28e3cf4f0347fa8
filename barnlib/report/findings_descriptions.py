"""What the description analyses say, in words: titles of their charts, every figure from a table.

In:  tables of metrics.py and text_scores.py. Out: one line each, for the notebook.
"""

from collections.abc import Mapping

import pandas as pd

from barnlib.analyses.wrong_facts import REWORDED

SCALES = {"BLEU": 100.0, "ROUGE-L": 1.0, "CIDEr-D": 10.0}  # the highest value of each score


def on_one_scale(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores by words as shares of the highest value that each can have, so that one axis holds them."""
    most = scores["measure"].map(SCALES)
    return scores.assign(
        **{name: scores[name] / most for name in ("estimate", "se", "se_runs", "low", "high")}
    )


def facts_title(facts: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """F1 over all facts, by backbone."""
    f1 = facts[(facts["fact"] == "all") & (facts["measure"] == "f1")]
    told = ", ".join(f"{titles[row.backbone]} {row.estimate:.0%}" for row in f1.itertuples())
    return f"F1 over the facts: {told}"


def control_title(scores: pd.DataFrame, what: str) -> str:
    """How much of a score remains without the picture, over all backbones.

    Args:
        scores: one row per backbone and condition.
    """
    mean = scores.groupby("condition")["estimate"].mean()
    if "blank" not in mean or not mean.get("image", 0.0) > 0:
        return f"{what} with and without the picture"
    kept = mean["blank"] / mean["image"]
    return f"A blank picture keeps {kept:.0%} of what the right one reaches in {what}"


def words_title(versions: pd.DataFrame) -> str:
    """What ROUGE-L gives for a text with one wrong fact, and for right facts in other words.

    Args:
        versions: scores by `version`, all facts of references made wrong one by one.
    """
    rouge = versions[versions["measure"] == "ROUGE-L"].set_index("version")["estimate"]
    return f"ROUGE-L: {rouge['1']:.2f} with one fact wrong, {rouge[REWORDED]:.2f} with all facts right in other words"


def words_line(versions: pd.DataFrame) -> str:
    """One sentence: what each score by words keeps of its highest where every fact is wrong, and where words are other.

    Args:
        versions: scores by words on one scale, by ``measure`` and ``version``, the references themselves among them.
    """
    table = versions.pivot(index="measure", columns="version", values="estimate")
    kept = table.div(table["0"], axis=0).loc[list(dict.fromkeys(versions["measure"]))]
    wrong = max((name for name in kept.columns if name != REWORDED), key=int)
    told = {
        name: ", ".join(f"{measure} {share:.0%}" for measure, share in kept[name].items()) for name in kept
    }
    return (
        f"Of what the reference itself gets, these scores keep with {wrong} facts wrong: {told[wrong]}; with all facts "
        f"right in other words: {told[REWORDED]}. A score of facts keeps nothing in the first and all in the second."
    )


def version_title(version: str) -> str:
    """A version of a reference as the chart names it."""
    if version == REWORDED:
        return "all right, in other words"
    if version == "0":
        return "the reference itself"
    return f"{version} fact wrong" if version == "1" else f"{version} facts wrong"
