"""The study's parameters: YAML files with disjoint owners, read into frozen, strictly typed models.

In:  ``params/studies/NAME.yaml`` (the protocol, the same for every backbone), ``params/backbones/NAME.yaml`` and
     ``params/encoders/NAME.yaml`` (what makes one of them, at each scale).
Out: :class:`Study`, :class:`Backbone` and :class:`Encoder`, which every later module takes as arguments.

A backbone file cannot name a prompt, or a learning rate or seed of the study: :class:`Backbone` has no such field
(the recipe of a backbone that is made here has its own, for making it), and unknown keys are refused. That is what
makes the comparison controlled by construction.
"""

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator

from barnlib.recipes import EncoderRecipe, Recipe
from barnlib.strict import FORM, Count, Fraction, Rate, Seed, Strict, merged, parse, read_yaml

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "params"

Scale = Literal["nano", "small", "paper"]
MADE = "params/checkpoints/"  # where encoders and backbones lie that `make checkpoints` makes
TASKS_OF_THE_PAPER = ("vqa_scene", "seismic_description", "seismic_coordinates")
"""Asked in every study: claims and pages are about them."""


def runs_root() -> Path:
    """Folder of everything produced: ``$BARNLIB_RUNS`` where set, else ``runs/`` beside barnlib."""
    return Path(os.environ.get("BARNLIB_RUNS", ROOT / "runs")).resolve()


class SceneParameters(Strict):
    """How many VQA-Scene images each split holds, and how many questions are asked on each."""

    train: Count
    validation: Count
    test: Count
    questions: Count


class SeismicParameters(Strict):
    """How many event cards each split holds; ``heldout`` cards lie in regions that no other split shows."""

    train: Count
    validation: Count
    test: Count
    heldout: Count


class RecordsParameters(Strict):
    """Pictures and questions that are taken from a folder of records, in place of counts of what is to be made."""

    records: Annotated[str, Field(min_length=1)]  # relative to the repository, or absolute

    @property
    def folder(self) -> Path:
        """The folder that holds ``card.json`` and the records that it accounts for."""
        return ROOT / self.records


COUNTED, TAKEN = f"{FORM}counted", f"{FORM}taken"


def _made_or_taken(value: Any) -> str | None:
    """Which of the two forms a kind of picture has in a study file; None where it is neither, or a mixture."""
    if isinstance(value, RecordsParameters):
        return TAKEN
    if isinstance(value, SceneParameters | SeismicParameters):
        return COUNTED
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


EncoderKind = Literal["trained", "random", "oracle"]


class EncoderCheckpoint(Strict):
    """One encoder at one scale: where its weights lie and, where they are made here, how.

    A control (see :mod:`barnlib.controls`) names the checkpoint whose shape it takes, and the seed of its numbers.
    """

    checkpoint: str
    recipe: EncoderRecipe | None = None
    seed: int = 0


class EncoderFile(Strict):
    """A whole ``params/encoders/NAME.yaml``."""

    title: str
    kind: EncoderKind = "trained"
    nano: EncoderCheckpoint | None = None
    small: EncoderCheckpoint | None = None
    paper: EncoderCheckpoint | None = None


class Encoder(Strict):
    """One encoder at the scale of a study."""

    name: str
    title: str
    kind: EncoderKind
    scale: str
    checkpoint: str
    recipe: EncoderRecipe | None
    seed: int


class Checkpoint(Strict):
    """One backbone at one scale: where its weights lie and, where they are made here, how."""

    checkpoint: str  # folder relative to the repository, absolute folder, or hub id
    recipe: Recipe | None = None


class BackboneFile(Strict):
    """A whole ``params/backbones/NAME.yaml``."""

    title: str
    colour: str  # hexadecimal, the same in every chart
    nano: Checkpoint | None = None
    small: Checkpoint | None = None
    paper: Checkpoint | None = None


class Backbone(Strict):
    """One backbone at the scale of a study."""

    name: str
    title: str
    colour: str
    scale: str
    checkpoint: str
    recipe: Recipe | None


def study_names() -> tuple[str, ...]:
    """Names of the studies in ``params/studies``."""
    return _names("studies")


def backbone_names() -> tuple[str, ...]:
    """Names of the backbones in ``params/backbones``."""
    return _names("backbones")


def load_study(name: str) -> Study:
    """The study ``params/studies/NAME.yaml``.

    A study that differs from another in a few keys names it as ``base`` and holds those keys only.

    Raises:
        ValueError: no such study; a key that does not exist, is missing or has the wrong type (with the file and
            the key); a backbone that does not exist or has no checkpoint at the study's scale.
    """
    path = _existing("study", "studies", name)
    study = parse(Study, path, {"name": name} | _with_base(path))
    if study.name != name:
        raise ValueError(f"{path}: key 'name' is '{study.name}', expected '{name}', the name of the file")
    load_encoder(study.encoder.name, study.scale)
    for backbone in study.backbones:
        load_backbone(backbone, study.scale)
    return study


def load_backbone(name: str, scale: str) -> Backbone:
    """The backbone ``params/backbones/NAME.yaml`` at one scale.

    Raises:
        ValueError: no such backbone, no such scale in its file, or a malformed file.
    """
    path = _existing("backbone", "backbones", name)
    file = parse(BackboneFile, path, read_yaml(path))
    at_scale = _at_scale(path, file, scale)
    return Backbone(name=name, title=file.title, colour=file.colour, scale=scale, **dict(at_scale))


def load_encoder(name: str, scale: str) -> Encoder:
    """The encoder ``params/encoders/NAME.yaml`` at one scale. Raises as :func:`load_backbone`."""
    path = _existing("encoder", "encoders", name)
    file = parse(EncoderFile, path, read_yaml(path))
    at_scale = dict(_at_scale(path, file, scale))
    return Encoder(name=name, title=file.title, kind=file.kind, scale=scale, **at_scale)


def checkpoint_path(checkpoint: str) -> Path | str:
    """A checkpoint's folder where it is one (absolute, or relative to the repository), else its hub id."""
    folder = ROOT / checkpoint
    return folder if folder.exists() else checkpoint


def existing_checkpoint(chosen: Backbone | Encoder) -> Path | str:
    """As :func:`checkpoint_path`, of a backbone or an encoder whose folder must be there.

    Raises:
        ValueError: what is named is no hub id (OWNER/NAME), and there is no such folder; names the command that makes
            it where it is made here.
    """
    found = checkpoint_path(chosen.checkpoint)
    if isinstance(found, Path) or (found.count("/") == 1 and not found.startswith(("/", "."))):
        return found
    kind = "backbones" if isinstance(chosen, Backbone) else "encoders"
    made = chosen.recipe is not None or found.startswith(MADE)
    how = f"; `make checkpoints SCALE={chosen.scale}` makes it" if made else ""
    raise ValueError(
        f"params/{kind}/{chosen.name}.yaml: key '{chosen.scale}.checkpoint': no folder '{found}'{how}; expected a "
        "folder relative to the repository, an absolute folder, or the id of a model on the hub"
    )


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a model, dataclass-free dictionary, list or scalar; 64 hexadecimal digits."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_base(path: Path) -> dict:
    """The content of a study file, put over that of the study that it names as ``base``."""
    content = read_yaml(path)
    if "base" not in content:
        return content
    base = read_yaml(_existing("study", "studies", content.pop("base")))
    if "base" in base:
        raise ValueError(
            f"{path}: key 'base': a study with a base of its own cannot be one; name '{base['base']}'"
        )
    both = merged(base, content)
    for kind in ("scenes", "cards"):
        below, above = (_pictures(part, kind) for part in (base, content))
        if above and ("records" in above) != ("records" in below):
            both["data"][kind] = above  # counts of one study and records of the other are no mixture
    return both


def _pictures(content: dict, kind: str) -> dict:
    """What a study file says of a kind of picture; {} where that is nothing, or no mapping."""
    data = content.get("data")
    said = data.get(kind) if isinstance(data, dict) else None
    return said if isinstance(said, dict) else {}


def _at_scale(path: Path, file: BaseModel, scale: str) -> BaseModel:
    at_scale: BaseModel | None = getattr(file, scale)
    if at_scale is None:
        have = [s for s in get_args(Scale) if getattr(file, s)]
        raise ValueError(f"{path}: '{path.stem}' has no scale '{scale}'; it has {', '.join(have) or 'none'}")
    return at_scale


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (PARAMS / kind).glob("*.yaml")))


def _existing(word: str, folder: str, name: str) -> Path:
    names = _names(folder)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"no {word} '{name}' in {PARAMS / folder}: there are {', '.join(names)}{hint}")
    return PARAMS / folder / f"{name}.yaml"
