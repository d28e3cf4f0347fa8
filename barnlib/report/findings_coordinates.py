"""What the coordinate analyses say, in words: titles of their charts, every figure from a table.

In:  tables of coordinates.py, coordinate_digits.py and coordinate_bias.py.
Out: one line each, for the notebook on coordinates.
"""

from collections.abc import Mapping

import pandas as pd

from barnlib.analyses.coordinates import OUTCOMES


def curve_title(curve: pd.DataFrame, titles: Mapping[str, str], tolerance_km: float) -> str:
    """How many answers of each backbone lie within the tolerance nearest to the study's."""
    nearest = curve.loc[(curve["tolerance_km"] - tolerance_km).abs().idxmin(), "tolerance_km"]
    rows = curve[curve["tolerance_km"] == nearest]
    told = ", ".join(f"{titles[row.backbone]} {row.estimate:.0%}" for row in rows.itertuples())
    return f"Within {nearest:,.0f} km: {told}"


def form_title(failures: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """How much of the failures is form: what the backbone that loses most to form alone loses."""
    lost = failures[failures["outcome"] == OUTCOMES[2]]
    most = lost.loc[lost["estimate"].idxmax()]
    wrong = failures[failures["outcome"].isin([OUTCOMES[1], OUTCOMES[3]])]
    unknown = wrong.groupby("backbone")["estimate"].sum()
    share = f"{most['estimate']:.0%}" if most["estimate"] >= 0.01 else "less than 1%"
    form = f"{share} of answers at most ({titles[most['backbone']]})"
    place = list(dict.fromkeys(f"{share:.0%}" for share in (unknown.min(), unknown.max())))
    return f"Form alone costs {form if most['estimate'] > 0 else 'no answer'}; a wrong place {' to '.join(place)}"


def digits_title(digits: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """At which digit each backbone's latitude most often leaves the truth."""
    first = digits[(digits["measure"] == "first wrong") & digits["place"].str.startswith("latitude")]
    if first.empty or first["estimate"].max() == 0:
        return "No readable latitude has a wrong digit"
    worst = first.loc[first.groupby("backbone", sort=False)["estimate"].idxmax()]
    worst = worst[worst["estimate"] > 0]
    told = ", ".join(f"{titles[row.backbone]} at the {row.place.split()[1]}" for row in worst.itertuples())
    return f"A latitude most often goes wrong first: {told}"


def pull_title(pull: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Between which slopes answers follow the truth; 0 always answers the same place, 1 follows it."""
    slopes = pull[(pull["measure"] == "slope") & pull["estimate"].notna()]
    if slopes.empty:
        return "No backbone wrote coordinates that could be read"
    low, high = (slopes.loc[end] for end in (slopes["estimate"].idxmin(), slopes["estimate"].idxmax()))
    told = [f"{row['estimate']:.2f} ({titles[row['backbone']]}, {row['axis']})" for row in (low, high)]
    return f"Slopes of answers on the truth go from {told[0]} to {told[1]}"


def map_title(favourites: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """How large a share of its answers each backbone puts into its most frequent cell of the map."""
    most = favourites.loc[favourites.groupby("backbone", sort=False)["share"].idxmax()]
    told = ", ".join(f"{titles[row.backbone]} {row.share:.0%}" for row in most.itertuples())
    return f"Answers in the most frequent cell of the map: {told}"


def loss_title(losses: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Which backbone finds the true answers most probable, in bits per byte."""
    bits = losses[losses["measure"] == "bits per byte"]
    if bits["estimate"].isna().all():
        return "The loss of the true answers is not known"
    least, most = (bits.loc[end] for end in (bits["estimate"].idxmin(), bits["estimate"].idxmax()))
    return (
        f"The true answer costs {least['estimate']:.2f} bits per byte ({titles[least['backbone']]}) to "
        f"{most['estimate']:.2f} ({titles[most['backbone']]})"
    )


def head_title(median_km: pd.DataFrame, said_km: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What a head reads from the states beside what the model says, for every backbone.

    Args:
        median_km, said_km: ``coordinates.coordinate_errors`` of the head's places and of the answers, by backbone.
    """
    both = median_km.set_index("backbone")["estimate"].to_frame("read")
    both = both.join(said_km.set_index("backbone")["estimate"].rename("said"), how="inner")
    told = ", ".join(
        f"{titles[str(name)]} {row['read']:,.0f} km read, {_km(row['said'])} said"
        for name, row in both.iterrows()
    )
    return f"Median error: {told}"


def _km(value: float) -> str:
    return f"{value:,.0f} km" if value < float("inf") else "nothing readable"
