"""The runs of a study, found on disk.

In:  what training and evaluation wrote under ``runs/STUDY``.
Out: ledgers and one table of predictions, for the analyses. No torch: a table can be read where no model can be run.
"""

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from barnlib.artefacts import verify
from barnlib.ledger import read
from barnlib.study import Study

Step = Literal["train", "evaluate"]


def run_name(backbone: str, seed: int) -> str:
    """As in folder names: ``llama3-seed0``."""
    return f"{backbone}-seed{seed}"


def run_folders(study: Study, step: Step) -> list[Path]:
    """The folders of all of a study's runs, verified against their manifests.

    Args:
        step: which of a run's two folders.

    Raises:
        ValueError: runs that are not complete, all of them named, with the command that makes them; or a file that was
            changed after it was made.
    """
    names = [run_name(backbone, seed) for backbone in study.backbones for seed in study.seeds]
    folders = [study.folder / step / name for name in names]
    missing = [folder.name for folder in folders if not (folder / "manifest.json").is_file()]
    if missing:
        raise ValueError(
            f"study '{study.name}' lacks {len(missing)} of {len(folders)} runs in {study.folder / step}: "
            f"{', '.join(missing)}; `make study STUDY={study.name}` makes what is missing"
        )
    for folder in folders:
        verify(folder)
    return folders


def read_ledgers(study: Study) -> list[dict[str, Any]]:
    """The ledgers of all of a study's runs. Raises as :func:`run_folders`."""
    return [read(folder / "ledger.json") for folder in run_folders(study, "train")]


def read_predictions(study: Study) -> pd.DataFrame:
    """One row per answer of every run: the table that analyses start from. Raises as :func:`run_folders`."""
    folders = run_folders(study, "evaluate")
    return pd.concat(
        [pd.read_parquet(folder / "predictions.parquet") for folder in folders], ignore_index=True
    )
