"""The verdicts as tables: for a page, for the front page, and for files that others can read.

In:  the verdicts of verdicts.py, and ``params/paper.yaml``: what is known of the paper's results.
Out: tables, Markdown, ``runs/STUDY/verdicts.csv`` and ``verdicts.json``.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import yaml

from barnlib.analyses.evidence import CLAIMS
from barnlib.analyses.measures import joint, measure_words, worded
from barnlib.analyses.verdicts import Verdict
from barnlib.artefacts import write_json
from barnlib.parameters import load_backbone
from barnlib.paths import ROOT
from barnlib.strict import Strict
from barnlib.study import Study
from barnlib.tasks.registry import TASK_TITLES

# The part of a claim that says more than a figure, and the measure that would test it. A rule is fixed before
# the runs, so what it leaves out is told beside the verdict and not mended afterwards.
ASIDE = {"C6": ("that the limit is what the encoder sees", "encoder_variance_share")}
NUMBERS = ("estimate", "low", "high", "p", "test", "n", "seeds", "note")


class Paper(Strict):
    """``params/paper.yaml``: what is known of the paper's results, by claim."""

    source: str
    claims: dict[str, str]


def paper() -> Paper:
    """What the paper reports. Raises ValueError where the file lacks a claim or has one too many."""
    path = ROOT / "params" / "paper.yaml"
    read = Paper.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    if set(read.claims) != set(CLAIMS):
        raise ValueError(f"{path}: expected the claims {', '.join(CLAIMS)}, found {', '.join(read.claims)}")
    return read


def verdict_table(study: Study, found: Sequence[Verdict]) -> pd.DataFrame:
    """One row for each claim: the paper's figure and ours, effect, interval, test, n, seeds, scale, verdict, reason.

    ``untested`` is the part of the claim that the rule does not ask for, or empty.
    """
    reported = paper()
    rows = []
    for one in found:
        row = one.telling.evidence if one.telling else None
        rows.append(
            {
                "claim": one.claim,
                "statement": CLAIMS[one.claim],
                "paper": reported.claims[one.claim],
                "source": reported.source,
                "ours": one.telling.text if one.telling else "nothing",
                "effect": row.estimate if row else None,
                "low": row.low if row else None,
                "high": row.high if row else None,
                "test": row.test if row else "",
                "p": row.p if row else None,
                "n": row.n if row else 0,
                "seeds": row.seeds if row else 0,
                "scale": study.scale,
                "study": study.name,
                "verdict": one.answer,
                "reason": one.reason,
                "untested": untested(one),
            }
        )
    return pd.DataFrame(rows).astype({column: float for column in ("effect", "low", "high", "p")})


def untested(one: Verdict) -> str:
    """The part of a claim that its rule does not ask for, as a clause; empty where there is none, or no rule."""
    clause, measure = ASIDE.get(one.claim, ("", ""))
    asked = {judged.condition.measure for judged in one.conditions}
    return clause if asked and measure not in asked else ""


def answer(verdict: str, untested: str) -> str:
    """A verdict, and what it does not speak of: "reproduced; not tested: that ..."."""
    return f"{verdict}; not tested: {untested}" if untested else verdict


def condition_table(found: Sequence[Verdict]) -> pd.DataFrame:
    """One row for each condition of each claim, in words: what was asked, what was found, and whether it holds."""
    return pd.DataFrame(
        [
            {
                "claim": one.claim,
                "condition": worded(judged.condition),
                "state": judged.state,
                "hangs on": judged.telling.text,
                "estimates": sum(finding.evidence is not None for finding in judged.findings),
                "p holds": judged.p_holds,
                "p fails": judged.p_fails,
            }
            for one in found
            for judged in one.conditions
        ],
        columns=["claim", "condition", "state", "hangs on", "estimates", "p holds", "p fails"],
    )


def evidence_table(study: Study, evidence: pd.DataFrame) -> pd.DataFrame:
    """All evidence in words, one row an estimate: titles in place of the names of measures, tasks and backbones.

    Args:
        evidence: the columns of :class:`~barnlib.analyses.evidence.Evidence`.

    Returns:
        `claim`, `measure`, `task` ("all" where it is over all), `of` (one backbone, or two), and the estimate's
        numbers, test and note.
    """
    titles = {name: load_backbone(name, study.scale).title for name in study.backbones}
    of = [
        f" {joint(row.measure)} ".join(titles.get(name, name) for name in (row.a, row.b) if not pd.isna(name))
        for row in evidence.itertuples()
    ]
    named = evidence.assign(
        measure=evidence["measure"].map(measure_words),
        task=["all" if pd.isna(task) else TASK_TITLES.get(task, task) for task in evidence["task"]],
        of=of,
    )
    return named[["claim", "measure", "task", "of", *NUMBERS]]


def write_verdicts(study: Study, found: Sequence[Verdict]) -> pd.DataFrame:
    """Write ``verdicts.csv`` and ``verdicts.json`` into the study's folder; returns the table of the former."""
    table = verdict_table(study, found)
    study.folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(study.folder / "verdicts.csv", index=False)
    conditions = condition_table(found)
    write_json(
        study.folder / "verdicts.json",
        [
            {
                **_plain(row),
                "conditions": [
                    _plain(c) for c in conditions[conditions["claim"] == row["claim"]].to_dict("records")
                ],
            }
            for row in table.to_dict("records")
        ],
    )
    return table


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A row ready for JSON: a number that does not exist is null."""
    return {
        str(key): None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def front_table(table: pd.DataFrame) -> str:
    """The verdicts in short, as a Markdown table: the paper's figure, ours, the verdict, and what it leaves out.

    Args:
        table: what :func:`verdict_table` gave.
    """
    lines = ["| Claim | The paper reports | This study finds | Verdict |", "| --- | --- | --- | --- |"]
    for row in table.to_dict("records"):
        verdict = answer(f"**{row['verdict']}**", row["untested"])
        cells = [row["claim"], row["paper"], row["ours"], verdict]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def summary(table: pd.DataFrame) -> str:
    """How many claims met which verdict, and what of them the rules do not ask for."""
    counts = table["verdict"].value_counts()
    told = [f"{count} {'is' if count == 1 else 'are'} {name}" for name, count in counts.items()]
    aside = [
        f" The rule of {row.claim} does not test {row.untested}."
        for row in table.itertuples()
        if row.untested
    ]
    return f"Of the paper's {len(table)} claims, {', '.join(told)}.{''.join(aside)}"
