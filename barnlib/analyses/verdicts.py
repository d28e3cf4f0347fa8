"""A verdict on each of the paper's claims: the study file's rules applied to the evidence of the analyses.

In:  ``verdicts`` of the study file, fixed before the run, and the evidence that the analyses wrote (evidence.py).
Out: one :class:`Verdict` for each claim. Next: verdict_tables.py writes and shows them.

An estimate meets a condition where its 95 % interval lies wholly on the side of the threshold that was asked for,
misses it where it lies wholly on the other side, and leaves it open otherwise: its p value falls below 0.05 at the end
of the interval, for both are made from the same standard errors. A claim is reproduced where all its
conditions hold, not reproduced where one fails, undecided otherwise: also where evidence is missing, for then
nobody knows.

Several estimates bear on one claim, and each has a p value. "All of them" needs every test on its own and no
correction (the intersection-union test, Berger 1982, Technometrics 24:295): the largest p value counts. "At least
one of them" needs Holm's correction (1979, Scand. J. Stat. 6:65), of which only the first step matters where
existence alone is asked: the smallest p value times the number of estimates. A claim's conditions are put together
in the same way. The six claims are six questions with an answer each; nothing is concluded from any one of them
being met, so nothing is corrected over them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from scipy import special

from barnlib.analyses.evidence import CLAIMS, Evidence, read_evidence
from barnlib.analyses.measures import estimate_text, joint, measure_words, worded
from barnlib.parameters import load_backbone
from barnlib.study import Condition, Study
from barnlib.tasks.registry import TASK_TITLES

ALPHA = 0.05  # two-sided; the evidence's intervals are at 95 %
Answer = Literal["reproduced", "not reproduced", "undecided at this scale"]
State = Literal["holds", "fails", "open"]


@dataclass(frozen=True)
class Finding:
    """One estimate that a condition asks for: the evidence, or why there is none; and how sure it meets or misses.

    ``p_meets`` and ``p_misses`` are two-sided p values of the estimate lying on the asked side and on the other one;
    1 where there is no estimate.
    """

    text: str  # "difference in score, VQA-Scene, LLaMA-1 → LLaMA-3: +4 points (1 to 7)"
    evidence: Evidence | None
    p_meets: float
    p_misses: float


@dataclass(frozen=True)
class Judged:
    """One condition with the estimates that it asked for."""

    condition: Condition
    findings: tuple[Finding, ...]
    p_holds: float
    p_fails: float

    @property
    def state(self) -> State:
        """Taken alone; the verdict corrects for a claim's several conditions."""
        return "holds" if self.p_holds < ALPHA else "fails" if self.p_fails < ALPHA else "open"

    @property
    def telling(self) -> Finding:
        """The estimate that the state hangs on: the weakest where all must agree, the surest where one is enough."""
        every = self.condition.which == "every"
        if self.state == "fails" and every:
            return min(self.findings, key=lambda finding: finding.p_misses)
        if self.state == "fails":
            return max(self.findings, key=lambda finding: finding.p_misses)
        return (max if every else min)(self.findings, key=lambda finding: finding.p_meets)


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim, what it hangs on, and everything that was asked."""

    claim: str
    answer: Answer
    reason: str
    conditions: tuple[Judged, ...]
    telling: Finding | None  # the estimate that decided, or that left it open


def all_evidence(study: Study) -> pd.DataFrame:
    """The evidence of every analysis that has written any; a table without rows where none has. See evidence.py."""
    written = sorted(path.stem for path in (study.folder / "evidence").glob("*.json"))
    if not written:
        return pd.DataFrame(columns=[*Evidence.model_fields, "analysis"])
    return read_evidence(study, written)


def verdicts(study: Study, evidence: pd.DataFrame) -> list[Verdict]:
    """One verdict for each claim, in their order.

    Args:
        study: whose rules are applied; its backbones are ordered from oldest to newest.
        evidence: the columns of :class:`Evidence`, one row an estimate.

    Raises:
        ValueError: a measure has several estimates of the same backbones and task: which counts is not known.
    """
    titles = {name: load_backbone(name, study.scale).title for name in study.backbones}
    rows = [
        Evidence(**{str(key): value for key, value in row.items() if key != "analysis"})
        for row in evidence.astype(object).where(evidence.notna(), None).to_dict("records")
    ]
    return [_verdict(study, claim, rows, titles) for claim in CLAIMS]


def _verdict(study: Study, claim: str, rows: Sequence[Evidence], titles: dict[str, str]) -> Verdict:
    conditions = getattr(study.verdicts, claim, ())
    judged = tuple(_judge(condition, study, rows, titles) for condition in conditions)
    if not judged:
        reason = f"the study file of '{study.name}' has no rule for this claim"
        return Verdict(claim, "undecided at this scale", reason, (), None)
    if max(one.p_holds for one in judged) < ALPHA:
        weakest = max(judged, key=lambda one: one.p_holds)
        return Verdict(claim, "reproduced", _told("met", weakest), judged, weakest.telling)
    failed = min(judged, key=lambda one: one.p_fails)
    if min(1.0, len(judged) * failed.p_fails) < ALPHA:
        return Verdict(claim, "not reproduced", _told("missed", failed), judged, failed.telling)
    first = next(one for one in judged if one.p_holds >= ALPHA)
    return Verdict(claim, "undecided at this scale", _told("left open", first), judged, first.telling)


def _judge(condition: Condition, study: Study, rows: Sequence[Evidence], titles: dict[str, str]) -> Judged:
    findings = tuple(
        _finding(condition, task, a, b, rows, titles)
        for a, b in compared(study.backbones, condition.of)
        for task in condition.tasks or _tasks(condition.measure, a, b, rows)
    )
    if not findings:
        text = f"{worded(condition)}: the study has one backbone, so there is nothing to compare"
        return Judged(condition, (Finding(text, None, 1.0, 1.0),), 1.0, 1.0)
    meets, misses = ([getattr(one, name) for one in findings] for name in ("p_meets", "p_misses"))
    present = sum(finding.evidence is not None for finding in findings)
    any_meets, any_misses = (
        min(1.0, present * min(values)) if present else 1.0 for values in (meets, misses)
    )
    if condition.which == "every":
        return Judged(condition, findings, max(meets), any_misses)
    return Judged(condition, findings, any_meets, max(misses))


def compared(backbones: Sequence[str], of: str) -> list[tuple[str, str | None]]:
    """The backbones that a condition is about, as (a, b) of the evidence; b is None where a stands alone."""
    *older, newest = backbones
    if of == "newest":
        return [(newest, None)]
    if of == "older":
        return [(name, None) for name in older]
    if of == "newest_less_oldest":
        return [(older[0], newest)] if older else []
    if of == "newest_less_older":
        return [(name, newest) for name in older]
    return [(a, b) for number, a in enumerate(backbones) for b in backbones[number + 1 :]]


def _tasks(measure: str, a: str, b: str | None, rows: Sequence[Evidence]) -> list[str | None]:
    """Where a condition names no task: the estimate over all of them, where there is one, else each task's."""
    found = list(dict.fromkeys(row.task for row in rows if (row.measure, row.a, row.b) == (measure, a, b)))
    return [None] if None in found or not found else found


def _finding(
    condition: Condition,
    task: str | None,
    a: str,
    b: str | None,
    rows: Sequence[Evidence],
    titles: dict[str, str],
) -> Finding:
    found = [row for row in rows if (row.measure, row.task, row.a, row.b) == (condition.measure, task, a, b)]
    place = [TASK_TITLES.get(task, task)] if task else []
    of = titles[a] if b is None else f"{titles[a]} {joint(condition.measure)} {titles[b]}"
    name = ", ".join([measure_words(condition.measure), *place, of])
    if len(found) > 1:
        raise ValueError(
            f"{len(found)} estimates of '{condition.measure}' for task {task}, {a} and {b}; expected one: "
            "a measure is written once by one analysis"
        )
    if not found:
        return Finding(f"{name}: no analysis has estimated it", None, 1.0, 1.0)
    (row,) = found
    if row.estimate is None or row.low is None or row.high is None:
        return Finding(f"{name}: no estimate with an interval ({row.note})", None, 1.0, 1.0)
    above, below = _p_values(row, condition.threshold)
    meets, misses = (above, below) if condition.side == "above" else (below, above)
    return Finding(f"{name}: {estimate_text(row)}", row, meets, misses)


def _p_values(row: Evidence, threshold: float) -> tuple[float, float]:
    """Two-sided p values of the estimate lying above, and below, the threshold.

    Student's, made as the interval is (intervals.py), which is the wider of two: the p value is the larger of two, one
    from the standard error over pictures and runs together, one from that over runs alone. The distance to the
    threshold is measured in widths of the interval towards it, so that p is below `ALPHA` where the interval lies
    wholly on that side, and only there. Where the interval is as wide on both sides this is the distance over its
    standard error; a share's is not (Korn & Graubard), and its errors are stretched to reach as far as its interval.

    The evidence's own p value is taken where the threshold is its zero and the interval agrees with it; the jackknife's
    is the same as the one made here. Where nothing varied, errors of 0 are no certainty: see :func:`_from_no_variance`.
    """
    assert row.estimate is not None and row.low is not None and row.high is not None
    pictures = row.n if row.images is None else row.images
    beyond = {"above": row.low > threshold, "below": row.high < threshold}
    reach = {"above": row.estimate - row.low, "below": row.high - row.estimate}
    distance = {"above": row.estimate - threshold, "below": threshold - row.estimate}
    found = []
    for side in ("above", "below"):
        if distance[side] <= 0:
            p = 1.0
        elif reach[side] == 0:
            p = _from_no_variance(distance[side] / 2, pictures)
        elif row.se == 0 and row.estimate in (0.0, 1.0):  # a share, whose interval is Clopper and Pearson's
            p = _from_no_variance(distance[side], pictures)
        elif threshold == 0 and row.p is not None and beyond[side]:
            p = row.p
        else:
            p = _from_errors(distance[side] / reach[side], _errors(row))
        found.append(p if beyond[side] else max(p, ALPHA))
    return found[0], found[1]


def _errors(row: Evidence) -> list[tuple[float, float]]:
    """Standard errors with their degrees of freedom; only their ratio counts, since the interval gives the scale.

    Where there are none (percentiles of resamples, as of a share of variance) it is not known how much of the
    interval's width is due to runs, and one degree less than there are runs does not overstate how sure it is.
    """
    pairs = ((row.se, row.images), (row.se_runs, row.seeds))
    found = [(error, float(count - 1)) for error, count in pairs if error and count is not None and count > 1]
    return found or [(1.0, float(row.seeds - 1) if row.seeds > 1 else math.inf)]


def _from_errors(reaches: float, errors: Sequence[tuple[float, float]]) -> float:
    """Two-sided p value of an estimate that lies so many half widths of its 95 % interval from a threshold.

    Args:
        errors: standard errors and their degrees of freedom; the widest of their intervals is the one meant.
    """
    half = max(error * special.stdtrit(freedom, 1 - ALPHA / 2) for error, freedom in errors)
    return max(float(2 * special.stdtr(freedom, -reaches * half / error)) for error, freedom in errors)


def _from_no_variance(share: float, pictures: int) -> float:
    """Two-sided p value of an estimate that all pictures agree on, so that resampling saw no variance.

    Two backbones that are both wrong on every picture differ by nothing, and yet others of such pictures may tell them
    apart. The p value is the chance that a sample of so many pictures misses those that are otherwise (the exact
    binomial behind Clopper and Pearson's interval and the "rule of three", Hanley & Lippman-Hand 1983, JAMA 249:1743).

    Args:
        share: of all pictures, that would at least have to be otherwise to move the estimate as far as the threshold:
            the distance where a picture's value lies in 0 to 1, half of it where it lies in -1 to 1; more than 0.
        pictures: how many agree.
    """
    return float(min(1.0, 2 * (1 - min(share, 1.0)) ** pictures))


def _told(how: str, one: Judged) -> str:
    return f"{worded(one.condition)}: {how} by {one.telling.text}"
