"""Scores under weaker and stronger encoders: the study and its control studies, read as one table.

In:  predictions of a study, and of its control studies as far as they have been run.
Out: one table of predictions with a column `encoder`, for metrics.py and variance.py, and evidence on claim C6.

A control study is the same study with another encoder: the same data, backbones and training. If perception is what
limits a task, the score rises with the encoder and hardly with the backbone; with oracle facts nothing has to be seen,
and what is left is language and reasoning.
"""

from collections.abc import Mapping

import pandas as pd

from barnlib.analyses.evidence import Evidence
from barnlib.analyses.evidence_rows import evidence_rows
from barnlib.artefacts import verify
from barnlib.data.build import data_folder
from barnlib.parameters import load_encoder, load_study, study_names
from barnlib.runs import read_predictions
from barnlib.study import Study

MAY_DIFFER = {"name", "title", "seeds", "encoder", "verdicts"}
ENDS = ("estimate", "low", "high")
STRENGTH = {"random": 0, "trained": 1, "oracle": 2}  # of kinds of encoder


def own_encoder(study: Study) -> str:
    """The title of the study's own encoder, as the column `encoder` names it."""
    return load_encoder(study.encoder.name, study.scale).title


def control_studies(study: Study) -> list[Study]:
    """This study and its controls, from weaker to stronger encoders: studies named STUDY_something that differ from it
    in the encoder and the seeds only."""
    own = study.model_dump(exclude=MAY_DIFFER)
    others = [load_study(name) for name in study_names() if name.startswith(f"{study.name}_")]
    same = [study, *(other for other in others if other.model_dump(exclude=MAY_DIFFER) == own)]
    return sorted(
        same,
        key=lambda one: (STRENGTH[load_encoder(one.encoder.name, one.scale).kind], one.name != study.name),
    )


def read_controls(study: Study) -> tuple[pd.DataFrame, dict[str, str]]:
    """Predictions of a study and of its controls, with a column `encoder`, the encoder's title.

    Returns:
        The table, and, for each encoder whose study has not been run, why not and the command that runs it.

    Raises:
        ValueError: as :func:`barnlib.runs.read_predictions` for the study itself; a control on other data.
    """
    tables, missing = [], {}
    data = _data_files(study) if (data_folder(study) / "manifest.json").is_file() else None
    for one in control_studies(study):
        title = load_encoder(one.encoder.name, one.scale).title
        try:
            table = read_predictions(one)
        except ValueError as problem:
            if one.name == study.name:
                raise
            never = not (one.folder / "evaluate").is_dir()
            missing[title] = f"not run; make study STUDY={one.name} runs it" if never else str(problem)
            continue
        if one.name != study.name and _data_files(one) != data:
            raise ValueError(
                f"study '{one.name}' was run on other data than '{study.name}': their scores cannot be compared; "
                f"delete {one.folder} and run `make study STUDY={one.name}` again"
            )
        tables.append(table.assign(encoder=title, study=study.name))
    return pd.concat(tables, ignore_index=True), missing


def share_evidence(
    study: Study, predictions: pd.DataFrame, splits: Mapping[str, pd.DataFrame]
) -> list[Evidence]:
    """Evidence on C6: the encoder's and the backbone's share of the variance between runs, by task.

    Args:
        predictions: :func:`read_controls` of one split and condition, two encoders or more.
        splits: ``variance.variance_table`` by task.
    """
    rows = []
    for task, table in splits.items():
        answers = predictions[predictions["task"] == task]
        seeds = set.intersection(*answers.groupby(["encoder", "backbone"])["seed"].agg(set))
        for term in ("encoder", "backbone"):
            found = table[table["term"] == term].rename(
                columns={
                    f"share_of_runs{end}": name for end, name in zip(("", "_low", "_high"), ENDS, strict=True)
                }
            )
            found = found.assign(
                a=study.backbones[0],
                b=study.backbones[-1],
                items=answers["item"].nunique(),
                images=answers["image"].nunique(),
                seeds=len(seeds),
            )
            rows += evidence_rows(
                found,
                claim="C6",
                measure=f"{term}_variance_share",
                task=task,
                test="share of the variance between runs, random effects, bootstrap over pictures",
                note=f"encoders: {', '.join(dict.fromkeys(answers['encoder']))}; backbones: all of the study",
            )
    return rows


def _data_files(study: Study) -> dict[str, str]:
    return verify(data_folder(study))
