"""A run is trained in the right order, is exactly resumable, and refuses what would spoil it."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from barnlib import checkpoints, finetune, ledger
from barnlib.artefacts import single_writer
from barnlib.assembly import WEIGHTS, assemble
from barnlib.data.build import load_items
from barnlib.data.records import TASKS
from barnlib.model import trained_state
from barnlib.order import order_digest
from barnlib.processes import ALONE, Processes
from tests.in_processes import REPORT
from tests.small_model import untrained_model
from tests.two_processes import entry

PREFLIGHT = finetune._preflight  # before the fixture replaces it
pytestmark = pytest.mark.usefixtures("no_preflight")


class Killed(Exception):
    """Stands for the process's end."""


@pytest.fixture(scope="module")
def runs(tiny_study, no_preflight):
    """Folders of three finished runs by (backbone, seed)."""
    wanted = [("plain", 0), ("grouped", 0), ("plain", 1)]
    return {run: finetune.train_run(tiny_study, *run) for run in wanted}


def test_a_run_folder_holds_weights_history_and_ledger_and_no_checkpoint(runs, tiny_study):
    folder = runs["plain", 0]
    assert folder == tiny_study.folder / "train" / "plain-seed0"
    names = ["history.csv", "ledger.json", "manifest.json", "trained.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_runs_are_controlled_and_see_the_same_order(runs, tiny_study):
    ledger.require_controlled([entry(folder) for folder in runs.values()])
    plain, grouped, other = (entry(folder) for folder in runs.values())
    assert plain["order"] == grouped["order"] != other["order"]
    assert plain["projector"]["initial"] == grouped["projector"]["initial"] != other["projector"]["initial"]
    assert plain["lora"]["parameters"] > grouped["lora"]["parameters"]
    stages = finetune.plan(assemble(tiny_study, "plain"), 0)
    assert plain["order"] == {stage.name: order_digest(stage.batches) for stage in stages}


def test_who_shares_a_model_looks_at_all_items_and_others_at_their_part(tiny_study):
    parts = assemble(tiny_study, "plain")
    for processes, expected in ((Processes(2, 1), Processes(2, 1)), (Processes(2, 1, sharded=True), ALONE)):
        for stage in finetune.plan(parts, 0, processes):
            assert stage.look.__self__._processes == expected


def test_dropout_must_not_depend_on_the_number_of_processes(tiny_study):
    lora = tiny_study.finetune.lora.model_copy(update={"dropout": 0.1})
    tuning = tiny_study.finetune.model_copy(update={"lora": lora, "batch_images": 16})
    compute = tiny_study.compute.model_copy(update={"images_at_once": 6})
    study = tiny_study.model_copy(update={"finetune": tuning, "compute": compute})
    with pytest.raises(ValueError, match=r"tiny\.yaml.*'compute\.images_at_once' 6, expected at most 4"):
        finetune.train_run(study, "plain", 0, processes=4)


@pytest.mark.parametrize(("sharded", "asked"), [(False, 0), (True, 1)])
def test_who_shares_a_model_takes_part_in_the_preflight_and_others_hear_of_it(
    tiny_study, tmp_path, monkeypatch, sharded, asked
):
    """What process 1 does of two, up to its first step."""
    parts, processes, seen = assemble(tiny_study, "plain"), Processes(2, 1, sharded), []
    monkeypatch.setattr(Processes, "on_main", lambda self, work: work() if self.size == 1 else dict(REPORT))
    monkeypatch.setattr(finetune.sharding, "place", lambda *given: seen.append(given[1:]))
    monkeypatch.setattr(finetune, "_preflight", lambda *given: seen.append(given[3]) or dict(REPORT))

    def stop(self, tensors):
        raise Killed

    monkeypatch.setattr(finetune.Loop, "train", stop)
    with pytest.raises(Killed):
        finetune._train(parts, 0, tmp_path / "plain-seed0", {}, processes)
    assert seen == [(parts.device, processes)] + [processes] * asked


def test_a_changed_learning_rate_is_found_by_the_ledger(runs, tiny_study):
    changed = tiny_study.finetune.model_copy(update={"learning_rate": 0.001})
    study = tiny_study.model_copy(update={"finetune": changed})
    folder = finetune.train_run(study, "grouped", 1)
    message = r"1 field\(s\) differ(?s:.*)configuration\.finetune\.learning_rate"
    with pytest.raises(ledger.ControlError, match=message):
        ledger.require_controlled([entry(runs["plain", 1]), entry(folder)])


def test_history_has_a_row_for_each_step_and_the_looks(runs):
    history = pd.read_csv(runs["plain", 0] / "history.csv")
    steps = history[history["loss"].notna()]
    assert steps["step"].tolist() == list(range(1, 9))  # 12 pictures / 4, then 18 / 4
    assert steps["stage"].tolist() == ["align"] * 3 + ["finetune"] * 5
    assert steps["images"].tolist() == [4, 8, 12, 16, 20, 24, 28, 30]
    assert (steps["learning_rate"] > 0).all() and (steps["gradient_norm"] > 0).all()
    assert history.loc[history["caption_nats"].notna(), "step"].tolist() == [0, 3]
    for task in TASKS:
        looks = history[history[f"{task}_nats"].notna()]
        assert looks["step"].tolist() == [3, 5, 8] and looks["stage"].tolist() == ["finetune"] * 3
        assert looks[f"{task}_score"].between(0, 1).all() and looks[f"{task}_accuracy"].between(0, 1).all()


def test_both_parts_are_trained(runs, tiny_study):
    start = trained_state(untrained_model(assemble(tiny_study, "plain"), 0))
    end = load_file(runs["plain", 0] / WEIGHTS)
    assert start.keys() == end.keys()
    assert not any(torch.equal(start[name], end[name]) for name in start if "lora_A" not in name)


def interrupted(study, seed, after, monkeypatch):
    """Train with a checkpoint after every step until number ``after`` is written; returns what it holds."""
    ticks = iter(range(0, 10**12, 10**6))
    original, count = checkpoints.save, []

    def save(*arguments):
        original(*arguments)
        count.append(1)
        if len(count) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("barnlib.loop.monotonic", lambda: next(ticks))
        patch.setattr(checkpoints, "save", save)
        with pytest.raises(Killed):
            finetune.train_run(study, "plain", seed)
    (kept,) = (study.folder / "train" / f"plain-seed{seed}" / "checkpoints").iterdir()
    return checkpoints.latest(kept)


def test_a_resumed_run_is_bit_identical(tiny_study, monkeypatch):
    folder = finetune.train_run(tiny_study, "plain", 7)
    weights, history = (folder / WEIGHTS).read_bytes(), pd.read_csv(folder / "history.csv")
    shutil.rmtree(folder)
    tensors, progress = interrupted(tiny_study, 7, 2, monkeypatch)
    assert (progress["stage"], progress["step"]) == (0, 2)
    start = trained_state(untrained_model(assemble(tiny_study, "plain"), 7))
    lora = [name for name in start if "lora_" in name]
    assert all(torch.equal(tensors[f"weight.{name}"], start[name]) for name in lora), (
        "alignment left LoRA alone"
    )
    _, progress = interrupted(tiny_study, 7, 4, monkeypatch)  # goes on, and is killed in the other stage
    assert (progress["stage"], progress["step"]) == (1, 3)
    assert finetune.train_run(tiny_study, "plain", 7) == folder
    assert (folder / WEIGHTS).read_bytes() == weights
    resumed = pd.read_csv(folder / "history.csv")
    pd.testing.assert_frame_equal(
        resumed.drop(columns="seconds"), history.drop(columns="seconds"), check_exact=True
    )
    assert resumed["seconds"].is_monotonic_increasing
    assert entry(folder)["tokens"]["supervised_align"] > 0 and not (folder / "checkpoints").exists()


def test_a_finished_run_is_found_and_a_damaged_one_refused(runs, tiny_study, monkeypatch, tmp_path):
    monkeypatch.setattr(finetune, "_train", lambda *arguments: pytest.fail("trained again"))
    folder = runs["plain", 1]
    assert finetune.train_run(tiny_study, "plain", 1) == folder
    file = folder / "history.csv"
    before = file.read_bytes()
    file.write_bytes(before + b"x")
    with pytest.raises(ValueError, match=r"plain-seed1/history\.csv: expected SHA-256"):
        finetune.train_run(tiny_study, "plain", 1)
    file.write_bytes(before)


def test_a_second_writer_and_a_foreign_backbone_are_refused(tiny_study):
    with (
        single_writer(tiny_study.folder / "train" / "plain-seed5"),
        pytest.raises(RuntimeError, match="plain-seed5 is being written by another process"),
    ):
        finetune.train_run(tiny_study, "plain", 5)
    with pytest.raises(ValueError, match="backbone 'llama9' is not part of study 'tiny'"):
        finetune.train_run(tiny_study, "llama9", 0)


def test_the_preflight_sees_every_item_and_what_is_trained(tiny_study, monkeypatch):
    seen = {}

    def check(prompter, model, bare, items, rows, groups, features, *, max_new_tokens, learning_rate):
        trainable = {name for name, p in model.named_parameters() if p.requires_grad}
        seen.update(
            items=items,
            groups=groups,
            trainable=trainable,
            limit=max_new_tokens,
            rate=learning_rate,
            bare=type(bare).__name__,
        )
        return {"checked": True}

    monkeypatch.setattr(finetune.preflight, "check", check)
    parts = assemble(tiny_study, "plain")
    _, stage = finetune.plan(parts, 0)
    assert PREFLIGHT(parts, untrained_model(parts, 0), stage) == {"checked": True}
    assert [item.id for item in seen["items"]] == [item.id for item in load_items(tiny_study, "train")]
    assert sum(len(turns) for _, turns in seen["groups"]) == len(seen["items"])
    assert seen["limit"] == 5 and seen["rate"] == 0.002 and seen["bare"] == "LlamaForCausalLM"
    assert {"lora" in name or "projector" in name for name in seen["trainable"]} == {True}


def test_loss_falls_when_there_is_something_to_learn(runs):
    history = pd.read_csv(runs["plain", 0] / "history.csv")
    assert np.isfinite(history["loss"].dropna()).all()
    assert history["caption_nats"].dropna().iloc[-1] < history["caption_nats"].dropna().iloc[0]
