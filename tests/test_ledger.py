"""The ledger finds what differs, names it, and lets nothing new pass unseen."""

import hashlib
import json
import subprocess
from copy import deepcopy

import pytest

from barnlib import ledger
from barnlib.ledger import INTENDED, SAME, UNAVOIDABLE, VIOLATION, ControlError, compare, require_controlled


def entry(backbone: str, seed: int) -> dict:
    """A ledger as finetune writes it, values made up; what follows backbone or seed does so here."""
    return {
        "run": f"{backbone}-seed{seed}",
        "study": "nano",
        "backbone": backbone,
        "seed": seed,
        "data": {"train": "d1", "test": "d2"},
        "features": "f",
        "backbone_model": {"weights": f"w-{backbone}", "tokenizer": f"t-{backbone}"},
        "prompts": {"texts": "p", "tokens": f"p-{backbone}"},
        "order": {"align": f"o{seed}", "finetune": f"p{seed}"},
        "projector": {"initial": f"r{seed}"},
        "lora": {"parameters": {"llama3": 90}.get(backbone, 100)},
        "tokens": {"supervised": len(backbone) * 1000 + seed},
        "configuration": {"finetune": {"learning_rate": 2e-3, "lora": {"rank": 32}}},
        "code": {"revision": f"commit-{backbone}", "dirty": False, "sources": "s"},
        "hardware": {"device": "cpu", "precision": "float32", "cpu": f"cpu {seed}"},
        "measured": {"wall_s": 1.5 * seed, "cpu_s": 2.0},
    }


RUNS = [entry(backbone, seed) for backbone in ("llama1", "llama2", "llama3") for seed in (0, 1)]


def verdicts(entries) -> dict[str, str]:
    return compare(entries).set_index("field")["verdict"].to_dict()


def test_a_controlled_study_has_no_violation_and_every_field_a_verdict():
    found = verdicts(RUNS)
    assert found == {
        "run": INTENDED,
        "study": SAME,
        "backbone": INTENDED,
        "seed": INTENDED,
        "data.train": SAME,
        "data.test": SAME,
        "features": SAME,
        "backbone_model.weights": INTENDED,
        "backbone_model.tokenizer": INTENDED,
        "prompts.texts": SAME,
        "prompts.tokens": UNAVOIDABLE,
        "order.align": INTENDED,
        "order.finetune": INTENDED,
        "projector.initial": INTENDED,
        "lora.parameters": UNAVOIDABLE,
        "tokens.supervised": UNAVOIDABLE,
        "configuration.finetune.learning_rate": SAME,
        "configuration.finetune.lora.rank": SAME,
        "code.revision": UNAVOIDABLE,
        "code.dirty": SAME,
        "code.sources": SAME,
        "hardware.device": SAME,
        "hardware.precision": SAME,
        "hardware.cpu": UNAVOIDABLE,
        "measured.wall_s": UNAVOIDABLE,
        "measured.cpu_s": SAME,
    }
    table = require_controlled(RUNS)
    assert list(table.columns) == ["field", *(run["run"] for run in RUNS), "verdict", "reason"]
    assert table.set_index("field").loc["lora.parameters", "llama3-seed1"] == 90


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "train"), "other"),
        (("configuration", "finetune", "learning_rate"), 1e-3),
        (("code", "sources"), "other"),
        (("hardware", "precision"), "bfloat16"),
        (("order", "finetune"), "another order for this backbone"),
        (("projector", "initial"), "another projector for this backbone"),
        (("backbone_model", "tokenizer"), "not that of the other seed"),
        (("something", "nobody", "listed"), 1),
    ],
)
def test_a_planted_difference_is_a_violation_and_is_named(path, value):
    runs = deepcopy(RUNS)
    place = runs[3]  # llama2-seed1
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value
    table = compare(runs)
    assert table.loc[table["verdict"] == VIOLATION, "field"].tolist() == [".".join(path)]
    assert table["verdict"].iloc[0] == VIOLATION, "violations come first"
    with pytest.raises(ControlError, match=r"1 field\(s\) differ") as error:
        require_controlled(runs)
    assert ".".join(path) in str(error.value) and f"llama2-seed1 has {value!r}" in str(error.value)


def test_a_field_that_one_run_lacks_is_a_violation():
    runs = deepcopy(RUNS)
    del runs[0]["features"]
    assert verdicts(runs)["features"] == VIOLATION
    with pytest.raises(ControlError, match=r"llama1-seed0 has '\(absent\)'"):
        require_controlled(runs)


def test_comparing_needs_runs_of_different_names():
    with pytest.raises(ValueError, match="each of its own name"):
        compare([])
    with pytest.raises(ValueError, match="each of its own name"):
        compare([RUNS[0], RUNS[0]])


def test_a_single_run_agrees_with_itself():
    assert set(verdicts(RUNS[:1]).values()) == {SAME}


def test_text_digest_is_sha256_over_lengths_and_texts():
    by_hand = hashlib.sha256(b"\0" * 7 + b"\1a" + b"\0" * 7 + b"\2\xc3\xa9").hexdigest()
    assert ledger.text_digest(["a", "é"]) == by_hand
    assert ledger.text_digest(["ab", "c"]) != ledger.text_digest(["a", "bc"])


@pytest.fixture
def package(tmp_path):
    """zoo/: start imports ape and, inside a function, deep.bee; nobody imports cat."""
    for name, text in {
        "__init__": "",
        "start": "from zoo import ape\nimport os\ndef later():\n    from zoo.deep.bee import sting\n",
        "ape": "import zoo.start\n",
        "cat": "import zoo.ape\n",
        "deep/__init__": "",
        "deep/bee": "sting = 1\n",
    }.items():
        file = tmp_path / "zoo" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return tmp_path / "zoo"


def test_sources_follow_imports_within_the_package(package):
    found = [str(path.relative_to(package)) for path in ledger.sources(package / "start.py")]
    assert found == ["ape.py", "deep/__init__.py", "deep/bee.py", "start.py"]
    assert ledger.sources(package / "deep" / "bee.py") == [package / "deep" / "bee.py"]


def test_code_without_git_still_has_the_digest_of_its_sources(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    before = ledger.code(package / "start.py")
    assert (before["revision"], before["dirty"]) == (None, None)
    (package / "cat.py").write_text("changed = 1\n")
    assert ledger.code(package / "start.py") == before
    (package / "deep" / "bee.py").write_text("sting = 2\n")
    assert ledger.code(package / "start.py")["sources"] != before["sources"]


def test_code_in_a_repository_names_the_commit_and_whether_files_differ(package):
    def git(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=package, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "zoo")
    found = ledger.code(package / "start.py")
    assert (found["revision"], found["dirty"]) == (git("rev-parse", "HEAD"), False)
    (package / "ape.py").write_text("")
    assert ledger.code(package / "start.py")["dirty"] is True


def test_checkpoint_digest_sees_names_and_contents(tmp_path):
    for folder, name, text in (("a", "x", "1"), ("b", "x", "1"), ("c", "y", "1"), ("d", "x", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    a, b, c, d = (ledger.checkpoint_digest(tmp_path / folder) for folder in "abcd")
    assert a == b and len({a, c, d}) == 3
    assert ledger.checkpoint_digest("some-hub/model") == "some-hub/model"


def test_the_meter_goes_on_from_what_an_interrupted_run_had_used():
    meter = ledger.Meter({"wall_s": 100.0, "cpu_s": 50.0, "peak_memory_mib": 10**6})
    sum(range(1_000_000))
    found = meter.read()
    assert 100 < found["wall_s"] < 200 and 50 < found["cpu_s"] < 60 and found["peak_memory_mib"] == 10**6
    assert ledger.Meter().read()["peak_memory_mib"] > 10


def test_hardware_and_packages_can_be_written_as_json():
    found = json.loads(
        json.dumps({"hardware": ledger.hardware("cpu", "float32"), "packages": ledger.packages()})
    )
    assert found["hardware"]["device"] == "cpu" and found["hardware"]["memory_gib"] > 0
    assert found["packages"]["numpy"].count(".") >= 1


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    file = tmp_path / "ledger.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"ledger\.json.*not valid JSON"):
        ledger.read(file)
    file.write_text('{"run": "a"}')
    with pytest.raises(ValueError, match="lacks backbone, seed"):
        ledger.read(file)
    file.write_text(json.dumps(RUNS[0]))
    assert ledger.read(file) == RUNS[0]
