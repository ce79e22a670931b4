"""ST-12 and ST-13: decline of cognition with iron and amyloid (Radiology 2025)."""

import numpy as np

from benchmarks.literature.table import row
from qsmprep.simulate.cohorts.decline import decline
from qsmprep.statistics.mixed import mixed

SEEDS = 100
MODELS = {
    "ST-12": ("score ~ age + education + years * (chi + dvr)", "years:chi", -0.020, {}),
    "ST-13": ("score ~ age + education + years * chi * dvr", "years:chi:dvr", -0.015,
              {"by_both": -0.015}),
}  # fmt: skip
PUBLISHED = {"ST-12": "-0.020 (SE .008)", "ST-13": "-0.02 (SE .008)"}


def cohort_rows(test):
    formula, term, truth, planted = MODELS[test]
    found = []
    for seed in range(SEEDS):
        fitted = mixed(decline(seed, **planted), formula=formula)
        got = fitted.estimates.set_index("term").loc[term]
        inside = got["ci_low"] < truth < got["ci_high"]
        found.append((got["estimate"], got["std_error"], inside, fitted.facts["converged"]))
    estimate, error, inside, converged = np.array(found, float).T
    bias = 3 * estimate.std() / np.sqrt(SEEDS)
    mean = estimate.mean()
    ratio = estimate.std(ddof=1) / error.mean()
    what = f"110 people, {SEEDS} cohorts: "
    return [
        row(test, f"{what}mean of {term}", PUBLISHED[test], f"{truth}", f"{mean:.4f}",
            f"{bias:.4f}, three SE", abs(mean - truth) < bias),
        row(test, f"{what}SE (SD of estimates)", ".008", "", f"{error.mean():.4f} "
            f"({estimate.std(ddof=1):.4f})", "SD / SE 0.8 to 1.2", 0.8 < ratio < 1.2),
        row(test, f"{what}coverage of 95 %", "", "0.95", f"{inside.mean():.2f}", "0.88 to 1",
            inside.mean() >= 0.88),
        row(test, f"{what}fits that converged", "", f"{SEEDS}", f"{int(converged.sum())}", "all",
            converged.all()),
    ]  # fmt: skip


def rows() -> list[dict]:
    found = []
    for test, (formula, term, truth, planted) in MODELS.items():
        found += cohort_rows(test)
        many = mixed(decline(2025, n=4000, **planted), formula=formula, lines="chi", panels="dvr")
        got = many.estimates.set_index("term").loc[term]
        found.append(row(
            test, f"4000 people: {term}", PUBLISHED[test], f"{truth}",
            f"{got['estimate']:.4f} (SE {got['std_error']:.4f})", "0.004",
            abs(got["estimate"] - truth) < 0.004,
        ))  # fmt: skip
        table = many.tables["predictions"]
        columns = table.assign(Intercept=1.0)
        expected = sum(
            beta * columns[name.split(":")].prod(axis=1)
            for name, beta in many.estimates.set_index("term")["estimate"].items()
        )
        apart = float(abs(table["estimate"] - expected).max())
        lines = table[["panel", "line"]].drop_duplicates()
        found.append(row(
            test, f"{len(lines)} predicted lines less coefficients times values", "mean, ±1 SD",
            "0", f"{apart:.0e}", "1e-9", apart < 1e-9 and len(lines) == 9,
        ))  # fmt: skip
    return found
