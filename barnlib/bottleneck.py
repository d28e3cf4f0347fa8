"""Is perception the bottleneck? Scores under weaker and stronger encoders, what a probe reads, and what backbones gain.

In:  predictions and features of a study, and of its control studies as far as they have been run.
Out: tables of estimates as in metrics.py, for the notebook on the bottleneck. No torch: features are read as arrays.

A control study is the same study with another encoder: the same data, backbones and training. If perception is what
limits a task, the score rises with the encoder and hardly with the backbone; with oracle facts nothing has to be seen,
and what is left is language and reasoning.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from barnlib.artefacts import read_json, verify
from barnlib.data.build import data_folder
from barnlib.data.records import Picture, read_pictures
from barnlib.evidence import Evidence
from barnlib.evidence_rows import evidence_rows
from barnlib.intervals import ratio, resampled_variance, student_interval
from barnlib.location_head import read_places
from barnlib.metrics import ESTIMATE_COLUMNS, paired_differences
from barnlib.parameters import (
    Study,
    checkpoint_path,
    load_backbone,
    load_encoder,
    load_study,
    study_names,
)
from barnlib.probes import ATTRIBUTES, probe
from barnlib.runs import read_predictions

Array = NDArray[np.float32]
MAY_DIFFER = {"name", "title", "seeds", "encoder", "verdicts"}
ENDS = ("estimate", "low", "high")
STRENGTH = {"random": 0, "trained": 1, "oracle": 2}  # of kinds of encoder


def own_encoder(study: Study) -> str:
    """The title of the study's own encoder, as the column `encoder` names it."""
    return load_encoder(study.encoder.name, study.scale).title


def control_studies(study: Study) -> list[Study]:
    """This study and those that differ from it in the encoder and the seeds only, from weaker to stronger encoders."""
    own = study.model_dump(exclude=MAY_DIFFER)
    others = [load_study(name) for name in study_names() if name != study.name]
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


def read_features(study: Study, images: Sequence[str]) -> Array:
    """Cached features of images: float32[N, T, D].

    Raises:
        ValueError: no features, changed ones, or an image that they do not have.
    """
    folder = study.folder / "features"
    verify(folder)
    row = {image: number for number, image in enumerate(read_json(folder / "images.json"))}
    missing = [image for image in images if image not in row]
    if missing:
        raise ValueError(f"{folder}: no features for image '{missing[0]}' ({len(missing)} missing)")
    return load_file(folder / "features.safetensors")["features"][[row[image] for image in images]]


def probed(study: Study, *, pictures: int) -> pd.DataFrame:
    """What linear probes read from a study's frozen features, on test pictures.

    Args:
        pictures: how many training pictures of each kind the probes are fitted on.

    Returns:
        As :func:`barnlib.probes.probe`, and `encoder`.
    """
    train, test = _pictures(study, "train", pictures), _pictures(study, "test", None)
    seen, unseen = (read_features(study, [one.image for one in side]) for side in (train, test))
    title = load_encoder(study.encoder.name, study.scale).title
    return probe(seen, train, unseen, test).assign(encoder=title)


def probed_places(study: Study, images: Sequence[str], *, pictures: int) -> NDArray[np.float64]:
    """Places that a ridge regression reads from the frozen features of these test cards: float64[n, 2], degrees."""
    sides = {
        "train": _of_kind(_pictures(study, "train", pictures), "card"),
        "validation": _of_kind(_pictures(study, "validation", pictures), "card"),
    }
    flat = {
        split: read_features(study, [one.image for one in cards]).reshape(len(cards), -1)
        for split, cards in sides.items()
    }
    places = {
        split: np.array([(one.facts["latitude_deg"], one.facts["longitude_deg"]) for one in cards])
        for split, cards in sides.items()
    }
    test = read_features(study, images).reshape(len(images), -1)
    return read_places(
        flat["train"], places["train"], flat["validation"], places["validation"], test, FEATURE_PENALTIES
    ).places


FEATURE_PENALTIES = tuple(float(penalty) for penalty in np.logspace(1, 6, 6))


def seen_and_said(predictions: pd.DataFrame, probes: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Attributes that a probe reads and questions ask for, side by side.

    Args:
        predictions: VQA-Scene answers; only question types that ask for an attribute count.
        probes: :func:`probed` of the same study.
        accuracy: ``metrics.accuracy_table`` by backbone and question type.

    Returns:
        Rows of `accuracy` of those question types, with `probe`, what the probe reads of that attribute.
    """
    asked = [name for name in ATTRIBUTES if name in set(predictions["question_type"])]
    read = probes[probes["measure"] == "accuracy"].set_index("property")["value"]
    rows = accuracy[accuracy["question_type"].isin(asked)]
    return rows.assign(probe=rows["question_type"].map(read))


def gains(
    predictions: pd.DataFrame, oldest: str, newest: str, by: Sequence[str] = ("task",), **how: Any
) -> pd.DataFrame:
    """The score of the newest less that of the oldest backbone, paired, by task. No rows if they are the same."""
    if oldest == newest:
        return pd.DataFrame(columns=[*by, "a", "b", *ESTIMATE_COLUMNS])
    return paired_differences(predictions, by, pairs=[(oldest, newest)], **how)


def gain_difference(
    predictions: pd.DataFrame,
    oldest: str,
    newest: str,
    *,
    tasks: tuple[str, str],
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """How much more a change of backbone gains on one task than on another.

    The tasks have pictures of their own, which are resampled apart; the seeds are the same, and are resampled together.
    Chance that belongs to one run on one picture is counted with pictures and with seeds, so the interval errs on the
    wide side.

    Args:
        tasks: (a, b); the estimate is the gain on b less the gain on a.

    Returns:
        One row: `a` and `b` (the backbones) and `ESTIMATE_COLUMNS`; `items` and `images` are those of both tasks.

    Raises:
        ValueError: a task without answers, or backbones that share no seed or item.
    """
    wide = {}
    for task in tasks:
        rows = predictions[predictions["task"] == task]
        sides = [
            rows[rows["backbone"] == name].set_index(["seed", "item", "image"])["score"]
            for name in (oldest, newest)
        ]
        paired = (sides[1] - sides[0]).dropna()
        if paired.empty:
            raise ValueError(f"{oldest} and {newest} share no seed and item of task '{task}'")
        wide[task] = paired.groupby(["seed", "image"]).agg(["sum", "count"]).unstack("image", fill_value=0)
    seeds = sorted(set.intersection(*(set(table.index) for table in wide.values())))
    cells = [
        np.stack([wide[task].loc[seeds, name].to_numpy(np.float64) for name in ("sum", "count")], axis=-1)
        for task in tasks
    ]  # each float64[seeds, pictures, 2]
    by_seed = np.concatenate([cell.sum(1) for cell in cells], axis=1)
    interval = student_interval(
        float(_further(by_seed.sum(0, keepdims=True))[0]),
        sum(resampled_variance(cell.sum(0), ratio, rng, resamples) for cell in cells),
        resampled_variance(by_seed, _further, rng, resamples),
        0.0,
        min(cell.shape[1] for cell in cells),
        len(seeds),
        level=level,
        bounds=(-2.0, 2.0),
    )
    both = predictions[predictions["task"].isin(tasks) & predictions["seed"].isin(seeds)]
    row = {
        "a": oldest,
        "b": newest,
        **vars(interval),
        "items": both["item"].nunique(),
        "images": both["image"].nunique(),
        "seeds": len(seeds),
    }
    return pd.DataFrame([row])


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
                a=study.backbones[0], b=study.backbones[-1], items=answers["item"].nunique(), seeds=len(seeds)
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


def text_bounds(study: Study) -> pd.DataFrame:
    """What each backbone's card says of reading alone: questions on captions that are given as text.

    Returns:
        `backbone`, `question` (scene questions by type, `description`, `coordinates_as_json`), `accuracy`, `n`; no
        rows for backbones without such a card, as those that were not made here.
    """
    rows = []
    for name in study.backbones:
        folder = checkpoint_path(load_backbone(name, study.scale).checkpoint)
        card = folder / "card.json" if not isinstance(folder, str) else None
        known = read_json(card).get("text_accuracy", {}) if card is not None and card.is_file() else {}
        rows += [{"backbone": name, "question": question, **values} for question, values in known.items()]
    return pd.DataFrame(rows, columns=["backbone", "question", "accuracy", "n"])


def _data_files(study: Study) -> dict[str, str]:
    return verify(data_folder(study))


def _pictures(study: Study, split: str, count: int | None) -> list[Picture]:
    """The first pictures of each kind, or all."""
    pictures = read_pictures(data_folder(study) / f"{split}.pictures.json")
    kinds = dict.fromkeys(picture.kind for picture in pictures)
    return [one for kind in kinds for one in _of_kind(pictures, kind)[:count]]


def _of_kind(pictures: Sequence[Picture], kind: str) -> list[Picture]:
    return [picture for picture in pictures if picture.kind == kind]


def _further(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the second task less that of the first: of float64[n, 4], sum and count of each."""
    return ratio(sums[:, 2:]) - ratio(sums[:, :2])
