"""Training one run: the projector is aligned, then projector and LoRA are finetuned on the three tasks together.

In:  a study, a backbone, a seed; data, features and checkpoint are built or found.
Out: `runs/STUDY/train/BACKBONE-seedN`: `trained.safetensors` (projector and LoRA), `history.csv` (one row for each
     optimiser step), `ledger.json`. predict.py and export.py load them; curves and ledger go into the book.

What is drawn at random follows from the seed alone: the order of examples, the projector, LoRA, and dropout anew for
each pack, so that no random state has to be kept. All questions on one image stand in one packed sequence. The loss is
the negative log-likelihood of the answers, EOS included, in nats per byte of answer text (EOS counts as a byte): the
number of bytes is the same for every backbone, the number of tokens is not. Divided by tokens, the same answer would
weigh less in a batch of a tokenizer that cuts the others into more pieces, and clipping would begin at another
likelihood.

Several processes, one for each GPU, share the packs of an optimiser step out among themselves (processes.py): the same
steps on the same pictures, whatever their number, and the same numbers but for rounding. With dropout a pack must
be the same, too: more processes than leave each a whole pack are refused.
"""

import logging
import math
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch.distributed.elastic.multiprocessing.errors import record

from barnlib import checkpoints, preflight, sharding
from barnlib.artefacts import digest, is_sealed, seal, single_writer
from barnlib.assembly import (
    WEIGHTS,
    Parts,
    assemble,
    language_to_train,
    model_to_train,
    turns_by_image,
)
from barnlib.budget import require_room
from barnlib.data.build import data_folder
from barnlib.data.pictures import generator
from barnlib.data.records import read_items, read_pictures
from barnlib.data.turns import Turn
from barnlib.history import history_table
from barnlib.launch import launch
from barnlib.ledger import Meter
from barnlib.loop import Loop, Progress, Stage
from barnlib.model import (
    FULL_PARTS,
    PARTS,
    Model,
    llava,
    load_trained_state,
    set_trainable,
    trained_parts,
    trained_state,
)
from barnlib.order import evaluation_steps, example_order
from barnlib.processes import ALONE, Processes, joined
from barnlib.quantisation import require_bitsandbytes
from barnlib.record import resolved, write_ledger
from barnlib.runs import run_name
from barnlib.study import Study
from barnlib.validate import CAPTION_QUESTION, Validator

log = logging.getLogger(__name__)

HISTORY = "history.csv"
MODULE = "barnlib.finetune"  # what is started where several processes train


def train_run(study: Study, backbone: str, seed: int, processes: int = 1, sharded: bool = False) -> Path:
    """Train one run, go on with an interrupted one, or find it complete; returns its folder.

    Args:
        processes: how many train it together. One trains here; more are started beside this process, one for each GPU.
        sharded: whether they share the language model out among themselves, because one GPU cannot hold it whole with
            its gradients and optimiser state.

    Raises:
        ValueError: what the study, its data or the backbone's preflight have wrong; nothing is trained then.
        FloatingPointError: the loss is no longer finite; says what to change.
        RuntimeError: another process writes this run; with several processes also what one of them raised.
    """
    if sharded and (processes == 1 or study.finetune.method == "qlora"):
        raise ValueError(
            f"a model is sharded over several processes, and not its 4-bit weights; found 'processes' {processes} and "
            f"'finetune.method: {study.finetune.method}', expected at least 2, and 'lora' or 'full'"
        )
    if study.finetune.method == "qlora":
        require_bitsandbytes(study.name)
    at_once, batch, dropout = (
        study.compute.images_at_once,
        study.finetune.batch_images,
        study.finetune.lora.dropout,
    )
    share = math.ceil(batch / processes)
    if dropout and min(at_once, batch) > share:
        raise ValueError(
            f"params/studies/{study.name}.yaml: dropout is drawn for a pack, which must not depend on the number of "
            f"processes; {processes} of them have {share} of a step's {batch} pictures each, found "
            f"'compute.images_at_once' {at_once}, expected at most {share} (or 'finetune.lora.dropout' 0)"
        )
    if processes == 1:
        return train_share(study, backbone, seed, ALONE)
    launch(MODULE, [study.model_dump_json(), backbone, str(seed), str(processes), str(sharded)], processes)
    return study.folder / "train" / run_name(backbone, seed)


def train_share(study: Study, backbone: str, seed: int, processes: Processes) -> Path:
    """What :func:`train_run` does in each of the processes."""
    parts = assemble(study, backbone)
    folder = study.folder / "train" / run_name(backbone, seed)
    decided = resolved(parts, seed, Path(__file__))
    with single_writer(folder) if processes.main else nullcontext():
        if not processes.on_main(lambda: is_sealed(folder, decided)):
            require_room(parts.checkpoint, study, folder, parts.device, processes)
            _train(parts, seed, folder, decided, processes)
    return folder


def plan(parts: Parts, seed: int, processes: Processes = ALONE) -> tuple[Stage, Stage]:
    """Both stages, with the order of examples of this seed."""
    study, data = parts.study, data_folder(parts.study)
    items, pictures = read_items(data / "train.json"), read_pictures(data / "train.pictures.json")
    validator = Validator(
        parts,
        read_items(data / "validation.json"),
        read_pictures(data / "validation.pictures.json"),
        processes.apart,
    )
    align, finetune = study.align, study.finetune
    captioned = [picture for picture in pictures if picture.caption]
    turns = turns_by_image(items)
    asked_about = [picture for picture in pictures if picture.image in turns]
    first, second = (
        example_order(shown, stage.epochs, stage.batch_images, generator("order", name, seed))
        for name, stage, shown in (("align", align, captioned), ("finetune", finetune, asked_about))
    )
    return (
        Stage(
            name="align",
            batches=first,
            turns={picture.image: [Turn(CAPTION_QUESTION, picture.caption)] for picture in captioned},
            rates={"projector": align.learning_rate},
            weight_decay=0.0,
            warmup=align.warmup,
            max_grad_norm=align.max_grad_norm,
            look=validator.captions,
            looks=evaluation_steps(len(first), 1),
        ),
        Stage(
            name="finetune",
            batches=second,
            turns=turns,
            rates={
                part: finetune.projector_learning_rate if part == "projector" else finetune.learning_rate
                for part in (FULL_PARTS if finetune.method == "full" else PARTS)
            },
            weight_decay=finetune.weight_decay,
            warmup=finetune.warmup,
            max_grad_norm=finetune.max_grad_norm,
            look=validator.tasks,
            looks=evaluation_steps(len(second), study.monitor.evaluations),
        ),
    )


def _train(parts: Parts, seed: int, folder: Path, decided: dict[str, Any], processes: Processes) -> None:
    kept = folder / "checkpoints" / digest(decided)
    saved = checkpoints.latest(kept)
    progress = Progress(**saved[1]) if saved else Progress()
    meter = Meter(progress.measured)
    stages = plan(parts, seed, processes)
    for stage in stages:
        require_lengths(parts, stage)
    model = model_to_train(parts, seed)
    if parts.study.compute.gradient_checkpointing:
        llava(model).activation_checkpointing_enable({"use_reentrant": False})
    initial = checkpoints.tensor_digest({k: v for k, v in trained_state(model).items() if "projector" in k})
    sharding.place(llava(model), parts.device, processes)
    if saved:
        log.info("%s goes on at step %d of stage %s", folder.name, progress.step, stages[progress.stage].name)
        weights = {
            name.removeprefix("weight."): t for name, t in saved[0].items() if name.startswith("weight.")
        }
        own = trained_state(model)
        load_trained_state(
            model, {n: sharding.share(t, own[n]) if n in own else t for n, t in weights.items()}
        )
    else:
        with parts.computing():
            progress.preflight = processes.apart.on_main(
                lambda: _preflight(parts, model, stages[1], processes)
            )
    loop = Loop(parts, model, seed, stages, progress, meter, kept, processes)
    loop.train(saved[0] if saved else {})
    trained = sharding.gathered(trained_state(model), processes)
    if not processes.main:
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: t.cpu().contiguous() for name, t in trained.items()}, partial / WEIGHTS)
    history = history_table(progress.rows)
    history.to_csv(partial / HISTORY, index=False)
    orders = {stage.name: stage.batches for stage in stages}
    write_ledger(
        partial / "ledger.json",
        parts,
        seed,
        model,
        decided,
        orders,
        initial,
        vars(progress),
        history,
        meter,
        processes,
    )
    seal(partial, decided)
    shutil.rmtree(folder, ignore_errors=True)  # with the checkpoints, which nobody needs any more
    partial.rename(folder)


def require_lengths(parts: Parts, stage: Stage) -> None:
    """Refuse a stage that holds a prompt and answer of more than ``compute.max_tokens``, the turns before them in their
    conversation included: nothing is ever cut.

    Raises:
        ValueError: the longest one, and what to change.
    """
    limit, prefix = parts.study.compute.max_tokens, len(parts.prompter.prefix_ids)
    for image, turns in stage.turns.items():
        segments = parts.prompter.segments(turns)
        for turn, (asked, answered) in zip(turns, segments, strict=True):
            if prefix + len(asked) + len(answered) > limit:
                raise ValueError(
                    f"{parts.backbone.name}, stage {stage.name}: question {turn.question!r} on '{image}' takes "
                    f"{prefix + len(asked) + len(answered)} tokens with its image, answer and history; raise "
                    f"'compute.max_tokens' in params/studies/{parts.study.name}.yaml (now {limit}) or take the item "
                    "out of the data"
                )


def _preflight(parts: Parts, model: Model, stage: Stage, processes: Processes = ALONE) -> dict[str, Any]:
    items = read_items(data_folder(parts.study) / "train.json")
    # the very weights that were composed, rounded and quantised alike: check 4 finds nothing but a wrong composition
    bare = language_to_train(parts).eval()
    sharding.place(bare, parts.device, processes)
    set_trainable(model, list(trained_parts(model)))
    return preflight.check(
        parts.prompter,
        model,
        bare,
        items,
        parts.rows,
        [(parts.rows[image], turns) for image, turns in stage.turns.items()],
        parts.table,
        max_new_tokens=max(parts.study.evaluation.max_new_tokens.values()),
        learning_rate=parts.study.finetune.learning_rate,
    )


def main() -> None:
    """What :func:`train_run` starts several times. Arguments: STUDY (as JSON) BACKBONE SEED PROCESSES SHARDED."""
    study, backbone, seed, processes, sharded = sys.argv[1:]
    with joined(int(processes), sharded == str(True)) as group:
        train_share(Study.model_validate_json(study), backbone, int(seed), group)


if __name__ == "__main__":
    record(main)()
