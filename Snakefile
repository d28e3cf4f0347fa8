# The study as a graph:
# data -> features -> train and evaluate each backbone and seed -> ledger and analyses -> verdicts -> book.
#
# Every job runs one notebook with papermill; the notebook calls barnlib, which writes the artefact. The executed
# notebook is the job's log, which outlives a failure; a job that succeeds copies it to notebooks/ for the book.
#
# What makes a job stale is content, given as `params`: its part of the study file, its backbone, the records that data
# are taken from, the code cells of its notebook, and those modules of barnlib that its entry point imports. Time stamps
# of sources play no part.
#
# Run it with `make study STUDY=nano`, or `snakemake --cores 2 --rerun-incomplete --config study=nano`.

import ast
import os
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

import nbformat
from snakemake.exceptions import WorkflowError

from barnlib.artefacts import digest, file_digest, read_json
from barnlib.components import checkpoint_path, existing_checkpoint
from barnlib.data.taken_records import taken_files
from barnlib.first_cell import is_first
from barnlib.ledger import sources, text_digest
from barnlib.parameters import load_backbone, load_encoder, load_study, require_fitting_encoder
from barnlib.paths import ROOT
from barnlib.study import VALIDATION

study = load_study(config.get("study", "nano"))
PROCESSES = int(config.get("processes", 1))  # that train a run together, one for each GPU
SHARDED = bool(int(config.get("sharded", 0)))  # whether they share the language model out among themselves
RUNS = os.path.relpath(study.folder)
NOTEBOOKS = f"{RUNS}/notebooks"
LOGS = f"{RUNS}/logs"
ANALYSES = (  # read what evaluation wrote, and nothing else
    "results",
    "instances",
    "confidence",
    "representations",
    "coordinates",
    "descriptions",
    "bottleneck",
)
PAGES = ("data", "encoder", "backbones", "tokens", "recorded", "ledger", *ANALYSES, "verdicts", "explorer")
PAPERMILL = (
    f"{sys.executable} -m barnlib.papermill_command --log-output --log-level WARNING --no-progress-bar --kernel python3"
)
# A kernel warns at its start that others could listen (it uses the loopback interface), and of being told to end.
QUIETLY = "2> >(grep --line-buffered -v -e 'without encryption' -e 'KeyboardInterrupt caught in kernel' >&2)"


def require_checkpoints():
    """Refuse a study whose models are not there or do not fit before hours of drawing and training, not after them."""
    backbones = [load_backbone(name, study.scale) for name in study.backbones]
    try:
        seen, *_ = [
            existing_checkpoint(one) for one in (load_encoder(study.encoder.name, study.scale), *backbones)
        ]
        if isinstance(seen, Path):  # the folder of an encoder, and not an id of the hub
            require_fitting_encoder(study, read_json(seen / "config.json"))
    except ValueError as error:
        raise WorkflowError(str(error)) from None


require_checkpoints()


def code(*modules):
    """Digest of the modules of barnlib that these entry points reach by their imports."""
    files = {file for module in modules for file in sources(ROOT / "barnlib" / f"{module}.py")}
    return text_digest([text for file in sorted(files) for text in (file.name, file.read_text())])


def written(notebook, kinds):
    """Sources of a notebook's cells, without the cell that only Colab needs."""
    read = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    return [cell.source for cell in read.cells if cell.cell_type in kinds and not is_first(cell)]


def cells(notebook, kinds=("code",)):
    """Digest of a notebook's cells: neither its metadata nor, where only code counts, its prose."""
    return text_digest(written(notebook, kinds))


def page(notebook):
    """Digest of a cheap notebook's whole text, so that a change of prose reaches the book."""
    return cells(notebook, ("code", "markdown"))


def imported(notebook):
    """Modules of barnlib that a notebook's cells import."""
    found = set()
    for node in ast.walk(ast.parse("\n".join(written(notebook, ("code",))))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "barnlib":
            place = "/".join(node.module.split(".")[1:])
            names = {f"{place}/{one.name}".lstrip("/") for one in node.names}
            modules = {name for name in names if (ROOT / "barnlib" / f"{name}.py").exists()}
            found |= modules or {place}
    return sorted(found)


def weights(checkpoint):
    """What identifies a checkpoint: the manifest of a folder made here, names and sizes of another, or the hub id."""
    folder = checkpoint_path(checkpoint)
    if isinstance(folder, str):
        return folder
    manifest = folder / "manifest.json"
    if manifest.exists():
        return file_digest(manifest)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [[str(path.relative_to(folder)), path.stat().st_size] for path in files]


def encoder():
    chosen = load_encoder(study.encoder.name, study.scale)
    made = [chosen.kind, chosen.seed, study.compute.precision]
    return digest([study.encoder.model_dump(mode="json"), made, weights(chosen.checkpoint)])


def backbone(name):
    chosen = load_backbone(name, study.scale)
    return digest([chosen.model_dump(mode="json", exclude={"title", "colour"}), weights(chosen.checkpoint)])


def names():
    """What charts and pages show of the backbones."""
    chosen = [load_backbone(name, study.scale) for name in study.backbones]
    return digest([[one.name, one.title, one.colour] for one in chosen])


def protocol(*parts):
    """Digest of those parts of the study file that a job depends on."""
    return digest(study.model_dump(mode="json", include=set(parts)))


def looks():
    """Those parameters of the evaluation that the validation curves of a training run use."""
    return digest(study.evaluation.model_dump(mode="json", include=set(VALIDATION)))


def controls(analysis):
    """The runs of control studies (nano_oracle of nano) that there are, where an analysis reads them."""
    if analysis != "bottleneck":
        return []
    manifests = sorted(study.folder.parent.glob(f"{study.name}_*/evaluate/*/manifest.json"))
    return [[str(path.relative_to(study.folder.parent)), file_digest(path)] for path in manifests]


def taken():
    """Digests of the records that the data are taken from."""
    return digest(taken_files(study))


def prose():
    """The book's own files, by content."""
    files = [path for path in sorted((ROOT / "book").rglob("*")) if path.is_file() and "_build" not in path.parts]
    return digest([[str(path.relative_to(ROOT)), file_digest(path)] for path in files])


def of_every_run(pattern):
    return expand(pattern, backbone=study.backbones, seed=study.seeds)


wildcard_constraints:
    seed=r"\d+",


localrules:
    all,


rule all:
    input:
        f"{RUNS}/book/_build/html/index.html",


rule data:
    output:
        manifest=f"{RUNS}/data/manifest.json",
        notebook=f"{NOTEBOOKS}/data.ipynb",
    log:
        f"{LOGS}/data.ipynb",
    params:
        protocol=protocol("data"),
        taken=taken(),
        code=code("data/build"),
        cells=cells("data"),
    resources:
        mem_mb=1500,
    shell:
        "{PAPERMILL} notebooks/data.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule encoder:
    input:
        rules.data.output.manifest,
    output:
        manifest=f"{RUNS}/features/manifest.json",
        notebook=f"{NOTEBOOKS}/encoder.ipynb",
    log:
        f"{LOGS}/encoder.ipynb",
    params:
        encoder=encoder(),
        code=code("features", "ceiling"),
        cells=cells("encoder"),
    resources:
        mem_mb=2000,
        gpu=1,
    shell:
        "{PAPERMILL} notebooks/encoder.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule backbones:
    output:
        notebook=f"{NOTEBOOKS}/backbones.ipynb",
    log:
        f"{LOGS}/backbones.ipynb",
    params:
        backbones=[backbone(name) for name in study.backbones],
        names=names(),
        code=code(*imported("backbones")),
        page=page("backbones"),
    resources:
        mem_mb=1500,
    shell:
        "{PAPERMILL} notebooks/backbones.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule tokens:
    input:
        rules.data.output.manifest,
    output:
        notebook=f"{NOTEBOOKS}/tokens.ipynb",
    log:
        f"{LOGS}/tokens.ipynb",
    params:
        protocol=protocol("prompt"),
        backbones=[backbone(name) for name in study.backbones],
        names=names(),
        code=code(*imported("tokens")),
        page=page("tokens"),
    resources:
        mem_mb=2000,
    shell:
        "{PAPERMILL} notebooks/tokens.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule recorded:
    output:
        notebook=f"{NOTEBOOKS}/recorded.ipynb",
    log:
        f"{LOGS}/recorded.ipynb",
    params:
        code=code(*imported("recorded")),
        page=page("recorded"),
    shell:
        "{PAPERMILL} notebooks/recorded.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule train:
    input:
        rules.data.output.manifest,
        rules.encoder.output.manifest,
    output:
        manifest=f"{RUNS}/train/{{backbone}}-seed{{seed}}/manifest.json",
        notebook=f"{NOTEBOOKS}/train-{{backbone}}-seed{{seed}}.ipynb",
    log:
        f"{LOGS}/train-{{backbone}}-seed{{seed}}.ipynb",
    params:
        protocol=protocol("prompt", "align", "finetune", "compute", "monitor"),
        looks=looks(),
        backbone=lambda wildcards: backbone(wildcards.backbone),
        code=code("finetune"),
        cells=cells("train"),
    priority: 1 # before any evaluation: with the long jobs first, no core waits at the end
    resources:
        mem_mb=2500,
        gpu=PROCESSES,
    shell:
        "{PAPERMILL} notebooks/train.ipynb {log} -r study {study.name} -r backbone {wildcards.backbone}"
        " -p seed {wildcards.seed} -p processes {PROCESSES} -p sharded {SHARDED} {QUIETLY}"
        " && cp {log} {output.notebook}"


rule evaluate:
    input:
        f"{RUNS}/train/{{backbone}}-seed{{seed}}/manifest.json",
    output:
        manifest=f"{RUNS}/evaluate/{{backbone}}-seed{{seed}}/manifest.json",
        notebook=f"{NOTEBOOKS}/evaluate-{{backbone}}-seed{{seed}}.ipynb",
    log:
        f"{LOGS}/evaluate-{{backbone}}-seed{{seed}}.ipynb",
    params:
        protocol=digest(study.evaluation.model_dump(mode="json", exclude={"bootstrap"})),
        code=code("predict"),
        cells=cells("evaluate"),
    resources:
        mem_mb=2500,
        gpu=PROCESSES, # one process, on the first of them: two evaluations would share its memory
    shell:
        "{PAPERMILL} notebooks/evaluate.ipynb {log} -r study {study.name} -r backbone {wildcards.backbone}"
        " -p seed {wildcards.seed} {QUIETLY} && cp {log} {output.notebook}"


rule ledger:
    input:
        of_every_run(rules.train.output.manifest),
    output:
        notebook=f"{NOTEBOOKS}/ledger.ipynb",
    log:
        f"{LOGS}/ledger.ipynb",
    params:
        code=code(*imported("ledger")),
        page=page("ledger"),
    shell:
        "{PAPERMILL} notebooks/ledger.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


for analysis in ANALYSES:

    rule:
        name:
            analysis
        input:
            of_every_run(rules.train.output.manifest),
            of_every_run(rules.evaluate.output.manifest),
        output:
            notebook=f"{NOTEBOOKS}/{analysis}.ipynb",
        log:
            f"{LOGS}/{analysis}.ipynb",
        params:
            protocol=protocol("evaluation"),
            code=code(*imported(analysis)),
            names=names(),
            page=page(analysis),
            controls=controls(analysis),
        resources:
            mem_mb=2000,
        shell:
            "{PAPERMILL} notebooks/{rule}.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule verdicts:
    input:
        expand(f"{NOTEBOOKS}/{{analysis}}.ipynb", analysis=ANALYSES),
    output:
        table=f"{RUNS}/verdicts.csv",
        entries=f"{RUNS}/verdicts.json",
        notebook=f"{NOTEBOOKS}/verdicts.ipynb",
    log:
        f"{LOGS}/verdicts.ipynb",
    params:
        protocol=protocol("verdicts"),
        paper=file_digest(ROOT / "params" / "paper.yaml"),
        code=code(*imported("verdicts")),
        names=names(),
        page=page("verdicts"),
    shell:
        "{PAPERMILL} notebooks/verdicts.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule explorer:
    input:
        of_every_run(rules.evaluate.output.manifest),
    output:
        data=f"{RUNS}/explorer/items.js",
        notebook=f"{NOTEBOOKS}/explorer.ipynb",
    log:
        f"{LOGS}/explorer.ipynb",
    params:
        code=code(*imported("explorer")),
        scripts=[file_digest(ROOT / "barnlib" / "report" / name) for name in ("explorer.js", "explorer.css")],
        names=names(),
        page=page("explorer"),
    shell:
        "{PAPERMILL} notebooks/explorer.ipynb {log} -r study {study.name} {QUIETLY} && cp {log} {output.notebook}"


rule book:
    input:
        expand(f"{NOTEBOOKS}/{{page}}.ipynb", page=PAGES),
        of_every_run(rules.train.output.notebook),
        of_every_run(rules.evaluate.output.notebook),
    output:
        f"{RUNS}/book/_build/html/index.html",
    params:
        names=names(),
        prose=prose(),
        code=code(*(f"report/{name}" for name in ("book", "vega", "offline", "explorer_page", "tables", "accessible"))),
        scripts=[file_digest(path) for path in sorted((ROOT / "barnlib" / "report").glob("*.js"))],
    resources:
        mem_mb=1500,
    shell:
        "{sys.executable} -m barnlib.report.book {study.name}"
