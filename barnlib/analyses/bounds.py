"""What a score could reach: what a probe reads from the frozen features, and what a backbone does on text alone.

In:  a study's cached features, read as arrays without torch, its pictures, and the cards of its backbones.
Out: tables and places that stand beside the scores in the notebook on the bottleneck.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barnlib.analyses.location_head import read_places
from barnlib.artefacts import read_json, verify
from barnlib.components import checkpoint_path
from barnlib.data.build import data_folder
from barnlib.data.earthquakes import depth_class, magnitude_class
from barnlib.data.records import Picture, read_pictures
from barnlib.parameters import load_backbone, load_encoder
from barnlib.probes import PENALTIES, probe
from barnlib.study import Study

FEATURE_PENALTIES = tuple(float(penalty) for penalty in np.logspace(1, 6, 6))
GIVEN = "position"  # of a thing: what the probe is told when it is handed the patches that the thing covers
CLASSES: dict[str, tuple[str, Callable[[float], str], tuple[float, float]]] = {
    "magnitude_class": ("magnitude", magnitude_class, (4.0, 9.99)),
    "depth_class": ("depth_km", depth_class, (0.0, 700.0)),
}
"""Fact of a description -> the number that it sorts, how, and the ends within which there are classes."""
PROBED = ["property", "measure", "value", "chance", "n"]


def read_features(study: Study, images: Sequence[str]) -> NDArray[np.float32]:
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
    """What linear probes read of things from a study's frozen features, in test scenes.

    Args:
        pictures: how many training scenes the probes are fitted on, at most.

    Returns:
        `PROBED` columns of :func:`barnlib.probes.probe`, and `encoder`; no rows where nothing says what is on the
        pictures.
    """
    train, test = (
        [one for one in _pictures(study, split) if "things" in one.facts] for split in ("train", "test")
    )
    train = train[:pictures]
    seen, unseen = (read_features(study, [one.image for one in side]) for side in (train, test))
    title = load_encoder(study.encoder.name, study.scale).title
    return probe(seen, train, unseen, test).reindex(columns=PROBED).assign(encoder=title)


def probed_classes(study: Study, images: Sequence[str], *, pictures: int) -> pd.DataFrame:
    """What a ridge regression from all patches of these test cards reads of `CLASSES`, each by its number.

    Args:
        pictures: how many training cards it is fitted on, at most.

    Returns:
        One row for each class: `property`, `measure` ("accuracy"), `value`, the share of cards whose class is right,
        `chance`, that of the class that most of them have, and `n`.
    """
    train, cards = _cards(_pictures(study, "train"))[:pictures], _of(images, _pictures(study, "test"))
    seen, unseen = (
        read_features(study, [one.image for one in side]).reshape(len(side), -1) for side in (train, cards)
    )
    rows = []
    for name, (number, named, ends) in CLASSES.items():
        model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        model.fit(seen, np.array([one.facts[number] for one in train], float))
        read = np.array([named(float(value)) for value in np.clip(model.predict(unseen), *ends)])
        true = np.array([named(one.facts[number]) for one in cards])
        chance = np.unique(true, return_counts=True)[1].max() / len(true)
        rows.append((name, "accuracy", float((read == true).mean()), float(chance), len(true)))
    return pd.DataFrame(rows, columns=PROBED)


def probed_places(study: Study, images: Sequence[str], *, pictures: int) -> NDArray[np.float64]:
    """Places that a ridge regression reads from the frozen features of these test cards: float64[n, 2], degrees."""
    sides = {split: _cards(_pictures(study, split))[:pictures] for split in ("train", "validation")}
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


def seen_and_said(probes: pd.DataFrame, accuracy: pd.DataFrame, by: str = "question_type") -> pd.DataFrame:
    """What a probe reads and backbones are asked for, side by side; no rows where there is nothing of the kind.

    A thing's position is left out: the probe has the patches that the thing covers, and with them the answer.

    Args:
        probes: :func:`probed` or :func:`probed_classes` of the same study.
        accuracy: estimates by backbone and `by`, as ``metrics.accuracy_table`` of VQA-Scene by question type.

    Returns:
        Rows of `accuracy` that ask for what was probed, with `probe`, what was read of it.
    """
    known = (probes["measure"] == "accuracy") & (probes["property"] != GIVEN)
    read = probes[known].set_index("property")["value"]
    rows = accuracy[accuracy[by].isin(read.index)]
    return rows.assign(probe=rows[by].map(read))


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


def _pictures(study: Study, split: str) -> list[Picture]:
    return read_pictures(data_folder(study) / f"{split}.pictures.json")


def _cards(pictures: Sequence[Picture]) -> list[Picture]:
    return [picture for picture in pictures if picture.kind == "card"]


def _of(images: Sequence[str], pictures: Sequence[Picture]) -> list[Picture]:
    named = {picture.image: picture for picture in pictures}
    return [named[image] for image in images]
