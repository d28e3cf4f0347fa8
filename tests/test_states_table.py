"""The reader of hidden states gives what was written and refuses what is not there."""

import pytest

from barnlib.states_table import require_same_items
from tests.small_states import records, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    items = {"test": records("test", 4), "train": records("train", 6), "validation": []}
    return write(tmp_path_factory.mktemp("run"), items, absent={"answer_depth": "no head"})


def test_a_layer_is_a_row_of_the_whole(run):
    whole = run.array("noise", "last_prompt_token", task="seismic_description")
    assert whole.shape == (run.layers + 1, 4, 16)
    layer = run.layer(2, "noise", "last_prompt_token", task="seismic_description")
    assert layer.dtype == "float32" and (layer == whole[2]).all()
    rows = run.items(task="seismic_description").index
    assert (layer == run.layer(2, "noise", "last_prompt_token")[rows]).all() and rows.tolist() == [4, 5, 6, 7]


def test_what_is_not_there_is_named(run):
    with pytest.raises(
        ValueError, match="no hidden states of split 'heldout'; it has test, train, validation"
    ):
        run.items("heldout")
    with pytest.raises(ValueError, match=r"'test\.clean\.last_prompt_token' has entries 0 to 3, not 4"):
        run.layer(4, "clean", "last_prompt_token")
    with pytest.raises(ValueError, match=r"no 'test\.noise\.image_mean'; there are "):
        run.array("noise", "image_mean")
    assert run.measure("answer_depth") is None and run.absent == {"answer_depth": "no head"}


def test_runs_on_other_items_are_refused(tmp_path):
    runs = [
        write(tmp_path / f"b{n}", {"test": records("test", 8 + n), "train": [], "validation": []}, backbone=n)
        for n in (0, 1)
    ]
    require_same_items(runs[:1])
    with pytest.raises(ValueError, match=r"b1 and .*b0 hold hidden states of different items"):
        require_same_items(runs)
