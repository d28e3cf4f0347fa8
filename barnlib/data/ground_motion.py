"""What a station recorded of an earthquake, as ground velocity on the grid that a card is drawn from.

In:  a stream of one station's channels, its inventory with responses, and the earthquake. Out: float32[3, N], m/s,
     Z, N, E, from origin time over ``DURATION_S`` at ``SAMPLING_RATE_HZ``, as the synthetic seismograms are; NaN where
     nothing was recorded. Next: :func:`barnlib.data.cards.draw_card`.

A recording is refused, with a reason, where a card of it would show something else than its facts say: a channel is
missing, has a gap, is flat or clipped; no response is known; it does not reach from before P to after S; or P or S,
whose times a description states, does not stand out of the noise.
"""

import numpy as np
from obspy import Inventory, Stream, UTCDateTime

from barnlib.data.earthquakes import Earthquake
from barnlib.data.event_splits import Unusable
from barnlib.data.recorded import align
from barnlib.data.seismograms import BANDS_HZ, COMPONENTS, DURATION_S, SAMPLING_RATE_HZ, band_pass

MARGIN_S = 120.0  # recorded before origin time and after the card's end, for tapers and filters
TAPER_S = 20.0  # at either end of a recording; not shown
# Corners of the filter that goes with the removal of the response: flat over both bands of a card, nothing at 2 Hz. It
# has no phase, so it rings ahead of an onset; its lower corners lie where a card's causal filter lets nothing through.
PASSED_HZ = (0.002, 0.004, 1.7, 1.95)
BEFORE_P_S, AFTER_S_S = 100.0, 15.0  # of the arrivals, what a recording must hold
NOISE_ENDS_S = 10.0  # before P
P_STANDS_OUT, S_STANDS_OUT = (
    3.0,
    3.0,
)  # peak after the arrival over the root mean square of the noise before P
P_WINDOW_S, S_WINDOW_S = (-10.0, 40.0), (-20.0, 90.0)  # about the predicted arrival: iasp91 is not the Earth
FULL_SCALE_COUNTS = 0.999 * 2**23  # of a digitiser with 24 bits
CLIPPED_RUN = 5  # samples in a row at the extreme
BUSY_COUNTS = 1000  # between the extremes; a trace of a few counts stays at its extreme by chance
VELOCITY_UNITS = ("M", "M/S", "M/S**2")  # of ground motion; a pressure or temperature channel is none


def window(origin_time: UTCDateTime) -> tuple[UTCDateTime, UTCDateTime]:
    """The span to ask a data centre for."""
    return origin_time - MARGIN_S, origin_time + DURATION_S + MARGIN_S


def ground_velocity(
    stream: Stream, inventory: Inventory, earthquake: Earthquake, origin_time: UTCDateTime, components: str
) -> np.ndarray:
    """Remove the response, rotate to Z, N, E, and resample.

    Args:
        stream: raw counts of one sensor; not changed.
        components: "ZNE", which any three channels (Z12, 123, ZNE) are rotated to, or "Z".

    Returns:
        float32[3, N] as in the module's description; N and E are NaN where only Z is asked for.

    Raises:
        Unusable: with the reason, as listed above.
    """
    whole, span = _checked(stream, earthquake, origin_time, components)
    rotated = _rotate(_remove_response(whole, inventory), inventory, components)
    return _on_card(rotated, span, earthquake, origin_time)


def velocity_as_it_is(
    stream: Stream, earthquake: Earthquake, origin_time: UTCDateTime, components: str
) -> np.ndarray:
    """As :func:`ground_velocity`, for channels Z, N, E that somebody has corrected, or that count velocity.

    Raises:
        Unusable: as there, and for horizontal channels whose orientation would have to be known.
    """
    whole, span = _checked(stream, earthquake, origin_time, components)
    found = sorted(trace.stats.channel[-1:] for trace in whole)
    if found != sorted(components):
        raise Unusable("orientation", f"components {', '.join(found)}; expected {', '.join(components)}")
    for trace in whole:
        trace.detrend("linear")
        trace.taper(None, max_length=TAPER_S)
    return _on_card(whole, span, earthquake, origin_time)


def _checked(
    stream: Stream, earthquake: Earthquake, origin_time: UTCDateTime, components: str
) -> tuple[Stream, tuple[float, float]]:
    """A copy with one healthy trace for each channel, and the seconds after origin that are not tapered."""
    whole = _one_trace_a_channel(stream.copy().trim(*window(origin_time)), len(components))
    for trace in whole:
        _require_healthy(trace)
    span = (
        max(trace.stats.starttime for trace in whole) + TAPER_S - origin_time,
        min(trace.stats.endtime for trace in whole) - TAPER_S - origin_time,
    )
    needed = (max(0.0, earthquake.p_time_s - BEFORE_P_S), earthquake.s_time_s + AFTER_S_S)
    if span[0] > needed[0] or span[1] < needed[1]:
        raise Unusable(
            "too short",
            f"{span[0]:.0f} to {span[1]:.0f} s after origin; needed {needed[0]:.0f} to {needed[1]:.0f} s",
        )
    return whole, span


def _on_card(
    stream: Stream, span: tuple[float, float], earthquake: Earthquake, origin_time: UTCDateTime
) -> np.ndarray:
    """Resampled and aligned, blank outside the span; float32[3, N]."""
    for trace in stream:
        trace.resample(SAMPLING_RATE_HZ, window=None, no_filter=True)
    traces = align(stream, origin_time)
    seconds = np.arange(traces.shape[1]) / SAMPLING_RATE_HZ
    _require_arrivals(
        traces, earthquake
    )  # while the tapered ends are there: without them the filter sees a step
    traces[:, (seconds < span[0]) | (seconds > span[1])] = np.nan
    return traces


def _one_trace_a_channel(stream: Stream, channels: int) -> Stream:
    """Pieces joined; refused where that leaves a gap, or where channels are missing or differ in rate."""
    rates = sorted({trace.stats.sampling_rate for trace in stream})
    if len(rates) > 1:
        raise Unusable("sampling rates differ", f"{rates} Hz")
    if rates and rates[0] < SAMPLING_RATE_HZ:
        raise Unusable("sampled too slowly", f"{rates[0]:g} Hz; a card needs {SAMPLING_RATE_HZ:g}")
    stream.merge(method=-1)
    names = [trace.id for trace in stream]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Unusable("gap", f"{repeated[0]} is in {names.count(repeated[0])} pieces")
    if len(names) != channels:
        raise Unusable(
            "component missing", f"found {', '.join(sorted(names)) or 'none'}; expected {channels}"
        )
    return stream


def _require_healthy(trace) -> None:
    """Refuse a channel that is flat, not finite, or clipped; the data are what the digitiser wrote."""
    samples = np.asarray(trace.data)
    if not np.isfinite(samples).all():
        raise Unusable("not finite", f"{trace.id} holds values that are no numbers")
    low, high = float(samples.min()), float(samples.max())
    if low == high:
        raise Unusable("flat", f"{trace.id} is {low:g} throughout")
    if max(-low, high) >= FULL_SCALE_COUNTS and np.issubdtype(samples.dtype, np.integer):
        raise Unusable("clipped", f"{trace.id} reaches {max(-low, high):.0f} counts, all that 24 bits hold")
    for extreme in (low, high):
        run = _longest_run(samples == extreme)
        if run >= CLIPPED_RUN and high - low > BUSY_COUNTS:
            raise Unusable("clipped", f"{trace.id} stays at {extreme:g} for {run} samples")


def _longest_run(found: np.ndarray) -> int:
    """Length of the longest unbroken run of true values; bool[N]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(int)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _remove_response(stream: Stream, inventory: Inventory) -> Stream:
    for trace in stream:
        try:
            response = inventory.get_response(trace.id, trace.stats.starttime)
            units = str(response.instrument_sensitivity.input_units).upper()
        except Exception as problem:  # ObsPy raises a bare Exception, or AttributeError for half a response
            raise Unusable("no response", f"{trace.id}: {problem}") from None
        if units not in VELOCITY_UNITS:
            raise Unusable("no response", f"{trace.id} measures {units}, no motion of the ground")
        trace.detrend("linear")
        try:
            trace.remove_response(
                inventory,
                output="VEL",
                water_level=None,
                pre_filt=PASSED_HZ,
                taper_fraction=TAPER_S / (trace.stats.npts * trace.stats.delta),
            )
        except Exception as problem:  # evalresp's failures are of many kinds, and each means the same here
            raise Unusable("no response", f"{trace.id}: {problem}") from None
        if not np.isfinite(trace.data).all():
            raise Unusable("no response", f"{trace.id}: its response is 0 at a frequency that a card shows")
    return stream


def _rotate(stream: Stream, inventory: Inventory, components: str) -> Stream:
    """Channels in the order and orientation that `components` names."""
    if components == "Z":
        (trace,) = stream
        dip = inventory.get_orientation(trace.id, trace.stats.starttime)["dip"]
        if abs(abs(dip) - 90.0) > 5.0:
            raise Unusable("orientation", f"{trace.id} dips {dip:g} degrees; a vertical channel dips -90")
        trace.data = trace.data * -np.sign(dip)
        return stream
    try:
        stream.rotate("->ZNE", inventory=inventory, components=["ZNE", "Z12", "123"])
    except Exception as problem:  # no orientation, linearly dependent channels: ObsPy raises both kinds
        raise Unusable("orientation", str(problem)) from None
    found = sorted(trace.stats.channel[-1:] for trace in stream)
    if found != sorted(COMPONENTS):
        raise Unusable("orientation", f"components {found} could not be turned to Z, N, E")
    return stream


def _require_arrivals(traces: np.ndarray, earthquake: Earthquake) -> None:
    """Refuse a recording in which P (short period, Z) or S (long period, any component) drowns in noise."""
    seen = ~np.isnan(traces)
    filled = np.where(seen, traces, 0.0)
    for wave, band_hz, rows, time_s, (first_s, last_s), least in (
        ("P", BANDS_HZ[1], slice(0, 1), earthquake.p_time_s, P_WINDOW_S, P_STANDS_OUT),
        ("S", BANDS_HZ[0], slice(0, 3), earthquake.s_time_s, S_WINDOW_S, S_STANDS_OUT),
    ):
        passed = band_pass(filled[rows], SAMPLING_RATE_HZ, band_hz)
        passed = np.where(seen[rows], passed, np.nan)
        signal = passed[:, _samples(time_s + first_s, time_s + last_s)]
        noise = passed[:, _samples(earthquake.p_time_s - BEFORE_P_S, earthquake.p_time_s - NOISE_ENDS_S)]
        recorded = seen[rows].any(axis=1)
        level = np.sqrt(np.nanmean(noise[recorded] ** 2, axis=1))
        ratio = float(np.max(np.nanmax(np.abs(signal[recorded]), axis=1) / np.maximum(level, 1e-30)))
        if ratio < least:
            raise Unusable(
                f"{wave} does not stand out",
                f"{ratio:.1f} times the noise before P in {band_hz[0]:g} to {band_hz[1]:g} Hz; needed {least:g}",
            )


def _samples(first_s: float, last_s: float) -> slice:
    return slice(max(0, round(first_s * SAMPLING_RATE_HZ)), max(1, round(last_s * SAMPLING_RATE_HZ)))
