"""What a study file says: the protocol, everything that is the same for all backbones.

In:  strict.py's types, and the scales that a backbone may have, by components.py.
Out: :class:`Study` and its parts, frozen and strictly typed.
Next: parameters.py reads ``params/studies/NAME.yaml`` into a study, which every later module takes as an argument.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from barnlib.components import Scale
from barnlib.paths import ROOT, runs_root
from barnlib.strict import FORM, Count, Fraction, Rate, Seed, Strict

Several = Annotated[int, Field(ge=2)]
"""Pictures that are evaluated: each is asked about with another one in its place, too."""

TASKS_OF_THE_PAPER = ("vqa_scene", "seismic_description", "seismic_coordinates")
"""Asked in every study: claims and pages are about them."""


class SceneParameters(Strict):
    """How many VQA-Scene images each split holds, and how many questions are asked on each."""

    train: Count
    validation: Count
    test: Several
    questions: Count


class SeismicParameters(Strict):
    """How many event cards each split holds; ``heldout`` cards lie in regions that no other split shows."""

    train: Count
    validation: Count
    test: Several
    heldout: Several


class RecordsParameters(Strict):
    """Pictures and questions that are taken from a folder of records, in place of counts of what is to be made."""

    records: Annotated[str, Field(min_length=1)]  # relative to the repository, or absolute

    @property
    def folder(self) -> Path:
        """The folder that holds ``card.json`` and the records that it accounts for."""
        return ROOT / self.records


COUNTED, TAKEN = f"{FORM}counted", f"{FORM}taken"


def _made_or_taken(value: Any) -> str | None:
    """Which of the two forms a kind of picture has in a study file; None where it is neither, or a mixture.

    pydantic asks it of a model too, when a study is written.
    """
    if isinstance(value, Strict):
        value = dict(value)
    if not isinstance(value, dict):
        return None
    if "records" not in value:
        return COUNTED
    return TAKEN if len(value) == 1 else None


def _either(made: type[Strict]) -> Discriminator:
    return Discriminator(
        _made_or_taken,
        custom_error_type="neither_made_nor_taken",
        custom_error_message=f"expected either counts of what is to be made ({', '.join(made.model_fields)}) or "
        "nothing but 'records', the folder of what is to be taken",
    )


class DataParameters(Strict):
    """The pictures: each kind is either made here or taken from records."""

    seed: int
    image_size: Annotated[int, Field(ge=32)]  # pixels, square
    scenes: Annotated[
        Annotated[SceneParameters, Tag(COUNTED)] | Annotated[RecordsParameters, Tag(TAKEN)],
        _either(SceneParameters),
    ]
    cards: Annotated[
        Annotated[SeismicParameters, Tag(COUNTED)] | Annotated[RecordsParameters, Tag(TAKEN)],
        _either(SeismicParameters),
    ]


class EncoderParameters(Strict):
    """The frozen vision encoder: a file in ``params/encoders``, and the layer that gives the features."""

    name: str
    layer: int  # index into hidden_states; LLaVA takes -2


class PromptParameters(Strict):
    arm: Literal["uniform", "native"]


class LoraParameters(Strict):
    rank: Count
    alpha: Count
    dropout: Fraction


class AlignParameters(Strict):
    """Stage 1: the projector alone, on dense captions."""

    epochs: Rate
    batch_images: Count
    learning_rate: Rate
    warmup: Fraction  # of all steps
    max_grad_norm: Rate


class FinetuneParameters(Strict):
    """Stage 2: the language model, or LoRA on it, and the projector, on the three tasks together."""

    # full: every weight of the language model is trained, and ``lora`` is not used; qlora: LoRA on weights of 4 bits
    method: Literal["lora", "full", "qlora"]
    epochs: Rate
    batch_images: Count
    learning_rate: Rate
    projector_learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Fraction
    max_grad_norm: Rate
    lora: LoraParameters


class ComputeParameters(Strict):
    """How training is fitted to a machine. Precision decides numbers; the other three change them only by rounding."""

    precision: Literal[
        "float32", "bfloat16"
    ]  # of frozen weights, activations and features; answers are float32
    gradient_checkpointing: bool  # activations are computed twice instead of kept
    images_at_once: Count  # images of one forward; a larger batch is summed over several
    max_tokens: Count  # longest prompt and answer; a longer one is refused, never cut


class MonitorParameters(Strict):
    """Validation curves and checkpoints while finetuning."""

    evaluations: Count  # how often in the finetuning stage
    images: Count  # validation images of each kind that are looked at
    checkpoint_minutes: Rate


class PerturbationParameters(Strict):
    """How much a picture is disturbed to see whether hidden states stay where they are."""

    noise: Fraction  # standard deviation on every channel, as a share of full scale
    blur: Fraction  # standard deviation of the Gaussian, as a share of the picture's side
    occlusion: Fraction  # area of the grey square, as a share of the picture's


class EvaluationParameters(Strict):
    batch_images: Count
    max_new_tokens: dict[str, Count]  # by task; a task is asked where it is named here
    hidden_items: Count  # test items per task whose hidden states are kept, one of each picture
    probe_items: Count  # training items per task whose hidden states are kept, to fit probes on
    perturbations: PerturbationParameters
    tolerance_km: Rate  # a coordinate answer within this distance is correct
    bootstrap: Count  # resamples behind an interval

    @field_validator("max_new_tokens")
    @classmethod
    def _name_every_task(cls, limits: dict[str, int]) -> dict[str, int]:
        if not set(TASKS_OF_THE_PAPER) <= set(limits):
            raise ValueError(
                f"expected a limit for each of {', '.join(TASKS_OF_THE_PAPER)}, found {', '.join(limits) or 'none'}"
            )
        return limits


VALIDATION = ("batch_images", "max_new_tokens", "tolerance_km")
"""Those of `EvaluationParameters` that decide a training run too: its validation curves are scored with them."""


class Condition(Strict):
    """What evidence must show for a claim to hold; barnlib/analyses/verdicts.py says when it does.

    Estimates are selected by measure, tasks and ``of``, and asked to lie on one side of a threshold, every one of them
    or at least one. Backbones are ordered as in the study, oldest first.
    """

    measure: str  # as the analyses write it into their evidence
    tasks: tuple[
        str, ...
    ] = ()  # an estimate is expected for each; () takes the one over all tasks, or else each task's
    of: Literal["every_pair", "newest_less_older", "newest_less_oldest", "newest", "older"]
    which: Literal["every", "some"]
    side: Literal["above", "below"]
    threshold: float


class VerdictParameters(Strict):
    """The conditions that must all hold for each of the paper's claims, by ``barnlib.analyses.verdicts``."""

    C1: Annotated[tuple[Condition, ...], Field(min_length=1)]
    C2: Annotated[tuple[Condition, ...], Field(min_length=1)]
    C3: Annotated[tuple[Condition, ...], Field(min_length=1)]
    C4: Annotated[tuple[Condition, ...], Field(min_length=1)]
    C5: Annotated[tuple[Condition, ...], Field(min_length=1)]
    C6: Annotated[tuple[Condition, ...], Field(min_length=1)]


class Study(Strict):
    """One study: everything that is the same for all backbones."""

    name: str
    title: str
    scale: Scale
    backbones: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    data: DataParameters
    encoder: EncoderParameters
    prompt: PromptParameters
    align: AlignParameters
    finetune: FinetuneParameters
    compute: ComputeParameters
    monitor: MonitorParameters
    evaluation: EvaluationParameters
    verdicts: VerdictParameters | None = None  # a study without rules reaches no verdict

    @field_validator("backbones", "seeds")
    @classmethod
    def _name_each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected each of them once: a run that is counted twice narrows every interval")
        return values

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is asked: the paper's three tasks, then whatever else `evaluation.max_new_tokens` names."""
        return tuple(dict.fromkeys((*TASKS_OF_THE_PAPER, *self.evaluation.max_new_tokens)))

    @property
    def folder(self) -> Path:
        """Where everything this study produces lies."""
        return runs_root() / self.name
