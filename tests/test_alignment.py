"""Alignment of layers and shared neighbours, against the definitions written out, item by item."""

from itertools import combinations, permutations

import numpy as np
import pytest

from barnlib.analyses import alignment
from tests.small_states import COUNT, write_study

POSITION = "last_prompt_token"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Two backbones, two seeds each, few enough items to go through all fours of them."""
    return write_study(tmp_path_factory.mktemp("few"), seeds=2, count=7, tasks=("vqa_scene",))


def hsic(k, l):  # noqa: E741, the names of the paper
    """The U-statistic over all fours of different items (Song et al. 2012, theorem 2)."""
    i, j, q, r = np.array(list(permutations(range(len(k)), 4))).T
    return np.mean(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]))


def cka(x, y):
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def states(run, entry):
    return run.layer(entry, "clean", POSITION, task="vqa_scene").astype(np.float64)


def test_layers_are_aligned_seed_by_seed_and_one_backbone_with_its_own_seeds(few):
    table = alignment.layer_alignment(few)
    old, new = few[:2], few[2:]
    assert len(table) == 3 * 4 + 3 * 3 + 4 * 4
    for row in table.itertuples():
        sides = {"b0": old, "b1": new}
        pairs = combinations(sides[row.a], 2) if row.a == row.b else zip(old, new, strict=True)
        expected = [cka(states(one, row.layer_a), states(other, row.layer_b)) for one, other in pairs]
        assert row.estimate == pytest.approx(np.mean(expected), rel=1e-9)
        assert row.depth_a == row.layer_a / (3 if row.a == "b0" else 4)
        assert row.depth_b == row.layer_b / (3 if row.b == "b0" else 4)
        assert (row.images, row.seeds) == (7, 1 if row.a == row.b else 2)


def test_the_points_that_all_runs_share_are_seen_in_every_layer(state_runs):
    table = alignment.layer_alignment(state_runs)
    assert (table["estimate"] > 0.2).all() and (table["images"] == 2 * COUNT).all()
    own = table[(table["a"] == "b1") & (table["b"] == "b1") & (table["layer_a"] == table["layer_b"])]
    assert len(own) == 4 and (own["estimate"] > 0.9).all()


def test_one_seed_has_nothing_to_be_aligned_with_but_the_other_backbone(tmp_path):
    table = alignment.layer_alignment(write_study(tmp_path, seeds=1, count=7))
    assert set(zip(table["a"], table["b"], strict=True)) == {("b0", "b1")} and (table["seeds"] == 1).all()


def nearest(x, k):
    """For each item the set of its nearest by cosine, one by one."""
    x = x - x.mean(0)
    found = []
    for item in range(len(x)):
        cosine = [
            -np.inf
            if other == item
            else x[item] @ x[other] / np.linalg.norm(x[item]) / np.linalg.norm(x[other])
            for other in range(len(x))
        ]
        found.append(set(np.argsort(cosine)[::-1][:k].tolist()))
    return found


def overlap(one, other):
    return np.mean([len(a & b) / len(a) for a, b in zip(one, other, strict=True)])


def test_shared_neighbours_and_their_chance_are_counted_item_by_item(few):
    (row,) = alignment.neighbour_table(few, np.random.default_rng(3), 40).itertuples()
    assert (row.a, row.b, row.task, row.k) == ("b0", "b1", "vqa_scene", 3), "10 of 6 others are too many"
    sides = [(nearest(states(few[seed], 3), 3), nearest(states(few[2 + seed], 4), 3)) for seed in (0, 1)]
    assert row.estimate == pytest.approx(np.mean([overlap(one, other) for one, other in sides]))
    rng, chance = np.random.default_rng(3), []
    for _ in range(40):
        drawn = rng.permutation(7).tolist()  # item n of the second backbone becomes item drawn.index(n)
        exchanged = [
            (one, [{drawn.index(near) for near in other[drawn[item]]} for item in range(7)])
            for one, other in sides
        ]
        chance.append(np.mean([overlap(one, other) for one, other in exchanged]))
    assert row.chance == pytest.approx(np.mean(chance))
    assert (row.chance_low, row.chance_high) == pytest.approx(tuple(np.quantile(chance, [0.025, 0.975])))
    assert row.p == pytest.approx((1 + np.sum(np.array(chance) >= row.estimate - 1e-9)) / 41)


def test_neighbours_of_backbones_that_see_the_same_beat_chance(state_runs):
    table = alignment.neighbour_table(state_runs, np.random.default_rng(0), 99)
    assert table["task"].tolist() == ["vqa_scene", "seismic_description", "seismic_coordinates"]
    assert (table["k"] == 10).all() and (table["p"] == 0.01).all()
    assert (table["estimate"] > table["chance_high"]).all()
    assert table["chance"].mean() == pytest.approx(10 / (COUNT - 1), abs=0.02)


def test_one_backbone_has_no_other_to_compare(tmp_path):
    runs = write_study(tmp_path, backbones=1, seeds=1, count=7)
    tables = alignment.layer_alignment(runs), alignment.neighbour_table(runs, np.random.default_rng(0), 9)
    assert [len(table) for table in tables] == [0, 0]
    assert {"estimate", "layer_a", "depth_b"} <= set(tables[0]) and {"chance", "k", "p"} <= set(tables[1])


@pytest.mark.parametrize(("count", "rows"), [(1, 0), (2, 0), (3, 3)])
def test_few_pictures_have_no_alignment_and_fewer_than_three_no_neighbours(tmp_path, count, rows):
    runs = write_study(tmp_path, seeds=1, count=count)
    assert alignment.layer_alignment(runs)["estimate"].isna().all()
    assert len(alignment.neighbour_table(runs, np.random.default_rng(0), 9)) == rows
