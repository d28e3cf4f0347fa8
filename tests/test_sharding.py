"""A model shared out over two processes gives what the whole one gives, and each holds half of it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from barnlib import finetune, launch, ledger, sharding
from barnlib.model import llava
from barnlib.processes import ALONE, Processes
from tests.in_processes import IMPORTS, Odd
from tests.shared_model import KINDS, RATE, models, work
from tests.two_processes import entry, named, require_alike, require_ended, require_resumed, train_two

CPU = torch.device("cpu")
# Two packs' gradients have one sum; their norm adds shares, and differs in the last place. Seen: 2e-9 in a gradient of
# 1e-2, and 9e-7 in a weight, where AdamW divides a small gradient by its own size. A step moves a weight by RATE.
GRADIENT = {"rtol": 1e-5, "atol": 1e-8}
WEIGHT = {"rtol": 0.0, "atol": RATE / 1000}


class TestAlone:
    def test_a_model_without_layers_is_refused_once_devices_have_been_compared(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            Processes, "require_same", lambda self, value, what: asked.append((value(), what))
        )
        with pytest.raises(ValueError, match="Linear has no decoder layers that could be shared out"):
            sharding.shard(nn.Linear(2, 2), CPU, ALONE)
        assert asked == [("cpu", "the kind of device")]

    def test_quantised_weights_are_refused_by_name(self):
        weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.uint8), requires_grad=False)
        with pytest.raises(
            ValueError, match=r"'weight' is of type torch\.uint8; expected.*'sharded' at False"
        ):
            sharding.shard(Odd(weight), CPU, ALONE)

    @pytest.mark.parametrize(("method", "processes"), [("full", 1), ("qlora", 2)])
    def test_one_process_and_4_bit_weights_are_refused_before_anything_is_started(
        self, tiny_study, method, processes
    ):
        finetuning = tiny_study.finetune.model_copy(update={"method": method})
        study = tiny_study.model_copy(update={"finetune": finetuning})
        message = f"found 'processes' {processes} and 'finetune.method: {method}', expected at least 2, and"
        with pytest.raises(ValueError, match=message):
            finetune.train_run(study, "plain", 0, processes=processes, sharded=True)

    @pytest.mark.parametrize("limit", [0.1, 100.0])
    def test_whole_gradients_are_clipped_as_torch_does(self, limit):
        ours, theirs = ([nn.Parameter(torch.ones(n)) for n in (2, 3)] for _ in range(2))
        for one in (*ours, *theirs):
            one.grad = torch.arange(1.0, len(one) + 1)
        norm = sharding.clip_gradients(iter(ours), limit)
        assert norm == torch.nn.utils.clip_grad_norm_(theirs, limit) == pytest.approx(19**0.5)
        assert [one.grad.tolist() for one in ours] == [one.grad.tolist() for one in theirs]

    def test_whole_tensors_stay_what_they_are(self):
        weight = nn.Parameter(torch.ones(2))
        assert sharding.is_whole(weight)
        assert sharding.gathered({"w": weight}, ALONE)["w"] is weight is sharding.share(weight, weight)
        sharding.sum_gradients(nn.Linear(1, 1))


@pytest.fixture(scope="module")
def seen(tmp_path_factory, tiny_llama, tiny_clip) -> Path:
    """A folder of what two processes saw of every kind of model."""
    folder = tmp_path_factory.mktemp("shares")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", IMPORTS)
        launch.launch("in_processes", ["shares", str(folder), str(tiny_llama), str(tiny_clip)], 2)
    return folder


@pytest.mark.slow
class TestShares:
    @pytest.mark.parametrize("kind", KINDS)
    def test_they_do_what_the_whole_model_does(self, seen, tiny_llama, tiny_clip, kind):
        numbers, tensors = work(kind, *models(kind, tiny_llama, tiny_clip), ALONE)
        for rank in (0, 1):
            found = json.loads((seen / f"{kind}-{rank}.json").read_text())
            assert found["answers"] == numbers["answers"] and found["difference"] == 0
            for name in ("overfit", "nats", "norm"):
                assert found[name] == pytest.approx(numbers[name], rel=1e-5), name
        whole = load_file(seen / f"{kind}-0.safetensors")
        assert whole.keys() == tensors.keys() and any("gradient" in name for name in whole)
        for name, tensor in tensors.items():
            close = GRADIENT if "gradient" in name else WEIGHT
            torch.testing.assert_close(whole[name], tensor, **close, msg=name)

    @pytest.mark.parametrize("kind", KINDS)
    def test_each_process_holds_half_of_the_language_model(self, seen, tiny_llama, tiny_clip, kind):
        _, model, _ = models(kind, tiny_llama, tiny_clip)
        language = {
            name: weight.numel()
            for name, weight in llava(model).named_parameters()
            if "lora_" not in name and "vision_tower" not in name and "projector" not in name
        }
        held = [json.loads((seen / f"{kind}-{rank}.json").read_text())["held"] for rank in (0, 1)]
        assert {name: numel for name, (_, numel) in held[0].items()} == language and len(language) > 10
        for name, numel in language.items():
            assert held[0][name][0] + held[1][name][0] == numel
            assert held[0][name][0] == pytest.approx(numel / 2, rel=0.01), name

    def test_rows_that_do_not_divide_are_shared_as_evenly_as_can_be(self, seen):
        first, second = (json.loads((seen / f"odd-{rank}.json").read_text()) for rank in (0, 1))
        rows = torch.arange(15.0).view(5, 3)
        assert (first["own"], second["own"]) == (rows[:3].tolist(), rows[3:].tolist())
        assert (first["part"], second["part"]) == ((rows[:3] * 2).tolist(), (rows[3:] * 2).tolist())
        assert first["whole"] == {"part": (rows * 2).tolist()} and second["whole"] == {}
        assert first["scalar"] == second["scalar"] == 7


@pytest.fixture(scope="module", params=["lora", "full"])
def both(request, tiny_study, no_preflight) -> tuple[Path, Path]:
    """The run of one process, and of two that share its model; the last batch leaves one of them without a pack."""
    method = request.param
    alone = finetune.train_run(named(tiny_study, f"one-{method}", method=method), "plain", 0)
    return alone, train_two(named(tiny_study, f"two-{method}", method=method), sharded=True)


@pytest.mark.slow
@pytest.mark.usefixtures("no_preflight")
class TestTraining:
    def test_losses_looks_and_weights_are_those_of_one_process(self, both):
        require_alike(*both)

    def test_the_ledger_is_clean_and_says_that_the_model_was_shared(self, both):
        alone, together = map(entry, both)
        assert (alone["hardware"]["sharded"], together["hardware"]["sharded"]) == (False, True)
        for field in ("order", "tokens", "projector", "lora", "prompts", "backbone_model", "preflight"):
            assert together[field] == alone[field]
        # two runs of one seed and one study, as far as a ledger can tell
        runs = [found | {"study": "tiny", "run": f"run {n}"} for n, found in enumerate((alone, together))]
        table = ledger.require_controlled(runs).set_index("field")["verdict"]
        assert table["hardware.sharded"] == table["hardware.processes"] == ledger.UNAVOIDABLE


@pytest.mark.slow
@pytest.mark.usefixtures("no_preflight")
@pytest.mark.parametrize("both", ["full"], indirect=True)
class TestUnfinished:
    """A checkpoint holds whole tensors; without LoRA all of them come from shares."""

    def test_a_killed_run_goes_on_bit_for_bit(self, both, tiny_study):
        require_resumed(named(tiny_study, "killed", method="full"), both[1], "", sharded=True)

    def test_a_process_that_raises_ends_the_run_in_its_own_words_and_a_whole_model_goes_on(
        self, both, tiny_study, tmp_path
    ):
        """One process waits for the other's weights while that one raises."""
        require_ended(named(tiny_study, "raised", method="full"), both[0], tmp_path, sharded=True)
