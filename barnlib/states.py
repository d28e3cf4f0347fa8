"""Hidden states of a trained run: clean, before finetuning, under disturbances, and what attention and layers say.

In:  a trained run, items of the study, cached features and those of disturbed pictures.
Out: ``hidden.safetensors`` and ``hidden.json`` in the run's evaluation, in the form that states_table.py documents and
     reads; representation_tables.py and its neighbours compare them without torch.

*Before* finetuning is the same model with LoRA switched off and the trained projector kept. Both states then have the
same image tokens as input, and what lies between them is what finetuning did to the language model alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor

from barnlib.artefacts import write_json
from barnlib.assembly import Parts, adapted_model
from barnlib.attention import image_share, unwatchable, watched_attention
from barnlib.data.build import data_folder
from barnlib.data.records import Item, read_items
from barnlib.data.turns import Turn
from barnlib.likelihood import hidden_states
from barnlib.model import Model, llava
from barnlib.packing import PackedBatch, pack
from barnlib.perturbations import KINDS, other_wording
from barnlib.perturbed import perturbed_features
from barnlib.states_table import ITEMS, POSITIONS, PROBED, SPLITS, STATES, VIEWS, tensor_name

LARGEST = 65504.0  # of float16
FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")  # as transformers' decoders name it


@dataclass(frozen=True)
class View:
    """How items are shown to the model.

    Attributes:
        table: float32[rows, T, W], features.
        rows: the row of each item.
        turns: question and reference answer of each item.
    """

    table: Tensor
    rows: Sequence[int]
    turns: Sequence[Turn]


def write_states(parts: Parts, trained: Path, folder: Path) -> None:
    """Write ``hidden.safetensors`` and ``hidden.json`` of one run into a folder.

    Args:
        trained: the run's folder, as finetune.train_run returns it.
    """
    adapted = adapted_model(parts, trained).eval()
    items = {split: chosen_items(parts, split) for split in SPLITS}
    found, absent = _watched_states(parts, adapted, _clean(parts, items["test"]), items["test"])
    tensors = {tensor_name("test", "clean", name): tensor for name, tensor in found.items()}
    tensors |= _other_views(parts, adapted, items["test"])
    for split in ("train", "validation"):
        states = _states(parts, adapted, _clean(parts, items[split]), items[split], PROBED)
        tensors |= {tensor_name(split, "clean", position): state for position, state in states.items()}
    save_file({name: _stored(tensor).contiguous() for name, tensor in tensors.items()}, folder / STATES)
    described = {
        split: [_described(item, parts.study.data.seed) for item in chosen] for split, chosen in items.items()
    }
    layers = len(found[POSITIONS[0]]) - 1
    write_json(folder / ITEMS, {"layers": layers, "items": described, "absent": absent})


def chosen_items(parts: Parts, split: str) -> list[Item]:
    """The items of a split whose states are kept: for each task, the first item of each of the first pictures."""
    evaluation = parts.study.evaluation
    count = evaluation.probe_items if split == "train" else evaluation.hidden_items
    only = ("seismic_coordinates",)  # validation tunes what regresses coordinates
    tasks = only if split == "validation" else parts.study.tasks
    items = read_items(data_folder(parts.study) / f"{split}.json")
    chosen = []
    for task in tasks:
        first: dict[str, Item] = {}
        for item in items:
            if item.task == task:
                first.setdefault(item.image, item)
        chosen += list(first.values())[:count]
    return chosen


def _described(item: Item, seed: int) -> dict[str, Any]:
    return {
        "item": item.id,
        "image": item.image,
        "task": item.task,
        "question_type": item.question_type,
        "question": item.question,
        "paraphrase": other_wording(item, seed),
        "answer": item.answer,
        "choices": list(item.choices),
        "facts": item.facts,
    }


def _other_views(parts: Parts, adapted: Model, items: Sequence[Item]) -> dict[str, Tensor]:
    """The test items in all views but the clean one, by name."""
    found: dict[str, Tensor] = {}
    for view, how in _views(parts, items):
        with _without_lora(adapted) if view == "before" else nullcontext():
            states = _states(parts, adapted, how, items, VIEWS[view])
        if view == "before" and not isinstance(adapted, PeftModel):
            for state in states.values():
                state.fill_(float("nan"))  # every weight was trained: nothing from before is left in it
        if view == "paraphrase":
            single = torch.tensor([other_wording(item, parts.study.data.seed) is None for item in items])
            for state in states.values():
                state[:, single] = float("nan")
        found |= {tensor_name("test", view, position): state for position, state in states.items()}
    return found


def _without_lora(model: Model) -> AbstractContextManager:
    return model.disable_adapter() if isinstance(model, PeftModel) else nullcontext()


def _views(parts: Parts, items: Sequence[Item]) -> Iterator[tuple[str, View]]:
    """How items are shown in each view but the clean one."""
    clean = _clean(parts, items)
    yield "before", clean
    yield "swapped", View(clean.table, [parts.rows[image] for image in next_images(items)], clean.turns)
    images = list(dict.fromkeys(item.image for item in items))
    rows = [images.index(item.image) for item in items]
    disturbed = perturbed_features(parts.study, images)
    for kind in KINDS:
        yield kind, View(disturbed[kind].to(parts.device), rows, clean.turns)
    reworded = [
        replace(item.turn, question=other_wording(item, parts.study.data.seed) or item.question)
        for item in items
    ]
    yield "paraphrase", View(clean.table, clean.rows, reworded)


def next_images(items: Sequence[Item]) -> list[str]:
    """For each item the image of the next item of its task; of the first, after the last."""
    found = []
    for number, item in enumerate(items):
        of_task = [n for n, other in enumerate(items) if other.task == item.task]
        found.append(items[of_task[(of_task.index(number) + 1) % len(of_task)]].image)
    return found


def _clean(parts: Parts, items: Sequence[Item]) -> View:
    return View(parts.table, [parts.rows[item.image] for item in items], [item.turn for item in items])


def _states(
    parts: Parts, model: Model, view: View, items: Sequence[Item], positions: Sequence[str]
) -> dict[str, Tensor]:
    """float[layers + 1, items, hidden] on the CPU for each position, as it is kept."""
    found = []
    for packed in _batches(parts, view, items):
        _, states = hidden_states(model, packed, view.table)
        found.append({position: states[position].cpu() for position in positions})
    return {position: _stored(state) for position, state in _together(found).items()}


def _watched_states(
    parts: Parts, model: Model, view: View, items: Sequence[Item]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """:func:`_states` at all positions and beside them `states_table.MEASURES`; and why, where one cannot be had."""
    lens, absent = _lens(model)
    blind = unwatchable(model)
    absent |= dict.fromkeys(("image_attention", "image_share"), blind) if blind else {}
    found = []
    for packed in _batches(parts, view, items):
        measures: dict[str, Tensor] = {}
        if blind:
            _, states = hidden_states(model, packed, view.table)
        else:
            with watched_attention(model, packed) as masses:
                _, states = hidden_states(model, packed, view.table)
            measures = {"image_attention": torch.stack(masses), "image_share": image_share(packed)}
        if lens is not None:
            measures["answer_depth"] = answer_depth(states["last_prompt_token"], lens)
        found.append({name: tensor.cpu() for name, tensor in (states | measures).items()})
    return _together(found), absent


def _together(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Batches put together along their items, which are the second axis, or the only one."""
    return {
        name: torch.cat([b[name] for b in batches], min(1, first.ndim - 1))
        for name, first in batches[0].items()
    }


def answer_depth(states: Tensor, lens: Callable[..., Tensor]) -> Tensor:
    """int16[N]: the first entry from which on the most probable token stays the final one.

    The logit lens (nostalgebraist 2020): the final norm and output layer applied to the states of every layer.

    Args:
        states: float[layers + 1, N, D]; the last entry has been normed, the others have not.
        lens: from float[N, D] and whether they are normed to logits float[N, V].
    """
    with torch.inference_mode():
        final = lens(states[-1], normed=True).argmax(-1)[None]
        earlier = torch.stack([lens(entry, normed=False).argmax(-1) for entry in states[:-1]])
    same = torch.cat([earlier, final]) == final  # [layers + 1, N]
    stays = same.flip(0).cumprod(0)  # 1 as long as all later entries agree
    return (len(states) - stays.sum(0)).to(torch.int16)


def _lens(model: Model) -> tuple[Callable[..., Tensor] | None, dict[str, str]]:
    inner: Any = llava(model)
    language = inner.model.language_model
    norm = next((getattr(language, name) for name in FINAL_NORMS if hasattr(language, name)), None)
    if norm is None:
        names = ", ".join(name for name, _ in language.named_children())
        return None, {
            "answer_depth": f"no final norm among {names}; expected one of {', '.join(FINAL_NORMS)}"
        }

    def lens(states: Tensor, *, normed: bool) -> Tensor:
        return inner.lm_head(states if normed else norm(states))

    return lens, {}


def _batches(parts: Parts, view: View, items: Sequence[Item]) -> Iterator[PackedBatch]:
    """The items with their reference answers, one to a row; a batch holds items of one task, of about one length."""
    size = parts.study.evaluation.batch_images
    for task in dict.fromkeys(item.task for item in items):
        numbers = [number for number, item in enumerate(items) if item.task == task]
        for start in range(0, len(numbers), size):
            groups = [(view.rows[number], [view.turns[number]]) for number in numbers[start : start + size]]
            yield pack(parts.prompter, groups).to(parts.device)


def _stored(tensor: Tensor) -> Tensor:
    """Hidden states as float16, where it holds every value; per-item measures as they are."""
    if tensor.ndim < 3:
        return tensor
    fits = bool((tensor.nan_to_num().abs() <= LARGEST).all())
    return tensor.to(torch.float16) if fits else tensor
