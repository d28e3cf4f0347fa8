"""Imports of barnlib run one way, and the analyses need no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from barnlib.paths import ROOT

PACKAGE = ROOT / "barnlib"
# A module may import only from its own layer and those above it.
LAYERS = (
    {"", "artefacts", "command_line", "geometry", "launch", "paths", "processes", "strict"},
    {"recipes", "vqa_accuracy"},
    {"data", "tasks", "scoring"},
    {"components"},
    {"study"},
    {"parameters"},
    # these read a study; where a layer names a module, that counts before its package
    {"data.build", "data.fdsn", "data.multiseismo", "data.recorded_records", "data.taken_records"},
    {"quantisation", "vision"},
    {"controls", "corpus", "encoder", "features", "ledger", "probes", "prompts", "tokenization"},
    {"ceiling", "grammar", "packing", "pretrain"},
    {"jobs"},
    {"model"},
    {"forward", "sharding"},
    {"decoding", "likelihood", "prompt_checks"},
    {"loop", "model_checks"},
    {"preflight"},
    {"finetune"},
    {"inference", "states"},
    {"predict"},
    {"analyses"},
    {"report"},
)
HEAVY = {"torch", "transformers", "peft"}


def module_name(path: Path) -> str:
    """barnlib/data/scenes.py -> data.scenes; the package itself is the empty name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Names of barnlib's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; barnlib imports by full name"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {name.removeprefix("barnlib.") for name in names if name.startswith("barnlib.")}
    return found & set(MODULES)


# From the tables to the page: these read what evaluation wrote, on a machine that need not have torch.
ANALYSES = [name for name in MODULES if name.split(".")[0] in ("analyses", "report")]
WITHOUT_TORCH = [
    *ANALYSES,
    "components",
    "history",
    "ledger",
    "notebook",
    "parameters",
    "paths",
    "recipes",
    "runs",
    "scoring",
    "states_table",
    "strict",
    "study",
    "data.dataset_card",
    "data.fdsn",
    "data.multiseismo",
    "data.recorded",
    "tasks.registry",
]
GRAPH = {name: imports(path) for name, path in MODULES.items()}


def reached(name: str) -> set[str]:
    """The module and everything that it imports, directly or not."""
    found, queue = set(), [name]
    while queue:
        one = queue.pop()
        if one not in found:
            found.add(one)
            queue += GRAPH[one]
    return found


def layer(name: str) -> int | None:
    own_name_first = (name, name.split(".")[0])
    found = (number for one in own_name_first for number, names in enumerate(LAYERS) if one in names)
    return next(found, None)


def test_no_module_imports_itself_over_others():
    circles = [name for name in MODULES if any(name in reached(used) for used in GRAPH[name])]
    assert circles == []


def test_imports_run_from_parameters_to_the_report():
    wrong = [
        f"{name} imports {used}"
        for name, uses in GRAPH.items()
        for used in uses
        if (own := layer(name)) is not None and ((other := layer(used)) is not None and other > own)
    ]
    assert wrong == []


def test_every_layer_exists():
    missing = [name for names in LAYERS for name in names if name not in MODULES]
    assert missing == []
    assert [name for name in WITHOUT_TORCH if name not in MODULES] == []
    assert len(ANALYSES) > 50


@pytest.mark.parametrize("name", ["finetune", "predict", "pretrain", "encoder"])
def test_training_needs_no_analysis(name):
    assert reached(name) & set(ANALYSES) == set()


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_analyses_name_no_torch(name):
    heavy = {
        f"{module}: {word}"
        for module in reached(name)
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        # at module level only: hardware() of the ledger asks torch for its threads when a run is measured
        if isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset == 0
        for word in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
        if word.split(".")[0] in HEAVY
    }
    assert heavy == set()


@pytest.mark.slow
def test_analyses_load_no_torch():
    """As above in a real interpreter, which also sees what third packages load."""
    names = ", ".join(f"barnlib.{name}" for name in WITHOUT_TORCH)
    program = f"import sys, {names}; sys.exit(' '.join(sorted({HEAVY!r} & set(sys.modules))) or None)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
