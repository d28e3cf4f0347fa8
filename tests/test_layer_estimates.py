"""Statistics of hidden states with planted differences, against the same sums written out."""

from itertools import combinations

import numpy as np
import pytest

from barnlib.analyses import layer_estimates
from barnlib.analyses.representations import cka, gram
from tests.small_states import COUNT, records, write, write_study


def test_displacement_is_that_of_each_run_task_and_layer(state_runs):
    found = layer_estimates.displaced(state_runs, "noise")
    assert list(found) == [
        (backbone, task)
        for backbone in ("b0", "b1")
        for task in ("vqa_scene", "seismic_description", "seismic_coordinates")
    ]
    for (backbone, task), layers in found.items():
        runs = [run for run in state_runs if run.backbone == backbone]
        assert len(layers) == runs[0].layers
        for entry, layer in enumerate(layers, 1):
            for run, value in zip(runs, layer.values, strict=True):
                x, y = (
                    run.layer(entry, view, "last_prompt_token", task=task).astype(float)
                    for view in ("clean", "noise")
                )
                far = ((x[:, None] - y[None]) ** 2).sum(-1)
                others = far.sum() - np.trace(far)
                assert value == pytest.approx(np.trace(far) * (len(x) - 1) / others)


def test_items_without_a_paraphrase_are_left_out(state_runs):
    (layer, *_) = layer_estimates.displaced(state_runs, "paraphrase")["b0", "vqa_scene"]
    assert len(layer.pictures) == COUNT - 1 and "images/test/scene-0.png" not in layer.pictures
    assert np.isfinite(layer.values).all()


def test_drift_is_what_the_alignment_before_and_after_lacks(state_runs):
    run = state_runs[0]
    layer = layer_estimates.drifted(state_runs)["b0", "seismic_description"][1]
    sides = [
        gram(run.layer(2, view, "last_prompt_token", task="seismic_description"))
        for view in ("before", "clean")
    ]
    assert layer.values[0] == pytest.approx(1 - cka(*sides)[0]) and 0 < layer.values[0] < 1
    without = 1 - cka(*sides)[1]
    influence = np.sqrt((COUNT - 1) / COUNT) * (without.mean() - without)
    np.testing.assert_allclose(layer.influence[0], influence)


def test_adjacent_layers_begin_with_the_second(state_runs):
    found = layer_estimates.adjacent(state_runs)
    assert [len(found[name, "vqa_scene"]) for name in ("b0", "b1")] == [2, 3]
    grams = [
        gram(state_runs[0].layer(entry, "clean", "last_prompt_token", task="vqa_scene")) for entry in (1, 2)
    ]
    assert found["b0", "vqa_scene"][0].values[0] == pytest.approx(cka(*grams)[0])


def test_a_single_layer_has_no_neighbour(tmp_path):
    items = {"test": records("test", 8), "train": [], "validation": []}
    assert layer_estimates.adjacent([write(tmp_path, items, layers=1)]) == {}


def test_agreement_is_the_mean_over_pairs_of_seeds(state_runs):
    found = layer_estimates.agreement(state_runs)["b0", "vqa_scene"][0]
    grams = [gram(run.layer(1, "clean", "last_prompt_token", task="vqa_scene")) for run in state_runs[:3]]
    pairs = [cka(a, b)[0] for a, b in combinations(grams, 2)]
    assert found.values.mean() == pytest.approx(np.mean(pairs))
    # seed 0 left out leaves the pair of 1 and 2
    assert found.values[0] == pytest.approx(3 * np.mean(pairs) - 2 * pairs[2])


@pytest.mark.parametrize(("seeds", "rows"), [(1, None), (2, 1)])
def test_agreement_needs_two_seeds(tmp_path, seeds, rows):
    found = layer_estimates.agreement(write_study(tmp_path, seeds=seeds, count=8, backbones=1))
    assert [len(layer.values) for layers in found.values() for layer in layers] == [rows] * (9 if rows else 0)


def test_attention_and_answer_depth_are_means_over_items(state_runs):
    layers = layer_estimates.attention_on_image(state_runs)["b0", "vqa_scene"]
    masses = [run.measure("image_attention", "vqa_scene") for run in state_runs[:3]]
    for layer, expected in zip(layers, np.stack(masses).mean(2).T, strict=True):
        np.testing.assert_allclose(layer.values, expected, rtol=1e-6)
    (depth,) = layer_estimates.answer_depths(state_runs)["b1", "vqa_scene"]
    run = state_runs[3]
    assert depth.values[0] == pytest.approx(run.measure("answer_depth", "vqa_scene").mean() / run.layers)
    assert run.layers == 4


def test_a_backbone_without_a_measure_is_left_out(tmp_path):
    items = {"test": records("test", 8), "train": [], "validation": []}
    missing = {"image_attention": "attention is 'eager'", "answer_depth": "no head"}
    runs = [write(tmp_path / "b0", items, absent=missing), write(tmp_path / "b1", items, backbone=1)]
    assert {key[0] for key in layer_estimates.attention_on_image(runs)} == {"b1"}
    assert {key[0] for key in layer_estimates.answer_depths(runs)} == {"b1"}


def test_a_task_without_items_is_left_out(tmp_path):
    runs = write_study(tmp_path, tasks=("seismic_coordinates", "vqa_scene"), count=6, seeds=1, backbones=1)
    assert list(layer_estimates.by_task(runs)) == [("b0", "vqa_scene"), ("b0", "seismic_coordinates")]


def test_a_mean_of_shares_leaves_out_one_after_the_other():
    values = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.25]])
    found = layer_estimates.of_means(values, ["a", "b", "c"])
    np.testing.assert_allclose(found.values, values.mean(1))
    left = np.array([[np.delete(row, n).mean() for n in range(3)] for row in values])
    np.testing.assert_allclose(found.influence, np.sqrt(2 / 3) * (left.mean(1, keepdims=True) - left))
    assert found.bounds == (0.0, 1.0)
    assert layer_estimates.of_means(np.array([[0.5]]), ["a"]).values.tolist() == [0.5]
