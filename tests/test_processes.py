"""Two processes train the run of one: the same steps, and sums that differ by rounding."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from barnlib import finetune, launch, ledger, parameters
from barnlib.processes import ALONE, Processes, _buckets, joined
from barnlib.study import Study
from tests.in_processes import IMPORTS
from tests.two_processes import (
    entry,
    history,
    named,
    require_alike,
    require_ended,
    require_resumed,
    train_two,
)


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
        assert Study.model_validate_json(study.model_dump_json()) == study

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


@pytest.fixture(scope="module")
def one(tiny_study, no_preflight) -> Path:
    return finetune.train_run(named(tiny_study, "one"), "plain", 0)


@pytest.fixture(scope="module")
def two(tiny_study, no_preflight) -> Path:
    return train_two(named(tiny_study, "two"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_preflight")
class TestTraining:
    def test_losses_looks_and_weights_are_those_of_one_process(self, one, two):
        require_alike(one, two)

    def test_the_first_loss_is_the_same_to_the_bit(self, one, two):
        """Packs are those of one process, and what each of them gives is added up in their order."""
        first, second = (history(folder)["loss"].dropna().iloc[0] for folder in (one, two))
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
        # whichever is seen first: that one was killed, or that the other one lost its connection to it
        seen = r": (?s:.*)(SIGKILL|-9|[Cc]onnection (closed|reset))"
        require_resumed(named(tiny_study, "killed"), two, seen)

    def test_a_process_that_raises_ends_the_run_in_its_own_words_and_one_process_can_go_on(
        self, one, tiny_study, tmp_path, capsys
    ):
        require_ended(named(tiny_study, "raised"), one, tmp_path)
        assert "step" in capsys.readouterr().err, "progress reached this process"

    def test_one_pack_is_cut_so_that_both_have_a_share(self, tiny_study):
        # smaller packs draw other numbers
        lora = tiny_study.finetune.lora.model_copy(update={"dropout": 0.0})
        finetuning = tiny_study.finetune.model_copy(update={"lora": lora})
        study = named(tiny_study, "cut", at_once=4).model_copy(update={"finetune": finetuning})
        whole = named(tiny_study, "whole", at_once=4).model_copy(update={"finetune": finetuning})
        alone = finetune.train_run(whole, "plain", 0)
        losses = [history(f)["loss"].dropna() for f in (alone, train_two(study))]
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
