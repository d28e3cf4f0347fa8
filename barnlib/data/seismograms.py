"""Synthetic three-component seismograms, and the display that makes their arrivals visible.

In: an `Earthquake` and a random generator. Out: ground velocity in m/s on Z, N and E, and, for any such
record, synthetic or recorded, the band-passed, log-scaled traces that `cards` draws.

The model, each part a textbook one:
- source: omega-squared spectrum (Brune 1970), moment from magnitude (Hanks & Kanamori 1979), stress drop 3 MPa;
- P and S: ray-theoretical spreading, attenuation t*, root-mean-square radiation (no nodal stations), free
  surface, each followed by a coda of scattered waves that decays exponentially;
- polarisation: P on Z and the radial, SV on Z and the radial, SH on the transverse, turned by the back-azimuth;
- surface waves: Rayleigh and Love waves of an average dispersion, as strong as the surface-wave magnitude formula
  asks (Vanek et al. 1962), weaker the deeper the source;
- noise: a power spectrum between Peterson's (1993) new low and high noise models, drawn from the quiet part.
Left out: depth phases (pP, sP), reflections (PP, PcP), core phases and the radiation pattern. A card shows
two onsets.

Where it departs from nature, on purpose: a station sees P and S of every earthquake. Noise is drawn from
the quiet third between the models and lowered where S would drown in it. For most light earthquakes below
magnitude 4.8, about a quarter of all cards, that ends below the low noise model, as if the trace were the
beam of a large array; at a single real station their S waves could not be seen. Nothing is asked that the
image does not show.
"""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, sosfilt

from barnlib.data.earthquakes import Earthquake
from barnlib.data.travel_times import travel_times

COMPONENTS = ("Z", "N", "E")
DURATION_S = 1600.0  # from the origin time; S at 90 degrees comes after about 1,440 s
SAMPLING_RATE_HZ = 4.0  # carries the short-period band, in which weak P waves stand out
BANDS_HZ = ((0.02, 0.1), (0.5, 1.6))  # long period: S and surface waves; short period: P

EARTH_RADIUS_M = 6.371e6
STRESS_DROP_PA = 3.0e6
DENSITY_KG_M3, P_SPEED_M_S, S_SPEED_M_S = 3300.0, 8000.0, 4500.0  # at the source
SURFACE_P_SPEED_M_S, SURFACE_S_SPEED_M_S = 5800.0, 3360.0
P_T_STAR_S, S_T_STAR_S = 0.5, 2.0  # beyond 30 degrees, from a shallow source
P_RADIATION, S_RADIATION = 0.52, 0.63  # root mean squares over the focal sphere (Boore & Boatwright 1984)
P_CODA_S, S_CODA_S = 60.0, 90.0
CODA_ENERGY = 1.0  # energy of the coda over that of the direct pulse
FULL_SCALE = 10.0  # least ratio of a panel's half height to the noise
NOISE_RANGE = (0.0, 0.3)  # where between the low (0) and the high (1) noise model, in decibels
S_SIGNAL_TO_NOISE = 15.0  # peak of S over root-mean-square noise in the long-period band, at least

# Average group velocities in km/s at these frequencies in Hz, after Oliver (1962).
GROUP_HZ = np.array([0.004, 0.006, 0.01, 0.0167, 0.025, 0.033, 0.05, 0.1])
RAYLEIGH_KM_S = np.array([3.60, 3.62, 3.75, 3.85, 3.75, 3.50, 3.10, 2.90])
LOVE_KM_S = np.array([4.40, 4.40, 4.35, 4.20, 4.00, 3.85, 3.60, 3.40])
# Metres per newton metre: makes Rayleigh waves of shallow earthquakes agree with the surface-wave magnitude.
SURFACE_LEVEL = 8.0e-22


def synthesise(
    earthquake: Earthquake, rng: np.random.Generator, sampling_rate_hz: float = SAMPLING_RATE_HZ
) -> np.ndarray:
    """Ground velocity at the station, float32[3, N], m/s, components Z, N, E, from origin time for
    `DURATION_S`.

    The generator decides coda, first-motion signs, the division of S into SV and SH, and the noise.
    ValueError for a sampling rate that cannot carry the short-period band, without which weak P waves do
    not show.
    """
    if sampling_rate_hz < 2.0 * BANDS_HZ[1][1]:
        raise ValueError(
            f"sampling rate {sampling_rate_hz} Hz: at least {2.0 * BANDS_HZ[1][1]} Hz is needed to carry the "
            f"short-period band (SAMPLING_RATE_HZ is {SAMPLING_RATE_HZ})"
        )
    samples = round(DURATION_S * sampling_rate_hz)
    length = next_fast_len(
        2 * samples, real=True
    )  # twice, or what arrives late would wrap round to the start
    frequencies = rfftfreq(length, 1.0 / sampling_rate_hz)
    body = irfft(_body_waves(earthquake, rng, frequencies, length, sampling_rate_hz), length)[:, :samples]
    surface = irfft(_surface_waves(earthquake, rng, frequencies) * sampling_rate_hz, length)[:, :samples]
    vertical, radial, transverse = body + surface * _after_fastest(earthquake, samples, sampling_rate_hz)
    angle = np.radians(earthquake.back_azimuth_deg)
    north = -np.cos(angle) * radial + np.sin(angle) * transverse
    east = -np.sin(angle) * radial - np.cos(angle) * transverse
    signal = np.stack([vertical, north, east])
    return (signal + _noise(earthquake, signal, rng, sampling_rate_hz)).astype(np.float32)


def corner_frequency_hz(moment_n_m: float) -> float:
    """Brune's corner frequency of S, 0.49 beta (stress drop / moment)^(1/3)."""
    return 0.49 * S_SPEED_M_S * (STRESS_DROP_PA / moment_n_m) ** (1 / 3)


def moment_n_m(magnitude: float) -> float:
    """Seismic moment of a moment magnitude, in newton metres (Hanks & Kanamori 1979)."""
    return 10.0 ** (1.5 * magnitude + 9.1)


def _spreading_per_m(distance_deg: float) -> float:
    """Geometric spreading of body waves. With the mean curvature of the travel-time curve between 30 and 90
    degrees, ray theory gives 0.59 per Earth radius at 60 degrees; the focusing nearer than 20 degrees is
    left out."""
    return 0.55 / np.sqrt(np.sin(np.radians(max(distance_deg, 20.0)))) / EARTH_RADIUS_M


def _t_star_scale(earthquake: Earthquake) -> float:
    """Share of the full t* on this path: short paths, and paths from below the asthenosphere, lose less."""
    return min(1.0, earthquake.distance_deg / 30.0) * (1.0 - 0.4 * min(1.0, earthquake.depth_km / 400.0))


def _pulse(earthquake: Earthquake, frequencies: np.ndarray, wave: str) -> np.ndarray:
    """Velocity spectrum of a direct P or S at the surface, complex128[F], in m (m/s times s), onset at time 0."""
    speed, radiation, t_star, ratio = {
        "P": (P_SPEED_M_S, P_RADIATION, P_T_STAR_S, 1.5),
        "S": (S_SPEED_M_S, S_RADIATION, S_T_STAR_S, 1.0),
    }[wave]
    moment = moment_n_m(earthquake.magnitude)
    level = 2.0 * radiation * moment * _spreading_per_m(earthquake.distance_deg)  # 2: free surface
    level /= 4.0 * np.pi * DENSITY_KG_M3 * speed**3
    causal_brune = (1.0 + 1j * frequencies / (ratio * corner_frequency_hz(moment))) ** -2
    attenuation = np.exp(-np.pi * frequencies * t_star * _t_star_scale(earthquake))
    return 2j * np.pi * frequencies * level * causal_brune * attenuation


def _body_waves(
    earthquake: Earthquake, rng: np.random.Generator, frequencies: np.ndarray, length: int, rate: float
) -> np.ndarray:
    """Spectra of P and S with coda on vertical, radial (away from the source) and transverse, complex128[3,
    F]."""
    slownesses = travel_times().slowness(earthquake.distance_deg, earthquake.depth_km)
    p_sine, s_sine = (
        min(0.95, abs(slowness) * np.degrees(1.0) * speed / EARTH_RADIUS_M)
        for slowness, speed in zip(slownesses, (SURFACE_P_SPEED_M_S, SURFACE_S_SPEED_M_S), strict=True)
    )
    split = rng.uniform(0.35, 1.2)  # angle between SV and SH, radians: neither is missing
    p_vector = rng.choice((-1.0, 1.0)) * np.array([np.sqrt(1 - p_sine**2), p_sine, 0.0])
    s_vertical, s_radial = -s_sine, np.sqrt(1 - s_sine**2)
    s_vector = rng.choice((-1.0, 1.0)) * np.array(
        [np.cos(split) * s_vertical, np.cos(split) * s_radial, np.sin(split) * rng.choice((-1.0, 1.0))]
    )
    total = np.zeros((3, len(frequencies)), complex)
    for wave, time_s, vector, decay_s in (
        ("P", earthquake.p_time_s, p_vector, P_CODA_S),
        ("S", earthquake.s_time_s, s_vector, S_CODA_S),
    ):
        onset = np.exp(-2j * np.pi * frequencies * time_s)
        scattered = 0.85 * np.abs(vector) + 0.15  # scattering turns some of the motion into every direction
        coda = rfft(_coda(rng, time_s, decay_s, length, rate), length)
        arrivals = vector[:, None] * onset + scattered[:, None] * coda
        total += _pulse(earthquake, frequencies, wave) * rate * arrivals
    return total


def _coda(rng: np.random.Generator, time_s: float, decay_s: float, length: int, rate: float) -> np.ndarray:
    """White noise under an exponential from the onset on, float64[3, n]; each component has energy
    `CODA_ENERGY`."""
    first = int(np.ceil(time_s * rate))
    elapsed = np.arange(min(length - first, int(8 * decay_s * rate))) / rate
    series = np.zeros((3, first + len(elapsed)))
    series[:, first:] = rng.standard_normal((3, len(elapsed))) * np.exp(-elapsed / decay_s)
    return series * np.sqrt(2.0 * CODA_ENERGY / (decay_s * rate))


def _surface_waves(earthquake: Earthquake, rng: np.random.Generator, frequencies: np.ndarray) -> np.ndarray:
    """Velocity spectra of Rayleigh (vertical, radial) and Love (transverse) waves, complex128[3, F], m."""
    spectra = np.zeros((3, len(frequencies)), complex)
    used = slice(1, int(np.searchsorted(frequencies, 0.25)))  # above, nothing is left of them
    band_hz, step_hz = frequencies[used], frequencies[1]
    distance_km = np.radians(earthquake.distance_deg) * EARTH_RADIUS_M / 1000.0
    moment = moment_n_m(earthquake.magnitude)
    shape = np.sqrt(band_hz / 0.05) / (1.0 + (band_hz / 0.06) ** 4) * np.minimum(1.0, (band_hz / 0.008) ** 3)
    source = moment / (1.0 + (band_hz / corner_frequency_hz(moment)) ** 2)
    loss = np.exp(-np.pi * band_hz * distance_km / (200.0 * 3.5))  # Q 200 at 3.5 km/s
    depth = np.exp(-0.6 * 2.0 * np.pi * band_hz * earthquake.depth_km / 4.0)  # wavenumber at 4 km/s
    spread = 1.0 / np.sqrt(np.sin(np.radians(earthquake.distance_deg)))
    level = SURFACE_LEVEL * source * shape * loss * depth * spread
    strengths, phases = rng.uniform(0.7, 1.3, 2), rng.uniform(0.0, 2.0 * np.pi, 2)
    for row, strength, phase, speeds in (
        (0, strengths[0], phases[0], RAYLEIGH_KM_S),
        (2, 0.8 * strengths[1], phases[1], LOVE_KM_S),
    ):
        delay_s = distance_km / np.interp(band_hz, GROUP_HZ, speeds)
        in_time = np.clip((1.9 * DURATION_S - delay_s) / 200.0, 0.0, 1.0)  # later arrivals would wrap round
        turn = phase - 2.0 * np.pi * np.cumsum(delay_s) * step_hz
        spectra[row, used] = strength * level * in_time * np.exp(1j * turn)
    spectra[1] = 0.7j * spectra[0]  # the ellipse of Rayleigh waves
    return spectra


def _after_fastest(earthquake: Earthquake, samples: int, rate: float) -> np.ndarray:
    """0 until 20 s before the fastest surface wave, 1 from its arrival on, float64[samples].

    A sum of dispersed sines is never quite silent beforehand, and on a logarithmic scale that would show.
    """
    fastest_s = np.radians(earthquake.distance_deg) * EARTH_RADIUS_M / 1000.0 / LOVE_KM_S.max()
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((np.arange(samples) / rate - fastest_s) / 20.0 + 1.0, 0.0, 1.0))


@lru_cache(maxsize=8)
def _noise_amplitudes(length: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of the low and high noise models' velocity power, float64[F] each, m/s per root Hz; 0 at 0
    Hz."""
    # Imported where it is used: half a second that those who draw nothing need not wait.
    from obspy.signal.spectral_estimation import get_nhnm, get_nlnm

    frequencies = rfftfreq(length, 1.0 / rate)[1:]
    models = []
    for periods_s, decibels in (get_nlnm(), get_nhnm()):
        level = np.interp(-np.log(frequencies), np.log(periods_s[::-1]), decibels[::-1])
        models.append(np.concatenate([[0.0], 10.0 ** (level / 20.0) / (2.0 * np.pi * frequencies)]))
    return models[0], models[1]


def noise(rng: np.random.Generator, samples: int, sampling_rate_hz: float, level: float) -> np.ndarray:
    """Stationary Gaussian ground noise, float64[3, samples], m/s.

    `level` 0 is Peterson's new low noise model, 1 the new high noise model, between them the mean in
    decibels.
    """
    length = next_fast_len(samples, real=True)
    low, high = _noise_amplitudes(length, sampling_rate_hz)
    amplitude = low ** (1.0 - level) * high**level * np.sqrt(sampling_rate_hz * length / 4.0)
    parts = rng.standard_normal((2, 3, len(low)))
    return irfft((parts[0] + 1j * parts[1]) * amplitude, length)[:, :samples]


def _noise(earthquake: Earthquake, signal: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Noise that leaves the S wave standing out by `S_SIGNAL_TO_NOISE` in the long-period band."""
    quiet, loud = NOISE_RANGE
    drawn = noise(rng, signal.shape[1], rate, rng.uniform(quiet, loud))
    first = int(earthquake.s_time_s * rate)
    window = slice(first, first + int(60 * rate))
    s_peak = np.abs(band_pass(signal, rate, BANDS_HZ[0])[:, window]).max()
    allowed = s_peak / S_SIGNAL_TO_NOISE
    found = band_pass(drawn, rate, BANDS_HZ[0]).std()
    return drawn * min(1.0, allowed / found)


@lru_cache(maxsize=16)
def _band_filter(rate: float, band_hz: tuple[float, float]) -> np.ndarray:
    low, high = band_hz
    return butter(3, (low, min(high, 0.45 * rate)), "bandpass", fs=rate, output="sos")


def band_pass(traces: np.ndarray, sampling_rate_hz: float, band_hz: tuple[float, float]) -> np.ndarray:
    """Traces in one band, by a causal third-order Butterworth filter (nothing moves ahead of an onset); same
    shape.

        The first 100 s are put in front of the record, reversed, so that the filter has settled where the
        record begins.
    """
    lead = min(int(100 * sampling_rate_hz), traces.shape[-1])
    padded = np.concatenate([traces[..., :lead][..., ::-1], traces], axis=-1)
    return sosfilt(_band_filter(sampling_rate_hz, band_hz), padded)[..., lead:]


def display_traces(
    traces: np.ndarray, sampling_rate_hz: float, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """What seismogram panels that many pixels wide show, and the full scale of each band.

    Shown: float32[2, 3, columns, 2] within -1 to 1. First axis the bands of `BANDS_HZ`, second Z, N, E, last the
    least and the greatest value in each column. Values are logarithms of amplitude over the band's noise, which is
    1.5 times the peak in the quietest tenth of the columns of all components: 0 is noise or below, 1 the full
    scale. Full scales, float64[2]: the band's greatest amplitude as a multiple of its noise, at least `FULL_SCALE`.
    Components share a scale, so that polarisation can be read. NaN marks columns without data (a gap, a missing
    component) and a band for which the record is sampled too slowly.

    traces: float[3, N] from origin time over `DURATION_S`, any unit of velocity; NaN where data are missing.
    ValueError for another shape, or where there is no data at all.
    """
    if traces.ndim != 2 or len(traces) != len(COMPONENTS) or traces.shape[1] < columns:
        raise ValueError(f"traces of shape {traces.shape}: expected (3, N) with N at least {columns}")
    missing = np.isnan(traces)
    if missing.all():
        raise ValueError("traces hold no data, only NaN")
    starts = np.arange(columns) * traces.shape[1] // columns
    blank = np.logical_or.reduceat(missing, starts, axis=1)
    filled = _bridge_gaps(traces, missing)
    shown = np.full((len(BANDS_HZ), 3, columns, 2), np.nan, np.float32)
    full_scales = np.full(len(BANDS_HZ), np.nan)
    for row, band_hz in enumerate(BANDS_HZ):
        if band_hz[0] < 0.3 * sampling_rate_hz:
            passed = band_pass(filled, sampling_rate_hz, band_hz)
            ends = [limit.reduceat(passed, starts, axis=1) for limit in (np.minimum, np.maximum)]
            extremes = np.stack(ends, axis=-1)
            extremes[blank] = np.nan
            multiples = extremes / (1.5 * np.nanquantile(np.abs(extremes).max(axis=-1), 0.1))
            full_scales[row] = max(np.nanmax(np.abs(multiples)), FULL_SCALE)
            height = np.log(np.maximum(np.abs(multiples), 1.0)) / np.log(full_scales[row])
            shown[row] = np.sign(multiples) * height
    return shown, full_scales


def _bridge_gaps(traces: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Traces without their means, gaps bridged by straight lines, so that the filters see no steps; float64."""
    filled = np.zeros(traces.shape)
    samples = np.arange(traces.shape[1])
    for trace, absent, row in zip(traces, missing, filled, strict=True):
        if absent.any() and not absent.all():
            row[:] = np.interp(samples, samples[~absent], trace[~absent])
        elif not absent.any():
            row[:] = trace
        row -= row.mean()
    return filled
