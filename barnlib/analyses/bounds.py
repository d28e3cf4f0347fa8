"""What a score could reach: what a probe reads from the frozen features, and what a backbone does on text alone.

In:  a study's cached features, read as arrays without torch, its pictures, and the cards of its backbones.
Out: tables and places that stand beside the scores in the notebook on the bottleneck.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from barnlib.analyses.location_head import read_places
from barnlib.artefacts import read_json, verify
from barnlib.components import checkpoint_path
from barnlib.data.build import data_folder
from barnlib.data.records import Picture, first_of_each_kind, read_pictures
from barnlib.parameters import load_backbone, load_encoder
from barnlib.probes import probe
from barnlib.study import Study

FEATURE_PENALTIES = tuple(float(penalty) for penalty in np.logspace(1, 6, 6))


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
    """What linear probes read from a study's frozen features, on test pictures.

    Args:
        pictures: how many training pictures of each kind the probes are fitted on.

    Returns:
        As :func:`barnlib.probes.probe`, and `encoder`.
    """
    train, test = first_of_each_kind(_pictures(study, "train"), pictures), _pictures(study, "test")
    seen, unseen = (read_features(study, [one.image for one in side]) for side in (train, test))
    title = load_encoder(study.encoder.name, study.scale).title
    return probe(seen, train, unseen, test).assign(encoder=title)


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


def seen_and_said(probes: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Attributes that a probe reads and questions ask for, side by side; no rows where there is none of them.

    Args:
        probes: :func:`probed` of the same study.
        accuracy: ``metrics.accuracy_table`` of VQA-Scene by backbone and question type.

    Returns:
        Rows of `accuracy` whose question type asks for an attribute that was probed, with `probe`, what was read of it.
    """
    read = probes[probes["measure"] == "accuracy"].set_index("property")["value"]
    rows = accuracy[accuracy["question_type"].isin(read.index)]
    return rows.assign(probe=rows["question_type"].map(read))


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
