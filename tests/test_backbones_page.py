"""The page on the backbones, whose checkpoints may come from elsewhere: no card, other fields in a configuration."""

from pathlib import Path

import pytest

from barnlib import parameters
from barnlib.paths import ROOT
from tests.run_cells import run_cells

PAGE = ROOT / "notebooks" / "backbones.ipynb"


def test_a_checkpoint_that_was_not_made_here_has_a_shape_and_no_card(
    tiny_params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parameters, "PARAMS", tiny_params)
    _, shape, read, known, _ = run_cells(PAGE, study="tiny")
    assert "Plain" in shape and "Grouped" in shape
    assert "Plain" not in read and "Plain" not in known


def test_a_backbone_that_was_made_here_shows_what_it_read_and_can_do():
    _, shape, read, known, _ = run_cells(PAGE, study="nano")
    for name in ("llama1", "llama3"):
        title = parameters.load_backbone(name, "nano").title
        assert title in shape and title in read and title in known
    assert "at least" in known and "two hop" in known
