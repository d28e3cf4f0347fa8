"""What the measures of the evidence are called, and how their estimates and the conditions on them are written.

In:  :class:`barnlib.evidence.Evidence` and :class:`barnlib.parameters.Condition`.
Out: words for tables and pages. Next: verdicts.py and verdict_tables.py.
"""

from barnlib.evidence import Evidence
from barnlib.findings import TASK_TITLES
from barnlib.parameters import Condition

# What a measure is called, and how it is written: shares in per cent, differences of shares in points, others plainly.
MEASURES = {
    "accuracy_difference": ("difference in score", "points"),
    "phi_pooled": ("correlation (phi) of right answers, pooled", "plain"),
    "phi_stratified": ("correlation (phi) of right answers within question types", "plain"),
    "phi_stratified_seeds": ("correlation (phi) between seeds within question types", "plain"),
    "phi_stratified_less_floor": ("correlation (phi) between backbones less that between seeds", "plain"),
    "kappa_stratified": ("error consistency (kappa) within question types", "plain"),
    "ece_difference": ("difference in calibration error (ECE)", "points"),
    "ece_scaled_difference": ("difference in calibration error after temperature scaling", "points"),
    "brier_difference": ("difference in Brier score", "plain"),
    "auroc_difference": ("difference in AUROC of confidence", "plain"),
    "displacement_noise": ("difference in displacement by image noise", "plain"),
    "displacement_blur": ("difference in displacement by blur", "plain"),
    "displacement_occlusion": ("difference in displacement by occlusion", "plain"),
    "displacement_paraphrase": ("difference in displacement by paraphrase", "plain"),
    "drift_difference": ("difference in drift by finetuning", "plain"),
    "seed_agreement_difference": ("difference in agreement between seeds", "plain"),
    "coordinate_accuracy": ("coordinates within tolerance", "share"),
    "coordinate_accuracy_difference": ("difference in coordinates within tolerance", "points"),
    "coordinate_parse_rate": ("coordinates that can be read", "share"),
    "coordinate_constrained_accuracy": ("coordinates within tolerance, form enforced", "share"),
    "gain_description": ("gain in descriptions", "points"),
    "gain_vqa_scene": ("gain in scene questions", "points"),
    "gain_coordinates": ("gain in coordinates", "points"),
    "gain_difference": ("gain in descriptions less gain in scene questions", "points"),
    "encoder_variance_share": ("share of variance due to the encoder", "share"),
    "backbone_variance_share": ("share of variance due to the backbone", "share"),
}
OF = {
    "every_pair": "a newer backbone less an older one",
    "newest_less_older": "the newest backbone less each older one",
    "newest_less_oldest": "the newest backbone less the oldest",
    "newest": "the newest backbone",
    "older": "each older backbone",
}


def measure_words(measure: str) -> str:
    """What a measure is called; its own name where nobody has given it another."""
    return MEASURES.get(measure, (measure.replace("_", " "), ""))[0]


def estimate_text(row: Evidence) -> str:
    """An estimate with its interval, as its measure is written: ``+4.0 points (+1.2 to +6.8)``."""
    kind = MEASURES.get(row.measure, ("", "plain"))[1]
    if row.estimate is None or row.low is None or row.high is None:
        return f"no estimate ({row.note})"
    low, value, high = (_number(end, kind) for end in (row.low, row.estimate, row.high))
    unit = {"points": " points", "share": " %"}.get(kind, "")
    return f"{value}{unit} ({low} to {high})"


def _number(value: float, kind: str) -> str:
    written = {"points": f"{100 * value:+.1f}", "share": f"{100 * value:.1f}"}.get(kind, f"{value:+.2f}")
    if not written.strip("+-0."):
        written = written.lstrip("+-")  # nothing is neither more nor less than nothing
    return written.replace("-", "−")


def worded(condition: Condition) -> str:
    """A condition as a sentence's beginning: "every difference in score of … lies above 0"."""
    words, kind = measure_words(condition.measure), MEASURES.get(condition.measure, ("", ""))[1]
    tasks = " or ".join(TASK_TITLES.get(task, task) for task in condition.tasks)
    unit = {"points": " points", "share": " %"}.get(kind, "")
    value = condition.threshold * (100 if unit else 1)
    which = "every" if condition.which == "every" else "at least one"
    on = f" on {tasks}" if tasks else ""
    return f"{which} {words}, {OF[condition.of]}{on}, lies {condition.side} {value:g}{unit}"
