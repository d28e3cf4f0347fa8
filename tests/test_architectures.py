"""Any causal language model and any encoder: packed losses and answers are those of plain transformers, alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
)

from barnlib import model_checks
from barnlib.data.records import Item
from barnlib.decoding import greedy, stop_ids
from barnlib.features import patch_features
from barnlib.forward import sliding_window
from barnlib.likelihood import packed_loss
from barnlib.model import add_lora, compose, linear_layers, load_trained_state, trained_state
from barnlib.packing import pack
from barnlib.prompts import Prompter
from barnlib.quantisation import dequantised, load_quantised, quantised_layers
from barnlib.vision import class_tokens, load_vision_model, normalisation
from tests.conftest import IMAGE_SIZE, PATCH, save_tokenizer
from tests.small_model import (
    ASKED,
    FLAT,
    GROUPS,
    IMAGE_TOKENS,
    LORA_TARGETS,
    NATS,
    Case,
    alone,
    make_case,
    supervised,
)

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED = SHAPE | {"num_key_value_heads": 2, "head_dim": 8}
NEOX_TARGETS = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


@dataclass(frozen=True)
class Kind:
    """One architecture at a tiny random size."""

    model: type[PreTrainedModel]
    config: type
    options: dict[str, Any]
    targets: tuple[str, ...] = LORA_TARGETS


KINDS = {
    "llama": Kind(LlamaForCausalLM, LlamaConfig, GROUPED),
    "llama-tied": Kind(LlamaForCausalLM, LlamaConfig, GROUPED | {"tie_word_embeddings": True}),
    "qwen2": Kind(Qwen2ForCausalLM, Qwen2Config, SHAPE | {"num_key_value_heads": 2}),
    "qwen2-some-layers-windowed": Kind(
        Qwen2ForCausalLM,
        Qwen2Config,
        SHAPE
        | {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
    "qwen3": Kind(Qwen3ForCausalLM, Qwen3Config, GROUPED),
    "mistral": Kind(MistralForCausalLM, MistralConfig, GROUPED),
    "mistral-windowed": Kind(MistralForCausalLM, MistralConfig, GROUPED | {"sliding_window": 9}),
    "gemma": Kind(GemmaForCausalLM, GemmaConfig, GROUPED | {"hidden_activation": "gelu_pytorch_tanh"}),
    "gemma3-windowed": Kind(
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        GROUPED
        | {
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
    ),
    "gpt_neox": Kind(GPTNeoXForCausalLM, GPTNeoXConfig, SHAPE, NEOX_TARGETS),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def save(kind: Kind, tokenizer, folder: Path, **options) -> Path:
    """A random model of a kind as a sharded Hugging Face folder."""
    torch.manual_seed(3)
    config = kind.config(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **kind.options | options,
    )
    model = kind.model(config)
    with torch.no_grad():
        for parameter in model.parameters():  # larger than at initialisation, so that logits are apart
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder, max_shard_size="20KB")
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


@pytest.fixture(scope="module", params=KINDS)
def built(request, tokenizer, tiny_clip, tmp_path_factory) -> tuple[Kind, Path, Case]:
    kind = KINDS[request.param]
    folder = save(kind, tokenizer, tmp_path_factory.mktemp(request.param))
    return kind, folder, make_case(folder, tiny_clip, head=1.0)


def test_packed_loss_is_the_loss_of_each_sample_alone(built):
    _, _, case = built
    found = packed_loss(case.model, pack(case.prompter, GROUPS), case.features).branch_nats
    expected = []
    for row, question, answer in FLAT:
        sample, count = supervised(case, row, question, answer)
        with torch.no_grad():
            expected.append(float(case.plain(**sample).loss) * count)
    # Worst over the ten kinds: 1.5e-6 of a branch's nats (larger weights than in test_likelihood.py).
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_packed_greedy_answers_are_those_of_generate(built):
    _, _, case = built
    limit = 12
    answers = greedy(case.model, pack(case.prompter, ASKED), case.features, limit)
    for number, (row, question, _) in enumerate(FLAT):
        sample = alone(case, row, question, None)
        made = case.plain.generate(**sample, max_new_tokens=limit, do_sample=False)
        assert answers.ids[number] == made[0, sample["input_ids"].shape[1] :].tolist()


def test_lora_is_on_every_linear_layer_whatever_its_name(built):
    kind, _, case = built
    adapted = {name for name, module in case.plain.named_modules() if hasattr(module, "lora_A")}
    assert {name.rsplit(".", 1)[-1] for name in adapted} == set(kind.targets)
    assert len(adapted) == len(kind.targets) * 2  # layers
    assert all("language_model" in name for name in adapted)


def test_exactly_the_layers_that_lora_is_on_can_be_in_four_bits(four_bits, built, tiny_clip):
    """With LoRA beside them they give what plain layers with the same numbers give."""
    kind, folder, case = built
    language = load_quantised(folder, torch.float32, torch.device("cpu"))
    names = set(quantised_layers(language))
    assert {name.rsplit(".", 1)[-1] for name in names} == set(kind.targets) and len(names) == 2 * len(
        kind.targets
    )
    state = {name: weight.clone() for name, weight in trained_state(case.model).items()}
    packed, found = pack(case.prompter, GROUPS), []
    for bare in (language, dequantised(load_quantised(folder, torch.float32, torch.device("cpu")))):
        composed = compose(tiny_clip, bare, case.prompter, seed=4)
        model = add_lora(composed, rank=4, alpha=8, dropout=0.1, seed=4).eval()
        load_trained_state(model, state)
        found.append(packed_loss(model, packed, case.features).branch_nats.detach())
    torch.testing.assert_close(found[0], found[1], **NATS)
    exact = packed_loss(case.model, packed, case.features).branch_nats
    assert bool(((found[0] - exact).abs() > 0.1).any()), "they are in four bits"


def test_the_composed_model_passes_the_preflight_of_its_text_side(built):
    _, folder, case = built
    items = [
        Item(f"i{n}", f"{row}-{n}.png", "vqa_scene", "colour", "easy", question, answer, (), {})
        for n, (row, question, answer) in enumerate(FLAT)
    ]
    bare = AutoModelForCausalLM.from_pretrained(folder).eval()
    with case.model.disable_adapter():
        assert model_checks.check_text_only(case.prompter, case.model, bare, items) < 1e-4
    model_checks.check_embedding(case.prompter, case.model)
    model_checks.check_stop(case.prompter, case.model)


@pytest.mark.parametrize("name", [name for name in KINDS if "windowed" in name])
def test_a_window_changes_what_is_seen(name, tokenizer, tiny_clip, tmp_path):
    """Otherwise the tests above would prove nothing about windows."""
    kind = KINDS[name]
    folder = save(kind, tokenizer, tmp_path)
    prompter = Prompter(tokenizer, "uniform", IMAGE_TOKENS)
    features = torch.randn(3, IMAGE_TOKENS, 16, generator=torch.Generator().manual_seed(1))
    model = compose(tiny_clip, folder, prompter, seed=4)
    config = model.model.language_model.config
    assert sliding_window(config) == kind.options["sliding_window"]
    narrow = packed_loss(model, pack(prompter, GROUPS), features).branch_nats
    config.sliding_window = 200
    wide = packed_loss(model, pack(prompter, GROUPS), features).branch_nats
    assert bool(((narrow - wide).abs() > 0.01).all())


def test_layers_that_cannot_be_packed_are_refused():
    config = LlamaConfig(**SHAPE)
    config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(ValueError, match=r"'llama' has layers of the kind 'linear_attention'; expected full"):
        sliding_window(config)


def test_several_eos_ids_and_a_tokenizer_without_padding(tokenizer, tiny_clip, tmp_path):
    from barnlib.assembly import stop_ids as said
    from barnlib.prompts import reserve_tokens

    folder = save(KINDS["llama"], tokenizer, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, 9]
    model.generation_config.save_pretrained(folder)
    bare = AutoTokenizer.from_pretrained(folder)
    bare.pad_token = None
    assert reserve_tokens(bare) == ["<pad>"]
    prompter = Prompter(bare, "uniform", IMAGE_TOKENS, said(folder))
    composed = compose(tiny_clip, folder, prompter, seed=0)
    assert stop_ids(composed) == [bare.eos_token_id, 9] and prompter.pad_id not in stop_ids(composed)


def vision(kind: str, folder: Path) -> Path:
    """A tiny random encoder with its image processor's mean and standard deviation beside it."""
    torch.manual_seed(5)
    shape = {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH,
    }
    models = {
        "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**shape, intermediate_size=32)),
        "siglip": lambda: SiglipModel(
            SiglipConfig(
                text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
                | {"num_attention_heads": 2, "vocab_size": 30, "projection_size": 16},
                vision_config=SiglipVisionConfig(**shape, intermediate_size=32).to_dict(),
            )
        ),
        "dinov2": lambda: Dinov2Model(Dinov2Config(**shape)),
        "dinov2-registers": lambda: Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(**shape, num_register_tokens=4)
        ),
    }
    models[kind]().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )
    return folder


@pytest.mark.parametrize(
    ("kind", "class_token", "tokens"),
    [("clip", 1, 9), ("siglip", 0, 9), ("dinov2", 1, 9), ("dinov2-registers", 1, 13)],
)
def test_cached_features_of_any_encoder_are_those_of_the_composed_model(
    kind, class_token, tokens, tiny_llama, tmp_path
):
    folder = vision(kind, tmp_path)
    tower = load_vision_model(folder)
    pixels = torch.randint(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    mean, std = normalisation(folder)
    features = patch_features(tower, pixels.numpy(), -2, mean, std)
    assert features.shape == (2, tokens, 16)
    assert class_tokens(tower.config, tokens + class_token) == class_token
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_llama), "uniform", tokens)
    model = compose(folder, tiny_llama, prompter, seed=0)
    # the library's own arithmetic: torchvision's order of scaling and normalising
    values = (pixels.permute(0, 3, 1, 2).float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(
        std
    ).view(3, 1, 1)
    with torch.inference_mode():
        expected = torch.stack(list(model.get_image_features(values).pooler_output))
        found = model.model.multi_modal_projector(features)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_linear_layers_are_named_by_the_module(tokenizer, tiny_clip, tmp_path):
    folder = save(KINDS["gpt_neox"], tokenizer, tmp_path)
    model = compose(tiny_clip, folder, Prompter(tokenizer, "uniform", IMAGE_TOKENS), seed=0)
    assert linear_layers(model) == set(NEOX_TARGETS)
