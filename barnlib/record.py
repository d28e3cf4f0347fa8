"""What decides a training run, and what its ledger says.

In:  the parts of a run, its order of examples, its model and what was measured.
Out: the inputs that seal a run's folder (:func:`resolved`) and `ledger.json` (:func:`write_ledger`), which ledger.py
     compares between runs.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from barnlib import ledger
from barnlib.artefacts import digest, read_json, write_json
from barnlib.assembly import Parts
from barnlib.data.build import data_folder
from barnlib.data.records import SPLITS, read_items
from barnlib.history import steps_to_jump
from barnlib.ledger import Meter, text_digest
from barnlib.model import Model, llava, parameter_groups
from barnlib.order import order_digest
from barnlib.processes import ALONE, Processes
from barnlib.quantisation import count, quantised_digest, quantised_layers
from barnlib.runs import run_name
from barnlib.study import VALIDATION, Study

SHAPE = {  # name in the ledger: name in the backbone's configuration
    "type": "model_type",
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "attention_heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "context": "max_position_embeddings",
}


def protocol(study: Study) -> dict[str, Any]:
    """The part of a study that decides how a run is trained (data and encoder come in through their digests)."""
    chosen = study.model_dump(
        mode="json", include={"encoder", "prompt", "align", "finetune", "compute", "monitor"}
    )
    return chosen | {"evaluation": study.evaluation.model_dump(include=set(VALIDATION))}


def resolved(parts: Parts, seed: int, entry_point: Path) -> dict[str, Any]:
    """Everything that decides a training run; its digest names the run's checkpoints.

    Args:
        entry_point: the module that trains; its sources decide too.
    """
    files = read_json(data_folder(parts.study) / "manifest.json")["files"]
    return {
        "protocol": protocol(parts.study),
        "backbone": parts.backbone.model_dump(mode="json", exclude={"title", "colour"}),
        "weights": ledger.checkpoint_digest(parts.checkpoint),
        "encoder": ledger.checkpoint_digest(parts.encoder),
        "data": {name: found for name, found in files.items() if not name.startswith("images/")},
        "features": parts.cached.digest,
        "seed": seed,
        "sources": ledger.code(entry_point)["sources"],
    }


def write_ledger(
    path: Path,
    parts: Parts,
    seed: int,
    model: Model,
    decided: Mapping[str, Any],
    orders: Mapping[str, Sequence[Sequence[str]]],
    initial: str,
    progress: Mapping[str, Any],
    history: pd.DataFrame,
    meter: Meter,
    processes: Processes = ALONE,
) -> None:
    """Write the ledger of a finished run.

    Args:
        decided: what :func:`resolved` gave.
        orders: images of each step, by stage.
        initial: digest of the projector before training.
        progress: tokens by stage, report of the preflight.
        processes: who trained the run together; time and memory are those of the one that writes this.
    """
    study, backbone = parts.study, parts.backbone
    files = read_json(data_folder(study) / "manifest.json")["files"]
    cuda = parts.device.type == "cuda"
    device = torch.cuda.get_device_name(parts.device) if cuda else parts.device.type
    jumps = {task: None if math.isnan(step) else step for task, step in steps_to_jump(history).items()}
    groups = parameter_groups(model)
    write_json(
        path,
        {
            "run": run_name(backbone.name, seed),
            "study": study.name,
            "backbone": backbone.name,
            "seed": seed,
            "data": {split: files[f"{split}.json"] for split in SPLITS}
            | {
                "images": digest({name: found for name, found in files.items() if name.startswith("images/")})
            },
            "features": parts.cached.digest,
            "encoder": decided["encoder"],
            "backbone_model": _backbone(parts, model, decided),
            "prompts": _prompts(parts),
            "order": {stage: order_digest(batches) for stage, batches in orders.items()},
            "projector": {"initial": initial, "parameters": sum(p.numel() for p in groups["projector"])},
            # LoRA, or the whole language model where that is finetuned
            "lora": {
                "parameters": sum(p.numel() for part in groups if part != "projector" for p in groups[part])
            },
            "tokens": {f"supervised_{stage}": count for stage, count in progress["tokens"].items()},
            "configuration": {name: part for name, part in decided["protocol"].items() if name != "encoder"}
            | {"encoder": study.encoder.model_dump()},
            # of the sources as they were when the run began
            "code": ledger.code(Path(__file__)) | {"sources": decided["sources"]},
            "packages": ledger.packages(("bitsandbytes",) if study.finetune.method == "qlora" else ()),
            "hardware": ledger.hardware(device, str(next(model.parameters()).dtype).removeprefix("torch."))
            | {"processes": processes.size, "sharded": processes.sharded},
            "preflight": progress["preflight"],
            "measured": meter.read() | {"steps": int(history["step"].max()), "steps_to_jump": jumps},
        },
    )


def _backbone(parts: Parts, model: Model, decided: Mapping[str, Any]) -> dict[str, Any]:
    inner = llava(model)
    config = inner.config.text_config
    rope = getattr(config, "rope_parameters", None) or {}
    language = inner.model.language_model
    return {
        "checkpoint": parts.backbone.checkpoint,
        "weights": decided["weights"],
        "tokenizer": digest(parts.prompter.tokenizer.get_vocab()),
        "vocabulary": len(parts.prompter.tokenizer),
        **{name: getattr(config, theirs, None) for name, theirs in SHAPE.items()},
        "rope_base": rope.get("rope_theta"),
        "parameters": sum(count(p) for name, p in language.named_parameters() if "lora_" not in name)
        + inner.lm_head.weight.numel(),
        "recipe": digest(parts.backbone.recipe),
        # runs of one backbone are trained on the same 4-bit weights, and answer with them
        **({"quantised": quantised_digest(language)} if quantised_layers(language) else {}),
    }


def _prompts(parts: Parts) -> dict[str, str]:
    """Digests of every training prompt and answer, as texts and as this tokenizer's ids."""
    items = read_items(data_folder(parts.study) / "train.json")
    segments = parts.prompter.segments([item.turn for item in items])
    texts = [
        text
        for item in items
        for text in (parts.prompter.prompt_text(item.question, item.history), item.answer)
    ]
    plain = [text for item in items for text in (*chain(*item.history), item.question, item.answer)]
    native = parts.prompter.arm == "native"
    return {
        "arm": parts.prompter.arm,
        # in the native arm every backbone has texts of its own; what is asked and answered stays the same
        "texts": text_digest(plain if native else texts),
        **({"native": text_digest(texts)} if native else {}),
        "tokens": text_digest([json.dumps([parts.prompter.prefix_ids, *both]) for both in segments]),
    }
