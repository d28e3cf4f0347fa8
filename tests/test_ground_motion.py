"""Counts back to the ground motion that made them, and the recordings that are refused."""

import numpy as np
import pytest
from obspy import Stream
from scipy.signal import resample

from barnlib.data.earthquakes import locate
from barnlib.data.event_splits import Unusable
from barnlib.data.ground_motion import ground_velocity, window
from barnlib.data.seismograms import BANDS_HZ, DURATION_S, SAMPLING_RATE_HZ, band_pass
from tests.fdsn_server import (
    RATE_HZ,
    at_anmo,
    motion_at_anmo,
    quake,
    recorded_at_anmo,
    stations,
    tohoku,
    tohoku_recording,
)

EVENT = quake("2011-03-05T10:00:00", 15.0, -92.0, 60e3, 6.8, "guatemala")
TIME = EVENT.origins[0].time


@pytest.fixture(scope="module")
def inventory():
    return stations()


@pytest.fixture(scope="module")
def counts(inventory):
    return recorded_at_anmo(EVENT, inventory)


@pytest.fixture
def stream(counts) -> Stream:
    return counts.copy()


def velocity(stream, inventory, components="ZNE"):
    return ground_velocity(stream, inventory, at_anmo(EVENT), TIME, components)


def test_the_motion_that_made_the_counts_comes_back(stream, inventory):
    """Turned by 328 degrees, sent through ANMO's response and rounded to counts: both bands of a card, to 5 %.

    What is left of the short period is the part of P's onset above 1.7 Hz, which a card's filter would let pass.
    """
    before = stream.copy()
    found = velocity(stream, inventory)
    assert found.dtype == np.float32 and found.shape == (3, round(DURATION_S * SAMPLING_RATE_HZ))
    assert np.isfinite(found).all() and stream == before
    truth = resample(motion_at_anmo(EVENT), found.shape[1], axis=1)
    for band_hz in BANDS_HZ:
        # The truth's own Fourier resampling rings at its ends.
        expected = band_pass(truth, SAMPLING_RATE_HZ, band_hz)[:, 200:-200]
        difference = band_pass(found, SAMPLING_RATE_HZ, band_hz)[:, 200:-200] - expected
        assert (difference.std(axis=1) < 0.05 * expected.std(axis=1)).all()


def test_the_vertical_alone_is_the_vertical_of_all_three(stream, inventory):
    alone = velocity(stream.select(channel="BHZ"), inventory, "Z")
    assert np.isnan(alone[1:]).all()
    assert np.allclose(alone[0], velocity(stream, inventory)[0], atol=1e-3 * np.abs(alone[0]).max())
    upside_down = inventory.copy()
    upside_down.select(channel="BHZ", network="IU")[0][0][0].dip = 90.0
    assert np.allclose(velocity(stream.select(channel="BHZ"), upside_down, "Z")[0], -alone[0])


def test_nothing_moves_ahead_of_a_strong_p(inventory):
    """The recording of the Tohoku earthquake: a zero-phase filter with corners in the card's band would ring there."""
    origin = tohoku().origins[0]
    header = tohoku_recording()[0].stats.sac
    earthquake = locate(origin.latitude, origin.longitude, 29.0, 9.1, header.stla, header.stlo)
    found = ground_velocity(tohoku_recording(), inventory, earthquake, origin.time, "Z")
    long_period = np.abs(band_pass(np.nan_to_num(found[0]), SAMPLING_RATE_HZ, BANDS_HZ[0]))
    p = round(earthquake.p_time_s * SAMPLING_RATE_HZ)
    earlier, just_before = long_period[p - 640 : p - 320].max(), long_period[p - 160 : p - 20].max()
    assert just_before < 1.5 * earlier < 0.01 * long_period[p:].max()


def test_pieces_that_follow_each_other_are_no_gap(stream, inventory):
    whole = velocity(stream, inventory)
    half = TIME + 500
    pieces = stream.slice(endtime=half) + stream.slice(starttime=half + 1 / RATE_HZ)
    assert len(pieces) == 6 and np.array_equal(velocity(pieces, inventory), whole)


def test_a_shorter_recording_is_blank_where_nothing_was_recorded(stream, inventory):
    earthquake = at_anmo(EVENT)
    found = velocity(stream.trim(TIME + 20, TIME + earthquake.s_time_s + 200), inventory)
    seconds = np.flatnonzero(np.isfinite(found[0])) / SAMPLING_RATE_HZ
    assert (seconds[0], seconds[-1]) == pytest.approx((40, earthquake.s_time_s + 180), abs=1.0)


def clip(trace):
    trace.data = np.clip(trace.data, -100_000, 100_000)


def saturate(trace):
    trace.data[np.argmax(trace.data)] = 2**23 - 1


def flatten(trace):
    trace.data[:] = 7


def break_off(trace):
    trace.data = trace.data.astype(float)
    trace.data[10_000] = np.nan


def slow(trace):
    trace.decimate(20, no_filter=True)


def drown(trace):
    rng = np.random.default_rng(0)
    trace.data = (trace.data + rng.normal(0, 1e6, len(trace.data))).astype(np.int32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (clip, r"clipped: IU\.ANMO\.00\.BH\w stays at -?100000 for \d+ samples"),
        (saturate, "clipped: .* 8388607 counts, all that 24 bits hold"),
        (flatten, "flat: .* is 7 throughout"),
        (break_off, "not finite"),
        (slow, "sampled too slowly: 1 Hz; a card needs 4"),
        (drown, "P does not stand out: .* times the noise"),
    ],
)
def test_a_recording_that_shows_something_else_is_refused(stream, inventory, change, reason):
    for trace in stream:
        change(trace)
    with pytest.raises(Unusable, match=reason):
        velocity(stream, inventory)


def test_what_is_missing_is_refused(stream, inventory):
    for refused, reason in (
        (stream[:2], r"component missing: found IU\.ANMO\.00\.BH1, IU\.ANMO\.00\.BH2; expected 3"),
        (Stream(), "component missing: found none; expected 3"),
        (stream.copy().cutout(TIME + 400, TIME + 401), r"gap: IU\.ANMO\.00\.BH1 is in 2 pieces"),
        (stream.slice(endtime=TIME + 500), r"too short: -\d+ to 480 s after origin; needed \d+ to \d+ s"),
        (stream.slice(starttime=TIME + 300), "too short: 320 to"),
        (stream[:2] + stream[2:].copy().decimate(2), r"sampling rates differ: \[10\.0, 20\.0\] Hz"),
    ):
        with pytest.raises(Unusable, match=reason):
            velocity(refused, inventory)


def test_a_response_that_is_missing_half_or_of_something_else_is_refused(stream, inventory):
    with pytest.raises(Unusable, match=r"no response: IU\.ANMO\.00\.BH1"):
        velocity(stream, inventory.select(network="II"))
    pressure, half = inventory.copy(), inventory.copy()
    for channel in pressure.select("IU")[0][0]:
        channel.response.instrument_sensitivity.input_units = "PA"
    with pytest.raises(Unusable, match="measures PA, no motion of the ground"):
        velocity(stream, pressure)
    for channel in half.select("IU")[0][0]:
        channel.response.instrument_sensitivity = None
    with pytest.raises(Unusable, match="no response"):
        velocity(stream, half)


def test_channels_that_cannot_be_turned_are_refused(stream, inventory):
    flat = inventory.copy()
    for channel in flat.select("IU")[0][0]:
        channel.dip, channel.azimuth = 0.0, 10.0
    with pytest.raises(Unusable, match="orientation"):
        velocity(stream, flat)
    with pytest.raises(Unusable, match="dips 0 degrees; a vertical channel dips -90"):
        velocity(stream.select(channel="BHZ"), flat, "Z")


def test_the_window_has_room_for_tapers():
    start, end = window(TIME)
    assert TIME - start == end - TIME - DURATION_S == 120
