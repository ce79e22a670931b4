"""Two groups compared, or a regression, at every voxel of susceptibility maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
import re

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError
from qsmprep.statistics.permutation import (
    Inference,
    Settings,
    arrangements,
    permutation_test,
    sign_flips,
)
from qsmprep.statistics.results import Fact, Fitted
from qsmprep.statistics.rows import counts
from qsmprep.statistics.tfce import neighbours
from qsmprep.statistics.voxel_fits import VoxelFit, estimable, fit_voxels
from qsmprep.statistics.voxel_tables import cluster_table, peak_table
from qsmprep.statistics.voxel_terms import (
    INTERCEPT,
    Term,
    blocks_of,
    distinct,
    rows_for,
    tested_term,
)


@dataclass(frozen=True)
class VoxelMap:
    """
    A map over the voxels that were tested.

    Parameters
    ----------
    values : (V,) array
        In the order of the mask's voxels.
    units
        Of the values.
    description
        What they are, in a sentence.
    """

    values: np.ndarray
    units: str
    description: str


@dataclass(frozen=True)
class Voxelwise:
    """
    A voxelwise model that was fitted.

    Parameters
    ----------
    fitted
        Tables, facts and words.
    maps
        Maps by name.
    mask : (X, Y, Z) boolean array
        Voxels that were tested.
    """

    fitted: Fitted
    maps: Mapping[str, VoxelMap]
    mask: np.ndarray


def voxelwise(
    data: pd.DataFrame,
    images,
    mask,
    affine,
    *,
    formula: str,
    test: str = "",
    settings: Settings = Settings(),  # noqa: B008 - it is frozen
    exchangeability: str = "",
    coverage: float = 0.9,
    alpha: float = 0.05,
) -> Voxelwise:
    """
    Return a term's effect on susceptibility at every voxel, with corrected p-values.

    Parameters
    ----------
    data
        A row per map; rows with gaps are left out.
    images : (n, V) float32 array
        Susceptibility, ppb, a row per row of `data`; NaN where it is not known. It is
        overwritten.
    mask : (X, Y, Z) boolean array
        The V voxels.
    affine : (4, 4) array
        From voxels to mm of the template.
    formula
        Right-hand side, as in ``group + age + sex``; ``chi ~`` may stand before it.
    test
        Column or term that is tested; may be left out if there is one. ``Intercept`` tests the
        mean against zero, by signs.
    settings
        How p-values are found.
    exchangeability
        Column of blocks, such as the site, within which participants are exchanged; all with
        all where empty.
    coverage
        Part of the maps that must know a voxel. Where some do not, the others are used.
    alpha
        Below which p is significant.

    Raises
    ------
    RequestError
        If formula, test or data do not fit each other, or no voxel is left.
    """
    used, excluded = rows_for(data, formula, exchangeability)
    if len(excluded):
        images = images[data.index.isin(used.index)]
    term = tested_term(formula, test, used)
    blocks = blocks_of(term, used, exchangeability)
    mask, images = _select(images, mask, term, coverage)
    means = _mean_maps(images, term)
    fit = fit_voxels(images, term.tested, term.nuisance, blocks)
    beside = neighbours(mask, settings.connectivity)
    if term.name == INTERCEPT:
        signs = sign_flips(len(used), settings)
        inference = permutation_test(fit, beside, settings, signs=signs)
    else:
        orders = arrangements(len(used), settings, blocks)
        inference = permutation_test(fit, beside, settings, orders=orders)
    q = stats.false_discovery_control(_p_of_voxels(fit, settings.two_sided))
    table = cluster_table(fit, inference, q, mask, affine, beside, alpha)
    peaks = peak_table(term.name, fit, inference, q, mask, affine, settings.two_sided)
    maps = {**means, **_result_maps(term, fit, inference, q)}
    fitted = Fitted(
        estimates=peaks,
        facts=_facts(used, fit, inference, q, affine, settings, alpha),
        method=_method(term, used, settings, exchangeability, coverage, inference.threshold),
        tables={"clusters": table},
        notes=tuple(_notes(term, blocks, fit, settings)),
        excluded=excluded,
    )
    return Voxelwise(fitted, maps, mask)


def _select(images, mask, term: Term, coverage: float):
    """Return the mask of voxels that can be tested, and their data without another copy."""
    least = math.ceil(coverage * len(images) - 1e-9)
    enough = estimable(images, term.tested, term.nuisance, least)
    if not enough.any():
        raise RequestError(
            f"none of the {enough.size} voxels of the mask is known in {100 * coverage:g} % of "
            f"the {len(images)} maps with all that the formula needs; take another mask, lower "
            "coverage, or look at the maps"
        )
    kept = int(enough.sum())
    if kept < enough.size:
        for row in images:
            row[:kept] = row[enough]
    tested = np.zeros(np.shape(mask), dtype=bool)
    tested[np.asarray(mask, dtype=bool)] = enough
    return tested, images[:, :kept]


def _mean_maps(images, term: Term) -> dict[str, VoxelMap]:
    """Return means and numbers of maps, of all and of each group, and the difference."""
    everybody = np.ones(len(images), dtype=bool)
    mean, n = _mean(images, everybody)
    maps = {
        "n": VoxelMap(n, "maps", "Maps that know each voxel"),
        "mean": VoxelMap(mean, "ppb", "Mean susceptibility of all maps, not adjusted"),
    }
    of_group = []
    for group, rows in term.groups.items():
        mean, n = _mean(images, rows)
        of_group.append((group, mean))
        maps[f"mean-{_label(group)}"] = VoxelMap(
            mean, "ppb", f"Mean susceptibility of {group} ({rows.sum()} maps), not adjusted"
        )
    if len(of_group) == 2:
        (first, low), (second, high) = of_group
        maps["difference"] = VoxelMap(
            high - low, "ppb", f"Mean of {second} less mean of {first}, not adjusted"
        )
    return maps


def _mean(images, rows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and number of what is known, (V,) arrays."""
    total, n = np.zeros(images.shape[1]), np.zeros(images.shape[1], dtype=np.int32)
    for row in images[rows] if rows.sum() == 1 else (images[i] for i in np.flatnonzero(rows)):
        there = ~np.isnan(row)
        total[there] += row[there]
        n += there
    return np.divide(total, n, out=np.full(total.size, np.nan), where=n > 0), n


def _label(group: str) -> str:
    """Return the letters and digits of a name, for names of files."""
    return re.sub("[^A-Za-z0-9]", "", group.replace("-", "minus")) or "none"


def _p_of_voxels(fit: VoxelFit, two_sided: bool):
    """Return uncorrected p-values from the distribution of t."""
    return 2 * stats.t.sf(np.abs(fit.t), fit.df) if two_sided else stats.t.sf(fit.t, fit.df)


def _result_maps(term: Term, fit: VoxelFit, inference: Inference, q) -> dict[str, VoxelMap]:
    per = " (of the second group)" if term.groups else " per unit"
    maps = {
        "effect": VoxelMap(fit.effect, "ppb", f"Effect of {term.name}{per}, adjusted"),
        "stderr": VoxelMap(fit.std_error, "ppb", "Standard error of the effect"),
        "t": VoxelMap(fit.t, "1", f"t of {term.name}"),
        "q-fdr": VoxelMap(
            q, "1", "p-value of t, adjusted for the false discovery rate (Benjamini and Hochberg)"
        ),
    }
    if inference.enhanced is not None:
        maps["tfce"] = VoxelMap(
            inference.enhanced, "1", "Threshold-free cluster enhancement of t, extent in voxels"
        )
    for name, p in inference.p.items():
        maps[f"logp-{name}"] = VoxelMap(
            np.abs(np.log10(p)), "1", f"-log10 of the family-wise corrected p-value, by {name}"
        )
    return maps


def _facts(
    data: pd.DataFrame, fit: VoxelFit, inference: Inference, q, affine, settings: Settings,
    alpha: float,
) -> dict[str, Fact]:  # fmt: skip
    facts = counts(data) | {"converged": True}
    volume = round(abs(float(np.linalg.det(np.asarray(affine)[:3, :3]))), 6)
    facts |= {
        "voxels": fit.t.size,
        "volume_mm3": fit.t.size * volume,
        "voxels_with_gaps": int((fit.n < len(data)).sum()),
        "permutations": settings.permutations,
        "cluster_threshold_t": inference.threshold,
    }
    for name, p in [*inference.p.items(), ("fdr", q)]:
        for sign, chosen in (("positive", fit.t > 0), ("negative", fit.t < 0)):
            facts[f"{name}_{sign}".replace("-", "_")] = int(((p <= alpha) & chosen).sum())
    return facts


def _notes(term: Term, blocks, fit: VoxelFit, settings: Settings) -> list[str]:
    notes = ["The effect at a peak is the largest of many and so, on average, too large."]
    logarithm = distinct(term, blocks)
    if logarithm < math.log(settings.permutations):
        notes.append(
            f"The data can be rearranged in only {round(math.exp(logarithm))} ways, fewer than "
            f"the {settings.permutations} permutations; no p-value can be smaller than one part "
            "in that."
        )
    gaps = int((fit.n < fit.residuals.shape[0]).sum())
    if gaps:
        notes.append(
            f"{gaps} of {fit.t.size} voxels are not known in every map; there the maps that know "
            "them were used, and exchanged among each other."
        )
    return notes


def _method(
    term: Term, data: pd.DataFrame, settings: Settings, exchangeability: str, coverage: float,
    threshold: float,
) -> str:  # fmt: skip
    how = "signs of residuals were flipped" if term.name == INTERCEPT else (
        "residuals of the reduced model were exchanged"
        + (f" within {exchangeability}" if exchangeability else "")
    )  # fmt: skip
    sides = "two-sided" if settings.two_sided else "one-sided, positive effects"
    corrected = {
        "voxel": "the largest |t|" if settings.two_sided else "the largest t",
        "cluster": f"size and mass of clusters of t beyond {threshold:.2f} "
        f"(p < {settings.cluster_threshold:g})",
        "tfce": "threshold-free cluster enhancement (Smith and Nichols, 2009, "
        "doi:10.1016/j.neuroimage.2008.03.061; E = 0.5, H = 2, exact integral)",
    }
    by = ", ".join(corrected[name] for name in settings.inference)
    return (
        f"Susceptibility of {len(data)} maps on the template was regressed at every voxel that at "
        f"least {100 * coverage:g} % of the maps know; {term.name} was tested ({sides}) by "
        f"{settings.permutations} permutations in which {how} (Freedman and Lane, 1983; Winkler "
        "et al., 2014, doi:10.1016/j.neuroimage.2014.01.060). Family-wise error was controlled by "
        f"{by}, with neighbours by {settings.connectivity}, and the false discovery rate by "
        "Benjamini and Hochberg (1995) on p-values of the distribution of t."
    )
