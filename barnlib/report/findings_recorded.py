"""How far recorded and synthetic seismograms of the same event rise above their noise, as a table and in words.

In:  a recording (``barnlib.data.recorded``) and the traces that the generator makes for its earthquake.
Out: a table and one line, for the notebook on recorded earthquakes.
"""

import numpy as np
import pandas as pd

from barnlib.data.recorded import Recording
from barnlib.data.seismograms import BANDS_HZ, SAMPLING_RATE_HZ, display_traces

BANDS = dict(zip(("long period", "short period"), BANDS_HZ, strict=True))
ALIKE = 2.0  # amplitudes within this factor count as alike


def peaks(recording: Recording, synthetic: np.ndarray, columns: int) -> pd.DataFrame:
    """The greatest amplitude of a card's traces as a multiple of their noise, recorded and synthetic, for each band.

    Only the components and the time that were recorded are compared.

    Args:
        synthetic: float32[3, N], ``seismograms.synthesise`` of the recording's earthquake at `SAMPLING_RATE_HZ`.
        columns: of the card's panels; noise is measured over them.

    Returns:
        `event`, `band`, `recorded`, `synthetic` (at least 1, NaN where a band was sampled too slowly), and `ratio`,
        synthetic over recorded.
    """
    at = np.arange(synthetic.shape[1]) * recording.traces.shape[1] // synthetic.shape[1]
    same_part = np.where(np.isnan(recording.traces[:, at]), np.nan, synthetic)
    table = pd.DataFrame(
        {
            "event": recording.name,
            "band": list(BANDS),
            "recorded": _peaks(recording.traces, recording.sampling_rate_hz, columns),
            "synthetic": _peaks(same_part, SAMPLING_RATE_HZ, columns),
        }
    )
    return table.assign(ratio=table["synthetic"] / table["recorded"])


def _peaks(traces: np.ndarray, sampling_rate_hz: float, columns: int) -> list[float]:
    shown, full_scales = display_traces(traces, sampling_rate_hz, columns)
    heights = [np.nan if np.isnan(band).all() else np.nanmax(np.abs(band)) for band in shown]
    return [float(scale**height) for scale, height in zip(full_scales, heights, strict=True)]


def likeness_line(table: pd.DataFrame) -> str:
    """Whether synthetic traces rise as far above their noise as recorded ones.

    Args:
        table: :func:`peaks` of one recording or more.
    """
    known = table.dropna(subset=["ratio"])
    alike = known["ratio"].between(1 / ALIKE, ALIKE)
    told = "; ".join(
        f"{row.event}, {row.band}: {row.recorded:,.0f} times the noise recorded, {row.synthetic:,.0f} synthetic"
        for row in known.itertuples()
    )
    return f"{alike.sum()} of {len(known)} amplitudes agree within a factor of {ALIKE:g}. {told}."
