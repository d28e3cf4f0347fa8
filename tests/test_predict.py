"""The predictions table says what plain `generate` says, for each condition, and survives an interruption."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from barnlib import predict
from barnlib.analyses.metrics import PREDICTION_COLUMNS, accuracy_table
from barnlib.assembly import assemble, trained_model
from barnlib.data.build import data_folder, load_items
from barnlib.grammar import Grammar
from barnlib.jobs import jobs
from barnlib.tasks.registry import score
from barnlib.tasks.seismic_coordinates import FORM
from barnlib.vision import normalise

pytestmark = pytest.mark.usefixtures("no_preflight")


@pytest.fixture(scope="module")
def folder(tiny_study, no_preflight):
    return predict.evaluate_run(tiny_study, "plain", 0)


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_parquet(folder / "predictions.parquet")


@pytest.fixture(scope="module")
def parts(tiny_study):
    return assemble(tiny_study, "plain")


@pytest.fixture(scope="module")
def model(tiny_study, parts, folder):
    return trained_model(parts, tiny_study.folder / "train" / "plain-seed0")


def test_every_item_is_answered_once_in_every_condition(table, tiny_study):
    assert set(PREDICTION_COLUMNS) <= set(table.columns)
    assert not table.duplicated(["item", "condition"]).any()
    counts = table.groupby(["split", "condition"]).size().to_dict()
    assert counts == {  # three scenes with two questions, three cards with two
        ("validation", "image"): 8,
        **{("test", condition): 12 for condition in ("image", "blank", "shuffled")},
        ("test", "constrained"): 3,  # coordinates only
        **{("heldout", condition): 4 for condition in ("image", "blank", "shuffled")},
    }
    assert set(table["run"]) == {"plain-seed0"} and set(table["seed"]) == {0}
    assert table["stop"].isin(["eos", "length"]).all() and (table["logprob"] <= 0).all()


def pixels(study, shown):
    if not shown:
        return normalise(np.full((1, 96, 96, 3), 128, np.uint8))
    return normalise(np.array(Image.open(data_folder(study) / shown))[None])


def following(grammar, start, condition):
    """The argument of `generate` that allows only what the grammar allows."""
    if condition != "constrained":
        return {}
    return {
        "prefix_allowed_tokens_fn": lambda _, ids: (
            grammar.allowed(ids[None, start:])[0].nonzero()[:, 0].tolist()
        )
    }


@torch.inference_mode()
def test_answers_are_those_of_generate_on_pixels(table, tiny_study, parts, model):
    """One item of each task and condition, alone, without packing, cache of features or shortcuts."""
    items = {item.id: item for split in ("test", "heldout") for item in load_items(tiny_study, split)}
    rows = (
        table[table["split"] != "validation"]
        .groupby(["split", "condition", "task"])
        .nth(1)
        .to_dict("records")
    )
    assert len(rows) == 16
    grammar = Grammar(parts.prompter, FORM, model.lm_head.out_features)
    for row in rows:
        item = items[row["item"]]
        prompt = torch.tensor([parts.prompter.prompt_ids(item.question)])
        image = pixels(tiny_study, row["shown"])
        limit = tiny_study.evaluation.max_new_tokens[item.task]
        made = model.generate(
            input_ids=prompt,
            pixel_values=image,
            max_new_tokens=limit,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            **following(grammar, prompt.shape[1], row["condition"]),
        )
        ids = made.sequences[0, prompt.shape[1] :].tolist()
        chosen = [s[0].log_softmax(-1)[i].item() for s, i in zip(made.logits, ids, strict=True)]
        assert row["answer"] == parts.prompter.decode(ids) and row["tokens"] == len(ids)
        assert row["stop"] == ("eos" if ids[-1] in parts.prompter.eos_ids else "length")
        assert row["logprob"] == pytest.approx(sum(chosen), abs=1e-3)
        assert row["first_token_logprob"] == pytest.approx(chosen[0], abs=1e-4)
        answer = parts.prompter.answer_ids(item.answer)
        whole = torch.cat([prompt, torch.tensor([answer])], 1)
        logits = (
            model(input_ids=whole, pixel_values=image).logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)
        )
        expected = logits.gather(1, torch.tensor(answer)[:, None]).sum().item()
        assert row["reference_logprob"] == pytest.approx(expected, abs=1e-3)
        assert row["reference_tokens"] == len(answer)


@torch.inference_mode()
def test_every_candidate_of_a_closed_list_is_scored(table, tiny_study, parts, model):
    """Against one plain forward over pixels for each candidate."""
    listed = table[table["choices"].notna()]
    scenes = table[(table["task"] == "vqa_scene") & (table["condition"] == "image")]
    assert set(listed.index) == set(scenes[scenes["split"].isin(["validation", "test"])].index)
    items = {item.id: item for split in ("validation", "test") for item in load_items(tiny_study, split)}
    for row in listed.to_dict("records"):
        item, found = items[row["item"]], json.loads(row["choices"])
        assert tuple(found) == item.choices
        assert found[item.answer] == pytest.approx(row["reference_logprob"])
        if row["answer"] in found and row["stop"] == "eos":
            assert found[row["answer"]] == pytest.approx(row["logprob"], abs=1e-3)
    for row in listed.groupby("split").nth(1).to_dict("records"):
        item, found = items[row["item"]], json.loads(row["choices"])
        prompt = parts.prompter.prompt_ids(item.question)
        for choice, logprob in found.items():
            answer = parts.prompter.answer_ids(choice)
            logits = model(
                input_ids=torch.tensor([prompt + answer]), pixel_values=pixels(tiny_study, row["shown"])
            ).logits[0, len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item()
            assert logprob == pytest.approx(expected, abs=1e-3)


def test_scores_texts_and_lengths_are_those_of_the_item(table, tiny_study, parts):
    items = {item.id: item for item in load_items(tiny_study, "test")}
    for row in table[table["split"] == "test"].to_dict("records"):
        item = items[row["item"]]
        scored = score(item.task, row["answer"], item.facts, item.answer, tolerance_km=1000.0)
        assert (row["score"], row["correct"]) == (scored.score, scored.correct)
        assert (None if pd.isna(row["parsed"]) else json.loads(row["parsed"])) == scored.parsed
        assert "NaN" not in row["details"] and json.loads(row["details"]).keys() == scored.details.keys()
        assert row["bytes"] == len(row["answer"].encode()) and row["reference"] == item.answer
        assert row["prompt"] == f"<image>\nQuestion: {item.question}\nAnswer:"
    assert (
        len(
            accuracy_table(
                table[table["split"] == "test"],
                ["condition", "task"],
                rng=np.random.default_rng(0),
                resamples=5,
            )
        )
        == 10
    )


def test_each_condition_shows_what_it_says(table):
    for row in table.to_dict("records"):
        kind = "scene" if "scene" in row["image"] else "card"
        own = {"image": row["image"], "constrained": row["image"], "blank": ""}
        shown = own.get(row["condition"], row["shown"])
        assert row["shown"] == shown
        if row["condition"] == "shuffled":
            assert shown != row["image"] and kind in shown and f"/{row['split']}/" in shown
    shuffled = table[(table["condition"] == "shuffled") & (table["split"] == "test")]
    assert shuffled.groupby("image")["shown"].nunique().eq(1).all()


def test_an_interrupted_evaluation_goes_on_with_the_next_part(folder, table, tiny_study, monkeypatch):
    (folder / "manifest.json").unlink()
    original, calls = predict.predictions, []

    def counted(*arguments):
        calls.append(arguments[2].name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(predict, "predictions", counted)
    with pytest.raises(KeyboardInterrupt):
        predict.evaluate_run(tiny_study, "plain", 0)
    first = calls[:3]
    kept = next(folder.with_name("plain-seed0.parts").rglob("measured.json"))
    kept.write_text(json.dumps({"wall_s": 1000.0, "cpu_s": 2000.0, "peak_memory_mib": 10**6}))
    calls[:] = ["already"] * 4
    assert predict.evaluate_run(tiny_study, "plain", 0) == folder
    names = [job.name for job in jobs(tiny_study)]
    assert first == names[:3] and calls[4:] == names[3:]
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), table)
    measured = json.loads((folder / "evaluation.json").read_text())
    assert measured["wall_s"] > 1000 and measured["cpu_s"] > 2000 and measured["peak_memory_mib"] == 10**6
    files = ["evaluation.json", "hidden.json", "hidden.safetensors", "manifest.json", "predictions.parquet"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]
    monkeypatch.setattr(predict, "_evaluate", lambda *arguments: pytest.fail("evaluated again"))
    predict.evaluate_run(tiny_study, "plain", 0)
