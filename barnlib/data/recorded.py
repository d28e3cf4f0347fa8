"""Recorded earthquakes: real seismograms that ObsPy installs with itself, for the same cards as synthetic ones.

In: files of the installed ObsPy, nothing downloaded. Out: `Recording`s, each an `Earthquake` with its traces, which
`cards.draw_card` draws. Next: a page of the book, and tests that the rendering path also works on real data.

ObsPy has no complete set of event, station and waveform in one place, so each recording is put together from headers
(but for one magnitude, which no header has).
Units are checked on the way: QuakeML gives depth in metres, yet the file of the Tohoku earthquake says 29.0; SAC
and AH headers give metres here. Two more recordings with an event in their headers are out of a card's range:
`io/ah/tests/data/st.ah` (Bolivia 1994 at ALE, 96 degrees, in the core's shadow, a sample every 10 s) and
`io/nied/tests/data/test.knet` (Akita 1996 at AKT013, 0.7 degrees, origin time to the minute).
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import obspy
from obspy import Stream, UTCDateTime

from barnlib.data.earthquakes import Earthquake, locate
from barnlib.data.seismograms import COMPONENTS, DURATION_S

OBSPY = Path(obspy.__file__).parent
TOHOKU_EVENT = OBSPY / "io/quakeml/tests/data/iris_events.xml"
TOHOKU_TRACE = OBSPY / "realtime/tests/data/II.TLY.BHZ.SAC"
SEMIPALATINSK_TRACES = OBSPY / "io/ah/tests/data/hrv.lh.zne"


@dataclass(frozen=True)
class Recording:
    """A recorded earthquake, ready to be drawn.

    `traces` is float32[3, N], Z, N, E from origin time for `DURATION_S`, in the recorder's counts (about proportional
    to ground velocity in the bands shown), NaN where nothing was recorded. `files` are paths within ObsPy.
    """

    name: str
    earthquake: Earthquake
    traces: np.ndarray
    sampling_rate_hz: float
    files: tuple[str, ...]
    remark: str


def recordings() -> tuple[Recording, ...]:
    """All recordings, in the order of their names. FileNotFoundError where ObsPy was installed without test data."""
    return semipalatinsk_1989(), tohoku_2011()


def tohoku_2011() -> Recording:
    """The Tohoku earthquake of 11 March 2011 at TLY, Lake Baykal, 30 degrees away; vertical only, first 10 minutes."""
    event = next(
        event for event in obspy.read_events(str(TOHOKU_EVENT)) if event.origins[0].time.date.year == 2011
    )
    origin = event.origins[0]
    with (
        warnings.catch_warnings()
    ):  # the file states 0.05 s as a 32-bit float, and ObsPy says that it rounds it
        warnings.filterwarnings("ignore", "Sample spacing read from SAC file")
        stream = obspy.read(str(TOHOKU_TRACE), format="SAC")
    header = stream[0].stats.sac
    earthquake = locate(
        latitude_deg=origin.latitude,
        longitude_deg=origin.longitude,
        depth_km=depth_in_km(origin.depth, confirmed_km=float(header.evdp) / 1000.0),
        magnitude=event.magnitudes[0].mag,
        station_latitude_deg=float(header.stla),
        station_longitude_deg=float(header.stlo),
    )
    return Recording(
        name="Tohoku 2011 at TLY",
        earthquake=earthquake,
        traces=align(stream, origin.time),
        sampling_rate_hz=float(stream[0].stats.sampling_rate),
        files=_within_obspy(TOHOKU_EVENT, TOHOKU_TRACE),
        remark="vertical component only, from 66 s to 700 s after origin time",
    )


def semipalatinsk_1989() -> Recording:
    """The nuclear test of 8 July 1989 in East Kazakhstan at HRV, Massachusetts, 84 degrees away; long period only.

    The file has no magnitude: 5.6 is the body-wave magnitude of the international bulletins.
    """
    stream = obspy.read(str(SEMIPALATINSK_TRACES), format="AH")
    header = stream[0].stats.ah
    earthquake = locate(
        latitude_deg=header.event.latitude,
        longitude_deg=header.event.longitude,
        depth_km=header.event.depth / 1000.0,
        magnitude=5.6,
        station_latitude_deg=header.station.latitude,
        station_longitude_deg=header.station.longitude,
    )
    return Recording(
        name="Semipalatinsk 1989 at HRV",
        earthquake=earthquake,
        traces=align(stream, header.event.origin_time),
        sampling_rate_hz=float(stream[0].stats.sampling_rate),
        files=_within_obspy(SEMIPALATINSK_TRACES),
        remark="an explosion; one sample a second, so that only the long-period band can be shown",
    )


def depth_in_km(stated: float, confirmed_km: float) -> float:
    """A QuakeML origin's depth in kilometres, where another source tells which unit its author used.

    The schema asks for metres, but some catalogues hold kilometres. The reading that agrees with `confirmed_km`
    within 10 km or a factor of two is taken. ValueError where neither does.
    """
    for reading_km in (stated / 1000.0, stated):
        ratio = max(reading_km, 0.1) / max(confirmed_km, 0.1)
        if 0.5 <= ratio <= 2.0 or (
            abs(reading_km - confirmed_km) <= 10.0 and min(reading_km, confirmed_km) >= 1.0
        ):
            return reading_km
    raise ValueError(
        f"depth {stated}: neither as metres ({stated / 1000.0:g} km) nor as kilometres does it agree with "
        f"{confirmed_km:g} km"
    )


def align(stream: Stream, origin_time: UTCDateTime) -> np.ndarray:
    """Traces from origin time for `DURATION_S`, float32[3, N] in the order Z, N, E, NaN where there is no sample.

    The component is the last letter of the channel. ValueError for other components, one that occurs twice, or
    sampling rates that differ.
    """
    rates = {trace.stats.sampling_rate for trace in stream}
    if len(rates) != 1:
        raise ValueError(f"sampling rates {sorted(rates)}: a card needs one rate for all components")
    rate = rates.pop()
    aligned = np.full((len(COMPONENTS), round(DURATION_S * rate)), np.nan, np.float32)
    seen = [trace.stats.channel[-1:] for trace in stream]
    if len(set(seen)) < len(seen) or not set(seen) <= set(COMPONENTS):
        raise ValueError(f"components {seen}: expected each of {', '.join(COMPONENTS)} at most once")
    for component, trace in zip(seen, stream, strict=True):
        shift = round((trace.stats.starttime - origin_time) * rate)
        first, last = max(0, shift), min(aligned.shape[1], shift + trace.stats.npts)
        if first < last:
            aligned[COMPONENTS.index(component), first:last] = trace.data[first - shift : last - shift]
    return aligned


def _within_obspy(*paths: Path) -> tuple[str, ...]:
    return tuple(path.relative_to(OBSPY).as_posix() for path in paths)
