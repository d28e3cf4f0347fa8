"""What an analysis found on the paper's claims, as rows that the verdicts are reached from.

In:  estimates that bear on a claim, written by the notebooks of analyses: ``runs/STUDY/evidence/ANALYSIS.json``.
Out: one table of all evidence of a study. Next: verdicts.py applies the study file's rules to it.

The claims are those of "Back to the Barn with LLAMAs" (arXiv 2604.10985), numbered as on the protocol page.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd
from pydantic import TypeAdapter, ValidationError, model_validator

from barnlib.artefacts import read_json, write_json
from barnlib.strict import Strict
from barnlib.study import Study

Claim = Literal["C1", "C2", "C3", "C4", "C5", "C6"]
CLAIMS: dict[str, str] = dict(
    zip(
        get_args(Claim),
        (
            "Newer backbones do not always give better models: gains depend on the task",
            "A newer backbone solves different questions, not only more",
            "The newest backbone's confidence is better calibrated",
            "The newest backbone's representations are more stable",
            "Structured numeric answers appear with the newest backbone only",
            "Tasks bound by perception gain little",
        ),
        strict=True,
    )
)


class Evidence(Strict):
    """One estimate that bears on a claim.

    Attributes:
        measure: what was estimated, as a rule in the study file names it: ``accuracy_difference``.
        task: one of `barnlib.data.records.TASKS`, or None where the measure is over all tasks.
        a, b: backbones; a difference is ``b`` less ``a``. ``b`` is None where the measure is of ``a`` alone, and equal
            to ``a`` where two seeds of one backbone are compared.
        estimate, low, high: the value and the ends of its 95 % interval, or None where it does not exist.
        se: standard error over pictures and runs together. se_runs: over runs alone. None where there is none: of one
            run, or of an interval that is not made from standard errors (percentiles).
        p: of a test against zero, or None where there is none.
        test: what was computed, in words a reader knows: "paired bootstrap over pictures and seeds".
        n: items behind the estimate. images: pictures behind it, or None where they are not counted. seeds: training
            runs of each backbone behind it.
        note: why an estimate does not exist, or what to keep in mind.
    """

    claim: Claim
    measure: str
    task: str | None = None
    a: str
    b: str | None = None
    estimate: float | None
    low: float | None
    high: float | None
    se: float | None = None
    se_runs: float | None = None
    p: float | None = None
    test: str
    n: int
    images: int | None = None
    seeds: int
    note: str = ""

    @model_validator(mode="after")
    def _interval_holds_the_estimate(self) -> "Evidence":
        ends = (self.low, self.estimate, self.high)
        if any(end is None for end in ends) and not self.note:
            raise ValueError(f"{self.measure}: an estimate or interval is missing, and no note says why")
        if all(end is not None for end in ends) and not self.low <= self.estimate <= self.high:  # type: ignore[operator]
            raise ValueError(f"{self.measure}: {self.estimate} lies outside {self.low} to {self.high}")
        return self


ROWS = TypeAdapter(list[Evidence])


def as_table(rows: Sequence[Evidence]) -> pd.DataFrame:
    """One row an estimate, the columns of `Evidence`; `images` stay whole numbers where some are missing."""
    table = pd.DataFrame([row.model_dump() for row in rows], columns=list(Evidence.model_fields))
    return table.astype({"images": "Int64"})


def write_evidence(study: Study, analysis: str, rows: Sequence[Evidence]) -> None:
    """Write ``runs/STUDY/evidence/ANALYSIS.json``; numbers that are not finite must be None."""
    path = study.folder / "evidence" / f"{analysis}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, ROWS.dump_python(list(rows), mode="json"))


def read_evidence(study: Study, analyses: Sequence[str]) -> pd.DataFrame:
    """The evidence of several analyses: the columns of `Evidence`, and ``analysis``.

    Raises:
        ValueError: an analysis has not been run (with the notebook that runs it), or its file is malformed.
    """
    tables = []
    for analysis in analyses:
        path = study.folder / "evidence" / f"{analysis}.json"
        if not path.is_file():
            raise ValueError(
                f"{path} is not there: run notebooks/{analysis}.ipynb for study '{study.name}' first, or "
                f"`make study STUDY={study.name}`, which runs every analysis"
            )
        try:
            rows = ROWS.validate_python(read_json(path))
        except ValidationError as error:
            raise ValueError(f"{path}: {error}") from None
        tables.append(as_table(rows).assign(analysis=analysis))
    return pd.concat(tables, ignore_index=True)
