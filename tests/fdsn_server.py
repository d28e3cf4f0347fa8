"""A data centre in a thread: speaks the FDSN's event, station and dataselect services, on recordings and responses
that ObsPy installs, and on synthetic ground motion that went through one of those responses."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import obspy
from obspy import Catalog, Inventory, Stream, Trace, UTCDateTime
from obspy.core.event import Event, Magnitude, Origin
from scipy.fft import irfft, next_fast_len, rfft

from barnlib.data.earthquakes import Earthquake, locate
from barnlib.data.recorded import OBSPY, TOHOKU_EVENT, TOHOKU_TRACE
from barnlib.data.seismograms import synthesise

RATE_HZ, MARGIN_S = 20.0, 150
ANMO_XML = OBSPY / "core/tests/data/IU_ANMO_BH.xml"


class DataCentre:
    """What the server knows, what it was asked, and the faults that it still has to commit.

    `faults` maps the start of a service's path to answers that come first: (status, headers, body).
    """

    def __init__(self, catalog: Catalog, inventory: Inventory, stream: Stream) -> None:
        self.catalog, self.inventory, self.stream = catalog, inventory, stream
        self.asked: list[str] = []
        self.sent: dict[str, bytes] = {}
        self.agents: set[str] = set()
        self.faults: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.at_once, self.most_at_once = 0, 0
        self.hold_from: int | None = None  # from this request on nothing is answered
        self.held = threading.Event()
        self.lock = threading.Lock()

    def answer(self, address: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(address)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        for start, faults in self.faults.items():
            if parts.path.startswith(start) and faults:
                return faults.pop(0)
        services = {"event": self._events, "station": self._stations, "dataselect": self._waveforms}
        _, root, service, version, method = parts.path.split("/")
        assert (root, version, method) == ("fdsnws", "1", "query"), parts.path
        body = services[service](query)
        return (200, {}, body) if body else (204, {}, b"")

    def _events(self, query: dict[str, str]) -> bytes:
        first, last = UTCDateTime(query["starttime"]), UTCDateTime(query["endtime"])
        found = [
            event
            for event in self.catalog
            if first <= event.origins[0].time <= last
            and (
                not event.magnitudes
                or float(query["minmagnitude"])
                <= event.magnitudes[0].mag
                <= float(query.get("maxmagnitude", 10))
            )
        ]
        return _written(Catalog(found), "QUAKEML") if found else b""

    def _stations(self, query: dict[str, str]) -> bytes:
        networks = []
        for channel in query["channel"].split(","):
            for network in query["network"].split(","):
                for station in query["station"].split(","):
                    networks += self.inventory.select(network, station, channel=channel).networks
        if not networks:
            return b""
        found = Inventory(networks, source="tests")
        if query["level"] == "channel":
            found = found.copy()
            for network in found:
                for station in network:
                    for channel in station:
                        channel.response = None
        return _written(found, "STATIONXML")

    def _waveforms(self, query: dict[str, str]) -> bytes:
        location = query["location"].replace("--", "")
        found = Stream()
        for channel in query["channel"].split(","):
            found += self.stream.select(query["network"], query["station"], location, channel)
        found = found.copy().trim(UTCDateTime(query["starttime"]), UTCDateTime(query["endtime"]))
        return _written(found, "MSEED") if found else b""


@contextmanager
def serve(centre: DataCentre) -> Iterator[str]:
    """Run the data centre; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with centre.lock:
                centre.asked.append(self.path)
                centre.agents.add(self.headers["User-Agent"])
                centre.at_once += 1
                centre.most_at_once = max(centre.most_at_once, centre.at_once)
                number = len(centre.asked)
            if centre.hold_from is not None and number >= centre.hold_from:
                centre.held.set()
                threading.Event().wait(60)
            status, headers, body = centre.answer(self.path)
            centre.sent[self.path] = body
            with centre.lock:
                centre.at_once -= 1  # before the client can have the whole answer and ask again
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads, block_on_close = True, False

        def handle_error(self, *_: object) -> None:  # a client that was killed
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def quake(
    time: str, latitude: float, longitude: float, depth_m: float | None, magnitude: float | None, name: str
) -> Event:
    """A QuakeML event."""
    origin = Origin(time=UTCDateTime(time), latitude=latitude, longitude=longitude, depth=depth_m)
    sizes = [] if magnitude is None else [Magnitude(mag=magnitude, magnitude_type="mww")]
    return Event(resource_id=f"quakeml:tests/{name}", origins=[origin], magnitudes=sizes)


def tohoku() -> Event:
    """The Tohoku earthquake from ObsPy's file, its depth in metres, as QuakeML has it and the file has not."""
    event = next(e for e in obspy.read_events(str(TOHOKU_EVENT)) if e.origins[0].time.year == 2011).copy()
    event.origins[0].depth *= 1000.0
    return event


def stations() -> Inventory:
    """IU.ANMO (three channels, turned by 328 degrees) from ObsPy's StationXML, and II.TLY with ANMO's response.

    ANMO's epoch begins in 2012 in the file; here it covers 2011. TLY's place is that of its recording's header; its own
    response is not among ObsPy's files.
    """
    inventory = obspy.read_inventory(str(ANMO_XML)).select(location="00")
    anmo = inventory[0][0]
    for part in (anmo, *anmo):
        part.start_date = UTCDateTime(2009, 1, 1)
    tly = inventory.copy()
    tly[0].code, tly[0][0].code = "II", "TLY"
    header = tohoku_recording()[0].stats.sac
    station = tly[0][0]
    station.channels = [channel for channel in station if channel.code == "BHZ"]
    for part in (station, *station):
        part.latitude, part.longitude = float(header.stla), float(header.stlo)
    return inventory + tly


def tohoku_recording() -> Stream:
    """The recorded vertical trace at TLY, as ObsPy installs it, under location 00."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sample spacing read from SAC file")
        stream = obspy.read(str(TOHOKU_TRACE), format="SAC")
    stream[0].stats.location = "00"
    return stream


def at_anmo(event: Event) -> Earthquake:
    """The event and the station ANMO, completed."""
    origin = event.origins[0]
    return locate(
        origin.latitude,
        origin.longitude,
        origin.depth / 1000.0,
        event.magnitudes[0].mag,
        34.945982,
        -106.457133,
    )


def motion_at_anmo(event: Event) -> np.ndarray:
    """Synthetic ground velocity, Z, N, E, m/s, float[3, n] at `RATE_HZ` from origin time: the truth of a test."""
    seed = int(event.origins[0].time.timestamp)
    return synthesise(at_anmo(event), np.random.default_rng(seed), RATE_HZ).astype(float)


def recorded_at_anmo(event: Event, inventory: Inventory) -> Stream:
    """Counts of BHZ, BH1 and BH2: the ground motion, turned and sent through each channel's response."""
    margin = int(MARGIN_S * RATE_HZ)
    motion = motion_at_anmo(event)
    motion = np.concatenate([motion[:, margin:0:-1], motion, motion[:, -2 : -2 - margin : -1]], axis=1)
    length = next_fast_len(2 * motion.shape[1], real=True)
    stream = Stream()
    for channel in inventory.select("IU", "ANMO")[0][0]:
        azimuth, dip = np.radians(channel.azimuth), np.radians(channel.dip)
        direction = np.array(
            [-np.sin(dip), np.cos(dip) * np.cos(azimuth), np.cos(dip) * np.sin(azimuth)]
        )  # of Z, N, E; positive dip is down
        response, _ = channel.response.get_evalresp_response(1.0 / RATE_HZ, length, output="VEL")
        counts = irfft(rfft(direction @ motion, length) * response, length)[: motion.shape[1]]
        header = {
            "network": "IU",
            "station": "ANMO",
            "location": "00",
            "channel": channel.code,
            "sampling_rate": RATE_HZ,
            "starttime": event.origins[0].time - MARGIN_S,
        }
        stream += Trace(np.round(counts).astype(np.int32), header)
    return stream


def _written(made, format: str) -> bytes:
    buffer = io.BytesIO()
    made.write(buffer, format=format)
    return buffer.getvalue()
