"""From tables of estimates to the rows of evidence that verdicts are reached from.

In:  tables of metrics.py and its neighbours: `estimate`, `se`, `se_runs`, `low`, `high`, `items`, `images`, `seeds`,
     and a backbone or a pair of backbones.
Out: :class:`~barnlib.analyses.evidence.Evidence`, which an analysis notebook writes.
"""

import math
from typing import Any

import pandas as pd

from barnlib.analyses.evidence import Claim, Evidence

NOT_THERE = "this quantity does not exist here: too few runs or pictures, or nothing that could be read"


def evidence_rows(
    table: pd.DataFrame, *, claim: Claim, measure: str, test: str, task: str | None = None, note: str = ""
) -> list[Evidence]:
    """One row of evidence for each row of a table of estimates.

    Args:
        table: `estimate`, `low`, `high`, `items`, `seeds`, and either `backbone`, or `a` and `b` (the difference is b
            less a). Used where there are such columns: `se`, `se_runs`, `images`, `p`; `task`, where `task` is not
            given; `note`, what is to be said of this row alone. Other columns are left aside.
        claim, measure, test, task, note: as in `Evidence` (evidence.py). Where an estimate or an end of its
            interval is not a finite number, and there is no column `note`, a note that says so is added.

    Raises:
        ValueError: a table without a backbone.
    """
    if "backbone" not in table and not {"a", "b"} <= set(table.columns):
        raise ValueError(f"evidence needs the column backbone, or a and b; the table has {', '.join(table)}")
    rows = []
    for row in table.to_dict("records"):
        values = {name: _finite(row[name]) for name in ("estimate", "low", "high")}
        missing = any(value is None for value in values.values())
        found = row.get("task") if task is None else task
        own = row.get("note", NOT_THERE if missing else "")
        images = _finite(row.get("images"))
        rows.append(
            Evidence(
                claim=claim,
                measure=measure,
                task=None if found is None else str(found),
                a=str(row["backbone"] if "backbone" in row else row["a"]),
                b=None if "backbone" in row else str(row["b"]),
                **{name: _finite(row.get(name)) for name in ("se", "se_runs", "p")},
                test=test,
                n=int(row["items"]),
                images=None if images is None else int(images),
                seeds=int(row["seeds"]),
                note="; ".join(text for text in (note, own) if text),
                **values,
            )
        )
    return rows


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
