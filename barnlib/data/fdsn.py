"""A dataset of recorded earthquakes, fetched from data centres that speak the FDSN's web services.

In:  a folder with ``earthquakes.yaml``: data centres, spans of time for the splits, magnitudes, networks and stations,
     licence and citation.
Out: in the same folder ``answers/`` (each raw answer, kept) and ``records/`` (cards, items, captions, ``events.json``
     and ``card.json``; see :mod:`~barnlib.data.recorded_records`), sealed by a manifest.

The way of an event: catalogue (QuakeML) → split → a station that recorded it (StationXML) → waveforms (miniSEED) →
response removed, turned to Z, N, E (:mod:`~barnlib.data.ground_motion`) → card. As on the made cards, the station is
the one whose distance is nearest to a uniform draw, so that distances spread over the whole range; where its recording
cannot be used, the next nearest is tried. Each event that becomes no card is listed with the reason.

Started again, nothing is asked twice (:mod:`~barnlib.data.polite_client`); finished, nothing is done. To ask anew,
delete ``answers`` and ``records``. Tried with a local server that speaks the FDSN's services and serves recordings
that ObsPy installs. No data centre was ever asked: this was made without a network.

``python -m barnlib.data.fdsn FOLDER``
"""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import obspy
from obspy import Catalog, Inventory
from obspy.clients.fdsn.header import FDSNException, FDSNNoDataException
from tqdm import tqdm

from barnlib.artefacts import build_once, digest, read_json
from barnlib.data.earthquakes import MAXIMUM_DISTANCE_DEG, MINIMUM_DISTANCE_DEG, Earthquake
from barnlib.data.event_splits import (
    Event,
    LeftOut,
    Unusable,
    assign,
)
from barnlib.data.fdsn_request import Request
from barnlib.data.ground_motion import ground_velocity, window
from barnlib.data.polite_client import PoliteClient
from barnlib.data.quakeml import read_catalogue
from barnlib.data.recorded_records import CARD, RecordsWriter, command_line
from barnlib.data.station_choice import Site, sites
from barnlib.strict import parse, read_yaml

REQUEST, ANSWERS, RECORDS = "earthquakes.yaml", "answers", "records"
VERSION = 1  # of what this module writes; a change makes existing records anew


def build_records(
    folder: Path, client: Callable[..., PoliteClient] = PoliteClient, *, progress: bool = True
) -> dict[str, Any]:
    """Fetch and make the dataset that ``earthquakes.yaml`` asks for, or find it unchanged; returns its card.

    Args:
        client: makes a client from a data centre and the folder of answers.

    Raises:
        ValueError: a fault of ``earthquakes.yaml``; depths in another unit; splits that share an earthquake or have no
            card; a data centre that refuses the question; records or answers that were changed afterwards.
        DataCentreUnavailable: a data centre gave no answer; started again, the build goes on from there.
    """
    path = folder / REQUEST
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected one that names data centres, splits and licence")
    request = parse(Request, path, read_yaml(path))
    connect = partial(client, answers=folder / ANSWERS, pause_s=request.pause_s, contact=request.contact)
    build = partial(_build, request, connect, progress)
    inputs = {"version": VERSION, "request": request.model_dump(mode="json")}
    card: dict[str, Any] = read_json(build_once(folder / RECORDS, inputs, build) / CARD)
    return card


def _build(request: Request, connect: Callable[[str], PoliteClient], progress: bool, folder: Path) -> None:
    of_events, of_stations = (
        connect(request.events.data_centre),
        connect(request.stations.data_centre),
    )
    events, incomplete = _events(request, of_events)
    splits, unassigned = assign(events, request)
    left_out = [*incomplete, *unassigned]
    writer = RecordsWriter(folder, request, splits)
    network = _network(request, of_stations)
    planned = [(split, event) for split, listed in splits.items() for event in listed]
    for split, event in tqdm(planned, desc="events", mininterval=1, disable=not progress):
        try:
            writer.quota.require_room(split, event)
            site, earthquake, traces = _recording(event, network, request, of_stations)
        except Unusable as problem:
            left_out.append(LeftOut(event.id, problem.reason, problem.detail))
        else:
            writer.add(split, event, site.name, earthquake, traces)
    answers = of_events.used | of_stations.used
    writer.finish(left_out, {"made_by": __name__, "answers": len(answers), "answers_digest": digest(answers)})


def _events(request: Request, client: PoliteClient) -> tuple[tuple[Event, ...], tuple[LeftOut, ...]]:
    """The catalogue of all splits, one request each."""
    catalog = Catalog()
    for name, span in request.splits.items():
        try:
            catalog += _fetch(
                client.get_events,
                partial(obspy.read_events, format="QUAKEML"),
                starttime=span.begins,
                endtime=span.ends,
                minmagnitude=request.events.min_magnitude,
                maxmagnitude=request.events.max_magnitude,
                orderby="time",
            )
        except FDSNNoDataException:
            logging.warning(
                "%s: the data centre knows no earthquake from %s to %s", name, span.start, span.end
            )
        except (FDSNException, Unreadable) as problem:
            raise ValueError(f"no events of {name}: {_one_line(problem)}") from problem
    return read_catalogue(catalog, request.events.depth_unit)


def _network(request: Request, client: PoliteClient) -> Inventory:
    """All stations and channels of the whole span, without responses: one request."""
    wanted = request.stations
    try:
        found: Inventory = _fetch(
            client.get_stations,
            partial(obspy.read_inventory, format="STATIONXML"),
            network=",".join(wanted.networks),
            station=",".join(wanted.stations),
            channel=",".join(f"{band}?" for band in wanted.bands),
            starttime=request.begins,
            endtime=request.ends,
            level="channel",
        )
    except (FDSNException, Unreadable) as problem:
        raise ValueError(
            f"no stations for networks {', '.join(wanted.networks)}, stations {', '.join(wanted.stations)}, bands "
            f"{', '.join(wanted.bands)}: {_one_line(problem)}"
        ) from problem
    return found


def _recording(
    event: Event, network: Inventory, request: Request, client: PoliteClient
) -> tuple[Site, Earthquake, np.ndarray]:
    """The first station, by distance from a uniform draw, whose recording can be used.

    Returns:
        (Site, Earthquake, float32[3, N] in m/s).

    Raises:
        Unusable: there is none; with the reason of the first that was tried, and what was seen at each.
    """
    nearest = sites(event, network, request.stations)[: request.stations.tries]
    if not nearest:
        span = f"{MINIMUM_DISTANCE_DEG:g} to {MAXIMUM_DISTANCE_DEG:g} degrees"
        raise Unusable("no station", f"none of the stations asked for was recording at {span}")
    problems: list[tuple[Site, Unusable]] = []
    for site, earthquake in nearest:
        try:
            return site, earthquake, _velocity(event, site, earthquake, request, client)
        except Unusable as problem:
            problems.append((site, problem))
    seen = "; ".join(f"{site.name} {problem}" for site, problem in problems)
    raise Unusable(problems[0][1].reason, seen)


def _velocity(
    event: Event, site: Site, earthquake: Earthquake, request: Request, client: PoliteClient
) -> np.ndarray:
    """Ask for a station's waveforms and responses; float32[3, N], m/s."""
    start, end = window(event.time)
    where = {"network": site.network, "station": site.station, "channel": ",".join(site.channels)}
    try:
        stream = _fetch(
            client.get_waveforms,
            partial(obspy.read, format="MSEED"),
            **where,
            location=site.location,
            starttime=start,
            endtime=end,
        )
    except FDSNException as problem:
        raise _refused("waveforms", problem) from None
    except Unreadable as problem:
        raise Unusable("broken waveforms", str(problem)) from None
    try:
        # By station and whole span, not by event: the next event at this station finds it on disk.
        responses = _fetch(
            client.get_stations,
            partial(obspy.read_inventory, format="STATIONXML"),
            **where,
            starttime=request.begins,
            endtime=request.ends,
            level="response",
        )
    except FDSNException as problem:
        raise _refused("response", problem) from None
    except Unreadable as problem:
        raise Unusable("no response", str(problem)) from None
    return ground_velocity(stream, responses, earthquake, event.time, request.stations.components)


def _fetch(ask: Callable[..., None], read: Callable[[io.BytesIO], Any], **parameters: Any) -> Any:
    """Ask, then read what came: that a data centre does not answer is one thing, that ObsPy cannot read it another.

    Raises:
        FDSNException: the data centre's final "no".
        DataCentreUnavailable, ValueError: as :class:`PoliteClient` raises them.
        Unreadable: the answer is no file of the kind that was asked for.
    """
    raw = io.BytesIO()
    ask(filename=raw, **parameters)
    raw.seek(0)
    try:
        with warnings.catch_warnings():  # of records that are skipped: the stream is judged by what is left
            warnings.simplefilter("ignore")
            return read(raw)
    except Exception as problem:  # ObsPy's readers raise many kinds, bare ones among them
        seen = f"{type(problem).__name__}: {_one_line(problem)}"
        raise Unreadable(f"the answer cannot be read ({seen}); delete '{ANSWERS}' to ask anew") from problem


class Unreadable(Exception):
    """An answer that ObsPy cannot read."""


def _refused(what: str, problem: FDSNException) -> Unusable:
    """A data centre's final "no", as a reason; that it does not answer at all is no reason, and stops the run."""
    reason = f"no {what}" if isinstance(problem, FDSNNoDataException) else f"{what} refused"
    return Unusable(reason, _one_line(problem))


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())


def main(arguments: Sequence[str] | None = None) -> None:
    """As :func:`barnlib.data.recorded_records.command_line`."""
    command_line(build_records, __doc__ or "", REQUEST, arguments)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
