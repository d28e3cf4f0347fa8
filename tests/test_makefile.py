"""What the Makefile hands on: what can be made (a control encoder or a published checkpoint has no recipe to make it
from), and how a study is run."""

import re
import shutil
import subprocess

import pytest

from barnlib.parameters import PARAMS, backbone_names, load_backbone, load_encoder
from barnlib.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def plan(*words: str) -> subprocess.CompletedProcess:
    """What `make` would run."""
    command = ["make", "--dry-run", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("words", "scale"), [((), "nano"), (("SCALE=small",), "small")])
def test_checkpoints_are_made_of_what_has_a_recipe(words: tuple[str, ...], scale: str):
    done = plan("checkpoints", *words)
    assert done.returncode == 0, done.stderr
    encoders = sorted(path.stem for path in (PARAMS / "encoders").glob("*.yaml"))
    loaded = {name: load_encoder(name, scale) for name in encoders}
    with_recipe = [name for name, one in loaded.items() if one.recipe]
    assert with_recipe and with_recipe != encoders, "some are made here, and some are not"
    assert re.findall(rf"-m barnlib\.encoder (\w+) --scale {scale} ", done.stdout) == with_recipe
    made = [name for name in backbone_names() if load_backbone(name, scale).recipe]
    assert made and re.findall(rf"-m barnlib\.pretrain (\w+) --scale {scale} ", done.stdout) == made


def test_a_scale_without_recipes_is_refused():
    done = plan("checkpoints", "SCALE=paper")
    assert done.returncode != 0
    assert "no backbone in params/backbones has a recipe at the scale 'paper'" in done.stderr


def test_a_study_is_told_how_its_runs_are_trained():
    done = plan("study", "STUDY=paper", "PROCESSES=8", "SHARDED=1")
    assert re.search(r"--config study=paper processes=8 sharded=1\n", done.stdout), done.stdout
    assert re.search(r"--config study=nano processes=\d+ sharded=0\n", plan().stdout), (
        "the study nano, not shared out"
    )
