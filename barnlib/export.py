"""A trained run as a standard LLaVA checkpoint, for anybody who has transformers and not this repository.

In:  a trained run.
Out: a folder that `LlavaForConditionalGeneration.from_pretrained` and `AutoProcessor.from_pretrained` load: weights
     with LoRA merged in, tokenizer, image processor, and the run's ledger. The prompt is plain text with one image:
     `<image>\\nQuestion: Where is the epicentre?\\nAnswer:`.

`python -m barnlib.export STUDY BACKBONE SEED FOLDER`
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    LlavaProcessor,
    PreTrainedTokenizerBase,
)

from barnlib.assembly import Parts, assemble, trained_model
from barnlib.command_line import one_sentence
from barnlib.data.build import data_folder
from barnlib.data.records import read_items
from barnlib.data.turns import Turn
from barnlib.finetune import train_run
from barnlib.parameters import load_study
from barnlib.prompts import IMAGE_TOKEN, reserve_tokens
from barnlib.study import Study

log = logging.getLogger(__name__)

CHECKED = 500  # test questions whose prompt the exported processor must turn into the ids of training


def export_run(study: Study, backbone: str, seed: int, folder: Path) -> Path:
    """Write a run as a standard LLaVA checkpoint; trains the run where needed.

    Raises:
        ValueError: the folder holds something already; a tokenizer that, used alone, makes other ids of a prompt than
            training did (nothing stays in the folder then); and as :func:`barnlib.finetune.train_run`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; name a new folder")
    trained = train_run(study, backbone, seed)
    parts = assemble(study, backbone)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    processor = new_processor(parts)
    processor.save_pretrained(partial)
    items = read_items(data_folder(study) / "test.json")
    require_same_prompts(parts, partial, list(dict.fromkeys(item.turn.asked for item in items))[:CHECKED])
    trained_model(parts, trained).save_pretrained(partial)
    shutil.copy(trained / "ledger.json", partial / "ledger.json")
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    log.info("wrote %s", folder)
    return folder


def new_processor(parts: Parts) -> LlavaProcessor:
    """A processor that repeats the normalisation of the cached features and puts BOS before a prompt."""
    image_processor = AutoImageProcessor.from_pretrained(parts.encoder)
    tokenizer = AutoTokenizer.from_pretrained(parts.checkpoint, padding_side="left")  # to generate in batches
    reserve_tokens(tokenizer)
    _add_bos(tokenizer)
    config = AutoConfig.from_pretrained(parts.encoder)
    vision = getattr(config, "vision_config", config)
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy="default",
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=1,  # CLIP's class token, which the "default" strategy takes away again
    )


def require_same_prompts(parts: Parts, folder: Path, turns: Sequence[Turn]) -> None:
    """Check that the exported processor makes of a prompt the ids that training made of its segments.

    Raises:
        ValueError: the first prompt that differs, with both lists of ids.
    """
    processor = AutoProcessor.from_pretrained(folder)
    size = parts.study.data.image_size
    image = np.zeros((size, size, 3), np.uint8)
    for turn in turns:
        prompt = parts.prompter.prompt_text(turn.question, turn.history)
        expected = parts.prompter.prompt_ids(turn.question, turn.history)
        found = processor(images=image, text=prompt)["input_ids"][0]
        if list(found) != expected:
            raise ValueError(
                f"the exported processor turns {prompt!r} into ids {list(found)}, training used {expected}; this "
                "tokenizer cannot be exported to plain use without changing what the model sees"
            )


def _add_bos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer put BOS before a text, where it does not yet."""
    bos, bos_id = tokenizer.bos_token, tokenizer.bos_token_id
    if bos is None or tokenizer("a").input_ids[:1] == [bos_id]:
        return
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, bos_id)]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="a name in params/studies")
    parser.add_argument("backbone", help="a backbone of that study")
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path, help="a new folder")
    chosen = parser.parse_args(arguments)
    with one_sentence():
        export_run(load_study(chosen.study), chosen.backbone, chosen.seed, chosen.folder)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main()
