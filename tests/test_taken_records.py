"""A study on records of others, from data to answers: photographs in two formats, and recorded earthquakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from barnlib import finetune
from barnlib.artefacts import file_digest, read_json, verify
from barnlib.assembly import assemble
from barnlib.data.build import build_data, load_items, load_pictures
from barnlib.data.dataset_card import make_card
from barnlib.data.records import SPLITS, read_items, read_pictures, require_images
from barnlib.data.taken_records import PAD, square, taken_files
from barnlib.predict import evaluate_run
from barnlib.study import RecordsParameters, Study
from barnlib.validate import Validator
from tests.own_records import AGREEING, draw_photograph, write_earthquakes, write_photographs


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write_photographs(folder / "barns")
    write_earthquakes(folder / "march", held_out_regions=[])
    return folder


@pytest.fixture
def own(records: Path, tmp_path: Path) -> Path:
    """A copy of the records that a test may change."""
    return shutil.copytree(records, tmp_path / "own")


def taking(study: Study, folder: Path, name: str, *kinds: str) -> Study:
    """The study with these kinds of picture from the folder."""
    places = {"scenes": folder / "barns", "cards": folder / "march" / "records"}
    parts = {kind: RecordsParameters(records=str(places[kind])) for kind in kinds or places}
    return study.model_copy(update={"name": name, "data": study.data.model_copy(update=parts)})


@pytest.fixture(scope="module")
def study(tiny_study: Study, records: Path) -> Study:
    return taking(tiny_study, records, "own")


class TestData:
    def test_every_question_is_there_about_the_picture_that_it_was_asked_about(
        self, study: Study, records: Path
    ):
        folder = build_data(study)
        origin = read_json(folder / "taken.json")
        for split in SPLITS:
            items, pictures = load_items(study, split), load_pictures(study, split)
            require_images(folder, [picture.image for picture in pictures])
            kind_of = {picture.image: picture.kind for picture in pictures}
            found = {kind: [i for i in items if kind_of[i.image] == kind] for kind in ("scene", "card")}
            for kind, source in (("scene", records / "barns"), ("card", records / "march/records")):
                path = source / f"{split}.json"
                theirs = read_items(path) if path.exists() else []
                assert len(found[kind]) == len(theirs)
                for item, their in zip(found[kind], theirs, strict=True):
                    assert origin[item.image] == their.image
                    assert item.id == f"{split}-{kind}-{their.id.removeprefix(f'{split}-{kind}-')}"
                    assert (item.question, item.answer, item.choices, item.facts) == (
                        their.question,
                        their.answer,
                        their.choices,
                        their.facts,
                    )
        assert load_items(study, "heldout") == [] == load_pictures(study, "heldout")

    def test_photographs_are_scaled_and_cards_are_copied(self, study: Study, records: Path):
        folder = build_data(study)
        for image, origin in read_json(folder / "taken.json").items():
            with Image.open(folder / image) as opened:
                assert (opened.format, opened.size) == ("PNG", (96, 96))
            if "card" in image:
                assert file_digest(folder / image) == file_digest(records / "march/records" / origin)

    def test_captions_stay_with_their_pictures_and_the_others_have_none(self, study: Study, records: Path):
        origin = read_json(build_data(study) / "taken.json")
        pictures = {origin[p.image]: p for p in load_pictures(study, "train") if p.kind == "scene"}
        told = {p.image: p.caption for p in read_pictures(records / "barns/train.pictures.json")}
        assert {image: picture.caption for image, picture in pictures.items()} == {
            f"photographs/train{number}.jpg": told.get(f"photographs/train{number}.jpg", "")
            for number in range(4)
        }
        asked = {origin[item.image] for item in load_items(study, "train") if item.task == "vqa_scene"}
        assert asked == set(pictures) - {"photographs/train3.jpg"}

    def test_the_card_repeats_what_the_records_cards_say(self, study: Study, records: Path):
        card = read_json(build_data(study) / "card.json")
        assert "what" not in card and "held_out_pairs" not in card
        for kind, place in (("scene", "barns"), ("card", "march/records")):
            theirs = read_json(records / place / "card.json")
            for key in ("name", "source", "licence", "citation", "splits"):
                assert card["taken"][kind][key] == theirs[key]
            assert card["taken"][kind]["files"]["card.json"] == file_digest(records / place / "card.json")
        assert card["counts"]["train"]["pictures"] == {"scene": 4, "card": 3}
        assert card["counts"]["heldout"] == {"pictures": {}, "items": {}, "question_types": {}}

    def test_one_kind_alone_leaves_the_other_as_it_is_made(self, tiny_study: Study, records: Path):
        mixed = taking(tiny_study, records, "mixed", "scenes")
        files, made = verify(build_data(mixed)), verify(build_data(tiny_study))
        cards = {name for name in made if "card-" in name}
        assert cards and all(files[name] == made[name] for name in cards)
        assert [i for i in load_items(mixed, "test") if i.task != "vqa_scene"] == [
            i for i in load_items(tiny_study, "test") if i.task != "vqa_scene"
        ]
        card = read_json(build_data(mixed) / "card.json")
        assert card["what"] == "synthetic earthquake event cards, made for this study"
        assert set(card["taken"]) == {"scene"} and "held_out_regions" in card

    def test_changed_records_make_the_data_anew(self, tiny_study: Study, own: Path):
        study = taking(tiny_study, own, "changing")
        before, known = verify(build_data(study)), taken_files(study)
        assert verify(build_data(study)) == before
        asked = json.loads((own / "barns/train-asked.json").read_text())
        asked[0]["conversations"][1]["value"] = "a silo"
        (own / "barns/train-asked.json").write_text(json.dumps(asked))
        make_card(own / "barns")
        assert taken_files(study) != known
        after = verify(build_data(study))
        assert {name for name in before if after[name] != before[name]} == {"card.json", "train.json"}
        assert "a silo" in {item.answer for item in load_items(study, "train")}

    def test_a_study_without_records_takes_none(self, tiny_study: Study):
        assert taken_files(tiny_study) == {} and not (build_data(tiny_study) / "taken.json").exists()


class TestSquare:
    def test_the_whole_photograph_in_the_middle(self):
        image = Image.new("RGB", (8, 4), (255, 0, 0))
        pixels = np.asarray(square(image, 8))
        assert (pixels[2:6] == (255, 0, 0)).all()
        assert (pixels[[0, 1, 6, 7]] == PAD).all()
        tall = np.asarray(square(image.rotate(90, expand=True), 8))
        assert (tall == pixels.transpose(1, 0, 2)).all()

    def test_a_square_of_the_size_stays_as_it_is(self):
        pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        assert (np.asarray(square(Image.fromarray(pixels), 8)) == pixels).all()

    def test_it_is_turned_as_the_camera_says(self):
        image = Image.new("RGB", (2, 2))
        image.putpixel((0, 0), (255, 255, 255))
        image.getexif()[0x0112] = 6  # taken with the camera turned: a quarter turn clockwise shows it upright
        assert np.asarray(square(image, 2))[0, 1].tolist() == [255, 255, 255]


class TestRefused:
    def refused(self, study: Study, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            build_data(study)

    def test_a_folder_without_a_card(self, tiny_study: Study, tmp_path: Path):
        self.refused(
            taking(tiny_study, tmp_path, "nowhere"),
            r"nowhere\.yaml: key 'data\.scenes\.records': no card\.json in .*barns; expected a folder that barnlib",
        )

    def test_a_split_that_is_missing(self, tiny_study: Study, own: Path):
        card = read_json(own / "barns/card.json")
        del card["splits"]["validation"]
        (own / "barns/card.json").write_text(json.dumps(card))
        self.refused(
            taking(tiny_study, own, "short"), r"card\.json: no split validation; a study needs train"
        )

    def test_records_that_changed_after_their_card(self, tiny_study: Study, own: Path):
        path = own / "barns/train.json"
        path.write_text(path.read_text().replace("a barn", "a silo"))
        self.refused(taking(tiny_study, own, "late"), r"train\.json: changed after card\.json was made")

    @pytest.mark.parametrize(
        "place", ["barns/photographs/train0.jpg", "march/records/images/test/card-000001.png"]
    )
    def test_an_image_that_changed_after_the_card(self, tiny_study: Study, own: Path, place: str):
        draw_photograph(own / place, 99, (96, 96))
        self.refused(
            taking(tiny_study, own, "late-image"), r"an image of the split \w+ was changed after card"
        )

    def test_an_image_behind_a_link_out_of_the_folder(self, tiny_study: Study, own: Path, tmp_path: Path):
        inside = own / "barns/photographs/train0.jpg"
        inside.rename(tmp_path / "outside.jpg")
        inside.symlink_to(tmp_path / "outside.jpg")
        self.refused(
            taking(tiny_study, own, "link"), r"train0\.jpg: expected an image inside .*no link out of it"
        )

    def test_the_same_photograph_in_two_splits_under_two_sizes(self, tiny_study: Study, own: Path):
        """Other files with other pixels, and yet one picture once the study has scaled them."""
        for name, side in (("train0", 96), ("validation0", 192)):
            Image.new("RGB", (side, side), (9, 9, 9)).save(own / f"barns/photographs/{name}.jpg")
        make_card(own / "barns")
        self.refused(
            taking(tiny_study, own, "leak"),
            r"validation/scene-000000\.png \(taken from photographs/validation0\.jpg\) and "
            r"images/train/scene-000000\.png \(taken from photographs/train0\.jpg\) are the same image",
        )

    def test_no_captions(self, tiny_study: Study, tmp_path: Path):
        write_photographs(tmp_path / "own/barns")
        text = (tmp_path / "own/barns/dataset.yaml").read_text()
        lines = [line for line in text.splitlines() if "validation-told" not in line]
        (tmp_path / "own/barns/dataset.yaml").write_text("\n".join(lines))
        make_card(tmp_path / "own/barns")
        self.refused(
            taking(tiny_study, tmp_path / "own", "untold", "scenes"),
            "the split validation has no captions; the",
        )

    def test_questions_of_the_other_kind(self, tiny_study: Study, own: Path):
        (own / "barns").rename(own / "kept")
        (own / "march/records").rename(own / "barns")
        self.refused(
            taking(tiny_study, own, "swapped", "scenes"),
            r"'train-card-000000-description' is of the task seismic_description, which is about a card.*data\.cards",
        )

    def test_cards_of_another_size(self, tiny_study: Study, records: Path):
        larger = tiny_study.model_copy(
            update={"data": tiny_study.data.model_copy(update={"image_size": 112})}
        )
        self.refused(
            taking(larger, records, "larger", "cards"),
            r"expected a PNG of 112 x 112 pixels, .*found PNG of 96 x 96; draw the cards anew with 'image_size: 112'",
        )

    @pytest.mark.parametrize(
        ("lost", "message"),
        [
            (
                {"task": "seismic_coordinates"},
                r"no question of the task seismic_coordinates, which study 'lost' asks",
            ),
            ({"image": "images/test/card-000001.png"}, "the split test asks about one picture alone"),
        ],
    )
    def test_questions_that_a_study_needs(self, tiny_study: Study, own: Path, lost: dict, message: str):
        folder = own / "march/records"
        items = json.loads((folder / "test.json").read_text())
        kept = [item for item in items if not lost.items() <= item.items()]
        (folder / "test.json").write_text(json.dumps(kept))
        card = read_json(folder / "card.json")
        card["splits"]["test"]["records"]["test.json"] = file_digest(folder / "test.json")
        (folder / "card.json").write_text(json.dumps(card))
        self.refused(taking(tiny_study, own, "lost"), message)


@pytest.mark.usefixtures("no_preflight")
class TestRun:
    def test_stages_take_what_has_captions_and_what_has_questions(self, study: Study):
        align, tasks = finetune.plan(assemble(study, "plain"), 0)
        origin = read_json(build_data(study) / "taken.json")
        first, second = (
            {origin[image] for batch in stage.batches for image in batch if "scene" in image}
            for stage in (align, tasks)
        )
        names = [f"photographs/train{number}.jpg" for number in range(4)]
        assert first == set(names[1:]) and second == set(names[:3])
        for stage in (align, tasks):
            assert {image for batch in stage.batches for image in batch} == set(stage.turns)

    def test_validation_looks_at_the_first_of_each(self, study: Study):
        parts = assemble(study, "plain")
        one = study.model_copy(update={"monitor": study.monitor.model_copy(update={"images": 1})})
        looking = Validator(
            type(parts)(one, parts.backbone, parts.prompter, parts.cached),
            load_items(study, "validation"),
            load_pictures(study, "validation"),
        )
        origin = read_json(build_data(study) / "taken.json")
        shown = {origin[picture.image] for picture in looking._captioned}
        asked = {origin[item.image] for items in looking._items.values() for item in items}
        assert "photographs/validation1.jpg" in shown and len(shown) == 2
        assert "photographs/validation0.jpg" in asked and len(asked) == 2

    def test_answers_are_scored_as_their_questions_ask(self, study: Study):
        table = pd.read_parquet(evaluate_run(study, "plain", 0) / "predictions.parquet")
        assert set(zip(table["split"], table["condition"], strict=True)) == {
            ("validation", "image"),
            *(("test", condition) for condition in ("image", "blank", "shuffled", "constrained")),
        }
        expected = {"vqa_scene": 6, "seismic_description": 2, "seismic_coordinates": 2}
        seen = table[(table["split"] == "test") & (table["condition"] == "image")]
        assert seen.groupby("task").size().to_dict() == expected
        photographs = seen[seen["task"] == "vqa_scene"].set_index("item")
        people = {
            item.id: item.facts["answers"] for item in load_items(study, "test") if "answers" in item.facts
        }
        assert set(people) == set(photographs.index)
        for item, row in photographs.iterrows():
            agree = people[item].count(row["answer"])
            assert json.loads(row["details"]) == {"agree": agree}
            assert row["correct"] == (agree >= 3)
        assert photographs["choices"].notna().to_dict() == {
            item: "yes" in answers for item, answers in people.items()
        }

    def test_the_people_are_those_of_the_file(self, study: Study):
        items = [item for item in load_items(study, "test") if item.question == "What is it?"]
        assert [item.facts["answers"] for item in items] == [list(AGREEING)] * 3
