"""An exported run is an ordinary LLaVA checkpoint that gives the answers of the evaluation."""

import sys

import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from barnlib import export, ledger, predict
from barnlib.assembly import assemble
from barnlib.data.build import data_folder, load_items
from barnlib.data.turns import Turn
from barnlib.inference import greedy_answers

pytestmark = pytest.mark.usefixtures("no_preflight")


@pytest.fixture(scope="module")
def exported(tiny_study, no_preflight, tmp_path_factory):
    """Written by the command line's own function; grouped-query attention."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "load_study", lambda name: {"tiny": tiny_study}[name])
        folder = tmp_path_factory.mktemp("exported") / "llava"
        export.main(["tiny", "grouped", "0", str(folder)])
    return folder


def test_plain_transformers_give_the_same_answers_on_png_files(exported, tiny_study):
    model = LlavaForConditionalGeneration.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    assert "torchvision" not in sys.modules and processor.num_additional_image_tokens == 1
    table = pd.read_parquet(predict.evaluate_run(tiny_study, "grouped", 0) / "predictions.parquet")
    table = table[(table["condition"] == "image") & (table["split"] == "test")]
    assert set(table["task"]) == {"vqa_scene", "seismic_description", "seismic_coordinates"}
    for row in table.to_dict("records"):
        inputs = processor(
            images=Image.open(data_folder(tiny_study) / row["image"]), text=row["prompt"], return_tensors="pt"
        )
        limit = tiny_study.evaluation.max_new_tokens[row["task"]]
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=limit, do_sample=False)
        text = processor.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text.removeprefix(" ") == row["answer"].replace("</s>", "")


def test_plain_transformers_answer_a_conversation_as_the_evaluation_does(exported, tiny_study):
    """The whole conversation as text, earlier answers with their EOS; the prompts that the exporter compares, too."""
    parts = assemble(tiny_study, "grouped")
    item = load_items(tiny_study, "test")[0]
    history = (("Is there a red circle?", "yes"), ("How many objects are there?", "3"))
    turns = [Turn(item.question, None, history[:number]) for number in range(3)]
    export.require_same_prompts(parts, exported, turns)
    model = LlavaForConditionalGeneration.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    asked = [(parts.rows[item.image], turn) for turn in turns]
    answers = greedy_answers(parts, model, asked, 6)
    end = processor.tokenizer.eos_token
    for number, key in enumerate(asked):
        said = "".join(f"{q}\nAnswer: {a}{end}\nQuestion: " for q, a in history[:number])
        text = f"<image>\nQuestion: {said}{item.question}\nAnswer:"
        picture = Image.open(data_folder(tiny_study) / item.image)
        inputs = processor(images=picture, text=text, return_tensors="pt")
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        assert parts.prompter.decode(made[0, inputs["input_ids"].shape[1] :].tolist()) == answers[key].text


def test_a_batch_of_prompts_is_padded_for_generation(exported, tiny_study):
    processor = AutoProcessor.from_pretrained(exported)
    images = [Image.new("RGB", (96, 96), "grey")] * 2
    prompts = [f"<image>\nQuestion: {question}\nAnswer:" for question in ("Where?", "Is there a red circle?")]
    ids = processor(images=images, text=prompts, padding=True, return_tensors="pt")["input_ids"]
    prompter = assemble(tiny_study, "grouped").prompter
    longer = prompter.prompt_ids("Is there a red circle?")
    assert ids[1].tolist() == longer
    shorter = prompter.prompt_ids("Where?")
    assert ids[0].tolist() == [prompter.pad_id] * (len(longer) - len(shorter)) + shorter


def test_it_is_one_folder_of_safetensors_with_the_runs_ledger(exported, tiny_study):
    assert list(exported.glob("*.safetensors")) and not list(exported.glob("*.bin"))
    assert ledger.read(exported / "ledger.json")["run"] == "grouped-seed0"
    config = LlavaForConditionalGeneration.from_pretrained(exported).config
    assert config.image_seq_length == 9 and config.text_config.num_key_value_heads == 2
    assert AutoProcessor.from_pretrained(exported).chat_template is None


def test_a_folder_that_holds_something_is_refused(exported, tiny_study):
    with pytest.raises(ValueError, match="llava is not empty; name a new folder"):
        export.export_run(tiny_study, "grouped", 0, exported)


def test_a_tokenizer_that_makes_other_ids_alone_is_refused(exported, tiny_study):
    parts = assemble(tiny_study, "grouped")
    parts.prompter.prefix_ids.insert(0, parts.prompter.bos_id)  # two BOS in training
    with pytest.raises(
        ValueError,
        match=r"turns '<image>\\nQuestion: Where\?\\nAnswer:' into ids \[0, .*training used \[0, 0, ",
    ):
        export.require_same_prompts(parts, exported, [Turn("Where?")])
