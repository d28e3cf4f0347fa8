"""The shipped studies: the paper's recipe, the same protocol at every scale, the same tasks."""

from barnlib.data.records import TASKS
from barnlib.parameters import load_backbone, load_encoder, load_study, study_names
from barnlib.study import TASKS_OF_THE_PAPER


def test_the_papers_scale_is_the_recipe_of_llava_1_5():
    study = load_study("paper")
    align, finetune, compute = study.align, study.finetune, study.compute
    assert (align.epochs, align.batch_images, align.learning_rate, align.warmup) == (1.0, 256, 1e-3, 0.03)
    assert (finetune.epochs, finetune.batch_images, finetune.warmup) == (1.0, 128, 0.03)
    assert (finetune.learning_rate, finetune.projector_learning_rate, finetune.weight_decay) == (
        2e-4,
        2e-5,
        0.0,
    )
    assert (finetune.lora.rank, finetune.lora.alpha, finetune.lora.dropout) == (128, 256, 0.05)
    assert (compute.precision, compute.gradient_checkpointing, compute.max_tokens) == ("bfloat16", True, 2048)
    assert (study.encoder.layer, study.data.image_size) == (-2, 336)
    checkpoints = [load_backbone(name, "paper").checkpoint for name in study.backbones]
    assert checkpoints == ["huggyllama/llama-7b", "meta-llama/Llama-2-7b-hf", "meta-llama/Meta-Llama-3-8B"]
    assert load_encoder("clip", "paper").checkpoint == "openai/clip-vit-large-patch14-336"
    assert study.verdicts == load_study("nano").verdicts, (
        "the claims are decided by the same rules at every scale"
    )


def test_small_is_the_protocol_of_nano_at_another_size():
    nano, small = load_study("nano"), load_study("small")
    assert small.scale == "small"
    for part in ("backbones", "seeds", "encoder", "prompt", "verdicts"):
        assert getattr(small, part) == getattr(nano, part), part
    assert small.data.seed == nano.data.seed and small.finetune.method == nano.finetune.method
    assert small.evaluation.max_new_tokens == nano.evaluation.max_new_tokens
    assert small.evaluation.perturbations == nano.evaluation.perturbations
    assert small.data.image_size == 224 and small.evaluation.tolerance_km == 250
    for name in small.backbones:
        recipe = load_backbone(name, "small").recipe
        assert recipe is not None and small.compute.max_tokens <= recipe.sequence_tokens


def test_the_tasks_are_those_of_the_records():
    assert TASKS[: len(TASKS_OF_THE_PAPER)] == TASKS_OF_THE_PAPER
    for name in study_names():
        assert load_study(name).tasks == TASKS_OF_THE_PAPER
