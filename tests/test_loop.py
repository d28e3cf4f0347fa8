"""Optimiser steps: their rates, their loss, what dropout draws, what is noted, and what stops them."""

import dataclasses
import itertools

import pytest
import torch

from barnlib import loop
from barnlib.assembly import Parts, assemble, turns_by_image
from barnlib.data.build import load_items
from barnlib.ledger import Meter
from barnlib.likelihood import packed_loss, reference_logprobs
from barnlib.loop import Loop, Progress, Stage
from barnlib.model import trained_state
from barnlib.packing import pack
from barnlib.processes import ALONE, Processes
from tests.small_model import untrained_model

BOTH = {"projector": 0.002, "lora": 0.0005}


@pytest.fixture(scope="module")
def parts(tiny_study) -> Parts:
    return assemble(tiny_study, "plain")


@pytest.fixture(scope="module")
def turns(tiny_study) -> dict:
    return turns_by_image(load_items(tiny_study, "train"))


def changed(parts: Parts, at_once: int = 4, dropout: float = 0.1) -> Parts:
    """The same parts with packs of another size, or another dropout."""
    study = parts.study
    compute = study.compute.model_copy(update={"images_at_once": at_once})
    lora = study.finetune.lora.model_copy(update={"dropout": dropout})
    update = {"compute": compute, "finetune": study.finetune.model_copy(update={"lora": lora})}
    return dataclasses.replace(parts, study=study.model_copy(update=update))


def stage(turns: dict, *sizes: int, name: str = "finetune", rates=BOTH, **given) -> Stage:
    """Batches of these sizes over the pictures in turn; no validation, warmup, weight decay or clipping."""
    images = itertools.cycle(turns)
    batches = [list(itertools.islice(images, size)) for size in sizes]
    plain = {"weight_decay": 0.0, "warmup": 0.0, "max_grad_norm": 1e9, "look": lambda model: {}, "looks": ()}
    return Stage(name=name, batches=batches, turns=turns, rates=rates, **plain | given)


def train(parts, *stages, seed=0, processes=ALONE, kept=None, model=None):
    """Progress, and the trained weights, of a new model after these stages."""
    model = model or untrained_model(parts, 0)
    progress = Progress()
    Loop(parts, model, seed, stages, progress, Meter(), kept, processes).train({})
    return progress, trained_state(model)


def column(progress: Progress, name: str) -> list:
    return [row[name] for row in progress.rows if name in row]


class Watched(Processes):
    """One process that is told there are more, does all of their work, and keeps what it was asked."""

    def __init__(self, size: int = 1, rank: int = 0, backwards: bool = False, sharded: bool = False) -> None:
        super().__init__(size, rank, sharded)
        vars(self).update(dealt=[], same=[], backwards=backwards)

    def map(self, items, work):
        self.dealt.append(list(items))
        order = -1 if self.backwards else 1
        return [work(item) for item in items[::order]][::order]

    def on_main(self, work):
        return work()

    def add_gradients(self, parameters):
        pass

    def require_same(self, value, what):
        self.same.append((value(), what))


class TestNotes:
    def test_a_row_for_each_step_and_one_before_the_first_of_a_stage(self, parts, turns):
        looked = itertools.count()
        look = {"look": lambda model: {"seen": next(looked)}}
        align = stage(turns, 2, 1, name="align", rates={"projector": 0.001}, looks=(0, 2), **look)
        finetune = stage(turns, 3, 3, 1, looks=(0, 1, 3), **look)
        progress, _ = train(parts, align, finetune)
        assert [(row["stage"], row["step"], row["images"], row.get("seen")) for row in progress.rows] == [
            *(("align", 0, 0, 0), ("align", 1, 2, None), ("align", 2, 3, 1)),
            *(("finetune", 2, 3, 2), ("finetune", 3, 6, 3), ("finetune", 4, 9, None), ("finetune", 5, 10, 4)),
        ]
        assert [row["step"] for row in progress.rows if "loss" in row] == [1, 2, 3, 4, 5]
        assert (progress.stage, progress.step) == (2, 0)
        seconds = column(progress, "seconds")
        assert seconds == sorted(seconds) and seconds[0] >= 0

    def test_tokens_are_those_of_the_answers_and_their_ends(self, parts, turns):
        align = stage(turns, 2, 1, name="align", rates={"projector": 0.001})
        finetune = stage(turns, 4)
        progress, _ = train(parts, align, finetune)
        assert progress.tokens == {
            one.name: sum(
                len(parts.prompter.answer_ids(turn.answer))
                for batch in one.batches
                for image in batch
                for turn in turns[image]
            )
            for one in (align, finetune)
        }

    def test_the_processes_are_compared_before_each_look(self, parts, turns):
        processes = Watched()
        train(parts, stage(turns, 1, 1, 1, looks=(2,)), stage(turns, 1), processes=processes)
        assert [what for _, what in processes.same] == [f"weights after step {step}" for step in (0, 2, 3)]
        assert len({digest for digest, _ in processes.same}) == 3

    def test_a_checkpoint_is_due_after_the_minutes_since_the_last_and_the_main_process_writes_it(
        self, parts, turns, monkeypatch, tmp_path
    ):
        """A clock that moves by 31 minutes each time it is read; a checkpoint is due after more than 60."""
        saved = []
        monkeypatch.setattr(
            loop.checkpoints,
            "save",
            lambda kept, done, tensors, progress: saved.append(
                (kept, done, progress["step"], sorted(tensors))
            ),
        )
        for rank in (0, 1):
            ticks = itertools.count(0, 31 * 60)
            monkeypatch.setattr(loop, "monotonic", lambda ticks=ticks: next(ticks))
            _, weights = train(parts, stage(turns, *[1] * 5), processes=Watched(2, rank), kept=tmp_path)
        assert [(kept, done, step) for kept, done, step, _ in saved] == [(tmp_path, 2, 2), (tmp_path, 4, 4)]
        assert {f"weight.{name}" for name in weights} < set(saved[0][3])


class TestRates:
    def test_they_rise_and_fall_as_the_warmup_says(self, parts, turns):
        """Two of four steps rise to the peak; half a cosine over the other two is 1 and 1/2."""
        progress, _ = train(parts, stage(turns, 1, 1, 1, 1, warmup=0.5))
        assert column(progress, "learning_rate") == pytest.approx([0.00025, 0.0005, 0.0005, 0.00025])

    def test_the_first_step_moves_each_part_by_its_own_rate(self, parts, turns):
        """Adam's first step is the rate times the sign of the gradient."""
        before = {name: t.clone() for name, t in trained_state(untrained_model(parts, 0)).items()}
        _, after = train(parts, stage(turns, 4))
        for piece, rate in (("projector", BOTH["projector"]), ("lora_B", BOTH["lora"])):
            moved = [float((after[n] - before[n]).abs().max()) for n in before if piece in n]
            assert max(moved) == pytest.approx(rate, rel=1e-3) and moved
        # lora_B is zero at first, so lora_A has no gradient
        assert all(torch.equal(after[name], before[name]) for name in before if "lora_A" in name)

    def test_weight_decay_takes_its_share_of_the_rate(self, parts, turns):
        before = {name: t.clone() for name, t in trained_state(untrained_model(parts, 0)).items()}
        _, after = train(parts, stage(turns, 4, weight_decay=10.0))
        names = [name for name in before if "lora_A" in name]
        for name in names:
            torch.testing.assert_close(after[name], before[name] * (1 - 0.0005 * 10.0), rtol=1e-6, atol=0)
        assert names

    def test_gradients_are_clipped_and_noted_as_they_were(self, parts, turns):
        before = {name: t.clone() for name, t in trained_state(untrained_model(parts, 0)).items()}
        free, _ = train(parts, stage(turns, 4))
        clipped, after = train(parts, stage(turns, 4, max_grad_norm=1e-12))
        assert column(clipped, "gradient_norm") == column(free, "gradient_norm")
        assert column(free, "gradient_norm")[0] > 1e-3
        # far below Adam's epsilon of 1e-8 a step is the rate times gradient / epsilon, at most 1e-4 of the rate
        assert max(float((after[n] - before[n]).abs().max()) for n in before) < 2e-4 * 0.002

    def test_what_a_stage_does_not_name_is_left_alone_and_lora_is_out_of_the_way(
        self, parts, turns, monkeypatch
    ):
        """A LoRA that is spoilt changes no loss of the alignment."""
        losses = []
        for spoilt in (False, True):
            model = untrained_model(parts, 0)
            state = trained_state(model)
            if spoilt:
                with torch.no_grad():
                    for name, weight in state.items():
                        weight.add_(1.0 if "lora" in name else 0.0)
            before = {name: t.clone() for name, t in state.items()}
            align = stage(turns, 2, 2, name="align", rates={"projector": 0.001})
            progress, after = train(parts, align, model=model)
            losses.append(column(progress, "loss"))
            same = {"lora" in name for name in before if torch.equal(before[name], after[name])}
            assert same == {True} and not model.training
        assert losses[0] == losses[1] and len(losses[0]) == 2


class TestLoss:
    def test_it_is_nats_per_byte_of_the_answers(self, parts, turns):
        """An answer's end counts as one byte; each picture alone, where the loop packs four."""
        whole = changed(parts, dropout=0.0)
        one = stage(turns, 4)
        model = untrained_model(whole, 0)
        nats = length = 0.0
        for image in one.batches[0]:
            packed = pack(parts.prompter, [(parts.rows[image], turns[image])])
            nats += reference_logprobs(model, packed, parts.table).nats.item()
            length += sum(len(turn.answer.encode("utf-8")) + 1 for turn in turns[image])
        progress, _ = train(whole, one)
        assert column(progress, "loss") == [pytest.approx(nats / length, rel=1e-5)]

    def test_packs_of_any_size_add_up_to_the_same_step(self, parts, turns):
        found = [train(changed(parts, at_once, dropout=0.0), stage(turns, 4)) for at_once in (1, 3, 4)]
        whole = found[-1][0]
        for progress, _ in found[:-1]:
            for name in ("loss", "gradient_norm"):
                assert column(progress, name) == pytest.approx(column(whole, name), rel=1e-4)
            assert progress.tokens == whole.tokens

    @pytest.mark.parametrize(
        ("processes", "at_once", "expected"),
        [
            (1, 4, [[0], [0]]),
            (1, 2, [[0, 2], [0]]),
            (2, 4, [[0, 2], [0]]),
            (3, 4, [[0, 2], [0]]),
            (4, 4, [[0, 1, 2, 3], [0]]),
            (9, 4, [[0, 1, 2, 3], [0]]),
            (2, 1, [[0, 1, 2, 3], [0]]),
        ],
    )
    def test_packs_are_cut_so_that_each_process_has_one(self, parts, turns, processes, at_once, expected):
        """A batch of four, and a last one of one."""
        watched = Watched(processes)
        train(changed(parts, at_once), stage(turns, 4, 1), processes=watched)
        assert watched.dealt == expected

    def test_who_shares_a_model_repeats_a_pack_for_nothing_where_there_are_too_few(
        self, parts, turns, monkeypatch
    ):
        """Three packs for two processes, then one; the pack of the same place is computed again."""
        small, seen = changed(parts, at_once=2), []
        batches = stage(turns, 5, 1)
        alone, expected = train(small, batches)

        def rows(model, packed, table):
            seen.append(packed.feature_rows.tolist())
            return packed_loss(model, packed, table)

        monkeypatch.setattr(loop, "packed_loss", rows)
        watched = Watched(2, sharded=True)
        progress, weights = train(small, batches, processes=watched)
        assert watched.dealt == [[0, 2, 4, 6], [0, 2]]
        assert seen[3] == seen[0] and seen[5] == seen[4] and len({tuple(rows) for rows in seen}) == 4
        for name in ("loss", "gradient_norm"):
            assert column(progress, name) == column(alone, name)
        assert progress.tokens == alone.tokens
        assert all(torch.equal(weights[name], expected[name]) for name in weights)

    @pytest.mark.parametrize("sharded", [False, True])
    def test_shares_are_gathered_when_the_main_processs_clock_says_so(
        self, parts, turns, monkeypatch, tmp_path, sharded
    ):
        """The other process's clock stands still; it has a part in the checkpoint, and writes none."""
        saved, asked = [], []
        monkeypatch.setattr(loop.checkpoints, "save", lambda *given: saved.append(given))
        monkeypatch.setattr(loop.sharding, "gathered", lambda tensors, of: asked.append(of.rank) or tensors)
        monkeypatch.setattr(loop, "monotonic", lambda: 0.0)
        for rank in (0, 1):
            watched = Watched(2, rank, sharded=sharded)
            monkeypatch.setattr(Watched, "on_main", lambda self, work: True)
            train(parts, stage(turns, 2, 2), processes=watched, kept=tmp_path)
        assert asked == [0, 0, 1, 1] and [given[1] for given in saved] == [1, 2]


class TestDropout:
    def test_it_is_drawn_by_seed_and_place_whatever_was_drawn_before_and_in_whatever_order(
        self, parts, turns
    ):
        small = changed(parts, at_once=1, dropout=0.5)

        def losses(seed=0, backwards=False, drawn=0):
            model = untrained_model(small, 0)
            with torch.no_grad():
                for name, weight in trained_state(model).items():
                    weight.add_(0.1 if "lora_B" in name else 0.0)  # zero drops nothing
            torch.manual_seed(drawn)
            watched = Watched(backwards=backwards)
            return column(train(small, stage(turns, 4), seed=seed, processes=watched, model=model)[0], "loss")

        first = losses()
        assert losses(drawn=5) == first and losses(backwards=True) == first
        assert losses(seed=1) != first

    def test_each_step_pack_and_stage_draws_anew(self, parts, turns, monkeypatch):
        small, states = changed(parts, at_once=2), []

        def watched(model, packed, table):
            states.append(torch.get_rng_state().numpy().tobytes())
            return packed_loss(model, packed, table)

        monkeypatch.setattr(loop, "packed_loss", watched)
        train(small, stage(turns, 4, 4, name="align"), stage(turns, 4))
        assert len(states) == len(set(states)) == 6


def steep(nats: torch.Tensor) -> torch.Tensor:
    """The same number, with a gradient that is infinite."""
    nats.register_hook(lambda gradient: gradient * float("inf"))
    return nats


class TestNotFinite:
    MESSAGE = (
        r"^plain, stage align, step 2: {} is {}, no finite number; lower 'align\.learning_rate' or "
        r"'align\.max_grad_norm', or raise 'align\.warmup', in params/studies/tiny\.yaml "
        r"\(peak learning rates now: {{'projector': 0\.002}}\)$"
    )

    @pytest.mark.parametrize(
        ("spoil", "name", "value"),
        [
            (lambda nats: nats * float("nan"), "loss", "nan"),
            (lambda nats: nats + float("inf"), "loss", "inf"),
            (steep, "gradient_norm", "(inf|nan)"),
        ],
    )
    def test_it_stops_the_run_says_what_to_change_and_changes_no_weight(
        self, parts, turns, monkeypatch, spoil, name, value
    ):
        kept, model = [], untrained_model(parts, 0)

        def broken(model, packed, table):
            likelihood = packed_loss(model, packed, table)
            kept.append({name: t.clone() for name, t in trained_state(model).items()})
            return (
                dataclasses.replace(likelihood, nats=spoil(likelihood.nats)) if len(kept) == 2 else likelihood
            )

        monkeypatch.setattr(loop, "packed_loss", broken)
        align = stage(turns, 4, 4, name="align", rates={"projector": 0.002})
        with pytest.raises(FloatingPointError, match=self.MESSAGE.format(name, value)):
            train(parts, align, model=model)
        assert all(torch.equal(t, kept[1][name]) for name, t in trained_state(model).items())
