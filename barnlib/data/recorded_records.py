"""Recorded earthquakes as this project's records: cards, items, captions, and the dataset's card.

In:  an event, its earthquake and station, and the ground velocity there. Out: a folder with ``images/SPLIT/*.png``,
     ``SPLIT.json``, ``SPLIT.pictures.json``, ``events.json`` (every event of the catalogue: its card, or why it has
     none) and ``card.json`` (source, licence, counts, splits, digests), as :mod:`barnlib.data.records` reads them.

The drawing, the facts and the questions, those of every task about event cards, are those of the made cards, so nothing
is asked that the image does not show. What a card shows of the arrivals is recorded; the times that a description
states are iasp91's for the catalogue's place and depth, as they are on a made card. Wordings are drawn from the event's
id: the same event has the same texts. Nothing keeps a recorded earthquake out of the nano backbones' text corpus, as
:mod:`barnlib.data.reserve` does for the made ones.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from barnlib.artefacts import digest, file_digest, write_json
from barnlib.command_line import one_sentence
from barnlib.data.build import questions_on
from barnlib.data.cards import card_phrases, draw_card
from barnlib.data.descriptions import card_caption
from barnlib.data.earthquakes import Earthquake, depth_class, earthquake_facts, magnitude_class
from barnlib.data.event_splits import Event, LeftOut, Quota, Selection, event_facts
from barnlib.data.leakage import image_digests
from barnlib.data.pictures import generator
from barnlib.data.polite_client import DataCentreUnavailable
from barnlib.data.records import TASKS, Item, Picture, write_items, write_pictures
from barnlib.data.seismograms import SAMPLING_RATE_HZ

STATED = {"name", "source", "licence", "citation"}
EVENTS, CARD = "events.json", "card.json"


class RecordsWriter:
    """Draws one card after another into a folder, and at the end writes what belongs to all of them."""

    def __init__(self, folder: Path, selection: Selection, splits: Iterable[str]) -> None:
        self.quota = Quota(selection.most_per_class)
        self._folder, self._selection = folder, selection
        self._pictures: dict[str, list[Picture]] = {split: [] for split in splits}
        self._items: dict[str, list[Item]] = {split: [] for split in splits}
        self._events: list[dict[str, Any]] = []
        self._stations: dict[str, set[str]] = {split: set() for split in splits}

    def add(
        self,
        split: str,
        event: Event,
        station: str,
        earthquake: Earthquake,
        traces: np.ndarray,
        sampling_rate_hz: float = SAMPLING_RATE_HZ,
    ) -> None:
        """Draw the card of an event as `station` recorded it, and write its questions; traces as `draw_card` asks."""
        name = f"card-{len(self._pictures[split]):06d}"
        path = f"images/{split}/{name}.png"
        image = draw_card(earthquake, traces, sampling_rate_hz, self._selection.image_size)
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        image.save(self._folder / path)
        rng = generator("recorded", event.id)
        picture = Picture(
            image=path,
            kind="card",
            caption=card_caption(earthquake, rng),
            phrases=card_phrases(earthquake, self._selection.image_size),
            facts=earthquake_facts(earthquake),
        )
        self._pictures[split].append(picture)
        self._items[split] += [
            Item(id=f"{split}-{name}-{end}", image=path, task=task, **vars(question))
            for task, end, question in questions_on(picture, rng, TASKS, count=0)  # a count is for scenes
        ]
        self._events.append(event_facts(event) | {"split": split, "image": path, "station": station})
        self._stations[split].add(station)
        self.quota.take(split, event)

    def finish(self, left_out: Iterable[LeftOut], origin: Mapping[str, Any]) -> dict[str, Any]:
        """Write records, events and card; returns the card.

        Args:
            left_out: the events without a card.
            origin: what else the card says of where the data come from.

        Raises:
            ValueError: a split without a card, or two cards that are the same picture.
        """
        listed = list(left_out)
        reasons = Counter(event.reason for event in listed)
        empty = [split for split, pictures in self._pictures.items() if not pictures]
        if empty:
            why = ", ".join(f"{count} left out: {reason}" for reason, count in reasons.most_common())
            raise ValueError(
                f"split {empty[0]} has no card; expected at least one ({why or 'no event was found'})"
            )
        for split in self._pictures:
            write_items(self._folder / f"{split}.json", self._items[split])
            write_pictures(self._folder / f"{split}.pictures.json", self._pictures[split])
        write_json(
            self._folder / EVENTS,
            self._events
            + [{"id": event.id, "left_out": event.reason, "detail": event.detail} for event in listed],
        )
        images = {
            split: image_digests(self._folder, [made.image for made in pictures])
            for split, pictures in self._pictures.items()
        }
        self._require_distinct(images)
        card = {
            **{key: getattr(self._selection, key) for key in sorted(STATED)},
            **origin,
            "selection": self._selection.model_dump(mode="json", exclude=STATED | {"contact"}),
            "splits": {split: self._counts(split, images[split]) for split in self._pictures},
            "left_out": dict(reasons.most_common()),
            "magnitude_types": dict(Counter(event["magnitude_type"] for event in self._events).most_common()),
            "events_digest": file_digest(self._folder / EVENTS),
        }
        write_json(self._folder / CARD, card)
        return card

    def _counts(self, split: str, images: Mapping[str, str]) -> dict[str, Any]:
        made = [picture.facts for picture in self._pictures[split]]
        return {
            "images": len(images),
            "items": len(self._items[split]),
            "question_types": dict(Counter(item.question_type for item in self._items[split])),
            "stations": len(self._stations[split]),
            "regions": len({facts["region"] for facts in made}),
            "classes": dict(
                Counter(
                    f"{magnitude_class(facts['magnitude'])} {depth_class(facts['depth_km'])}"
                    for facts in made
                ).most_common()
            ),
            "records": {
                name: file_digest(self._folder / name) for name in (f"{split}.json", f"{split}.pictures.json")
            },
            "images_digest": digest(dict(images)),
        }

    def _require_distinct(self, images: Mapping[str, Mapping[str, str]]) -> None:
        seen: dict[str, str] = {}
        for listed in images.values():
            for image, content in listed.items():
                other = seen.setdefault(content, image)
                if other != image:
                    raise ValueError(
                        f"{image} and {other} are the same picture; expected one card of one recording"
                    )


def command_line(
    build: Callable[[Path], Mapping[str, Any]],
    description: str,
    request: str,
    arguments: Sequence[str] | None,
) -> None:
    """The command line of a builder: logs the card; one sentence and exit status 1 where it cannot be made.

    Args:
        build: makes the records of a folder; returns the card.
        request: the file in the folder that says what to make.
        arguments: None for the program's own.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help=f"the dataset's folder, with its {request}")
    folder = parser.parse_args(arguments).folder
    with one_sentence(DataCentreUnavailable):
        logging.info("%s", json.dumps(build(folder), indent=1, ensure_ascii=False))
