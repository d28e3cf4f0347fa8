"""Recorded earthquakes through the same cards, and the units of their headers."""

import numpy as np
import obspy
import pytest
from obspy import Stream, Trace, UTCDateTime
from obspy.geodetics import locations2degrees

from barnlib.data.cards import draw_card
from barnlib.data.earthquakes import locate
from barnlib.data.recorded import OBSPY, TOHOKU_TRACE, align, depth_in_km, recordings, tohoku_2011
from barnlib.data.seismograms import BANDS_HZ, DURATION_S, band_pass

ORIGIN = UTCDateTime(2020, 1, 1)


def record(component: str, starts_s: float, samples: int, rate: float = 2.0) -> Trace:
    header = {"channel": f"BH{component}", "starttime": ORIGIN + starts_s, "sampling_rate": rate}
    return Trace(np.arange(samples, dtype=float), header)


@pytest.fixture(scope="module")
def tohoku():
    return tohoku_2011()


def test_all_recordings_can_be_drawn():
    found = recordings()
    assert [recording.name for recording in found] == ["Semipalatinsk 1989 at HRV", "Tohoku 2011 at TLY"]
    for recording in found:
        samples = round(DURATION_S * recording.sampling_rate_hz)
        assert recording.traces.shape == (3, samples) and recording.traces.dtype == np.float32
        assert all((OBSPY / name).is_file() for name in recording.files)
        for image_size in (96, 336):
            image = draw_card(recording.earthquake, recording.traces, recording.sampling_rate_hz, image_size)
            assert image.size == (image_size, image_size)


@pytest.mark.filterwarnings("ignore:Sample spacing read from SAC file")
def test_tohoku_agrees_with_what_the_recorders_header_says(tohoku):
    """Distance, back-azimuth and the picked P are in the SAC header, put there by the data centre."""
    header = obspy.read(str(TOHOKU_TRACE))[0].stats.sac
    assert tohoku.earthquake.distance_deg == pytest.approx(header.gcarc, abs=0.1)
    assert tohoku.earthquake.p_time_s == pytest.approx(header.a - header.o, abs=5.0)
    assert tohoku.earthquake.region == "Near East Coast Of Honshu, Japan"
    assert tohoku.earthquake.magnitude == 9.1


def test_tohokus_depth_is_29_km_although_quakeml_means_metres(tohoku):
    assert tohoku.earthquake.depth_km == 29.0


def test_tohokus_p_wave_is_where_iasp91_has_it(tohoku):
    """In the record: the short-period band jumps. In the picture: orange columns begin."""
    rate = tohoku.sampling_rate_hz
    vertical = np.nan_to_num(tohoku.traces[0])
    vertical[tohoku.traces[0] != tohoku.traces[0]] = np.nanmean(tohoku.traces[0])
    short = np.abs(band_pass(vertical - vertical.mean(), rate, BANDS_HZ[1]))
    quiet = short[int(100 * rate) : int(300 * rate)].max()
    p_s = (int(100 * rate) + np.argmax(short[int(100 * rate) :] > 5 * quiet)) / rate
    assert p_s == pytest.approx(tohoku.earthquake.p_time_s, abs=5.0)
    panel = np.asarray(draw_card(tohoku.earthquake, tohoku.traces, rate, 96))[48:64]
    heights = (panel[..., 2] < 140).sum(axis=0)
    expected = tohoku.earthquake.p_time_s / DURATION_S * 96
    assert np.argmax(heights > 6) == pytest.approx(expected, abs=1.5)


def test_components_that_were_not_recorded_stay_blank(tohoku):
    assert np.isnan(tohoku.traces[1:]).all()
    recorded = ~np.isnan(tohoku.traces[0])
    first, last = np.flatnonzero(recorded)[[0, -1]] / tohoku.sampling_rate_hz
    assert (first, last) == pytest.approx((66, 700), abs=1.0)


def test_semipalatinsk_is_where_it_was():
    explosion = recordings()[0].earthquake
    assert explosion.region == "Eastern Kazakhstan" and explosion.depth_km == 0.0
    expected = locations2degrees(explosion.latitude_deg, explosion.longitude_deg, 42.506, -71.558)
    assert explosion.distance_deg == pytest.approx(expected, abs=0.3)
    assert not np.isnan(recordings()[0].traces).any()


def test_recordings_out_of_a_cards_range_are_refused():
    """The two other events in ObsPy's files, with their places taken from the headers."""
    bolivia = obspy.read(str(OBSPY / "io/ah/tests/data/st.ah"))[0].stats.ah
    with pytest.raises(ValueError, match="distance 96"):
        locate(
            bolivia.event.latitude,
            bolivia.event.longitude,
            bolivia.event.depth / 1000.0,
            8.2,
            bolivia.station.latitude,
            bolivia.station.longitude,
        )
    akita = obspy.read(str(OBSPY / "io/nied/tests/data/test.knet"))[0].stats.knet
    with pytest.raises(ValueError, match=r"distance 0\.7"):
        locate(akita.evla, akita.evlo, akita.evdp, akita.mag, akita.stla, akita.stlo)


@pytest.mark.parametrize(
    ("stated", "confirmed_km", "expected_km"),
    [
        (29.0, 24.4, 29.0),
        (29000.0, 24.4, 29.0),
        (10000.0, 12.0, 10.0),
        (640000.0, 635.0, 640.0),
        (0.0, 0.0, 0.0),
    ],
)
def test_depth_is_read_in_the_unit_that_another_source_confirms(stated, confirmed_km, expected_km):
    assert depth_in_km(stated, confirmed_km) == expected_km


def test_depth_that_fits_in_no_unit_is_refused():
    with pytest.raises(ValueError, match=r"depth 500\.0: neither as metres \(0\.5 km\) nor as kilometres"):
        depth_in_km(500.0, 30.0)


def test_align_puts_samples_at_their_times():
    aligned = align(Stream([record("E", 10.0, 50), record("Z", -5.0, 50)]), ORIGIN)
    assert aligned.shape == (3, 3200)
    assert np.isnan(aligned[1]).all()
    assert np.array_equal(aligned[2, 20:70], np.arange(50)) and np.isnan(aligned[2, :20]).all()
    assert np.array_equal(aligned[0, :40], np.arange(10, 50)) and np.isnan(aligned[0, 40:]).all()


def test_align_keeps_to_the_window():
    aligned = align(Stream([record("Z", 1590.0, 100), record("N", 5000.0, 10)]), ORIGIN)
    assert np.array_equal(aligned[0, -20:], np.arange(20)) and np.isnan(aligned[1]).all()


def test_align_refuses_what_it_cannot_order():
    with pytest.raises(ValueError, match=r"sampling rates \[2\.0, 4\.0\]"):
        align(Stream([record("Z", 0.0, 10), record("N", 0.0, 10, rate=4.0)]), ORIGIN)
    with pytest.raises(ValueError, match=r"components \['Z', '1'\]: expected each of Z, N, E"):
        align(Stream([record("Z", 0.0, 10), record("1", 0.0, 10)]), ORIGIN)
    with pytest.raises(ValueError, match="at most once"):
        align(Stream([record("Z", 0.0, 10), record("Z", 50.0, 10)]), ORIGIN)
