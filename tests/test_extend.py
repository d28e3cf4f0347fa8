"""The worked examples of the page on extending, followed at tiny size: a backbone and an encoder, by YAML alone."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from barnlib import parameters, predict
from barnlib.parameters import ROOT, load_study

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```{code-block} yaml\n:caption: params/(\w+)/(\w+)\.yaml\n(.*?)```", re.DOTALL)


def examples() -> dict[str, tuple[str, dict]]:
    """Kind -> name and content of the file that the page shows."""
    return {kind: (name, yaml.safe_load(content)) for kind, name, content in EXAMPLE.findall(PAGE)}


@pytest.mark.slow
def test_a_backbone_and_an_encoder_are_added_by_yaml_alone(
    tiny_params: Path,
    tiny_grouped_llama: Path,
    tiny_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_preflight: None,
):
    params = tmp_path / "params"
    for path in tiny_params.rglob("*.yaml"):
        target = params / path.relative_to(tiny_params)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    study = yaml.safe_load((params / "studies" / "tiny.yaml").read_text(encoding="utf-8"))
    weights = {"backbones": tiny_grouped_llama, "encoders": tiny_clip}
    for kind, (name, content) in examples().items():
        content["nano"] = content.pop("paper") | {
            "checkpoint": str(weights[kind])
        }  # the tests' scale, their weights
        (params / kind / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    backbone, encoder = examples()["backbones"][0], examples()["encoders"][0]
    study["backbones"].append(backbone)
    study["encoder"]["name"] = encoder
    (params / "studies" / "tiny.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")

    monkeypatch.setattr(parameters, "PARAMS", params)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    folder = predict.evaluate_run(load_study("tiny"), backbone, 0)
    table = pd.read_parquet(folder / "predictions.parquet")
    assert set(table["backbone"]) == {backbone} and len(table) > 0


def test_the_page_shows_one_of_each():
    assert set(examples()) == {"backbones", "encoders"}
