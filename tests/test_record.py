"""What decides a run changes its digest, what does not leaves it; the ledger says what was there."""

import copy
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM

from barnlib import finetune, ledger, record
from barnlib.artefacts import digest, write_json
from barnlib.assembly import Parts, assemble
from barnlib.data.build import data_folder, load_items
from barnlib.history import history_table
from barnlib.ledger import Meter, text_digest
from barnlib.model import FULL_PARTS, PARTS, set_trainable
from barnlib.order import order_digest
from barnlib.record import protocol, resolved, write_ledger
from barnlib.study import VALIDATION
from tests.in_processes import CODE
from tests.small_model import untrained_model

pytestmark = pytest.mark.usefixtures("no_preflight")
HERE = Path(finetune.__file__)
ORDERS = {"align": [["a", "b"], ["c"]], "finetune": [["b"]]}


@pytest.fixture(scope="module")
def parts(tiny_study, no_preflight):
    return assemble(tiny_study, "plain")


def update(model, path: str, value):
    """A copy of nested parameters with one field changed: `finetune.lora.rank`."""
    name, _, rest = path.partition(".")
    return model.model_copy(update={name: update(getattr(model, name), rest, value) if rest else value})


def of_study(parts: Parts, path: str, value) -> Parts:
    return dataclasses.replace(parts, study=update(parts.study, path, value))


def of_backbone(parts: Parts, **values) -> Parts:
    return dataclasses.replace(parts, backbone=parts.backbone.model_copy(update=values))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("encoder.layer", -1),
        ("prompt.arm", "native"),
        ("align.epochs", 2.0),
        ("finetune.learning_rate", 0.001),
        ("finetune.lora.rank", 8),
        ("compute.precision", "bfloat16"),
        ("monitor.evaluations", 3),
        ("evaluation.batch_images", 1),
        ("evaluation.tolerance_km", 500.0),
    ],
)
def test_what_a_study_says_of_training_decides_a_run(parts, path, value):
    assert digest(resolved(of_study(parts, path, value), 0, HERE)) != digest(resolved(parts, 0, HERE))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", (0, 1, 2)),
        ("title", "x"),
        ("backbones", ("plain",)),
        ("evaluation.bootstrap", 20),
        ("evaluation.hidden_items", 1),
        ("evaluation.perturbations.noise", 0.5),
    ],
)
def test_what_comes_after_training_leaves_a_run_as_it_is(parts, path, value):
    assert resolved(of_study(parts, path, value), 0, HERE) == resolved(parts, 0, HERE)


def test_backbone_features_and_seed_decide_a_run(parts):
    first = resolved(parts, 0, HERE)
    assert resolved(parts, 0, HERE) == first
    different = {
        "seed": resolved(parts, 1, HERE),
        "features": resolved(
            dataclasses.replace(parts, cached=dataclasses.replace(parts.cached, digest="other")), 0, HERE
        ),
        "backbone": resolved(of_backbone(parts, name="other"), 0, HERE),
    }
    for name, found in different.items():
        assert {key for key in first if first[key] != found[key]} == {name}
    assert resolved(of_backbone(parts, title="x", colour="#333333"), 0, HERE) == first, "looks decide nothing"


@pytest.mark.parametrize("name", ["weights", "encoder"])
def test_weights_decide_a_run_wherever_they_lie(parts, tmp_path, monkeypatch, name):
    first = resolved(parts, 0, HERE)
    attribute = {"weights": "checkpoint", "encoder": "encoder"}[name]
    moved = shutil.copytree(getattr(parts, attribute), tmp_path / "moved")
    other = dataclasses.replace(parts)
    other.__dict__[attribute] = moved  # where the cached property keeps it
    assert resolved(other, 0, HERE) == first, "a folder's place is not what it holds"
    config = json.loads((moved / "config.json").read_text())
    write_json(moved / "config.json", config | {"architectures": ["Other"]})
    found = resolved(other, 0, HERE)
    assert {key for key in first if first[key] != found[key]} == {name}


def test_records_decide_a_run_and_pictures_through_their_features(parts, monkeypatch):
    first = resolved(parts, 0, HERE)
    manifest = json.loads((data_folder(parts.study) / "manifest.json").read_text())
    image = next(name for name in manifest["files"] if name.startswith("images/"))
    for name, decides in ((image, False), ("train.json", True), ("validation.pictures.json", True)):
        other = {"files": manifest["files"] | {name: "0" * 64}}
        monkeypatch.setattr(record, "read_json", lambda path, other=other: other)
        assert (resolved(parts, 0, HERE) != first) == decides


def test_sources_that_the_entry_point_reaches_decide_a_run(parts, monkeypatch):
    asked = []
    monkeypatch.setattr(ledger, "code", lambda start: asked.append(start) or {"sources": "other"})
    assert resolved(parts, 0, HERE)["sources"] == "other" and asked == [HERE]


def test_the_protocol_is_what_training_and_its_looks_use(tiny_study):
    found = protocol(tiny_study)
    parts = {"encoder", "prompt", "align", "finetune", "compute", "monitor", "evaluation"}
    assert set(found) == parts and set(found["evaluation"]) == set(VALIDATION)
    assert json.loads(json.dumps(found)) == found, "it is written into the ledger as it is"


def history(best: float) -> pd.DataFrame:
    looks = [
        {
            "stage": "finetune",
            "step": step,
            "vqa_scene_score": score,
            "vqa_scene_nats": 1.0,
            "seismic_description_score": 0.5,
        }
        for step, score in ((3, 0.0), (5, best / 4), (8, best))
    ]
    return history_table(looks)


def written(parts, folder, *, seed=0, best=0.8) -> dict:
    """The ledger of an untrained model as if it had been trained."""
    path, model = folder / "ledger.json", untrained_model(parts, seed)
    set_trainable(model, PARTS if parts.study.finetune.method == "lora" else FULL_PARTS)
    progress = {"tokens": {"align": 70, "finetune": 900}, "preflight": {"items": 24}}
    write_ledger(
        path,
        parts,
        seed,
        model,
        resolved(parts, seed, HERE),
        ORDERS,
        "initial digest",
        progress,
        history(best),
        Meter({"wall_s": 1000.0, "cpu_s": 2000.0, "peak_memory_mib": 1}),
    )
    return ledger.read(path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def entries(tiny_study, parts, tmp_path_factory):
    """Ledgers of both backbones by name."""
    folder = tmp_path_factory.mktemp("ledgers")
    return {name: written(assemble(tiny_study, name), folder) for name in ("plain", "grouped")}


def test_the_ledger_names_the_run_and_what_it_saw(entries, tiny_study):
    entry, data = entries["plain"], data_folder(tiny_study)
    assert (entry["run"], entry["study"], entry["backbone"], entry["seed"]) == (
        "plain-seed0",
        "tiny",
        "plain",
        0,
    )
    for split in ("train", "validation", "test", "heldout"):
        assert entry["data"][split] == sha256(data / f"{split}.json")
    images = {str(path.relative_to(data)): sha256(path) for path in (data / "images").rglob("*.png")}
    assert len(images) == 24 and entry["data"]["images"] == digest(images)
    assert entry["features"] == sha256(tiny_study.folder / "features" / "features.safetensors")
    assert entry["order"] == {stage: order_digest(batches) for stage, batches in ORDERS.items()}
    assert entry["tokens"] == {"supervised_align": 70, "supervised_finetune": 900}
    assert entry["preflight"] == {"items": 24} and entry["code"]["sources"] == CODE["sources"]
    assert entry["configuration"]["finetune"]["learning_rate"] == tiny_study.finetune.learning_rate
    assert entry["configuration"]["encoder"] == {"name": "clip", "layer": -2}


def test_the_ledger_counts_what_the_model_has(entries, tiny_llama, tiny_grouped_llama):
    for name, folder, key_value_heads in (("plain", tiny_llama, 4), ("grouped", tiny_grouped_llama, 2)):
        entry, bare = entries[name], AutoModelForCausalLM.from_pretrained(folder)
        found = entry["backbone_model"]
        assert found["parameters"] == sum(weight.numel() for weight in bare.parameters())
        assert found["vocabulary"] == bare.config.vocab_size and found["type"] == "llama"
        assert (found["hidden_size"], found["layers"], found["attention_heads"]) == (32, 2, 4)
        assert (found["key_value_heads"], found["context"]) == (key_value_heads, 1024)
        assert found["rope_base"] == 10000.0 and found["checkpoint"] == str(folder)
        assert entry["projector"] == {"initial": "initial digest", "parameters": 16 * 32 + 32 + 32 * 32 + 32}
        width = {"q": 32, "k": 8 * key_value_heads, "v": 8 * key_value_heads, "o": 32}
        attention = sum(4 * (32 + out) for out in width.values())
        assert entry["lora"]["parameters"] == 2 * (attention + 3 * 4 * (32 + 64))  # two layers of rank 4
    assert entries["plain"]["backbone_model"]["weights"] != entries["grouped"]["backbone_model"]["weights"]


def test_without_lora_the_whole_language_model_is_counted(parts, tmp_path):
    full = of_study(parts, "finetune.method", "full")
    entry = written(full, tmp_path)
    assert entry["lora"]["parameters"] == entry["backbone_model"]["parameters"]


def test_time_adds_up_and_a_jump_that_never_came_is_null(entries, parts, tmp_path):
    measured = entries["plain"]["measured"]
    assert measured["wall_s"] > 1000 and measured["cpu_s"] > 2000 and measured["peak_memory_mib"] > 1
    assert measured["steps"] == 8
    assert measured["steps_to_jump"] == {
        "vqa_scene": pytest.approx(3.0)  # half of 0.8 lies a third of the way from step 5 to step 8
    }
    assert written(parts, tmp_path, best=0.01)["measured"]["steps_to_jump"]["vqa_scene"] is None


def test_runs_that_differ_in_backbone_and_seed_alone_are_controlled(entries, parts, tmp_path):
    ledger.require_controlled([*entries.values(), written(parts, tmp_path, seed=1)])
    with pytest.raises(ledger.ControlError, match=r"configuration\.align\.epochs"):
        ledger.require_controlled(
            [entries["grouped"], written(of_study(parts, "align.epochs", 2.0), tmp_path)]
        )


def test_prompts_are_the_same_texts_in_each_tokenizers_ids(entries, parts, tiny_study):
    items = load_items(tiny_study, "train")
    prompter = parts.prompter
    texts = [text for item in items for text in (prompter.prompt_text(item.question), item.answer)]
    ids = [
        [prompter.prefix_ids, prompter.question_ids(item.question), prompter.answer_ids(item.answer)]
        for item in items
    ]
    assert entries["plain"]["prompts"] == {
        "arm": "uniform",
        "texts": text_digest(texts),
        "tokens": text_digest([json.dumps(one) for one in ids]),
    }
    assert entries["grouped"]["prompts"]["texts"] == entries["plain"]["prompts"]["texts"]


def test_earlier_turns_are_part_of_the_prompts(parts, monkeypatch):
    """A history that differs makes other digests; without one they are what they were."""
    items = load_items(parts.study, "train")
    known = record._prompts(parts)
    talked = [dataclasses.replace(items[0], history=(("Is it day?", "yes"),)), *items[1:]]
    monkeypatch.setattr(record, "read_items", lambda path: talked)
    found = record._prompts(parts)
    assert found["texts"] != known["texts"] and found["tokens"] != known["tokens"]
    prompter = copy.copy(parts.prompter)
    prompter.arm = "native"
    native = record._prompts(dataclasses.replace(parts, prompter=prompter))
    plain = [text for item in items for text in (item.question, item.answer)]
    assert native["texts"] == text_digest(["Is it day?", "yes", *plain])


def test_in_the_native_arm_questions_are_compared_and_templates_kept_apart(parts, tiny_study):
    prompter = copy.copy(parts.prompter)
    prompter.arm = "native"
    prompter.prompt_text = lambda question, history: f"[INST] {question} [/INST]"
    found = record._prompts(dataclasses.replace(parts, prompter=prompter))
    items = load_items(tiny_study, "train")
    plain = [text for item in items for text in (item.question, item.answer)]
    native = [text for item in items for text in (f"[INST] {item.question} [/INST]", item.answer)]
    assert (found["arm"], found["texts"], found["native"]) == (
        "native",
        text_digest(plain),
        text_digest(native),
    )
