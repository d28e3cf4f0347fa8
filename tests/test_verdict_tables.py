"""The verdicts as tables: every number is the deciding estimate's, and what is shown reads back as it was."""

import json

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from barnlib.analyses import verdicts
from barnlib.analyses.evidence import CLAIMS
from barnlib.parameters import load_backbone
from barnlib.report import verdict_tables
from tests.small_evidence import MIDDLE, NEW, OLD, STUDY, evidence, row

UNDECIDED = "undecided at this scale"


def calibration(middle: float, old: float, **given: object) -> list[dict]:
    """Differences in calibration error of the newest less each older backbone, on which C3 hangs."""
    return [
        row("calibration_difference", value, a=a, claim="C3", task="vqa_scene", **given)
        for a, value in ((MIDDLE, middle), (OLD, old))
    ]


def tables(rows: list[dict], study=STUDY) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts and conditions, rows by claim."""
    found = verdicts.verdicts(study, evidence(rows))
    return verdict_tables.verdict_table(study, found).set_index("claim"), verdict_tables.condition_table(
        found
    )


def test_a_verdict_shows_the_estimate_that_it_hangs_on():
    """Both lie below zero; the one nearer to it is the weaker, and so the one that "every" hangs on."""
    rows = calibration(-0.05, -0.03, n=77, seeds=2, test="a test")
    table, _ = tables(rows)
    shown = table.loc["C3"]
    assert shown["verdict"] == "reproduced" and shown["statement"] == CLAIMS["C3"]
    assert shown[["effect", "low", "high"]].tolist() == pytest.approx([-0.03, -0.04, -0.02])
    assert shown["p"] == pytest.approx(rows[1]["p"])
    assert shown[["test", "n", "seeds", "scale", "study"]].tolist() == ["a test", 77, 2, "nano", "nano"]
    old, new = (load_backbone(name, "nano").title for name in (OLD, NEW))
    assert f"{old} → {new}" in shown["ours"] and shown["ours"] in shown["reason"]
    assert table["paper"].to_dict() == verdict_tables.paper().claims
    assert set(table["source"]) == {verdict_tables.paper().source}


def test_what_nothing_was_estimated_for_has_no_numbers():
    table, conditions = tables([])
    assert table[["effect", "low", "high", "p"]].isna().all(axis=None)
    assert (table[["n", "seeds"]] == 0).all(axis=None) and set(table["test"]) == {""}
    assert (conditions[["p holds", "p fails"]] == 1).all(axis=None)
    assert set(conditions["state"]) == {"open"} and (conditions["estimates"] == 0).all()


def test_a_study_without_rules_has_every_claim_and_no_condition():
    table, conditions = tables([], STUDY.model_copy(update={"verdicts": None}))
    assert list(table.index) == list(CLAIMS) and set(table["ours"]) == {"nothing"}
    assert conditions.empty and "state" in conditions.columns


@pytest.mark.parametrize(("old", "state"), [(-0.05, "holds"), (0.05, "fails"), (0.001, "open")])
def test_conditions_say_what_was_asked_and_on_how_many_estimates(old, state):
    _, conditions = tables(calibration(-0.05, old))
    assert conditions["claim"].value_counts().to_dict() == {
        claim: len(getattr(STUDY.verdicts, claim)) for claim in CLAIMS
    }
    (asked,) = conditions[conditions["claim"] == "C3"].to_dict("records")
    assert (asked["state"], asked["estimates"]) == (state, 2)
    assert (asked["p holds"] < 0.05, asked["p fails"] < 0.05) == (state == "holds", state == "fails")
    _, one_missing = tables(calibration(-0.05, old)[:1])
    assert one_missing.loc[one_missing["claim"] == "C3", "estimates"].tolist() == [1]


def test_evidence_is_shown_in_words():
    rows = [
        row("accuracy_difference", 0.1, task="vqa_scene", a=OLD, b=NEW),
        row("phi_stratified", 0.1, task="vqa_scene", a=OLD, b=NEW),
        row("gain_difference", 0.1),
        row("coordinate_accuracy", 0.5, task="seismic_coordinates", a=NEW, b=None),
    ]
    table = verdict_tables.evidence_table(STUDY, evidence(rows))
    old, new = (load_backbone(name, STUDY.scale).title for name in (OLD, NEW))
    assert table["of"].tolist() == [f"{old} → {new}", f"{old} and {new}", f"{old} → {new}", new]
    assert table["task"].tolist() == ["VQA-Scene", "VQA-Scene", "all", "Seismic coordinate prediction"]
    assert table["measure"].iloc[0] == "difference in score"
    assert verdict_tables.evidence_table(STUDY, evidence([])).empty
    gone = verdict_tables.evidence_table(STUDY, evidence([row("gain_difference", 0.1, b="of another day")]))
    assert gone["of"].tolist() == [f"{old} → of another day"], "a backbone that the study has no more"


def test_tables_are_written_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    found = verdicts.verdicts(STUDY, verdicts.all_evidence(STUDY))
    table = verdict_tables.write_verdicts(STUDY, found)
    read = pd.read_csv(STUDY.folder / "verdicts.csv", keep_default_na=False)
    assert list(read["claim"]) == list(CLAIMS) and list(read.columns) == list(table.columns)
    entries = json.loads((STUDY.folder / "verdicts.json").read_text(encoding="utf-8"))
    assert [len(entry["conditions"]) for entry in entries] == [
        len(getattr(STUDY.verdicts, claim)) for claim in CLAIMS
    ]
    assert entries[4]["paper"].startswith("76.5 %") and entries[4]["effect"] is None
    front = verdict_tables.front_table(table)
    assert front.count("\n") == 1 + len(CLAIMS) and "76.5 %" in front
    assert verdict_tables.summary(table).startswith("Of the paper's 6 claims, 6 are undecided at this scale.")
    assert {"scale", "n", "seeds", "test", "low", "high", "source"} <= set(entries[0])


def cells(markdown: str) -> list[list[str]]:
    """The cells of a Markdown table, as another library reads them."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


def test_the_front_table_reads_back_as_the_verdicts():
    table = tables(calibration(-0.05, -0.03))[0].reset_index()
    table.loc[0, "ours"] = "a | b"
    head, *body = cells(verdict_tables.front_table(table))
    assert head == ["Claim", "The paper reports", "This study finds", "Verdict"]
    aside = "; not tested: that the limit is what the encoder sees"
    verdict = "**" + table["verdict"] + "**" + table["claim"].map({"C6": aside}).fillna("")
    assert body == table[["claim", "paper", "ours"]].assign(verdict=verdict).to_numpy().tolist()


def test_the_summary_counts_the_verdicts():
    found = [UNDECIDED, "reproduced", UNDECIDED, "not reproduced", "reproduced", UNDECIDED]
    table = pd.DataFrame({"claim": list(CLAIMS), "verdict": found, "untested": ""})
    counted = "Of the paper's 6 claims, 3 are undecided at this scale, 2 are reproduced, 1 is not reproduced."
    assert verdict_tables.summary(table) == counted
    table.loc[5, "untested"] = "that it shines"
    assert verdict_tables.summary(table) == f"{counted} The rule of C6 does not test that it shines."


def test_what_a_rule_leaves_out_is_told_unless_it_is_asked_for():
    """C6 says why descriptions gain little; the rules of the study ask only for how much they gain."""
    left_out = tables([])[0]["untested"]
    assert left_out["C6"] == "that the limit is what the encoder sees" and (left_out.drop("C6") == "").all()
    rules = STUDY.verdicts
    asked = rules.C6[0].model_copy(update={"measure": "encoder_variance_share"})
    fuller = STUDY.model_copy(update={"verdicts": rules.model_copy(update={"C6": (*rules.C6, asked)})})
    assert (tables([], fuller)[0]["untested"] == "").all()
    without = STUDY.model_copy(update={"verdicts": None})
    assert (tables([], without)[0]["untested"] == "").all(), "where nothing is asked, nothing is left out"


def test_the_paper_file_has_every_claim(monkeypatch, tmp_path):
    assert set(verdict_tables.paper().claims) == set(CLAIMS)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "paper.yaml").write_text("source: here\nclaims: {C1: all}\n")
    monkeypatch.setattr(verdict_tables, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="expected the claims C1, C2, C3, C4, C5, C6, found C1"):
        verdict_tables.paper()
