"""What the book says that depends on the study: its contents, the list of runs, and figures for the prose.

In:  a :class:`Study`, and which of its runs have been executed.
Out: the table of contents, generated pieces that pages include (``_pieces/NAME.md``), and substitutions: prose takes a
     parameter as ``{{ study.data.image_size }}`` and never types it.
"""

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from barnlib import first_cell
from barnlib.analyses.evidence import CLAIMS
from barnlib.analyses.measures import worded
from barnlib.artefacts import read_json
from barnlib.data.records import SPLITS
from barnlib.parameters import load_backbone, load_encoder
from barnlib.paths import ROOT
from barnlib.report import citation, reference
from barnlib.report.tolerances import description_tolerances
from barnlib.report.verdict_tables import paper
from barnlib.study import RecordsParameters, Study

KINDS = {"train": "training", "evaluate": "evaluation"}
PUBLIC = ("github.com", "gitlab.com")  # hosts whose notebooks Colab and Binder can open


@dataclass(frozen=True)
class Run:
    """One backbone at one seed."""

    backbone: str
    seed: int
    title: str  # "LLaMA-3 style, seed 0"

    @property
    def name(self) -> str:
        """As in folder and file names."""
        return f"{self.backbone}-seed{self.seed}"

    def pages(self, executed: Path) -> dict[str, Path]:
        """Executed notebook by page, training first."""
        return {f"runs/{kind}-{self.name}": executed / f"{kind}-{self.name}.ipynb" for kind in KINDS}


def runs_of(study: Study) -> list[Run]:
    """The runs that a study asks for, whether they were executed or not."""
    titles = {name: load_backbone(name, study.scale).title for name in study.backbones}
    return [
        Run(name, seed, f"{titles[name]}, seed {seed}") for name in study.backbones for seed in study.seeds
    ]


def contents(
    toc: Mapping[str, Any], story: Sequence[str], runs: Sequence[Run], pages: Sequence[str]
) -> dict[str, Any]:
    """The table of contents: as ``book/_toc.yml`` has it, with the runs that exist and the notebooks it does not name.

    Args:
        toc: as written by hand. A notebook that it names and the project does not have is left out.
        story: names of the notebooks that are pages of their own.
        runs: all runs of the study.
        pages: pages that exist in the built book.

    Raises:
        ValueError: a notebook has no place in the table.
    """
    table: dict[str, Any] = copy.deepcopy(dict(toc))
    named = [chapter["file"] for part in table["parts"] for chapter in part["chapters"]]
    unnamed = [{"file": f"notebooks/{name}"} for name in story if f"notebooks/{name}" not in named]
    for part in table["parts"]:
        chapters = []
        for chapter in part["chapters"]:
            if chapter["file"].startswith("notebooks/") and chapter["file"][len("notebooks/") :] not in story:
                continue
            chapters.append(chapter)
            if chapter["file"] == "notebooks/results":
                chapters += unnamed
                unnamed = []
            if chapter["file"] == "runs":
                sections = _run_sections(runs, pages)
                chapter |= {"sections": sections} if sections else {}
            if chapter["file"] == "api":
                sections = [{"file": page} for page in pages if page.startswith("api/")]
                chapter |= {"sections": sections} if sections else {}
        part["chapters"] = chapters
    if unnamed:
        raise ValueError(
            f"_toc.yml has no place for {unnamed[0]['file']}: it does not name notebooks/results"
        )
    return table


def _run_sections(runs: Sequence[Run], pages: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"file": page, "title": f"{run.title}: {KINDS[page.split('/')[1].split('-')[0]]}"}
        for run in runs
        for page in run.pages(Path())
        if page in pages
    ]


def pieces(
    study: Study, runs: Sequence[Run], executed: Path, from_notebooks: Mapping[str, str]
) -> dict[str, str]:
    """Generated MyST texts by name: the list of runs, the study's parameters, and what notebooks glued."""
    return {
        "runs": _runs_table(study, runs, executed),
        "parameters": _parameters_table(study),
        "splits": _splits(study),
        "backbones": _backbones_table(study),
        "another_backbone": _another_backbone(study),
        "rules": _rules(study),
        "citation": citation.page(citation.read_citation(ROOT / "book" / "CITATION.cff")),
        "modules": reference.index(reference.modules(ROOT / "barnlib")),
        **from_notebooks,
    }


def substitutions(study: Study) -> dict[str, Any]:
    """What prose may name in double braces: ``study`` with every parameter, ``encoder``, ``backbones`` by name.

    Counts come with their noun, as ``3 seeds`` and ``1 pass``.
    """
    backbones = {name: load_backbone(name, study.scale).model_dump(mode="json") for name in study.backbones}
    titles = [backbone["title"] for backbone in backbones.values()]
    return {
        "study": _plain(study.model_dump(mode="json")),
        "encoder": load_encoder(study.encoder.name, study.scale).model_dump(mode="json"),
        "backbones": backbones,
        "backbone_titles": _listed(titles),
        "paper": paper().claims,
        "seeds": _counted(len(study.seeds), "seed"),
        "align_passes": _counted(study.align.epochs, "pass"),
        "finetune_passes": _counted(study.finetune.epochs, "pass"),
        "description_tolerances": description_tolerances(),
        "run_count": len(study.seeds) * len(study.backbones),
    }


def repository_url(root: Path) -> str | None:
    """Public address of the repository: pyproject's ``Repository``, else git's ``origin`` where it is a public host.

    Launch buttons need one; without, the book has none.
    """
    asked = subprocess.run(
        ["git", "-C", str(root), "remote", "get-url", "origin"], capture_output=True, text=True, check=False
    )
    return first_cell.repository(root) or public_url(asked.stdout.strip())


def public_url(remote: str) -> str | None:
    """``https://HOST/OWNER/NAME`` of a remote at a public host, whichever way it is written; None for any other."""
    matched = re.fullmatch(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?", remote)
    return f"https://{matched[1]}/{matched[2]}" if matched and matched[1] in PUBLIC else None


def _runs_table(study: Study, runs: Sequence[Run], executed: Path) -> str:
    rows = []
    for run in runs:
        links = [
            f"[{KINDS[kind]}]({page}.ipynb)" if path.exists() else f"{KINDS[kind]} *missing*"
            for kind, (page, path) in zip(KINDS, run.pages(executed).items(), strict=True)
        ]
        rows.append([run.title, *links, *_measured(study.folder / "train" / run.name / "ledger.json")])
    return _table(["Run", "Training page", "Evaluation page", "Time, min", "Peak memory, GiB"], rows)


def _measured(ledger: Path) -> list[str]:
    """Wall time and peak memory of a run from its ledger; a dash where there is none."""
    entry = read_json(ledger).get("measured", {}) if ledger.exists() else {}
    seconds = [float(value) for key, value in _leaves(entry) if key == "wall_s"]
    memory = [float(value) for key, value in _leaves(entry) if key == "peak_memory_mib"]
    return [
        f"{sum(seconds) / 60:.1f}" if seconds else "–",
        f"{max(memory) / 1024:.1f}" if memory else "–",
    ]


def _leaves(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield key, value


def _parameters_table(study: Study) -> str:
    """Every parameter of the study with its value, as the run resolved it."""
    parameters = study.model_dump(mode="json", exclude={"verdicts"})  # they have a table of their own
    rows = [[f"`{key}`", f"`{value}`"] for key, value in _dotted(parameters)]
    return _table(["Parameter", "Value, the same for every backbone"], rows)


def _rules(study: Study) -> str:
    """What decides each claim, in words, as the study file has it."""
    if study.verdicts is None:
        return "This study has no rules, and reaches no verdict.\n"
    rows = [
        [claim, CLAIMS[claim], "; and ".join(worded(one) for one in getattr(study.verdicts, claim))]
        for claim in CLAIMS
    ]
    return _table(["Claim", "What it says", "Reproduced, if"], rows)


def _splits(study: Study) -> str:
    """How many pictures each split holds, and how many questions a scene carries."""
    kinds = {"Scene images": study.data.scenes, "Event cards": study.data.cards}
    rows = [[split, *(_pictures(part, split) for part in kinds.values())] for split in SPLITS]
    scenes = study.data.scenes
    asked = (
        "Scenes carry the questions that their records have."
        if isinstance(scenes, RecordsParameters)
        else f"Each scene carries {scenes.questions} questions."
    )
    return f"{_table(['Split', *kinds], rows)}\n{asked}\n"


def _pictures(part: BaseModel, split: str) -> str:
    """How many pictures of a kind a split holds; those that are taken from records are counted on the data page."""
    if isinstance(part, RecordsParameters):
        return "from records"
    return f"{getattr(part, split):,}" if hasattr(part, split) else "–"


def _backbones_table(study: Study) -> str:
    rows = []
    for name in study.backbones:
        backbone = load_backbone(name, study.scale)
        recipe = backbone.recipe
        made = (
            [
                recipe.tokenizer.kind.replace("_", " "),
                f"{recipe.tokenizer.vocabulary:,}",
                f"{recipe.corpus.tokens:,}",
            ]
            if recipe
            else ["as published"] * 3
        )
        rows.append([backbone.title, f"`{backbone.checkpoint}`", *made])
    return _table(["Backbone", "Checkpoint", "Tokenizer", "Vocabulary", "Pretraining tokens"], rows)


def _another_backbone(study: Study) -> str:
    """A backbone file like the study's first with twice its vocabulary, as a listing: an example that stays valid."""
    first = load_backbone(study.backbones[0], study.scale)
    name = f"{first.name}-vocabulary"
    at_scale: dict[str, Any] = {"checkpoint": f"params/checkpoints/{study.scale}/{name}"}
    if first.recipe:
        at_scale["recipe"] = first.recipe.model_dump(mode="json")
        at_scale["recipe"]["tokenizer"]["vocabulary"] *= 2
    file = {"title": f"{first.title}, twice the vocabulary", "colour": "#9678FF", study.scale: at_scale}
    listing = yaml.safe_dump(file, sort_keys=False, allow_unicode=True)
    return f"```{{code-block}} yaml\n:caption: params/backbones/{name}.yaml\n{listing}```\n"


def _plain(value: Any) -> Any:
    """Whole numbers as a reader writes them: 4 passes, not 4.0."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _counted(number: float, noun: str) -> str:
    """``1 seed``, ``3 seeds``, ``1.75 passes``."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:g} {noun}{ending}"


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
