"""Synthetic seismograms: spectra, onsets, polarisation, surface waves, noise, and their display."""

from functools import lru_cache

import numpy as np
import pytest
from obspy.signal.rotate import rotate_ne_rt
from obspy.signal.spectral_estimation import get_nhnm, get_nlnm
from scipy.signal import welch

from barnlib.data.earthquakes import Earthquake, locate, sample_earthquake
from barnlib.data.seismograms import (
    BANDS_HZ,
    DURATION_S,
    FULL_SCALE,
    SAMPLING_RATE_HZ,
    band_pass,
    corner_frequency_hz,
    display_traces,
    moment_n_m,
    noise,
    synthesise,
)

RATE = SAMPLING_RATE_HZ
LONG, SHORT = BANDS_HZ


def earthquake_at(distance_deg: float, depth_km: float, magnitude: float) -> Earthquake:
    return locate(-10.0, 40.0, depth_km, magnitude, -10.0 + distance_deg, 60.0 if distance_deg < 40 else 30.0)


@lru_cache(maxsize=32)
def traces_of(earthquake: Earthquake, seed: int = 0) -> np.ndarray:
    return synthesise(earthquake, np.random.default_rng(seed))


def part(traces: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    return traces[..., int(start_s * RATE) : int(end_s * RATE)]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_shape_type_and_seed():
    earthquake = earthquake_at(30.0, 20.0, 6.0)
    traces = traces_of(earthquake)
    assert traces.shape == (3, DURATION_S * RATE) and traces.dtype == np.float32
    assert np.isfinite(traces).all()
    assert np.array_equal(traces, synthesise(earthquake, np.random.default_rng(0)))
    assert not np.array_equal(traces, synthesise(earthquake, np.random.default_rng(1)))


def test_other_sampling_rates():
    earthquake = earthquake_at(30.0, 20.0, 7.0)
    for rate in (5.0, 10.0):
        traces = synthesise(earthquake, np.random.default_rng(0), rate)
        assert traces.shape == (3, DURATION_S * rate)
        early, late = (
            traces[:, int(seconds * rate) :][:, : int(50 * rate)] for seconds in (100, earthquake.p_time_s)
        )
        assert rms(late) > 10 * rms(early)
    with pytest.raises(ValueError, match=r"sampling rate 1\.0 Hz: at least 3\.2 Hz"):
        synthesise(earthquake, np.random.default_rng(0), 1.0)


def test_moment_and_corner_frequency_by_hand():
    """Magnitude 6 is 1.26e18 N m; 0.49 x 4500 m/s x (3 MPa / 1.26e18 N m)^(1/3) = 0.294 Hz."""
    assert moment_n_m(6.0) == pytest.approx(1.259e18, rel=1e-3)
    assert corner_frequency_hz(1.259e18) == pytest.approx(0.2945, rel=1e-3)
    assert moment_n_m(7.0) / moment_n_m(5.0) == pytest.approx(1000.0)


@pytest.mark.parametrize("depth_km", [20.0, 400.0])
@pytest.mark.parametrize("distance_deg", [12.0, 35.0, 80.0])
def test_onsets_are_at_the_travel_times(distance_deg, depth_km):
    """The short-period band jumps at P, the long-period band at S, each within a few seconds."""
    earthquake = earthquake_at(distance_deg, depth_km, 6.5)
    vertical = np.abs(band_pass(traces_of(earthquake), RATE, SHORT)[0])
    quiet = part(vertical, 20.0, earthquake.p_time_s - 10).max()
    p_s = np.argmax(vertical > 3 * quiet) / RATE
    assert p_s == pytest.approx(earthquake.p_time_s, abs=3.0)
    horizontal = np.abs(band_pass(traces_of(earthquake), RATE, LONG)[1:]).max(axis=0)
    before = part(horizontal, earthquake.s_time_s - 25, earthquake.s_time_s - 5).max()
    after = part(horizontal, earthquake.s_time_s, earthquake.s_time_s + 40).max()
    assert after > 3 * before


def test_polarisation_follows_the_back_azimuth():
    """P: hardly any motion across the path, and the horizontal motion points along it. S: motion across the path."""
    rng = np.random.default_rng(4)
    for _ in range(12):
        drawn = sample_earthquake(rng)
        earthquake = locate(
            drawn.latitude_deg,
            drawn.longitude_deg,
            450.0,
            7.0,
            drawn.station_latitude_deg,
            drawn.station_longitude_deg,
        )
        _, north, east = band_pass(synthesise(earthquake, rng), RATE, SHORT)
        window = slice(int((earthquake.p_time_s - 1) * RATE), int((earthquake.p_time_s + 3) * RATE))
        radial, transverse = rotate_ne_rt(north[window], east[window], earthquake.back_azimuth_deg)
        assert rms(transverse) < 0.5 * rms(radial)
        covariance = np.cov(east[window], north[window])
        axis = np.linalg.eigh(covariance)[1][:, 1]
        azimuth = np.degrees(np.arctan2(axis[0], axis[1]))
        difference = (azimuth - earthquake.back_azimuth_deg + 90) % 180 - 90
        assert abs(difference) < 25
        _, north, east = band_pass(synthesise(earthquake, rng), RATE, LONG)
        window = slice(int(earthquake.s_time_s * RATE), int((earthquake.s_time_s + 40) * RATE))
        before = slice(window.start - int(60 * RATE), window.start - int(10 * RATE))
        transverse = rotate_ne_rt(north, east, earthquake.back_azimuth_deg)[1]
        assert rms(transverse[window]) > 3 * rms(transverse[before])


def test_p_is_stronger_on_the_vertical():
    traces = band_pass(traces_of(earthquake_at(60.0, 100.0, 7.0)), RATE, SHORT)
    start = earthquake_at(60.0, 100.0, 7.0).p_time_s
    vertical, north, east = (rms(trace) for trace in part(traces, start, start + 20))
    assert vertical > 1.5 * np.hypot(north, east)


@pytest.mark.parametrize("magnitude", [6.0, 7.0, 7.9])
def test_surface_waves_have_their_magnitude(magnitude):
    """log(A/T) + 1.66 log(distance) + 3.3 on the vertical near 20 s, A in micrometres (Vanek et al. 1962)."""
    for distance_deg in (20.0, 32.0):
        earthquake = earthquake_at(distance_deg, 15.0, magnitude)
        narrow = band_pass(traces_of(earthquake), RATE, (1 / 25, 1 / 17))[0]
        speed = np.abs(part(narrow, earthquake.s_time_s + 60, DURATION_S)).max() * 1e6
        measured = np.log10(speed / (2 * np.pi)) + 1.66 * np.log10(earthquake.distance_deg) + 3.3
        assert measured == pytest.approx(magnitude, abs=0.55)


def test_surface_waves_weaken_with_depth():
    strengths = []
    for depth_km in (10.0, 80.0, 300.0, 600.0):
        earthquake = earthquake_at(30.0, depth_km, 7.0)
        trace = band_pass(traces_of(earthquake), RATE, (0.03, 0.06))[0]
        strengths.append(np.abs(part(trace, 1000.0, 1300.0)).max())
    assert strengths[0] > 3 * strengths[1] > 3 * strengths[2]
    assert strengths[0] > 100 * strengths[3]


def test_long_waves_run_ahead_of_short_ones():
    earthquake = earthquake_at(30.0, 10.0, 7.5)
    times = []
    for band_hz in ((0.02, 0.03), (0.05, 0.07)):
        trace = np.abs(band_pass(traces_of(earthquake), RATE, band_hz)[0])
        trace[: int((earthquake.s_time_s + 100) * RATE)] = 0.0
        times.append(trace.argmax() / RATE)
    assert times[1] > times[0] + 60


def test_s_has_lost_more_high_frequencies_than_p():
    earthquake = earthquake_at(60.0, 30.0, 6.5)
    traces = traces_of(earthquake)
    ratios = []
    for start in (earthquake.p_time_s, earthquake.s_time_s):
        low, high = (
            np.abs(part(band_pass(traces, RATE, band), start, start + 30)).max() for band in BANDS_HZ
        )
        ratios.append(high / low)
    assert ratios[0] > 5 * ratios[1]


@pytest.mark.parametrize(("level", "model"), [(0.0, get_nlnm), (1.0, get_nhnm)])
def test_noise_has_petersons_spectra(level, model):
    """Power of acceleration by Welch's method (scipy), in decibels, against the model; 1 dB."""
    traces = noise(np.random.default_rng(0), 400_000, RATE, level)
    frequencies, power = welch(traces, RATE, nperseg=4096)
    used = (frequencies > 0.02) & (frequencies < 1.8)
    measured = 10 * np.log10(power.mean(axis=0)[used] * (2 * np.pi * frequencies[used]) ** 2)
    periods_s, decibels = model()
    expected = np.interp(-np.log(frequencies[used]), np.log(periods_s[::-1]), decibels[::-1])
    assert abs(np.median(measured - expected)) < 0.3
    assert np.quantile(abs(measured - expected), 0.95) < 1.5


def test_noise_before_p_lies_between_the_models():
    """From magnitude 5 on; light earthquakes may have less, as the module says."""
    low, high = (
        band_pass(noise(np.random.default_rng(0), 40_000, RATE, level), RATE, LONG).std()
        for level in (0.0, 1.0)
    )
    rng = np.random.default_rng(1)
    levels: dict[str, list[float]] = {"light": [], "others": []}
    while len(levels["others"]) < 30:
        earthquake = sample_earthquake(rng)
        before = part(band_pass(synthesise(earthquake, rng), RATE, LONG), 0.0, earthquake.p_time_s - 5)
        levels["light" if earthquake.magnitude < 5 else "others"].append(before.std())
    assert min(levels["others"]) > 0.8 * low and max(levels["others"]) < 0.2 * high
    assert min(levels["light"]) < low


def test_s_stands_out_for_every_magnitude():
    rng = np.random.default_rng(6)
    for magnitude in (4.0, 4.5, 5.0, 6.0, 7.9):
        earthquake = locate(0.0, 0.0, 30.0, magnitude, 70.0, 60.0)
        traces = band_pass(synthesise(earthquake, rng), RATE, LONG)
        after = np.abs(part(traces, earthquake.s_time_s, earthquake.s_time_s + 60)).max()
        assert after > 8 * part(traces, 0, earthquake.p_time_s - 5).std()


def test_band_pass_is_causal_and_keeps_its_band():
    time_s = np.arange(6400) / RATE
    spike = np.zeros(6400)
    spike[3200] = 1.0
    for band_hz in BANDS_HZ:
        assert np.abs(band_pass(spike, RATE, band_hz)[:3200]).max() < 1e-12
        inside = band_pass(np.sin(2 * np.pi * np.sqrt(band_hz[0] * band_hz[1]) * time_s), RATE, band_hz)
        outside = band_pass(np.sin(2 * np.pi * 0.2 * band_hz[0] * time_s), RATE, band_hz)
        assert rms(inside[2000:]) == pytest.approx(np.sqrt(0.5), rel=0.02)
        assert rms(outside[2000:]) < 0.02


def test_display_is_scaled_by_noise_and_full_scale():
    shown, full_scales = display_traces(traces_of(earthquake_at(60.0, 30.0, 7.0)), RATE, 96)
    assert shown.shape == (2, 3, 96, 2) and shown.dtype == np.float32 and full_scales.shape == (2,)
    assert np.abs(shown).max(axis=(1, 2, 3)) == pytest.approx(1.0)
    assert (shown[..., 0] <= shown[..., 1]).all()
    column = int(earthquake_at(60.0, 30.0, 7.0).p_time_s / DURATION_S * 96)
    assert np.abs(shown[:, :, : column - 1]).max() < 0.3 < np.abs(shown[1, 0, column + 1]).max()
    again, _ = display_traces(1e9 * traces_of(earthquake_at(60.0, 30.0, 7.0)), RATE, 96)
    assert again == pytest.approx(shown, abs=1e-4)  # any unit


def test_display_of_nothing_but_noise_stays_small():
    shown, full_scales = display_traces(noise(np.random.default_rng(0), 6400, RATE, 0.3), RATE, 96)
    assert (full_scales == FULL_SCALE).all() and np.abs(shown).max() < 0.5


def test_display_leaves_gaps_blank():
    traces = traces_of(earthquake_at(60.0, 30.0, 7.0)).copy()
    traces[1] = np.nan
    traces[0, :400] = np.nan
    shown, _ = display_traces(traces, RATE, 96)
    assert np.isnan(shown[:, 1]).all()
    assert np.isnan(shown[:, 0, :6]).all() and not np.isnan(shown[:, 0, 7:]).any()
    assert not np.isnan(shown[:, 2]).any()


def test_display_shows_no_short_period_band_of_a_slow_record():
    shown, full_scales = display_traces(traces_of(earthquake_at(60.0, 30.0, 7.0))[:, ::4], 1.0, 96)
    assert np.isnan(shown[1]).all() and np.isnan(full_scales[1]) and not np.isnan(shown[0]).any()


def test_display_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match=r"shape \(2, 6400\): expected \(3, N\)"):
        display_traces(np.zeros((2, 6400)), RATE, 96)
    with pytest.raises(ValueError, match="N at least 96"):
        display_traces(np.zeros((3, 50)), RATE, 96)
    with pytest.raises(ValueError, match="no data"):
        display_traces(np.full((3, 6400), np.nan), RATE, 96)
