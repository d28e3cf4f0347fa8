"""A dataset of photographs becomes records and a card; the worked example of the page on extending is followed."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from barnlib.data.dataset_card import make_card
from barnlib.data.records import read_items, read_pictures, require_images
from barnlib.paths import ROOT
from tests.test_gqa_files import ENTRY
from tests.test_vqa_files import ANNOTATIONS, QUESTIONS

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```{code-block} \w+\n:caption: barns/(\S+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"`python -m (barnlib\.data\.dataset_card) FOLDER`")


def save_image(path, colour: int):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 8), (colour, 0, 0)).save(path)


@pytest.fixture
def barns(tmp_path):
    """The folder of the page's example, with the images that its files name."""
    names = []
    for name, content in EXAMPLE.findall(PAGE):
        (tmp_path / name).write_text(content, encoding="utf-8")
        if name.endswith(".json"):
            names += [record["image"] for record in json.loads(content)]
    for number, name in enumerate(dict.fromkeys(names)):
        save_image(tmp_path / "photographs" / name, number)
    return tmp_path


def test_the_page_shows_a_whole_dataset():
    assert [name for name, _ in EXAMPLE.findall(PAGE)] == [
        "dataset.yaml",
        "mine.json",
        "said.json",
        "tuning.json",
        "told.json",
        "held.json",
    ]


def test_the_pages_command_writes_records_and_card(barns):
    (module,) = COMMAND.findall(PAGE)
    done = subprocess.run(
        [sys.executable, "-m", module, str(barns)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((barns / "card.json").read_text())
    described = yaml.safe_load((barns / "dataset.yaml").read_text())
    assert [card[key] for key in ("name", "source", "licence")] == [
        described[key] for key in ("name", "source", "licence")
    ]
    for split, counted in card["splits"].items():
        items = read_items(barns / f"{split}.json")
        captions = barns / f"{split}.pictures.json"
        described = read_pictures(captions) if captions.exists() else []
        images = {record.image for record in (*items, *described)}
        require_images(barns, images)
        assert (counted["items"], counted["captions"]) == (len(items), len(described))
        assert counted["images"] == len(images)
        assert sum(counted["question_types"].values()) == len(items)
        for name, digest in (counted["read_from"] | counted["records"]).items():
            assert hashlib.sha256((barns / name).read_bytes()).hexdigest() == digest


def test_a_second_time_gives_the_same_card_and_drops_what_is_gone(barns):
    described = yaml.safe_load((barns / "dataset.yaml").read_text())
    one_turn = [record for record in json.loads((barns / "held.json").read_text())]
    (barns / "captions.json").write_text(json.dumps(one_turn))
    described["splits"]["test"] |= {"captions": "captions.json", "caption_images": "photographs"}
    plain = (barns / "dataset.yaml").read_text()
    (barns / "dataset.yaml").write_text(yaml.safe_dump(described))
    with_captions = make_card(barns)
    assert with_captions["splits"]["test"]["captions"] == len(read_pictures(barns / "test.pictures.json"))
    (barns / "dataset.yaml").write_text(plain)
    first = make_card(barns)
    assert not (barns / "test.pictures.json").exists() and make_card(barns) == first


def test_an_image_in_two_splits_is_refused_and_nothing_is_written(barns):
    image = json.loads((barns / "held.json").read_text())[0]["image"]
    other = next(record["image"] for record in json.loads((barns / "mine.json").read_text()))
    (barns / "photographs" / image).write_bytes((barns / "photographs" / other).read_bytes())
    before = sorted(path.name for path in barns.iterdir())
    with pytest.raises(
        ValueError, match=rf"{other} \(train\) and photographs/{image} \(test\) have the same content"
    ):
        make_card(barns)
    assert sorted(path.name for path in barns.iterdir()) == before


def test_a_file_of_the_dataset_is_never_written_over(barns):
    (barns / "test.json").write_text("mine")
    with pytest.raises(ValueError, match=r"test\.json: this file is the dataset's own"):
        make_card(barns)
    assert (barns / "test.json").read_text() == "mine" and not (barns / "train.json").exists()
    (barns / "test.json").unlink()
    make_card(barns)
    (barns / "test.json").write_text("changed")
    with pytest.raises(ValueError, match=r"test\.json: this file is the dataset's own, or was changed"):
        make_card(barns)


def test_records_are_not_written_through_a_link(barns, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "precious.json"
    (barns / "train.json").symlink_to(outside)
    with pytest.raises(ValueError, match=r"train\.json: this file is the dataset's own"):
        make_card(barns)
    assert not outside.exists()


def test_the_official_formats_side_by_side(tmp_path):
    """GQA to train on, VQA v2 to test on."""
    files = {
        "gqa.json": {"1": ENTRY, "2": ENTRY | {"isBalanced": False}},
        "q.json": QUESTIONS,
        "a.json": ANNOTATIONS,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    described = {
        "name": "n",
        "source": "s",
        "licence": "l",
        "splits": {
            "train": {"format": "gqa", "file": "gqa.json", "images": "images"},
            "test": {"format": "vqa", "questions": "q.json", "annotations": "a.json"},
        },
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    for number, name in enumerate(["images/n161313", *(f"COCO_val2014_{n:012d}" for n in (9, 262148))]):
        save_image(tmp_path / f"{name}.jpg", 80 * number)
    splits = make_card(tmp_path)["splits"]
    assert (splits["train"]["items"], splits["train"]["left_out"]) == (1, {"not balanced": 1})
    assert splits["test"]["question_types"] == {"none of the above": 1, "is it a": 1}
    assert list(splits["test"]["read_from"]) == ["q.json", "a.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": ""}, r"dataset\.yaml: key 'licence': expected text that is not empty"),
        ({"license": "x"}, r"dataset\.yaml: unknown key 'license'; expected citation, licence, name"),
        ({"splits": {}}, "key 'splits': expected one or more of train, validation, test, heldout"),
        ({"splits": {"dev": {}}}, r"splits: unknown key 'dev'; expected heldout, test, train, validation"),
        (
            {"splits": {"test": {"format": "coco"}}},
            r"splits\.test: key 'format': expected one of llava, vqa, gqa",
        ),
        ({"splits": {"test": {"format": "vqa", "file": "x"}}}, r"splits\.test: unknown key 'file'"),
        ({"splits": {"test": {"format": "gqa", "file": "../x"}}}, r"key 'file': expected a path inside"),
        ({"splits": {"test": {"format": "gqa", "file": "x.json"}}}, r"x\.json: no such file"),
        (
            {"splits": {"test": {"format": "llava", "file": "empty.json"}}},
            "expected at least one question on an image",
        ),
        ({"numbered_by_split": "yes"}, "key 'numbered_by_split': expected true or false"),
    ],
)
def test_a_fault_of_the_description_is_named(barns, change, message):
    (barns / "empty.json").write_text("[]")
    described = yaml.safe_load((barns / "dataset.yaml").read_text()) | change
    (barns / "dataset.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(ValueError, match=message):
        make_card(barns)


def test_a_folder_without_description_and_broken_yaml_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset\.yaml: no such file; expected one that names source"):
        make_card(tmp_path)
    (tmp_path / "dataset.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"dataset\.yaml: not valid YAML"):
        make_card(tmp_path)
    (tmp_path / "dataset.yaml").write_text("name: a\nsource: b\nname: c\n")
    with pytest.raises(ValueError, match=r"dataset\.yaml: key 'name' occurs twice \(lines 1 and 3\)"):
        make_card(tmp_path)
