"""Made-up evidence on the nano study's backbones, without any analysis."""

import pandas as pd
from scipy import stats

from barnlib.analyses.evidence import Evidence, as_table
from barnlib.parameters import load_study

STUDY = load_study("nano")
OLD, MIDDLE, NEW = STUDY.backbones


def row(measure: str, value: float, half: float = 0.01, **given: object) -> dict:
    """One estimate with a symmetric interval; a p value that agrees with it."""
    p = float(2 * stats.norm.sf(abs(value) / half * 1.96)) if half else 0.0
    plain = {"claim": "C1", "task": None, "a": OLD, "b": NEW, "p": p, "test": "made up", "n": 100, "seeds": 3}
    ends = {"estimate": value, "low": value - half, "high": value + half}
    return Evidence(**{**plain, "measure": measure, **ends, **given}).model_dump()


def evidence(rows: list[dict]) -> pd.DataFrame:
    """The table that the verdicts are reached from."""
    return as_table([Evidence(**one) for one in rows]).assign(analysis="made-up")
