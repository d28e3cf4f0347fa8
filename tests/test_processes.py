"""Two processes train the run of one: the same steps, and sums that differ by rounding."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from barnlib import checkpoints, finetune, launch, ledger, parameters
from barnlib.assembly import WEIGHTS
from barnlib.processes import ALONE, Processes, _buckets, joined
from tests.in_processes import CODE, IMPORTS
from tests.two_processes import LOSS, entry, named, train_two


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", IMPORTS)


class TestAlone:
    def test_one_process_does_everything_and_asks_nobody(self, monkeypatch):
        monkeypatch.setattr("barnlib.processes.PartialState", lambda **given: pytest.fail("a group"))
        assert ALONE.main and ALONE.map([1, 2, 3], str) == ["1", "2", "3"]
        assert ALONE.on_main(lambda: 5) == 5
        assert Processes(2, 1).apart == Processes(2, 1)
        assert Processes(2, 1, sharded=True).apart is ALONE, "nobody is asked: the others do it too"
        unused = torch.nn.Parameter(torch.zeros(1))
        ALONE.add_gradients([unused])
        assert unused.grad is None
        ALONE.require_same(lambda: pytest.fail("asked"), "anything")

    @pytest.mark.parametrize("found", ["1", "3"])
    def test_another_number_of_processes_is_refused(self, monkeypatch, found):
        monkeypatch.setenv("WORLD_SIZE", found)
        with (
            pytest.raises(RuntimeError, match=f"expected 2 processes, found {found}; start them with"),
            joined(2),
        ):
            pass

    def test_a_group_of_another_size_is_refused(self, monkeypatch):
        """What accelerate makes of an environment that it does not understand: a group of one."""
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setattr("barnlib.processes.threading.Thread.start", lambda self: None)
        monkeypatch.setattr("barnlib.processes.PartialState", lambda **given: Processes(1))
        monkeypatch.setattr(Processes, "num_processes", 1, raising=False)
        with pytest.raises(RuntimeError, match="expected a group of 2 processes, found one of 1"), joined(2):
            pass

    @pytest.mark.parametrize("name", parameters.study_names())
    def test_a_study_reaches_the_processes_as_it_is(self, name):
        study = parameters.load_study(name)
        assert parameters.Study.model_validate_json(study.model_dump_json()) == study

    def test_buckets_keep_the_order_the_limit_and_the_dtype(self, monkeypatch):
        monkeypatch.setattr("barnlib.processes.BUCKET", 5)
        tensors = [
            torch.zeros(n, dtype=d) for n, d in [(2, torch.float32), (3, torch.float32), (1, torch.float32)]
        ]
        tensors += [torch.zeros(9), torch.zeros(1, dtype=torch.bfloat16)]
        assert [[len(t) for t in bucket] for bucket in _buckets(tensors)] == [[2, 3], [1], [9], [1]]
        assert list(_buckets([])) == []


@pytest.mark.slow
class TestTwoProcesses:
    def test_every_operation_gives_every_process_the_same(self, tmp_path):
        launch.launch("in_processes", ["collectives", str(tmp_path)], 2)
        first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
        assert first == second
        assert first["map"] == [[0, 0], [1, 1], [2, 0], [3, 1], [4, 0]] and first["few"] == ["ONE"]
        assert first["main"] == "from 0"
        assert first["gradients"] == [[[3, 3], [3, 3]], [[1, 0], [0, 1]], None]
        assert "the value should be the same in all 2 processes" in first["differs"]
        assert "mine 0 in process 0, mine 1 in process 1" in first["differs"]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """As in test_finetune."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "_preflight", lambda *arguments: {"items": 24})
        patch.setattr(ledger, "code", lambda start: dict(CODE))
        yield


@pytest.fixture(scope="module")
def one(tiny_study, quiet) -> Path:
    return finetune.train_run(named(tiny_study, "one"), "plain", 0)


@pytest.fixture(scope="module")
def two(tiny_study, quiet) -> Path:
    return train_two(named(tiny_study, "two"))


@pytest.mark.slow
class TestTraining:
    def test_losses_looks_and_weights_are_those_of_one_process(self, one, two):
        alone, together = (pd.read_csv(folder / "history.csv") for folder in (one, two))
        assert together.columns.tolist() == alone.columns.tolist() and len(together) == len(alone)
        for column in ("loss", "gradient_norm", "caption_nats", "vqa_scene_nats"):
            values = together[column].dropna().tolist()
            assert values == pytest.approx(alone[column].dropna().tolist(), **LOSS) and values
        exact = ["stage", "step", "images", "learning_rate"]
        pd.testing.assert_frame_equal(together[exact], alone[exact], check_exact=True)
        ours, theirs = load_file(two / WEIGHTS), load_file(one / WEIGHTS)
        assert ours.keys() == theirs.keys()
        moved = max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
        assert moved < 1e-3 * 0.002 * len(alone), "a thousandth of what the steps can move a weight"

    def test_the_first_loss_is_the_same_to_the_bit(self, one, two):
        """Packs are those of one process, and what each of them gives is added up in their order."""
        first, second = (
            pd.read_csv(folder / "history.csv")["loss"].dropna().iloc[0] for folder in (one, two)
        )
        assert first == second

    def test_the_ledger_is_clean_and_says_how_many_trained(self, one, two, tiny_study):
        alone, together = entry(one), entry(two)
        assert (alone["hardware"]["processes"], together["hardware"]["processes"]) == (1, 2)
        for field in ("order", "tokens", "projector", "lora", "prompts", "configuration", "preflight"):
            assert together[field] == alone[field]
        other = entry(finetune.train_run(named(tiny_study, "two"), "grouped", 0))
        table = ledger.require_controlled([together, other]).set_index("field")["verdict"]
        assert table["hardware.processes"] == ledger.UNAVOIDABLE and table["order.finetune"] == ledger.SAME

    def test_a_finished_run_is_found_by_any_number_of_processes(self, two, tiny_study, monkeypatch):
        monkeypatch.setattr(finetune, "_train", lambda *arguments: pytest.fail("trained again"))
        assert finetune.train_run(named(tiny_study, "two"), "plain", 0) == two

    def test_a_killed_run_goes_on_bit_for_bit(self, two, tiny_study):
        study = named(tiny_study, "killed")
        # whichever is seen first: that one was killed, or that the other one lost its connection to it
        seen = r"(SIGKILL|-9|[Cc]onnection (closed|reset))"
        with pytest.raises(RuntimeError, match=rf"one of 2 processes failed: (?s:.*){seen}"):
            train_two(study, spoil="kill")
        (kept,) = (study.folder / "train" / "plain-seed0" / "checkpoints").iterdir()
        _, progress = checkpoints.latest(kept)
        assert (progress["stage"], progress["step"]) == (1, 1)
        folder = train_two(study)
        assert (folder / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes()
        resumed, whole = (pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (folder, two))
        pd.testing.assert_frame_equal(resumed, whole, check_exact=True)

    def test_a_process_that_raises_ends_the_run_in_its_own_words_and_one_process_can_go_on(
        self, one, tiny_study, tmp_path, capsys
    ):
        study, raised = named(tiny_study, "raised"), tmp_path / "raised"
        message = "one of 2 processes failed: ValueError: this process cannot go on"
        with pytest.raises(RuntimeError, match=message):
            train_two(study, spoil=f"raise:{raised}")
        assert time.time() - float(raised.read_text()) < 20, "the other one waited for it"
        (kept,) = (study.folder / "train" / "plain-seed0" / "checkpoints").iterdir()
        assert checkpoints.latest(kept)[1]["step"] == 2
        assert "step" in capsys.readouterr().err, "progress reached this process"
        histories = [pd.read_csv(f / "history.csv") for f in (finetune.train_run(study, "plain", 0), one)]
        ended, alone = (history["loss"].dropna().tolist() for history in histories)
        assert ended == pytest.approx(alone, **LOSS)

    def test_one_pack_is_cut_so_that_both_have_a_share(self, tiny_study):
        lora = tiny_study.finetune.lora.model_copy(
            update={"dropout": 0.0}
        )  # smaller packs draw other numbers
        finetuning = tiny_study.finetune.model_copy(update={"lora": lora})
        study = named(tiny_study, "cut", at_once=4).model_copy(update={"finetune": finetuning})
        whole = named(tiny_study, "whole", at_once=4).model_copy(update={"finetune": finetuning})
        alone = finetune.train_run(whole, "plain", 0)
        losses = [pd.read_csv(f / "history.csv")["loss"].dropna() for f in (alone, train_two(study))]
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
