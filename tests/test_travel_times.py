"""Travel times against TauP's own arrivals."""

import numpy as np
import pytest
from obspy.taup import TauPyModel

from barnlib.data.travel_times import EARTH_MODEL, travel_times

# Off the table's grid, and both sides of the triplications near 20 degrees, where interpolation is worst.
PLACES = [(10.2, 3.0), (15.1, 45.0), (18.25, 79.0), (19.9, 410.0), (24.6, 12.0), (30.1, 155.0), (45.3, 33.0)]
PLACES += [(60.05, 301.0), (72.4, 649.0), (89.9, 18.0)]


@pytest.fixture(scope="module")
def model() -> TauPyModel:
    return TauPyModel(EARTH_MODEL)


@pytest.mark.parametrize(("distance_deg", "depth_km"), PLACES)
def test_times_and_slownesses_agree_with_taup(model, distance_deg, depth_km):
    times = travel_times().arrivals(distance_deg, depth_km)
    slownesses = travel_times().slowness(distance_deg, depth_km)
    for time_s, slowness, names in zip(times, slownesses, (("p", "P"), ("s", "S")), strict=True):
        first = model.get_travel_times(depth_km, distance_deg, names)[0]
        assert time_s == pytest.approx(first.time, abs=0.5)
        if distance_deg > 28:
            assert slowness == pytest.approx(first.ray_param_sec_degree, rel=0.02)


def test_times_grow_with_distance_and_s_comes_after_p():
    table = travel_times()
    assert np.isfinite(table.p_s).all() and np.isfinite(table.s_s).all()
    assert (np.diff(table.p_s, axis=1) > 0).all()
    assert (np.diff(table.s_s, axis=1) > 0).all()
    assert (table.s_s > 1.7 * table.p_s).all()


@pytest.mark.parametrize(
    ("distance_deg", "depth_km"), [(4.9, 10.0), (95.1, 10.0), (30.0, 701.0), (30.0, -1.0)]
)
def test_outside_the_table_is_refused(distance_deg, depth_km):
    with pytest.raises(ValueError, match=r"covers 5 to 95 degrees and 0 to 700 km") as raised:
        travel_times().arrivals(distance_deg, depth_km)
    assert str(distance_deg) in str(raised.value) and str(depth_km) in str(raised.value)
