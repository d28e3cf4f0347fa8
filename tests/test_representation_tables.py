"""Tables and evidence from hidden states with planted differences: signs, tests, and every poor study."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from barnlib import alignment, state_probes
from barnlib import representation_findings as said
from barnlib import representation_tables as steady
from barnlib.states_table import require_same_items
from tests.small_states import MOVES, records, write

TITLES = {"b0": "Old", "b1": "New"}
STEADY = {**MOVES, "noise": 0.02, "paraphrase": 0.1, "before": 0.1}
COUNT = 24


def study(
    folder,
    *,
    backbones=2,
    seeds=3,
    count=COUNT,
    tasks=("vqa_scene", "seismic_description", "seismic_coordinates"),
):
    """Runs of backbones of different depth and width; the second moves less under noise, words and finetuning."""
    items = {
        "test": records("test", count, tasks),
        "train": records("train", 3 * count, tasks),
        "validation": [],
    }
    return [
        write(
            folder / f"b{b}-seed{s}",
            items,
            backbone=b,
            seed=s,
            layers=3 + b,
            width=16 + 8 * b,
            moves=STEADY if b else MOVES,
            seed_noise=0.1 if b else 0.5,
        )
        for b in range(backbones)
        for s in range(seeds)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return study(tmp_path_factory.mktemp("states"))


def of_all(table):
    return table[table["task"].isna()]


@pytest.mark.parametrize("view", ["noise", "paraphrase"])
def test_the_backbone_that_moves_less_is_found(runs, view):
    (row,) = of_all(steady.compared(steady.displaced(runs, view))).itertuples()
    assert (row.a, row.b, row.seeds) == ("b0", "b1", 3)
    assert row.p < 0.01 and row.high < 0


def test_backbones_that_move_alike_are_not_told_apart(tmp_path):
    """Six seeds of one backbone, three of them under another name."""
    items = {"test": records("test", COUNT), "train": [], "validation": []}
    runs = [write(tmp_path / f"{seed}", items, seed=seed) for seed in range(6)]
    runs = [replace(run, backbone=f"b{run.seed // 3}", seed=run.seed % 3) for run in runs]
    table = pd.concat([steady.compared(steady.displaced(runs, view)) for view in ("noise", "blur")])
    assert (table["p"] > 0.01).all() and table["estimate"].abs().max() < 0.02


def test_drift_and_agreement_are_found(runs):
    (drift,) = of_all(steady.compared(steady.drifted(runs))).itertuples()
    (seeds,) = of_all(steady.compared(steady.agreement(runs))).itertuples()
    assert drift.high < 0 and seeds.low > 0


def test_a_figure_is_the_plain_mean_over_layers_tasks_and_seeds(runs):
    found = of_all(steady.summary_table(steady.displaced(runs, "noise"))).set_index("backbone")["estimate"]
    for backbone in ("b0", "b1"):
        values = []
        for run in runs:
            for task in run.items()["task"].unique():
                clean, moved = (
                    run.array(v, "last_prompt_token", task=task).astype(float) for v in ("clean", "noise")
                )
                for x, y in zip(clean[1:], moved[1:], strict=True):
                    far = ((x[:, None] - y[None]) ** 2).sum(-1)
                    off = far.sum() - np.trace(far)
                    values += [np.trace(far) * (len(x) - 1) / off] if run.backbone == backbone else []
        assert found[backbone] == pytest.approx(np.mean(values))


def test_layers_are_placed_by_relative_depth_without_the_embedding(runs):
    table = steady.layer_table(steady.adjacent(runs), first=2)
    depths = table[table["task"] == "vqa_scene"].groupby("backbone")["depth"].apply(list)
    assert depths["b0"] == pytest.approx([2 / 3, 1]) and depths["b1"] == pytest.approx([0.5, 0.75, 1])
    table = steady.layer_table(steady.displaced(runs, "noise"))
    assert table.groupby(["backbone", "task"]).size().unique().tolist() == [3, 4]
    assert table["estimate"].notna().all(), "entry 0 is the same for all items and must not be asked"


def test_items_without_a_paraphrase_are_left_out(runs):
    table = steady.summary_table(steady.displaced(runs, "paraphrase"))
    assert set(table.loc[table["task"] == "vqa_scene", "images"]) == {COUNT - 1}
    assert table["estimate"].notna().all()


def test_agreement_is_the_mean_over_pairs_of_seeds(runs):
    from barnlib.representations import cka, gram

    found = steady.agreement(runs)["b0", "vqa_scene"][0]
    grams = [gram(run.layer(1, "clean", "last_prompt_token", task="vqa_scene")) for run in runs[:3]]
    pairs = [cka(grams[i], grams[j])[0] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.values.mean() == pytest.approx(np.mean(pairs))
    assert found.values[0] == pytest.approx(
        3 * np.mean(pairs) - 2 * pairs[2]
    )  # seed 0 left out leaves the pair 1, 2


def test_evidence_has_a_row_for_every_pair(runs):
    (whole,) = steady.evidence("displacement_noise", steady.displaced(runs, "noise"), runs)
    assert whole.task is None
    assert (whole.claim, whole.a, whole.b, whole.n, whole.seeds) == ("C4", "b0", "b1", 2 * COUNT, 3)
    assert whole.high < 0 and whole.p < 0.01 and "jackknife" in whole.test and whole.note == ""


@pytest.mark.parametrize(("seeds", "said_of"), [(1, "needs two seeds"), (2, "one pair of seeds")])
def test_few_seeds_are_answered_or_explained(tmp_path, seeds, said_of):
    runs = study(tmp_path, seeds=seeds)
    rows = steady.evidence("seed_agreement_difference", steady.agreement(runs), runs)
    assert said_of in rows[-1].note and (rows[-1].estimate is None) == (seeds == 1)
    noise = steady.evidence("displacement_noise", steady.displaced(runs, "noise"), runs)[-1]
    assert noise.estimate is not None and ("one seed" in noise.note) == (seeds == 1)
    aligned = alignment.layer_alignment(runs)
    assert {(a, b) for a, b in zip(aligned["a"], aligned["b"], strict=True)} == (
        {("b0", "b1")} if seeds == 1 else {("b0", "b1"), ("b0", "b0"), ("b1", "b1")}
    )


def test_one_backbone_has_figures_and_no_comparison(tmp_path):
    runs = study(tmp_path, backbones=1)
    estimates = steady.displaced(runs, "noise")
    assert len(of_all(steady.summary_table(estimates))) == 1
    assert steady.compared(estimates).empty and steady.evidence("x", estimates, runs) == []
    assert alignment.neighbour_table(runs, np.random.default_rng(0), 10).empty
    assert said.steadier_line(steady.compared(estimates), "noise", TITLES, more=False).endswith(
        "nothing to compare."
    )


@pytest.mark.parametrize("count", [1, 3])
def test_few_pictures_are_said_to_be_few(tmp_path, count):
    runs = study(tmp_path, count=count)
    rows = steady.evidence("drift_difference", steady.drifted(runs), runs)
    assert all(row.estimate is None and "too few pictures" in row.note for row in rows)
    steady.evidence("displacement_paraphrase", steady.displaced(runs, "paraphrase"), runs)
    for table in (
        steady.layer_table(steady.adjacent(runs)),
        alignment.layer_alignment(runs),
        alignment.neighbour_table(runs, np.random.default_rng(0), 10),
        state_probes.probe_table(runs),
    ):
        assert isinstance(table, pd.DataFrame)


def test_a_task_without_items_is_left_out(tmp_path):
    runs = study(tmp_path, tasks=("vqa_scene", "seismic_coordinates"))
    (row,) = steady.evidence("drift_difference", steady.drifted(runs), runs)
    assert row.estimate is not None and row.n == 2 * COUNT
    assert set(state_probes.probe_table(runs)["target"]) == {
        "answer to the question",
        "latitude",
        "longitude",
    }


def test_measures_of_attention_and_depth(runs):
    table = steady.layer_table(steady.attention_on_image(runs))
    stacked = np.stack([run.measure("image_attention", "vqa_scene") for run in runs[:3]])
    found = table[(table["backbone"] == "b0") & (table["task"] == "vqa_scene")]
    np.testing.assert_allclose(found["estimate"], stacked.mean((0, 2)), rtol=1e-6)
    assert steady.with_even_attention(table, runs)["even attention"].unique().tolist() == [0.5]
    depths = steady.answer_depths(runs)["b1", "vqa_scene"][0]
    assert depths.values[0] == pytest.approx(runs[3].measure("answer_depth", "vqa_scene").mean() / 4)


def test_a_backbone_without_a_measure_is_left_out_and_says_why(tmp_path):
    items = {"test": records("test", 8), "train": [], "validation": []}
    missing = {"image_attention": "attention is 'eager'", "image_share": "attention is 'eager'"}
    runs = [write(tmp_path / "b0", items, absent=missing), write(tmp_path / "b1", items, backbone=1)]
    assert {key[0] for key in steady.attention_on_image(runs)} == {"b1"}
    assert said.absent(runs, "image_attention", TITLES) == "Old: attention is 'eager'"
    assert said.absent(runs, "answer_depth", TITLES) == ""


def test_runs_on_other_items_are_refused(tmp_path):
    runs = [
        write(tmp_path / f"b{n}", {"test": records("test", 8 + n), "train": [], "validation": []}, backbone=n)
        for n in (0, 1)
    ]
    with pytest.raises(ValueError, match="hold hidden states of different items"):
        require_same_items(runs)


def test_alignment_sees_the_shared_points_and_neighbours_beat_chance(runs):
    aligned = alignment.layer_alignment(runs)
    assert len(aligned) == 3 * 4 + 3 * 3 + 4 * 4
    assert (aligned["estimate"] > 0.2).all()
    diagonal = aligned[(aligned["a"] == "b1") & (aligned["a"] == aligned["b"])]
    assert (diagonal[diagonal["layer_a"] == diagonal["layer_b"]]["estimate"] > 0.9).all()
    table = alignment.neighbour_table(runs, np.random.default_rng(0), 99)
    assert (table["p"] == 0.01).all() and (table["estimate"] > table["chance_high"]).all()
    assert table["chance"].mean() == pytest.approx(10 / (COUNT - 1), abs=0.02)


def test_probes_read_what_is_there_and_not_what_is_not(tmp_path):
    items = {"test": records("test", 30), "train": records("train", 90), "validation": []}
    run = write(tmp_path / "b0", items)
    table = state_probes.probe_table([run]).set_index(["target", "depth"])
    assert table.loc["latitude", "estimate"].max() < 0.3  # the points are drawn apart from the places
    assert table.loc["answer to the question", "chance"].unique().tolist() == [0.5]
    target = state_probes.TARGETS[2]
    rows = run.items("test", target.task).to_dict("records")
    truth = np.array([target.value(row) for row in rows])
    errors = state_probes._scored(run, target, 1, "last_prompt_token")
    expected = 1 - errors.sum() / ((truth - truth.mean()) ** 2).sum()
    assert table.loc[("latitude", 1 / 3), "estimate"] == pytest.approx(expected)


def test_a_planted_answer_is_read_perfectly(tmp_path, monkeypatch):
    items = {"test": records("test", 30), "train": records("train", 60), "validation": []}
    run = write(tmp_path / "b0", items)

    def planted(self, entry, view, position, *, split="test", task=None):
        rows = self.items(split, task)
        signal = np.array(
            [[a == "yes", f.get("latitude", 0.0)] for a, f in zip(rows["answer"], rows["facts"], strict=True)]
        )
        return np.hstack([signal, np.random.default_rng(0).normal(size=(len(rows), 3))]).astype(np.float32)

    monkeypatch.setattr(type(run), "layer", planted)
    table = state_probes.probe_table([run]).groupby("target")["estimate"].min()
    assert table["answer to the question"] == 1.0 and table["magnitude class"] == 1.0
    assert table["latitude"] > 0.99


def test_words_only_among_the_choices():
    target = state_probes.TARGETS[0]
    words = np.array(["blue", "no", "yes"])
    guesses = np.array([[9.0, 1.0, 2.0], [9.0, 1.0, 2.0], [9.0, 1.0, 2.0]])
    items = [
        {"choices": ["yes", "no"], "answer": "yes"},
        {"choices": [], "answer": "blue"},
        {"choices": ["green"], "answer": "green"},
    ]
    assert state_probes._hits(guesses, words, items, target).tolist() == [1.0, 1.0, 0.0]


def test_lines_say_who_is_steadier(runs):
    line = said.steadier_line(steady.compared(steady.displaced(runs, "noise")), "noise", TITLES, more=False)
    assert line.startswith("**noise**: New is steadier than Old (difference -")
    line = said.steadier_line(steady.compared(steady.agreement(runs)), "seeds", TITLES, more=True)
    assert line.startswith("**seeds**: New is steadier than Old (difference +")
    old, new = TITLES
    for low, high, more, expected in (
        (-0.1, 0.1, False, "no difference between New and Old is apart from zero"),
        (0.1, 0.3, False, "New is less steady than Old"),
        (0.1, 0.3, True, "New is steadier than Old"),
        (-0.3, -0.1, True, "New is less steady than Old"),
    ):
        ends = {"estimate": (low + high) / 2, "low": low, "high": high}
        table = pd.DataFrame([{"a": old, "b": new, "task": None, **ends}])
        assert expected in said.steadier_line(table, "blur", TITLES, more=more)


def test_titles_of_layers_keep_accuracy_and_r2_apart():
    old, new = TITLES
    rows = [(old, "word", "accuracy", 0.25), (new, "word", "accuracy", 0.5), (old, "latitude", "R²", -0.18)]
    table = pd.DataFrame(rows, columns=["backbone", "target", "measure", "estimate"]).assign(depth=1.0)
    assert said.probe_title(table, TITLES) == (
        "In the last layer: accuracy from 0.25 (Old, word) to 0.50 (New, word); R² -0.18 (Old, latitude)"
    )
    assert said.last_layer_title(table.iloc[:2], "target", TITLES) == (
        "In the last layer: from 25% (Old, word) to 50% (New, word)"
    )
    assert said.probe_title(table.iloc[:0], TITLES) == said.NOTHING


def test_neighbours_are_counted_by_pair_and_task():
    table = pd.DataFrame({"estimate": [0.5, 0.2, 0.1], "chance_high": [0.3, 0.3, 0.1]})
    assert said.neighbour_title(table).startswith("In 1 of 3 comparisons, a pair on a task,")


def test_the_share_of_another_picture(runs):
    table = said.by_view({v: steady.summary_table(steady.displaced(runs, v)) for v in said.VIEW_TITLES})
    shares = said.share_of_swap(table).set_index(["backbone", "view"])["share"]
    whole = table[table["task"].isna()].set_index(["backbone", "view"])["estimate"]
    assert shares["b0", "blurred picture"] == pytest.approx(
        whole["b0", "blurred picture"] / whole["b0", "another picture"]
    )
    assert len(shares) == 6
