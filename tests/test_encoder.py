"""The nano CLIP: contrast against CLIP's own loss, the saved folder, and that training lowers the loss."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPModel
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from barnlib import checkpoints, devices, encoder
from barnlib.artefacts import read_json
from barnlib.components import Encoder
from barnlib.encoder import contrast, draw_pictures, text_tokenizer, train_clip
from barnlib.recipes import EncoderRecipe
from barnlib.vision import load_vision_model, normalise

RECIPE = EncoderRecipe(
    pictures=12,
    image_size=96,
    patch_size=16,
    hidden_size=32,
    layers=2,
    attention_heads=2,
    text_layers=1,
    projection_size=16,
    epochs=8.0,
    batch_images=12,
    learning_rate=3e-3,
    weight_decay=0.0,
    seed=3,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, kept = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("kept")
    pixels, pictures = draw_pictures(RECIPE, kept / "pixels.npy")
    history = train_clip(RECIPE, pixels, pictures, folder, kept)
    return folder, history, pixels, pictures


def test_contrast_equals_clips_loss_where_all_texts_differ():
    left, right = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor(7.0)
    unit = [side / side.norm(dim=-1, keepdim=True) for side in (left, right)]
    expected = image_text_contrastive_loss(scale * unit[0] @ unit[1].T)
    torch.testing.assert_close(contrast(left, right, scale, torch.eye(6, dtype=torch.bool)), expected)


def test_equal_texts_are_no_negatives():
    left, right = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    right[1] = right[0]
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    alone = torch.eye(3, dtype=torch.bool)
    keep = [0, 2, 3]
    rows = contrast(left, right, torch.tensor(5.0), same)
    assert torch.isfinite(rows)
    assert rows < contrast(left, right, torch.tensor(5.0), torch.eye(4, dtype=torch.bool))
    assert torch.isfinite(contrast(left[keep], right[keep], torch.tensor(5.0), alone))


def test_contrast_is_float32_under_autocast():
    left, right = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    scale, same = torch.tensor(100.0), torch.eye(6, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        found = contrast(left, right, scale, same)
        halved = contrast(left.bfloat16(), right.bfloat16(), scale, same)
    assert torch.equal(found, contrast(left, right, scale, same))
    assert torch.equal(halved, contrast(left.bfloat16().float(), right.bfloat16().float(), scale, same))


def test_half_precision_keeps_weights_in_float32(made, tmp_path, monkeypatch):
    _, history, pixels, pictures = made
    monkeypatch.setattr(devices, "computing", lambda device: torch.autocast(device.type, torch.bfloat16))
    kinds = set()
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **named):
        kinds.update(one.dtype for group in self.param_groups for one in group["params"])
        kinds.update(one.grad.dtype for group in self.param_groups for one in group["params"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    halved = train_clip(RECIPE, pixels, pictures, tmp_path, tmp_path / "kept")
    assert kinds == {torch.float32}
    for loss in ("caption_loss", "phrase_loss"):
        assert halved[0][loss] == pytest.approx(history[0][loss], rel=0.02) and halved[0] != history[0]
        assert halved[-1][loss] < halved[0][loss] - 0.05


def test_pictures_lie_in_a_file(made):
    _, _, pixels, pictures = made
    assert isinstance(pixels, np.memmap) and pixels.shape == (2 * RECIPE.pictures, 96, 96, 3)
    assert len(pictures) == len(pixels) and np.array_equal(np.load(pixels.filename, mmap_mode="r"), pixels)


def test_pictures_that_the_disk_cannot_hold_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"the encoder's training pictures needs about .* GiB in .* make room"
    ):
        draw_pictures(RECIPE.model_copy(update={"pictures": 10**15}), tmp_path / "pixels.npy")


def test_training_lowers_both_losses_and_repeats(made, tmp_path):
    _, history, pixels, pictures = made
    for loss in ("caption_loss", "phrase_loss"):
        assert history[-1][loss] < history[0][loss] - 0.05
    again = train_clip(RECIPE, pixels, pictures, tmp_path, tmp_path / "kept")
    assert [row["phrase_loss"] for row in again] == [row["phrase_loss"] for row in history]


def test_training_goes_on_exactly_where_it_stopped(made, tmp_path, monkeypatch):
    folder, history, pixels, pictures = made
    monkeypatch.setattr(encoder, "CHECKPOINT_SECONDS", 0)
    save = checkpoints.save

    def stop(kept, step, tensors, progress):
        save(kept, step, tensors, progress)
        if step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "save", stop)
        train_clip(RECIPE, pixels, pictures, tmp_path / "clip", tmp_path / "kept")
    torch.manual_seed(99)
    resumed = train_clip(RECIPE, pixels, pictures, tmp_path / "clip", tmp_path / "kept")
    assert [row["phrase_loss"] for row in resumed] == [row["phrase_loss"] for row in history]
    weights = [load_file(one / "model.safetensors") for one in (folder, tmp_path / "clip")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_folder_is_an_ordinary_clip(made):
    folder, _, pixels, _ = made
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(["a red circle"], return_tensors="pt")
    assert tokens["input_ids"][0, 0] == 2 and tokens["input_ids"][0, -1] == 3
    with torch.no_grad():
        both = clip(
            **{k: tokens[k] for k in ("input_ids", "attention_mask")}, pixel_values=normalise(pixels[:1])
        )
    assert both.logits_per_image.shape == (1, 1)
    tower = load_vision_model(folder)
    hidden = tower(normalise(pixels[:2]), output_hidden_states=True).hidden_states[-2]
    reference = clip.vision_model(normalise(pixels[:2]), output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(hidden, reference)
    assert not any(p.requires_grad for p in tower.parameters())


def test_tokenizer_knows_every_word_and_keeps_the_end_apart_from_two():
    tokenizer = text_tokenizer(["P arrival at -12 s, far north."])
    ids = tokenizer("p arrival at -12 s")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.eos_token_id != 2  # transformers pools such a text at its largest id instead


def test_encoder_is_made_once_with_its_card(tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    recipe = RECIPE.model_copy(update={"epochs": 1.0})
    nano = Encoder(
        name="tiny",
        title="Tiny",
        kind="trained",
        scale="nano",
        checkpoint=str(tmp_path / "tiny"),
        recipe=recipe,
        seed=0,
    )
    asked = []
    monkeypatch.setattr(encoder, "load_encoder", lambda *given: asked.append(given) or nano)
    folder = encoder.make_encoder("tiny", "small")
    assert asked == [("tiny", "small")]
    card = read_json(folder / "card.json")
    assert card["recipe"] == recipe.model_dump() and len(card["history"]) == 1
    assert card["made_on"] == devices.described(devices.one_device())
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert encoder.make_encoder("tiny", "small") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(("words", "scale"), [((), "nano"), (("--scale", "small"), "small")])
def test_the_command_makes_an_encoder_of_its_scale(monkeypatch, words: tuple[str, ...], scale: str):
    made = []
    monkeypatch.setattr(encoder, "make_encoder", lambda *given: made.append(given))
    monkeypatch.setattr("sys.argv", ["encoder", "clip", *words])
    encoder.main()
    assert made == [("clip", scale)]


def test_encoder_without_a_recipe_cannot_be_made(monkeypatch):
    given = Encoder(
        name="given", title="Given", kind="trained", scale="nano", checkpoint="a/b", recipe=None, seed=0
    )
    monkeypatch.setattr(encoder, "load_encoder", lambda name, scale: given)
    with pytest.raises(ValueError, match=r"encoders/given\.yaml: no recipe at scale nano"):
        encoder.make_encoder("given")
