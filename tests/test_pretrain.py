"""Pretraining: packing, the schedule, resuming, and one backbone made at a tiny scale."""

import hashlib
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from barnlib import devices, pretrain, text_probe
from barnlib.artefacts import verify
from barnlib.corpus import documents, sample_text
from barnlib.parameters import backbone_names, load_backbone
from barnlib.paths import ROOT
from barnlib.pretrain import (
    accumulate,
    corpus_shares,
    make_backbone,
    new_llama,
    pack_windows,
    rate,
    tokenizer_characters,
    train,
)
from barnlib.recipes import Recipe
from barnlib.tokenization import train_tokenizer

RECIPE = {
    "tokenizer": {"kind": "byte_level_bpe", "vocabulary": 600},
    "corpus": {
        "tokens": 12_800,
        "prose": 0.15,
        "scenes": 0.4,
        "seismic": 0.2,
        "structured": 0.15,
        "repeats": 0.1,
    },
    "hidden_size": 32,
    "intermediate_size": 64,
    "layers": 2,
    "attention_heads": 4,
    "key_value_heads": 2,
    "rope_base": 500000.0,
    "context": 512,
    "sequence_tokens": 320,
    "learning_rate": 0.003,
    "batch_tokens": 640,
    "seed": 5,
}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.model_validate(RECIPE)


@pytest.fixture(scope="module")
def tokenizer(recipe: Recipe):
    return train_tokenizer(recipe.tokenizer, sample_text(corpus_shares(recipe), 1, 150_000))


@pytest.fixture(scope="module")
def windows(recipe: Recipe, tokenizer, tmp_path_factory):
    return pack_windows(recipe, tokenizer, tmp_path_factory.mktemp("text") / "windows.npy")


def test_windows_are_full_and_keep_the_shares(recipe: Recipe, windows):
    packed, counts = windows
    assert packed.shape == (40, 320)
    assert sum(counts.values()) == packed.size
    for kind, share in corpus_shares(recipe).items():
        assert counts[kind] / packed.size == pytest.approx(share, abs=0.03)


def test_whole_documents_stand_in_one_window(recipe: Recipe, tokenizer, windows):
    rows = [" ".join(map(str, window)) for window in windows[0].tolist()]
    for kind in ("scenes", "seismic"):
        for document in islice(documents(kind, recipe.seed), 8):
            ids = [tokenizer.bos_token_id, *tokenizer(document.text).input_ids, tokenizer.eos_token_id]
            whole = " ".join(map(str, ids[: recipe.sequence_tokens]))
            assert sum(whole in row for row in rows) == 1


def test_running_text_goes_on_in_the_next_window(recipe: Recipe, tokenizer, tmp_path: Path):
    """Cut pieces of prose, put together again, are the stream: nothing is lost or doubled."""
    shares = {"prose": 1.0, "scenes": 0.0, "seismic": 0.0, "structured": 0.0, "repeats": 0.0}
    only_prose = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update=shares)})
    packed = pack_windows(only_prose, tokenizer, tmp_path / "windows.npy")[0].flatten().tolist()
    stream = []
    for document in documents("prose", recipe.seed):
        stream += [tokenizer.bos_token_id, *tokenizer(document.text).input_ids, tokenizer.eos_token_id]
        if len(stream) > len(packed):
            break
    assert packed == stream[: len(packed)]


def test_what_no_running_text_fills_is_padding(recipe: Recipe, tokenizer, tmp_path: Path):
    shares = {"prose": 0.0, "scenes": 0.5, "seismic": 0.5, "structured": 0.0, "repeats": 0.0}
    only_whole = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update=shares)})
    packed, counts = pack_windows(only_whole, tokenizer, tmp_path / "windows.npy")
    ends = [int(np.flatnonzero(window != tokenizer.pad_token_id)[-1]) + 1 for window in packed]
    assert all(
        window[end - 1] == tokenizer.eos_token_id
        for window, end in zip(packed, ends, strict=True)
        if end < 320
    )
    assert sum(ends) == sum(counts.values()) < packed.size


def test_packing_repeats(recipe: Recipe, tokenizer, windows, tmp_path: Path):
    assert np.array_equal(pack_windows(recipe, tokenizer, tmp_path / "again.npy")[0], windows[0])
    other = recipe.model_copy(update={"seed": 6})
    assert not np.array_equal(pack_windows(other, tokenizer, tmp_path / "other.npy")[0], windows[0])


def test_windows_lie_in_a_file_of_two_bytes_for_each_token(windows):
    packed, _ = windows
    assert isinstance(packed, np.memmap) and packed.dtype == np.uint16
    assert np.array_equal(np.load(packed.filename, mmap_mode="r"), packed)
    assert Path(packed.filename).stat().st_size == 2 * 12_800 + 128, "and a header"


def test_what_windows_cannot_hold_is_refused(recipe: Recipe, tokenizer, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pretrain, "ID_LIMIT", 599)
    with pytest.raises(ValueError, match="expected a vocabulary of at most 599 entries, found 600"):
        pack_windows(recipe, tokenizer, tmp_path / "windows.npy")
    monkeypatch.undo()
    endless = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"tokens": 10**18})})
    with pytest.raises(ValueError, match=r"training text of .* tokens needs about .* GiB in .* make room"):
        pack_windows(endless, tokenizer, tmp_path / "windows.npy")


def test_a_larger_vocabulary_learns_from_more_text(recipe: Recipe):
    def characters(vocabulary: int) -> int:
        kind = recipe.tokenizer.model_copy(update={"vocabulary": vocabulary})
        return tokenizer_characters(recipe.model_copy(update={"tokenizer": kind}))

    assert [characters(size) for size in (1024, 4096, 16_384)] == [4_000_000, 4_000_000, 16_000_000]


def test_a_backbone_learns_its_tokenizer_from_as_much_text_as_its_vocabulary_needs(
    recipe: Recipe, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    asked = []
    monkeypatch.setattr(pretrain, "_build", lambda recipe, folder, work, characters: asked.append(characters))
    large = recipe.model_copy(update={"tokenizer": recipe.tokenizer.model_copy(update={"vocabulary": 8192})})
    make_backbone(large, tmp_path / "backbone")
    assert asked == [8_000_000]


def test_shares_must_add_up(recipe: Recipe):
    wrong = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"prose": 0.5})})
    with pytest.raises(ValueError, match=r"shares of the corpus add up to 1\.35, not 1"):
        corpus_shares(wrong)


def test_schedule_by_hand():
    assert rate(0, 1000) == pytest.approx(1 / 100)
    assert rate(99, 1000) == pytest.approx(1.0)
    assert rate(100, 1000) == pytest.approx(1.0)
    assert rate(550, 1000) == pytest.approx(0.55)  # half-way down from 1 to 0.1
    assert rate(999, 1000) == pytest.approx(0.1, abs=1e-4)
    assert rate(0, 20) == pytest.approx(0.5)  # a short run warms up in a tenth of its steps


def test_new_llama_follows_the_recipe_and_its_seed(recipe: Recipe, tokenizer):
    one, again = new_llama(recipe, tokenizer), new_llama(recipe, tokenizer)
    other = new_llama(recipe.model_copy(update={"seed": 6}), tokenizer)
    assert torch.equal(one.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    config = one.config
    assert config.rope_parameters["rope_theta"] == 500000.0
    assert (config.num_key_value_heads, config.max_position_embeddings) == (2, 512)
    assert not config.tie_word_embeddings
    assert one.model.rotary_emb.inv_freq[1].item() == pytest.approx(500000.0 ** (-2 / 8))


def gradients(model, batch, pad_id: int, piece: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch, from a model without gradients."""
    model.zero_grad(set_to_none=True)
    loss = accumulate(model, batch, pad_id, piece)
    return loss, {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.fixture
def padded(windows, tokenizer) -> torch.Tensor:
    """Five windows, the first nearly empty: their pieces hold unlike numbers of targets."""
    batch = torch.from_numpy(windows[0][:5].astype(np.int64))
    batch[0, 20:] = tokenizer.pad_token_id
    return batch


def test_pieces_add_up_to_the_batch(recipe: Recipe, tokenizer, padded):
    model, pad = new_llama(recipe, tokenizer), tokenizer.pad_token_id
    labels = padded.masked_fill(padded == pad, -100)
    expected = model(input_ids=padded, labels=labels).loss
    whole_loss, whole = gradients(model, padded, pad, piece=5)
    loss, summed = gradients(model, padded, pad, piece=2)
    assert loss == pytest.approx(whole_loss, rel=1e-6) == pytest.approx(expected.item(), rel=1e-6)
    model.zero_grad(set_to_none=True)
    expected.backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(summed[name], whole[name], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(whole[name], weight.grad, rtol=1e-4, atol=1e-7)


def test_a_batch_of_one_piece_is_not_changed_by_its_weight(recipe: Recipe, tokenizer, padded):
    """Bit for bit the mean loss of one forward pass: the shipped backbones were made so."""
    model, pad = new_llama(recipe, tokenizer), tokenizer.pad_token_id
    _, found = gradients(model, padded, pad, piece=5)
    model.zero_grad(set_to_none=True)
    hidden = model.model(input_ids=padded[:, :-1], use_cache=False).last_hidden_state
    logits = model.lm_head(hidden).flatten(0, 1)
    torch.nn.functional.cross_entropy(logits, padded[:, 1:].flatten(), ignore_index=pad).backward()
    assert all(torch.equal(found[name], weight.grad) for name, weight in model.named_parameters())


def test_half_precision_keeps_weights_and_gradients_in_float32(
    recipe: Recipe, tokenizer, padded, monkeypatch
):
    model, pad = new_llama(recipe, tokenizer), tokenizer.pad_token_id
    exact, _ = gradients(model, padded, pad, piece=5)
    monkeypatch.setattr(devices, "computing", lambda device: torch.autocast(device.type, torch.bfloat16))
    loss, found = gradients(model, padded, pad, piece=2)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert loss == pytest.approx(exact, rel=0.01) and loss != exact


@pytest.mark.parametrize("forward_tokens", [640, 320], ids=["whole", "in pieces"])
def test_training_goes_on_exactly_where_it_stopped(
    recipe: Recipe, tokenizer, windows, tmp_path: Path, monkeypatch, forward_tokens: int
):
    monkeypatch.setattr(pretrain, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(pretrain, "FORWARD_TOKENS", forward_tokens)
    straight = new_llama(recipe, tokenizer)
    (tmp_path / "a").mkdir()
    seen = set()
    straight.model.register_forward_pre_hook(
        lambda model, given, named: seen.add(named["input_ids"].shape[0]), with_kwargs=True
    )
    curve = train(straight, windows[0], recipe, tokenizer.pad_token_id, tmp_path / "a")
    assert seen == {forward_tokens // recipe.sequence_tokens}, "windows of one forward pass"
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.5

    (tmp_path / "b").mkdir()
    steps = Counter()

    def stop(model, optimizer, step, curve, work):
        save(model, optimizer, step, curve, work)
        steps[step] += 1
        if step == 7:
            raise KeyboardInterrupt

    save = pretrain._save
    monkeypatch.setattr(pretrain, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(new_llama(recipe, tokenizer), windows[0], recipe, tokenizer.pad_token_id, tmp_path / "b")
    resumed = new_llama(recipe.model_copy(update={"seed": 99}), tokenizer)
    resumed_curve = train(resumed, windows[0], recipe, tokenizer.pad_token_id, tmp_path / "b")
    assert 8 in steps
    assert resumed_curve == curve
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_a_backbone_is_made_once(recipe: Recipe, tmp_path: Path, monkeypatch):
    for name, value in (("SCENES", 2), ("CARDS", 2), ("DOCUMENTS", 2), ("NEW_TOKENS", 8)):
        monkeypatch.setattr(text_probe, name, value)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    folder = make_backbone(recipe, tmp_path / "backbone", characters=150_000)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 600
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    card = json.loads((folder / "card.json").read_text())
    assert card["recipe"] == recipe.model_dump()
    assert card["made_on"] == devices.described(devices.one_device())
    assert sum(card["corpus"]["tokens"].values()) == 12_800
    (kept,) = (tmp_path / "runs" / "pretrain").glob("*/windows.npy")
    assert card["corpus"]["windows_sha256"] == hashlib.sha256(np.load(kept).tobytes()).hexdigest()
    assert card["loss_curve_nats_per_token"][-1]["loss"] < card["loss_curve_nats_per_token"][0]["loss"]
    assert set(card["nats_per_byte"]["held_out"]) == set(corpus_shares(recipe))
    assert "coordinates_as_json" in card["text_accuracy"]
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert make_backbone(recipe, folder, characters=150_000) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(("words", "scale"), [((), "nano"), (("--scale", "small"), "small")])
def test_the_command_makes_a_backbone_of_its_scale(monkeypatch, words: tuple[str, ...], scale: str):
    made = []
    monkeypatch.setattr(pretrain, "make_backbone", lambda *given: made.append(given))
    monkeypatch.setattr("sys.argv", ["pretrain", "llama3", *words])
    pretrain.main()
    backbone = load_backbone("llama3", scale)
    assert made == [(backbone.recipe, ROOT / backbone.checkpoint)]


def test_a_published_backbone_is_not_made(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pretrain", "llama3", "--scale", "paper"])
    with pytest.raises(SystemExit):
        pretrain.main()
    assert "backbone 'llama3' has no recipe at scale paper: it is loaded, not made" in capsys.readouterr().err


@pytest.mark.parametrize("name", backbone_names())
def test_shipped_backbones_are_what_their_files_say(name: str):
    backbone = load_backbone(name, "nano")
    folder, recipe = ROOT / backbone.checkpoint, backbone.recipe
    assert recipe is not None
    assert sum(corpus_shares(recipe).values()) == pytest.approx(1)
    verify(folder)
    card = json.loads((folder / "card.json").read_text())
    assert card["recipe"] == recipe.model_dump()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.num_parameters() == card["parameters"]
    assert model.config.vocab_size == len(tokenizer) == recipe.tokenizer.vocabulary
    assert model.config.max_position_embeddings == recipe.context
    assert model.config.num_key_value_heads == recipe.key_value_heads


def test_the_first_two_generations_share_their_tokenizer():
    paths = [
        ROOT / load_backbone(name, "nano").checkpoint / "tokenizer.json" for name in ("llama1", "llama2")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
