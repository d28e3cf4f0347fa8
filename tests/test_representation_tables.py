"""Tables and evidence from hidden states with planted differences: signs, tests, and every poor study."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from barnlib.analyses import layer_estimates, verdicts
from barnlib.analyses import representation_tables as steady
from barnlib.analyses.evidence import Evidence
from barnlib.analyses.jackknife import jackknifed
from tests.small_states import COUNT, records, write, write_study


def of_all(table):
    return table[table["task"].isna()]


@pytest.mark.parametrize("view", ["noise", "paraphrase"])
def test_the_backbone_that_moves_less_is_found(state_runs, view):
    (row,) = of_all(steady.compared(layer_estimates.displaced(state_runs, view))).itertuples()
    assert (row.a, row.b, row.seeds) == ("b0", "b1", 3)
    assert row.p < 0.01 and row.high < 0


def test_backbones_that_move_alike_are_not_told_apart(tmp_path):
    """Six seeds of one backbone, three of them under another name."""
    items = {"test": records("test", COUNT), "train": [], "validation": []}
    runs = [write(tmp_path / f"{seed}", items, seed=seed) for seed in range(6)]
    runs = [replace(run, backbone=f"b{run.seed // 3}", seed=run.seed % 3) for run in runs]
    moved = [layer_estimates.displaced(runs, view) for view in ("noise", "blur")]
    table = pd.concat([steady.compared(estimates) for estimates in moved])
    assert (table["p"] > 0.01).all() and table["estimate"].abs().max() < 0.02


def test_drift_and_agreement_are_found(state_runs):
    (drift,) = of_all(steady.compared(layer_estimates.drifted(state_runs))).itertuples()
    (seeds,) = of_all(steady.compared(layer_estimates.agreement(state_runs))).itertuples()
    assert drift.high < 0 and seeds.low > 0


def test_a_figure_is_the_plain_mean_over_layers_tasks_and_seeds(state_runs):
    estimates = layer_estimates.displaced(state_runs, "noise")
    found = steady.summary_table(estimates).set_index(["backbone", "task"])["estimate"]
    for backbone in ("b0", "b1"):
        tasks = {
            task: np.mean([layer.values for layer in layers])
            for (name, task), layers in estimates.items()
            if name == backbone
        }
        for task, mean in tasks.items():
            assert found[backbone, task] == pytest.approx(mean)
        whole = found[backbone]
        assert whole[whole.index.isna()].item() == pytest.approx(np.mean(list(tasks.values())))


def test_a_difference_is_newer_less_older_for_every_pair():
    pictures = [f"{n}.png" for n in range(6)]
    estimates = {
        (backbone, "vqa_scene"): [jackknifed([value], np.full((1, 6), value), pictures)]
        for backbone, value in (("old", 0.5), ("middle", 0.25), ("new", 0.125))
    }
    table = steady.compared(estimates)
    whole = of_all(table).set_index(["a", "b"])["estimate"].to_dict()
    assert whole == {("old", "middle"): -0.25, ("old", "new"): -0.375, ("middle", "new"): -0.125}
    assert len(table) == 6, "each pair for its task and for all tasks"


def test_layers_are_placed_by_relative_depth_without_the_embedding(state_runs):
    table = steady.layer_table(layer_estimates.adjacent(state_runs), first=2)
    depths = table[table["task"] == "vqa_scene"].groupby("backbone")["depth"].apply(list)
    assert depths["b0"] == pytest.approx([2 / 3, 1]) and depths["b1"] == pytest.approx([0.5, 0.75, 1])
    table = steady.layer_table(layer_estimates.displaced(state_runs, "noise"))
    assert table.groupby(["backbone", "task"]).size().unique().tolist() == [3, 4]
    assert table["estimate"].notna().all(), "entry 0 is the same for all items and must not be asked"


def test_even_attention_is_the_share_of_image_tokens(state_runs):
    table = steady.layer_table(layer_estimates.attention_on_image(state_runs))
    assert steady.with_even_attention(table, state_runs)["even attention"].unique().tolist() == [0.5]


def test_evidence_has_a_row_for_every_pair(state_runs):
    estimates = layer_estimates.displaced(state_runs, "noise")
    (whole,) = steady.evidence("displacement_noise", estimates, state_runs)
    (row,) = of_all(steady.compared(estimates)).itertuples()
    assert whole == Evidence(
        claim="C4",
        measure="displacement_noise",
        a="b0",
        b="b1",
        estimate=row.estimate,
        low=row.low,
        high=row.high,
        se=row.se,
        se_runs=row.se_runs,
        p=row.p,
        test=steady.JACKKNIFE,
        n=2 * COUNT,
        images=2 * COUNT,
        seeds=3,
    )


@pytest.mark.parametrize("kind", ["moved", "agree"])
def test_the_verdicts_come_to_the_p_value_of_the_jackknife(state_runs, kind):
    """Without the evidence's own p value they find the same one in its standard errors."""
    estimates = (
        layer_estimates.displaced(state_runs, "noise")
        if kind == "moved"
        else layer_estimates.agreement(state_runs)
    )
    (row,) = steady.evidence(kind, estimates, state_runs)
    side = 0 if row.estimate > 0 else 1
    assert verdicts._p_values(row.model_copy(update={"p": None}), 0.0)[side] == pytest.approx(row.p)
    assert verdicts._p_values(row, 0.0)[side] == pytest.approx(row.p)


@pytest.mark.parametrize(
    ("seeds", "agreement", "noise"),
    [
        (1, "needs two seeds of each backbone", "one seed: the interval speaks of other pictures only"),
        (2, "one pair of seeds: the interval speaks of other pictures only", ""),
    ],
)
def test_few_seeds_are_answered_or_explained(tmp_path, seeds, agreement, noise):
    runs = write_study(tmp_path, seeds=seeds)
    (row,) = steady.evidence("seed_agreement_difference", layer_estimates.agreement(runs), runs)
    assert row.note == agreement and (row.estimate is None) == (seeds == 1)
    assert row.n == (0 if seeds == 1 else 2 * COUNT) and row.seeds == seeds
    (row,) = steady.evidence("displacement_noise", layer_estimates.displaced(runs, "noise"), runs)
    assert row.note == noise and row.estimate is not None


def test_states_that_were_not_kept_are_missing_from_evidence_and_say_so(state_runs):
    (row,) = steady.evidence("displacement_noise", {}, state_runs)
    assert (row.estimate, row.low, row.high, row.p, row.n) == (None, None, None, None, 0)
    assert row.note == "its states were not kept"


def test_one_backbone_has_figures_and_no_comparison(tmp_path):
    runs = write_study(tmp_path, backbones=1, count=8)
    estimates = layer_estimates.displaced(runs, "noise")
    assert len(of_all(steady.summary_table(estimates))) == 1
    assert steady.compared(estimates).empty and steady.evidence("x", estimates, runs) == []


@pytest.mark.parametrize("count", [1, 3])
def test_few_pictures_are_said_to_be_few(tmp_path, count):
    runs = write_study(tmp_path, count=count)
    rows = steady.evidence("drift_difference", layer_estimates.drifted(runs), runs)
    assert [(row.estimate, row.n) for row in rows] == [(None, 2 * count)]
    assert rows[0].note.startswith(f"too few pictures ({2 * count}; alignment needs 6)")
    (row,) = steady.evidence("displacement_noise", layer_estimates.displaced(runs, "noise"), runs)
    assert (row.low is None) == (count == 1), "displacement needs two pictures beside the one left out"
    (row,) = steady.evidence("displacement_paraphrase", layer_estimates.displaced(runs, "paraphrase"), runs)
    assert row.low is None and row.note, "of three items two have another wording, of one none"
    table = steady.layer_table(layer_estimates.adjacent(runs), first=2)
    assert len(table) == 3 * (2 + 3) and table["estimate"].isna().all()


def test_a_task_without_items_is_left_out(tmp_path):
    runs = write_study(tmp_path, tasks=("vqa_scene", "seismic_coordinates"))
    (row,) = steady.evidence("drift_difference", layer_estimates.drifted(runs), runs)
    assert row.estimate is not None and row.n == 2 * COUNT
