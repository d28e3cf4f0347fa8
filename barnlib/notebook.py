"""A notebook's parameters, checked before anything else happens.

In:  the names that the parameters cell sets, and the cell that papermill injects after it.
Out: :class:`Chosen`, the study, backbone and seed that the rest of the notebook works on.

papermill only warns about a name that the notebook does not have and goes on with the defaults; here it is refused.
"""

import ast
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from IPython import get_ipython

from barnlib.components import Backbone
from barnlib.parameters import load_backbone, load_study
from barnlib.study import Study

INJECTED = "# Parameters\n"  # how papermill begins the cell that it injects


@dataclass(frozen=True)
class Chosen:
    """What one notebook works on; prints as one line."""

    study: Study
    backbones: tuple[Backbone, ...]  # the study's, or the one that was chosen
    seed: int | None = None
    processes: int = 1  # that train the run together
    sharded: bool = False  # whether they share the language model out among themselves

    @property
    def backbone(self) -> Backbone:
        """The one backbone of a notebook that has a ``backbone`` parameter."""
        (only,) = self.backbones
        return only

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        together = "" if self.processes == 1 else f", {self.processes} processes"
        together += ", sharded" if self.sharded else ""
        titles = ", ".join(backbone.title for backbone in self.backbones)
        return f"Study '{self.study.name}', {titles}{seed}{together}"


def choose(
    *,
    study: str,
    backbone: str | None = None,
    seed: int | None = None,
    processes: int | None = None,
    sharded: bool | None = None,
) -> Chosen:
    """Check a notebook's parameters and load what they name.

    The keywords are the parameters that the notebook has; a name that papermill injected beyond them is refused.

    Args:
        study: a file in ``params/studies``.
        backbone: a file in ``params/backbones`` that the study names; without it, all of the study's.
        seed: any whole number from 0; a study's own seeds are those that its results use.
        processes: how many train a run together, from 1.
        sharded: whether they share the language model out among themselves; they are two at least then.

    Raises:
        ValueError: an unknown parameter, study or backbone, or a value of the wrong type; says what would be right.
    """
    known = {
        "study": study,
        "backbone": backbone,
        "seed": seed,
        "processes": processes,
        "sharded": sharded,
    }
    refuse_unknown(
        injected_names(executed_cells()), [name for name, value in known.items() if value is not None]
    )
    for name in ("study", "backbone"):
        if known[name] is not None and not isinstance(known[name], str):
            raise ValueError(f"parameter '{name}': expected a name, found {known[name]!r}")
    for name, value, least in (("seed", seed, 0), ("processes", processes, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"parameter '{name}': expected a whole number from {least}, found {value!r}")
    if sharded is not None and not isinstance(sharded, bool):
        raise ValueError(f"parameter 'sharded': expected True or False, found {sharded!r}")
    if sharded and processes == 1:
        raise ValueError(
            "parameter 'sharded': True shares a model out over 'processes', found 1, expected at least 2"
        )
    protocol = load_study(study)
    if backbone is None:
        every = tuple(load_backbone(name, protocol.scale) for name in protocol.backbones)
        return Chosen(protocol, every, seed, processes or 1, sharded or False)
    one = load_backbone(backbone, protocol.scale)
    if backbone not in protocol.backbones:
        raise ValueError(
            f"backbone '{backbone}' is not part of study '{study}', which compares {', '.join(protocol.backbones)}: "
            f"add it to 'backbones' in params/studies/{study}.yaml"
        )
    return Chosen(protocol, (one,), seed, processes or 1, sharded or False)


def executed_cells() -> list[str]:
    """Source of every cell that this kernel has executed so far; none outside of IPython."""
    shell = get_ipython()
    return [] if shell is None else list(shell.user_ns.get("In", []))


def injected_names(cells: Iterable[str]) -> list[str]:
    """Names that papermill's injected cells assign, in order."""
    names: list[str] = []
    for cell in cells:
        if cell.startswith(INJECTED):
            targets = [node.targets for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            names += [target.id for each in targets for target in each if isinstance(target, ast.Name)]
    return names


def refuse_unknown(given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names that a notebook does not have.

    Raises:
        ValueError: names the parameter, those there are, and the nearest of them.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"unknown parameter '{name}': this notebook has {', '.join(known)}{hint}")
