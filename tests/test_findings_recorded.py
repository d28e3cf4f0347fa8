"""barnlib.report.findings_recorded: how far recorded and synthetic traces rise above their noise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from barnlib.data.recorded import recordings
from barnlib.data.seismograms import DURATION_S, SAMPLING_RATE_HZ
from barnlib.report.findings_recorded import likeness_line, peaks

COLUMNS = 96
EVENT = recordings()[1]
SAMPLES = round(DURATION_S * SAMPLING_RATE_HZ)


def waves(burst: float, at_s: float = 800.0) -> np.ndarray:
    """A sine of 20 s and one of 1 s period, everywhere of amplitude 1, for a minute of the given amplitude."""
    time = np.arange(SAMPLES) / SAMPLING_RATE_HZ
    loud = np.where(np.abs(time - at_s) < 30, burst, 1.0)
    one = loud * (np.sin(2 * np.pi * time / 20) + np.sin(2 * np.pi * time))
    return np.stack([one, one, one]).astype(np.float32)


def recorded(traces: np.ndarray):
    return replace(EVENT, name="toy", traces=traces, sampling_rate_hz=SAMPLING_RATE_HZ)


def test_a_peak_is_a_multiple_of_the_noise():
    found = peaks(recorded(waves(30)), waves(300), COLUMNS)
    assert found["event"].tolist() == ["toy"] * 2 and found["band"].tolist() == [
        "long period",
        "short period",
    ]
    # noise is 1.5 times the quietest tenth of the columns, in which the filter and the samples lower the peaks a little
    assert found["recorded"].tolist() == pytest.approx([30 / 1.5] * 2, rel=0.2)
    assert found["ratio"].tolist() == pytest.approx([10, 10], rel=0.1)


def test_only_what_was_recorded_is_compared():
    """The synthetic burst lies where nothing was recorded: it is not seen, nor is that of a missing component."""
    short = waves(1)
    short[:, SAMPLES * 3 // 4 :] = np.nan
    assert peaks(recorded(short), waves(300, at_s=1450.0), COLUMNS)["synthetic"].max() < 2
    one = waves(1)
    one[1:] = np.nan
    loud = waves(1)
    loud[1:] = waves(300)[1:]
    assert peaks(recorded(one), loud, COLUMNS)["synthetic"].max() < 2


def test_a_band_that_was_sampled_too_slowly_has_no_peak():
    slow = replace(EVENT, traces=waves(30)[:, ::4], sampling_rate_hz=SAMPLING_RATE_HZ / 4)
    found = peaks(slow, waves(30), COLUMNS)
    assert found["recorded"].isna().tolist() == [False, True] and found["ratio"].isna().tolist() == [
        False,
        True,
    ]
    assert found["synthetic"].notna().all()


def test_amplitudes_are_said_with_how_many_agree():
    table = pd.DataFrame(
        {
            "event": ["A", "A", "B"],
            "band": ["long period", "short period", "long period"],
            "recorded": [4.0, np.nan, 2000.4],
            "synthetic": [34.2, 9.0, 3000.0],
        }
    )
    table = table.assign(ratio=table["synthetic"] / table["recorded"])
    assert likeness_line(table) == (
        "1 of 2 amplitudes agree within a factor of 2. A, long period: 4 times the noise recorded, 34 synthetic; "
        "B, long period: 2,000 times the noise recorded, 3,000 synthetic."
    )
    halved = table.assign(ratio=[0.4, np.nan, 0.6])
    assert likeness_line(halved).startswith("1 of 2 amplitudes"), "less than half is no agreement either"
