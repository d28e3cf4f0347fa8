"""The Makefile names what can be made: a control encoder or a published checkpoint has no recipe to make it from."""

import re
import shutil
import subprocess

import pytest

from barnlib.parameters import PARAMS, ROOT, backbone_names, load_backbone, load_encoder

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def test_checkpoints_are_made_of_what_has_a_recipe():
    done = subprocess.run(
        ["make", "--dry-run", "checkpoints"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    encoders = sorted(path.stem for path in (PARAMS / "encoders").glob("*.yaml"))
    loaded = {name: load_encoder(name, "nano") for name in encoders}
    with_recipe = [name for name, one in loaded.items() if one.recipe]
    assert with_recipe and with_recipe != encoders, "some are made here, and some are not"
    assert re.findall(r"-m barnlib\.encoder (\w+)", done.stdout) == with_recipe
    made = [name for name in backbone_names() if load_backbone(name, "nano").recipe]
    assert re.findall(r"-m barnlib\.pretrain (\w+)", done.stdout) == made
