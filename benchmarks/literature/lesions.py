"""ST-02 to ST-05: lesions followed for six years (AJNR 40:987, 2019)."""

import numpy as np

from benchmarks.literature.table import row
from qsmprep.simulate.cohorts import lesions
from qsmprep.statistics.growth import growth
from qsmprep.statistics.mixed import mixed

SEEDS, DRAWN, NULLS = 100, 300, 400
STUDY = {
    "outcome": "chi", "time": "lesion_age", "group": "rim", "levels": ["rim+", "rim-"],
    "bins": list(lesions.AGES), "order": 8, "unit": "lesion_id",
}  # fmt: skip
MEANS = np.r_[lesions.MEANS["rim+"], lesions.MEANS["rim-"]]
TABLE = "18 means, 4.2 to 29.0 ppb"


def mean_rows():
    found = []
    cohorts = (("without noise", lesions.growth_means(1, 1, 1e-3, 1e-3, 1e-3), 0.01),
               ("20 times the lesions", lesions.growth_means(1, 20), 1.0))  # fmt: skip
    for name, data, tolerance in cohorts:
        fitted = growth(data, **STUDY)
        error = float(abs(fitted.tables["means"]["estimate"] - MEANS).max())
        found.append(row("ST-02", f"{name}: largest error of a mean, ppb", TABLE, "0",
                         f"{error:.4f}", f"{tolerance}", error < tolerance))  # fmt: skip
    limits = np.array(lesions.INTERVALS["rim+"] + lesions.INTERVALS["rim-"])
    means, inside, covered = [], [], []
    for seed in range(SEEDS):
        table = growth(lesions.growth_means(seed), **STUDY).tables["means"]
        means.append(table["estimate"])
        inside.append(table["estimate"].between(limits[:, 0], limits[:, 1]).sum())
        covered.append(((table["ci_low"] < MEANS) & (table["ci_high"] > MEANS)).mean())
    spread = np.std(means, axis=0, ddof=1)
    fifth = np.percentile(inside, 5)
    fitted = growth(lesions.growth_means(4), **STUDY, bootstrap=200)
    decay = fitted.tables["decay"].set_index("group")["decay_start"]
    return [
        *found,
        row("ST-02", f"32 lesions, {SEEDS} cohorts: means in the printed interval", "18", "16.4",
            f"{np.mean(inside):.1f}, 5th percentile {fifth:.0f}", "5th percentile 14",
            fifth >= 14),
        row("ST-02", "SD of a mean over cohorts, ppb", "", "1.0 to 1.7",
            f"{spread.min():.1f} to {spread.max():.1f}", "0.9 to 1.9",
            0.9 < spread.min() < spread.max() < 1.9),
        row("ST-02", "coverage of 95 % intervals", "", "0.95", f"{np.mean(covered):.3f}",
            "0.92 to 0.98", 0.92 < np.mean(covered) < 0.98),
        row("ST-02", "32 lesions: decay starts (rim+, rim-), years", "after 4, after 1.5", "6, 2",
            f"{decay['rim+']:g}, {decay['rim-']:g}", "exact", list(decay) == [6.0, 2.0]),
    ]  # fmt: skip


def coefficient_rows():
    names, degrees = ("mean", "linear", "cubic"), (0, 1, 3)
    truth = np.array([lesions.CONTRAST[degree] for degree in degrees])
    printed = ("-4.27 (1.62)", "8.42 (3.66)", "-10.64 (3.75)")
    estimates, errors, covered, told = [], [], [], []
    for seed in range(DRAWN):
        fitted = growth(lesions.growth_coefficients(seed), **STUDY)
        got = fitted.tables["polynomials"].set_index("polynomial").loc[list(names)]
        estimates.append(got["estimate"])
        errors.append(got["std_error"])
        covered.append((got["ci_low"] < truth) & (got["ci_high"] > truth))
        sound = fitted.facts["converged"] and np.isfinite(fitted.estimates["std_error"]).all()
        told.append(sound and fitted.facts["boundary"] == bool(fitted.facts["refitted"]))
    mean, spread = np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1)
    found = []
    for i, name in enumerate(names):
        # Three standard errors of a mean over the cohorts, or the 0.5 asked for if that is more.
        bias = max(0.5, 3 * spread[i] / np.sqrt(DRAWN))
        text = f"{mean[i]:.2f} (SD {spread[i]:.2f}, SE {np.mean(errors, axis=0)[i]:.2f})"
        found += [
            row("ST-03", f"rim- less rim+, {name}: mean of {DRAWN} cohorts", printed[i],
                f"{truth[i]:g}", text, f"{bias:.2f}", abs(mean[i] - truth[i]) < bias),
            row("ST-03", f"rim- less rim+, {name}: coverage of 95 %", "", "0.95",
                f"{np.mean(covered, axis=0)[i]:.2f}", "0.88 to 1",
                np.mean(covered, axis=0)[i] >= 0.88),
        ]  # fmt: skip
    found.append(row("ST-03", "fits with a maximum and all errors", "", f"{DRAWN}",
                     f"{sum(told)}", "all", all(told)))  # fmt: skip
    got = growth(lesions.growth_coefficients(2, 20), **STUDY).tables["polynomials"]
    got = got.set_index("polynomial").loc[list(names)]
    for i, name in enumerate(names):
        limit = 3 * got["std_error"].iloc[i]
        value = got["estimate"].iloc[i]
        found.append(row("ST-03", f"20 times the lesions, {name}", printed[i], f"{truth[i]:g}",
                         f"{value:.2f}", f"{limit:.2f}, three SE",
                         abs(value - truth[i]) < limit))  # fmt: skip
    return found


def volume_rows():
    times = [0, 0.5, 2, 4]
    keys = STUDY | {"outcome": "volume", "order": 3, "spacing": "time", "times": times}
    fitted = growth(lesions.volumes(1, 20), **keys)
    means = fitted.tables["means"].set_index(["group", "time"])["estimate"]
    found = []
    for rim, volume in lesions.VOLUMES.items():
        value = means[rim, 0.0]
        what = f"20 times the lesions, volume of {rim} at 0, mm³"
        close = abs(value / volume - 1) < 0.05
        found.append(row("ST-04", what, f"{volume}", f"{volume}", f"{value:.1f}", "5 %", close))
    p = fitted.tables["differences"]["p_value"]
    found.append(row("ST-04", "largest p of rim+ and rim- at 0, 0.5, 2, 4 years", "<.001", "",
                     f"{p.max():.0e}", "0.001", (p < 0.001).all()))  # fmt: skip
    small = growth(lesions.volumes(1), **keys).tables["differences"]
    text = ", ".join(f"{value:.1e}" for value in small["p_holm"])
    told = list(small["time"]) == times and (small["p_holm"] >= small["p_value"]).all()
    found.append(row("ST-04", "32 lesions: four contrasts, p after Holm", "<.05", "", text,
                     "given, not below p", told))  # fmt: skip
    return found


def change_rows():
    keys = {"formula": "chi ~ volume_change * rim", "random": "1", "unit": "lesion_id"}
    both = "volume_change:rim[T.rim-]"

    def fitted(seed, exact=False):
        return mixed(lesions.volume_change(seed, exact), **keys).estimates.set_index("term")

    exact, drawn = fitted(1, exact=True).loc["volume_change", "estimate"], fitted(1)
    p = drawn.loc[both, "p_value"]
    rejected = np.mean([fitted(seed).loc[both, "p_value"] < 0.05 for seed in range(NULLS)])
    return [
        row("ST-05", "ppb per mm³, noise without slope", "0.014", "0.014", f"{exact:.7f}", "1e-6",
            abs(exact - 0.014) < 1e-6),
        row("ST-05", "p of group by change, one cohort", "> .27", "no difference", f"{p:.2f}",
            "above 0.05", p > 0.05),
        row("ST-05", f"rejected of {NULLS} cohorts without difference", "", "5 %",
            f"{rejected:.1%}", "3 %", abs(rejected - 0.05) <= 0.03),
    ]  # fmt: skip


def rows() -> list[dict]:
    return [*mean_rows(), *coefficient_rows(), *volume_rows(), *change_rows()]
