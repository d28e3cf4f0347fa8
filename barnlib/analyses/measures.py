"""What the measures of the evidence are called, and how their estimates and the conditions on them are written.

In:  :class:`barnlib.analyses.evidence.Evidence` and :class:`barnlib.study.Condition`.
Out: words for tables and pages. Next: verdicts.py and verdict_tables.py.
"""

from barnlib.analyses.evidence import Evidence
from barnlib.study import Condition
from barnlib.tasks.registry import TASK_TITLES

# What a measure is called, and how it is written: shares in per cent, differences of shares in points, others plainly
# or, where they are small, finely, with three or four decimals.
MEASURES = {
    "accuracy_difference": ("difference in score", "points"),
    "phi_pooled": ("correlation (phi) of right answers, pooled", "plain"),
    "phi_stratified": ("correlation (phi) of right answers within question types and difficulties", "plain"),
    "phi_stratified_seeds": (
        "correlation (phi) between seeds within question types and difficulties",
        "plain",
    ),
    "phi_stratified_less_floor": ("correlation (phi) between backbones less that between seeds", "plain"),
    "kappa_stratified": ("error consistency (kappa) within question types and difficulties", "plain"),
    "calibration_difference": ("difference in squared calibration error", "finest"),
    "calibration_scaled_difference": (
        "difference in squared calibration error after temperature scaling",
        "finest",
    ),
    "brier_difference": ("difference in Brier score", "fine"),
    "auroc_difference": ("difference in AUROC of confidence", "fine"),
    "displacement_noise": ("difference in displacement by image noise", "fine"),
    "displacement_blur": ("difference in displacement by blur", "fine"),
    "displacement_occlusion": ("difference in displacement by occlusion", "fine"),
    "displacement_paraphrase": ("difference in displacement by paraphrase", "fine"),
    "drift_difference": ("difference in drift by finetuning", "fine"),
    "seed_agreement_difference": ("difference in agreement between seeds", "fine"),
    "coordinate_accuracy": ("share of coordinates within tolerance", "share"),
    "coordinate_accuracy_difference": ("difference in the share of coordinates within tolerance", "points"),
    "coordinate_parse_rate": ("share of coordinates that can be read", "share"),
    "coordinate_constrained_accuracy": ("share of coordinates within tolerance, form enforced", "share"),
    "gain_description": ("gain in descriptions", "points"),
    "gain_vqa_scene": ("gain in scene questions", "points"),
    "gain_coordinates": ("gain in coordinates", "points"),
    "gain_difference": ("gain in descriptions less gain in scene questions", "points"),
    "encoder_variance_share": ("share of variance due to the encoder", "share"),
    "backbone_variance_share": ("share of variance due to the backbone", "share"),
}
TOGETHER = {
    "phi_pooled",
    "phi_stratified",
    "phi_stratified_seeds",
    "phi_stratified_less_floor",
    "kappa_stratified",
}  # of two backbones together, where other measures of two are the newer one's less the older one's
OF = {
    "every_pair": "a newer backbone less an older one",
    "newest_less_older": "the newest backbone less each older one",
    "newest_less_oldest": "the newest backbone less the oldest",
    "newest": "of the newest backbone",
    "older": "of each older backbone",
}
OF_TOGETHER = {
    "every_pair": "between two backbones",
    "newest_less_older": "between the newest backbone and each older one",
    "newest_less_oldest": "between the newest backbone and the oldest",
}
SINGLE = {"newest", "newest_less_oldest"}  # where a condition asks for one estimate a task


def measure_words(measure: str) -> str:
    """What a measure is called; its own name where nobody has given it another."""
    return MEASURES.get(measure, (measure.replace("_", " "), ""))[0]


def joint(measure: str) -> str:
    """What stands between the names of two backbones that a measure is of: ``→`` for a difference, else ``and``."""
    return "and" if measure in TOGETHER else "→"


def estimate_text(row: Evidence) -> str:
    """An estimate with its interval, as its measure is written: ``+4.0 points (+1.2 to +6.8)``."""
    kind = MEASURES.get(row.measure, ("", "plain"))[1]
    if row.estimate is None or row.low is None or row.high is None:
        return f"no estimate ({row.note})"
    low, value, high = (_number(end, kind) for end in (row.low, row.estimate, row.high))
    unit = {"points": " points", "share": " %"}.get(kind, "")
    return f"{value}{unit} ({low} to {high})"


def _number(value: float, kind: str) -> str:
    written = {
        "points": f"{100 * value:+.1f}",
        "share": f"{100 * value:.1f}",
        "fine": f"{value:+.3f}",
        "finest": f"{value:+.4f}",
    }.get(kind, f"{value:+.2f}")
    if not written.strip("+-0."):
        written = written.lstrip("+-")  # nothing is neither more nor less than nothing
    return written.replace("-", "−")


def worded(condition: Condition) -> str:
    """A condition as a sentence's beginning: "every difference in score, …, lies above 0 points"."""
    words, kind = measure_words(condition.measure), MEASURES.get(condition.measure, ("", ""))[1]
    tasks = " or ".join(TASK_TITLES.get(task, task) for task in condition.tasks)
    unit = {"points": " points", "share": " %"}.get(kind, "")
    value = condition.threshold * (100 if unit else 1)
    one = condition.of in SINGLE and len(condition.tasks) < 2
    each = condition.of == "older" and condition.which == "every"  # "the share …, of each older backbone"
    which = "the" if one or each else "every" if condition.which == "every" else "at least one"
    of = (
        OF_TOGETHER.get(condition.of, OF[condition.of]) if condition.measure in TOGETHER else OF[condition.of]
    )
    on = f", on {tasks}" if tasks else ""
    return f"{which} {words}, {of}{on}, lies {condition.side} {value:g}{unit}"
