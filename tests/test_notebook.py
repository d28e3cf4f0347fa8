"""A notebook's parameters: what is refused, and with which words."""

import pytest

from barnlib.notebook import INJECTED, choose, injected_names, refuse_unknown


def test_choose_loads_what_the_names_say():
    chosen = choose(study="nano", backbone="llama3", seed=0)
    assert (chosen.study.name, chosen.backbone.name, chosen.seed) == ("nano", "llama3", 0)
    assert repr(chosen) == f"Study 'nano', {chosen.backbone.title}, seed 0" and chosen.processes == 1
    together = choose(study="nano", backbone="llama3", seed=0, processes=2)
    assert repr(together) == f"{chosen!r}, 2 processes" and together.processes == 2
    shared = choose(study="nano", backbone="llama3", seed=0, processes=2, sharded=True)
    assert repr(shared) == f"{together!r}, sharded" and shared.sharded and not together.sharded


def test_without_a_backbone_all_of_the_study_are_chosen():
    chosen = choose(study="nano")
    assert tuple(backbone.name for backbone in chosen.backbones) == chosen.study.backbones
    assert "seed" not in repr(chosen)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"study": "nanno"}, "no study 'nanno'.*did you mean 'nano'"),
        ({"study": 7}, "parameter 'study': expected a name, found 7"),
        ({"study": "nano", "backbone": "lama3"}, "no backbone 'lama3'.*did you mean 'llama3'"),
        (
            {"study": "nano", "backbone": "llama3", "seed": 0.5},
            "parameter 'seed': expected a whole number from 0, found 0.5",
        ),
        ({"study": "nano", "backbone": "llama3", "seed": "1"}, "parameter 'seed'.*found '1'"),
        ({"study": "nano", "backbone": "llama3", "seed": True}, "parameter 'seed'.*found True"),
        ({"study": "nano", "backbone": "llama3", "seed": -1}, "parameter 'seed'.*found -1"),
        ({"study": "nano", "processes": 0}, "parameter 'processes': expected a whole number from 1, found 0"),
        ({"study": "nano", "processes": "2"}, "parameter 'processes'.*found '2'"),
        ({"study": "nano", "sharded": 1}, "parameter 'sharded': expected True or False, found 1"),
        (
            {"study": "nano", "processes": 1, "sharded": True},
            "parameter 'sharded'.*found 1, expected at least 2",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        choose(**values)


def test_a_backbone_outside_the_study_is_refused(monkeypatch):
    from barnlib import notebook

    nano = notebook.load_study("nano")
    monkeypatch.setattr(
        notebook, "load_study", lambda name: nano.model_copy(update={"backbones": ("llama1",)})
    )
    with pytest.raises(
        ValueError, match="'llama3' is not part of study 'nano', which compares llama1: add it to"
    ):
        choose(study="nano", backbone="llama3")


def test_injected_names_are_read_from_papermills_cells_alone():
    cells = [
        "",
        "study = 'nano'  # a default",
        f'{INJECTED}study = "smoke"\nbackbonee = "llama3"\n',
        "other = 1",
    ]
    assert injected_names(cells) == ["study", "backbonee"]
    with pytest.raises(
        ValueError, match="unknown parameter 'backbonee': this notebook has study, backbone; did you"
    ):
        refuse_unknown(injected_names(cells), ["study", "backbone"])
    refuse_unknown(["study"], ["study", "backbone"])
