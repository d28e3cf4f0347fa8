"""A study's runs on disk: all of them or a refusal that names what is missing."""

import pandas as pd
import pytest

from barnlib.artefacts import seal, write_json
from barnlib.parameters import load_study
from barnlib.runs import read_ledgers, read_predictions, run_folders, run_name


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    return load_study("smoke").model_copy(update={"backbones": ("llama1", "llama3"), "seeds": (0, 4)})


def make(study, step, backbone, seed):
    folder = study.folder / step / run_name(backbone, seed)
    folder.mkdir(parents=True)
    if step == "train":
        write_json(folder / "ledger.json", {"run": folder.name, "backbone": backbone, "seed": seed})
    else:
        pd.DataFrame({"backbone": [backbone], "seed": [seed]}).to_parquet(folder / "predictions.parquet")
    seal(folder, {"run": folder.name})
    return folder


def test_all_runs_in_the_order_of_the_study(study):
    for step in ("train", "evaluate"):
        for backbone in reversed(study.backbones):
            for seed in study.seeds:
                make(study, step, backbone, seed)
    expected = [("llama1", 0), ("llama1", 4), ("llama3", 0), ("llama3", 4)]
    assert [(entry["backbone"], entry["seed"]) for entry in read_ledgers(study)] == expected
    table = read_predictions(study)
    assert list(zip(table["backbone"], table["seed"], strict=True)) == expected


def test_missing_runs_are_named_with_the_command(study):
    make(study, "train", "llama1", 4)
    message = (
        "lacks 3 of 4 runs in .*train: llama1-seed0, llama3-seed0, llama3-seed4; `make study STUDY=smoke`"
    )
    with pytest.raises(ValueError, match=message):
        run_folders(study, "train")


def test_a_damaged_run_is_refused(study):
    for backbone in study.backbones:
        for seed in study.seeds:
            make(study, "evaluate", backbone, seed)
    (study.folder / "evaluate" / "llama3-seed0" / "predictions.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"llama3-seed0/predictions.parquet: expected SHA-256"):
        read_predictions(study)
