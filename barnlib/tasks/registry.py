"""The tasks there are. A study asks the paper's three and may name others (`Study.tasks`).

In:  a task's name, from a study file or an item. Out: its :class:`~barnlib.tasks.task.Task`.
"""

import difflib

from barnlib.tasks import seismic_coordinates, seismic_description, vqa_scene
from barnlib.tasks.task import Facts, Score, Task

ALL = (
    vqa_scene.TASK,
    seismic_description.TASK,
    seismic_coordinates.TASK,
)
"""In the order in which pictures are asked about, answers written and charts drawn: new ones come last."""

TASK_TITLES = {task.name: task.title for task in ALL}
"""By name, what charts and tables call a task."""


def task_named(name: str) -> Task:
    """The task of a name.

    Raises:
        ValueError: there is none.
    """
    known = {task.name: task for task in ALL}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"no task '{name}' in barnlib/tasks/registry.py: there are {', '.join(known)}{hint}")
    return known[name]


def score(task: str, answer: str, facts: Facts, reference: str, *, tolerance_km: float) -> Score:
    """Score one answer of one item, as :class:`~barnlib.tasks.task.Judge`, by the task's name.

    Raises:
        ValueError: an unknown task, or facts that lack what the task needs.
    """
    return task_named(task).score(answer, facts, reference, tolerance_km)
