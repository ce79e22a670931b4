"""Figures that say whether regions have the susceptibility that regions of a brain have."""

from __future__ import annotations

from collections.abc import Mapping

DEEP = ("caudate", "putamen", "pallidum", "thalamus")
MIDBRAIN = ("red-nucleus", "substantia-nigra", "dentate")
FLOOR_PPB = 50.0
"""Differences of left and right are told relative to the mean, and to this where that is less."""

Key = tuple[str, str]
"""Region and hemisphere: ``L``, ``R``, ``M``, or ``B`` for both sides."""

PAIRS = {
    "pallidum_minus_thalamus_ppb": (("pallidum",), ("thalamus",)),
    "pallidum_minus_putamen_ppb": (("pallidum",), ("putamen",)),
    "putamen_minus_thalamus_ppb": (("putamen",), ("thalamus",)),
    "caudate_minus_thalamus_ppb": (("caudate",), ("thalamus",)),
    "midbrain_minus_thalamus_ppb": (MIDBRAIN, ("thalamus",)),
}
"""Differences that are positive in adults; they need no reference."""


def measure_regions(
    means: Mapping[Key, float],
    coverage: Mapping[Key, float],
    tissues: Mapping[str, str | None],
) -> tuple[dict[str, object], dict[str, str]]:
    """
    Measure order, symmetry and completeness of the regions.

    Iron orders the deep nuclei (Hallgren and Sourander, 1958,
    doi:10.1111/j.1471-4159.1958.tb12607.x), myelin puts white matter below grey matter; a wrong
    sign or unit shows in either, whatever the reference.

    Parameters
    ----------
    means
        Susceptibility of each region that was measured, ppb; of all sides.
    coverage
        Part of the voxels of each region that was measured, of single sides.
    tissues
        ``grey``, ``white`` or something else, by the name of a region.

    Returns
    -------
    figures : dict
        Of those that can be measured.
    missing : dict
        Why others cannot.
    """
    figures: dict[str, object] = {}
    missing: dict[str, str] = {}
    for name, (higher, lower) in PAIRS.items():
        sides = [_mean(means, regions) for regions in (higher, lower)]
        _add(figures, missing, name, sides, " and ".join((" or ".join(higher), *lower)))
    grey, white = (
        _mean(means, [name for name, kind in tissues.items() if kind == tissue])
        for tissue in ("grey", "white")
    )
    _add(figures, missing, "grey_minus_white_ppb", [grey, white], "grey and white matter")
    differences = [
        100 * abs(means[name, "L"] - means[name, "R"])
        / max(FLOOR_PPB, abs(means[name, "L"] + means[name, "R"]) / 2)
        for name in DEEP
        if (name, "L") in means and (name, "R") in means
    ]  # fmt: skip
    if differences:
        figures["left_right_difference_percent"] = max(differences)
    else:
        missing["left_right_difference_percent"] = "there is no deep nucleus with two sides"
    deep = [part for (name, _), part in coverage.items() if name in DEEP]
    if deep:
        figures["deep_nuclei_coverage"] = min(deep)
    else:
        missing["deep_nuclei_coverage"] = "there is no deep nucleus"
    lost = sum(part < 0.5 for part in coverage.values())
    figures["regions_lost_percent"] = 100 * lost / max(len(coverage), 1)
    return figures, missing


def _mean(means: Mapping[Key, float], names) -> float | None:
    """Return the mean over regions of what both sides of each have, None if there is none."""
    found = [means[name, side] for name in names for side in ("B", "M") if (name, side) in means]
    return sum(found) / len(found) if found else None


def _add(figures, missing, name: str, sides, needed: str) -> None:
    if None in sides:
        missing[name] = f"{needed} are not both measured"
    else:
        figures[name] = sides[0] - sides[1]
