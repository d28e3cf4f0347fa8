"""Fixtures that several test modules share: tiny random checkpoints as Hugging Face folders, a tiny study.

Everything is made here from fixed seeds, in well under a second each, once per session. The folders are
ordinary ones: `AutoTokenizer`, `AutoModelForCausalLM` and `CLIPVisionModel` load them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from barnlib import parameters
from barnlib.study import Study

if TYPE_CHECKING:
    from barnlib.states_table import States
    from tests.small_model import Case

WORDS = (
    "Describe the picture. Is there a red circle? How many small blue squares are there? What colour is it? "
    "yes no red green blue yellow circle square triangle top left right bottom centre one two three "
    "0 1 2 3 4 5 6 7 8 9 "
    "A strong shallow earthquake in the Tonga Islands. Where is the epicentre? Answer with JSON: "
    '{"latitude": -12.4, "longitude": 143.9} The P wave arrives at 430 s. Question: Answer: '
)
STUDY = {
    "title": "Tiny study of the tests",
    "scale": "nano",
    "backbones": ["plain", "grouped"],
    "seeds": [0, 1],
    "data": {
        "seed": 5,
        "image_size": 96,
        "scenes": {"train": 6, "validation": 2, "test": 3, "questions": 2},
        "cards": {"train": 6, "validation": 2, "test": 3, "heldout": 2},
    },
    "encoder": {"name": "clip", "layer": -2},
    "prompt": {"arm": "uniform"},
    "align": {"epochs": 1.0, "batch_images": 4, "learning_rate": 0.002, "warmup": 0.1, "max_grad_norm": 1.0},
    "finetune": {
        "method": "lora",
        "epochs": 1.5,
        "batch_images": 4,
        "learning_rate": 0.002,
        "projector_learning_rate": 0.001,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "max_grad_norm": 1.0,
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
    },
    "compute": {
        "precision": "float32",
        "gradient_checkpointing": False,
        "images_at_once": 4,
        "max_tokens": 512,
    },
    "monitor": {"evaluations": 2, "images": 1, "checkpoint_minutes": 60.0},
    "evaluation": {
        "batch_images": 2,
        "max_new_tokens": {"vqa_scene": 3, "seismic_description": 5, "seismic_coordinates": 4},
        "hidden_items": 2,
        "probe_items": 3,
        "perturbations": {"noise": 0.05, "blur": 0.02, "occlusion": 0.05},
        "tolerance_km": 1000.0,
        "bootstrap": 10,
    },
}
IMAGE_SIZE, PATCH = 96, 32  # pixels; 9 image tokens


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Headless Chromium without a network."""
    from in_browser import started

    yield from started()


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of about 400 entries with <s>, </s>, <pad> and <image>."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with multi-head attention, its tokenizer in the same folder."""
    return save_llama(tmp_path_factory.mktemp("llama"), key_value_heads=4, seed=1)


@pytest.fixture(scope="session")
def tiny_grouped_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped-query attention (4 heads, 2 key-value heads), its tokenizer beside it."""
    return save_llama(tmp_path_factory.mktemp("grouped_llama"), key_value_heads=2, seed=2)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP vision model for 96-pixel images: 9 patches, hidden size 16, three layers."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from barnlib.vision import image_processor

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    image_processor(IMAGE_SIZE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_params(
    tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_grouped_llama: Path, tiny_clip: Path
) -> Path:
    """A params folder with the study `tiny`, the backbones `plain` and `grouped`, the encoder `clip`."""
    params = tmp_path_factory.mktemp("params")
    for path, content in {
        "studies/tiny": STUDY,
        "backbones/plain": {"title": "Plain", "colour": "#111111", "nano": {"checkpoint": str(tiny_llama)}},
        "backbones/grouped": {
            "title": "Grouped",
            "colour": "#222222",
            "nano": {"checkpoint": str(tiny_grouped_llama)},
        },
        "encoders/clip": {"title": "Tiny", "nano": {"checkpoint": str(tiny_clip)}},
    }.items():
        file = params / f"{path}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(content))
    return params


@pytest.fixture(scope="module")
def tiny_study(tmp_path_factory: pytest.TempPathFactory, tiny_params: Path) -> Iterator[Study]:
    """The study `tiny`, its params and its own empty runs folder in place for the tests of one module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "PARAMS", tiny_params)
        patch.setenv("BARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield parameters.load_study("tiny")


@pytest.fixture(scope="session")
def four_bits() -> None:
    """For what computes with weights of 4 bits."""
    pytest.importorskip("bitsandbytes", reason="needs the extra 'qlora', which `make test` installs")


@pytest.fixture(scope="module")
def no_preflight() -> Iterator[None]:
    """Random models of this size overfit nothing, so they are trained without a preflight, which has its own tests.

    The sources count as unchanged while the tests of a module run, whoever edits them meanwhile.
    """
    from barnlib import finetune, ledger, predict
    from tests.in_processes import CODE, REPORT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "_preflight", lambda *arguments: dict(REPORT))
        patch.setattr(ledger, "code", lambda start: dict(CODE))
        patch.setattr(predict, "code", ledger.code)
        yield


@pytest.fixture(scope="session")
def state_runs(tmp_path_factory: pytest.TempPathFactory) -> "list[States]":
    """Made-up hidden states of the backbones `b0` and `b1`, three seeds each, of which `b1` is the steadier."""
    from tests.small_states import write_study

    return write_study(tmp_path_factory.mktemp("states"))


@pytest.fixture(params=["multi-head", "grouped-query"], scope="module")
def case(
    request: pytest.FixtureRequest, tiny_llama: Path, tiny_grouped_llama: Path, tiny_clip: Path
) -> "Case":
    """A composed model of each kind of attention, with LoRA that does something; tests leave it as it is."""
    from tests.small_model import make_case

    return make_case(
        {"multi-head": tiny_llama, "grouped-query": tiny_grouped_llama}[request.param], tiny_clip
    )


@pytest.fixture
def fresh(tiny_llama: Path, tiny_clip: Path) -> "Case":
    """A composed model that a test may spoil."""
    from tests.small_model import make_case

    return make_case(tiny_llama, tiny_clip)


def save_tokenizer(folder: Path) -> None:
    """Train the tiny tokenizer and write it; deterministic."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "</s>", "<pad>", "<image>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def save_llama(folder: Path, *, key_value_heads: int, seed: int) -> Path:
    """Write a random Llama (hidden size 32, two layers, four heads) and its tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
