"""Hidden states of an evaluation are those of plain forwards on pixels, view by view."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from barnlib import predict, states
from barnlib.assembly import WEIGHTS, assemble
from barnlib.data.build import data_folder, load_items
from barnlib.data.pictures import generator
from barnlib.model import load_trained_state
from barnlib.perturbations import KINDS, disturb
from barnlib.perturbed import perturbed_features
from barnlib.states_table import PROBED, VIEWS, read_states, tensor_name
from barnlib.vision import normalise
from tests.small_model import untrained_model

NEAR = {"atol": 2e-2, "rtol": 2e-2}  # float16 on disk

pytestmark = pytest.mark.usefixtures("no_preflight")


@pytest.fixture(scope="module")
def folder(tiny_study, no_preflight):
    return predict.evaluate_run(tiny_study, "plain", 0)


@pytest.fixture(scope="module")
def parts(tiny_study, folder):
    return assemble(tiny_study, "plain")


@pytest.fixture(scope="module")
def model(tiny_study, parts):
    """With LoRA beside the weights, made large enough to be seen."""
    model = untrained_model(parts, seed=0)
    load_trained_state(model, load_file(tiny_study.folder / "train" / "plain-seed0" / WEIGHTS))
    return model.eval()


@pytest.fixture(scope="module")
def described(folder):
    return json.loads((folder / "hidden.json").read_text())


def plain(parts, model, item, question, pixels):
    """float32[layers + 1, hidden] at each position: one item alone, from pixels, without packing."""
    prompt, answer = parts.prompter.prompt_ids(question), parts.prompter.answer_ids(item.answer)
    with torch.inference_mode():
        made = model(
            input_ids=torch.tensor([prompt + answer]),
            pixel_values=normalise(pixels[None]),
            output_hidden_states=True,
        ).hidden_states
    found = torch.stack(made)[:, 0]
    image = torch.tensor(prompt) == parts.prompter.image_token_id
    return {
        "last_prompt_token": found[:, len(prompt) - 1],
        "image_mean": found[:, : len(prompt)][:, image].mean(1),
        "answer_mean": found[:, len(prompt) :].mean(1),
    }


def test_every_view_is_that_of_a_plain_forward(folder, tiny_study, parts, model, described):
    kept = load_file(folder / "hidden.safetensors")
    items = {item.id: item for item in load_items(tiny_study, "test")}
    strengths, seed = tiny_study.evaluation.perturbations, tiny_study.data.seed
    for number in (1, 4):
        record = described["items"]["test"][number]
        item = items[record["item"]]
        pixels = np.array(Image.open(data_folder(tiny_study) / item.image))
        for view, positions in VIEWS.items():
            shown, question = pixels, item.question
            if view in KINDS:
                shown = disturb(pixels, view, strengths, generator("perturbation", seed, view, item.image))
            elif view == "swapped":
                other = described["items"]["test"][{1: 0, 4: 5}[number]]["image"]
                assert other != item.image
                shown = np.array(Image.open(data_folder(tiny_study) / other))
            elif view == "paraphrase":
                question = record["paraphrase"]
            if view == "before":
                with model.disable_adapter():
                    expected = plain(parts, model, item, question, shown)
            else:
                expected = plain(parts, model, item, question, shown)
            for position in positions:
                found = kept[tensor_name("test", view, position)][:, number].float()
                torch.testing.assert_close(found, expected[position], **NEAR)


def test_what_is_kept_has_the_promised_names_and_shapes(folder, described):
    kept = load_file(folder / "hidden.safetensors")
    counts = {split: len(records) for split, records in described["items"].items()}
    assert counts == {
        "test": 6,
        "train": 9,
        "validation": 2,
    }  # one of each picture: three tasks, three tasks, and one
    expected = {
        **{tensor_name("test", view, p): (3, 6, 32) for view, positions in VIEWS.items() for p in positions},
        **{
            tensor_name(split, "clean", p): (3, counts[split], 32)
            for split in ("train", "validation")
            for p in PROBED
        },
        "test.clean.image_attention": (2, 6),
        "test.clean.image_share": (6,),
        "test.clean.answer_depth": (6,),
    }
    assert {name: tuple(tensor.shape) for name, tensor in kept.items()} == expected
    assert described["layers"] == 2 and described["absent"] == {}
    for records in described["items"].values():
        images = [(record["task"], record["image"]) for record in records]
        assert len(set(images)) == len(images), "an image stands for two items of a task"


def test_before_differs_from_clean_in_the_language_model_only(folder):
    kept = load_file(folder / "hidden.safetensors")
    clean, before = (kept[tensor_name("test", view, "image_mean")] for view in ("clean", "before"))
    torch.testing.assert_close(clean[0], before[0], rtol=0, atol=0)  # the same image tokens come in
    assert not torch.equal(clean[-1], before[-1])


def test_depth_is_where_the_lens_settles():
    logits = torch.tensor([[0, 1.0], [0, 1.0], [1.0, 0], [1.0, 0], [0, 1.0]])  # entries of one item
    head = torch.stack([logits, logits.flip(1), torch.tensor([[0, 1.0]]).expand(5, 2)], 1)  # [5, 3, 2]
    found = states.answer_depth(head, lambda entry, normed: entry)
    assert found.tolist() == [4, 4, 0]
    seen = []
    states.answer_depth(head, lambda entry, normed: seen.append(normed) or entry)
    assert sorted(seen) == [False] * 4 + [True], "the last entry of hidden_states is normed already"


def test_values_beyond_float16_are_kept_in_float32():
    assert states._stored(torch.tensor([[[1.0, float("nan")]]])).dtype == torch.float16
    assert states._stored(torch.tensor([[[1e5, 1.0]]])).dtype == torch.float32
    assert states._stored(torch.tensor([[1.0]])).dtype == torch.float32


def test_disturbed_features_are_made_once(tiny_study, folder, monkeypatch):
    images = [item["image"] for item in json.loads((folder / "hidden.json").read_text())["items"]["test"]]
    images = list(dict.fromkeys(images))
    monkeypatch.setattr("barnlib.perturbed._build", lambda *arguments: pytest.fail("made again"))
    found = perturbed_features(tiny_study, images)
    assert {kind: tuple(values.shape) for kind, values in found.items()} == dict.fromkeys(
        KINDS, (len(images), 9, 16)
    )


def test_the_reader_gives_what_was_written(tiny_study, folder, described):
    predict.evaluate_run(tiny_study, "plain", 1)
    for backbone in tiny_study.backbones[1:]:
        for seed in tiny_study.seeds:
            predict.evaluate_run(tiny_study, backbone, seed)
    runs = read_states(tiny_study)
    assert [(run.backbone, run.seed) for run in runs] == [
        ("plain", 0),
        ("plain", 1),
        ("grouped", 0),
        ("grouped", 1),
    ]
    run, kept = runs[0], load_file(folder / "hidden.safetensors")
    assert run.layers == 2 and run.absent == {}
    items = run.items("test", "seismic_description")
    assert list(items.index) == [2, 3] and set(items["task"]) == {"seismic_description"}
    stored = kept["test.before.image_mean"].float().numpy()
    np.testing.assert_array_equal(
        run.array("before", "image_mean", task="seismic_description"), stored[:, 2:4]
    )
    np.testing.assert_array_equal(run.layer(1, "before", "image_mean"), stored[1])
    assert run.layer(1, "before", "image_mean").dtype == np.float32
    assert run.array("clean", "last_prompt_token", split="train", task="seismic_coordinates").shape == (
        3,
        3,
        32,
    )
    assert run.measure("image_attention", "vqa_scene").shape == (2, 2)
    with pytest.raises(ValueError, match=r"no 'test.fog.image_mean'; there are .*test.before.image_mean"):
        run.layer(0, "fog", "image_mean")
    with pytest.raises(ValueError, match="has entries 0 to 2, not 3"):
        run.layer(3, "before", "image_mean")
    with pytest.raises(ValueError, match="no hidden states of split 'heldout'"):
        run.items("heldout")
