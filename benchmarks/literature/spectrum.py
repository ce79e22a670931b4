"""ST-14: two-year change in the Alzheimer spectrum, and correlations with fluid markers."""

import numpy as np
import statsmodels.formula.api as smf

from benchmarks.literature.table import row
from qsmprep.simulate.cohorts.spectrum import (
    ACTIVE,
    INERT,
    INERT_MARKERS,
    INFLAMMATORY,
    MARKED,
    spectrum,
)
from qsmprep.statistics.anova import term_tests
from qsmprep.statistics.change import change, two_sessions
from qsmprep.statistics.correlation import correlation
from qsmprep.statistics.families import correct
from qsmprep.statistics.means import mean_rows
from qsmprep.statistics.regression import fit

SEEDS = 200
COMPARED = 10
LEVELS = {"group": ["HC", "MCI", "AD"]}
RIGHT = "group + age + sex"


def of_group(table, formula):
    """Return the p-value of the group, and the fit."""
    fitted = fit(table, formula, levels=LEVELS)
    tests = term_tests(fitted, 3)
    return float(tests.loc[tests["term"] == "group", "p_value"].iloc[0]), fitted


def one(seed):
    """Return what is found in one cohort: flags by kind, and changes of AD in active regions."""
    data = spectrum(seed)
    first = data[data["years"] == 0]
    at_baseline, of_change, gains = [], [], []
    for region in ACTIVE + INERT:
        value = f"chi_{region}"
        at_baseline.append(of_group(first, f"{value} ~ {RIGHT}")[0])
        pairs, _, _ = two_sessions(data, value, "years", (), "session_id")
        p, fitted = of_group(pairs, f"absolute_change ~ {RIGHT}")
        of_change.append(p)
        if region in ACTIVE:
            levels, means = mean_rows(fitted, "group", "equal")
            gains.append((means @ fitted.result.params.to_numpy())[levels.index("AD")])
    markers = INFLAMMATORY + INERT_MARKERS
    flags = correlation(first, x=[f"chi_{MARKED}"], y=markers).estimates["flag"].to_numpy()
    return correct(at_baseline, "bh") < 0.05, correct(of_change, "bh") < 0.05, gains, flags


def disagreement():
    """Return the largest difference of change scores and mixed models, group by time, in ppb."""
    worst = 0.0
    for seed in range(COMPARED):
        data = spectrum(seed).assign(late=lambda table: table["years"] / 2)
        for region in ("putamen", "thalamus"):
            score = change(data, value=f"chi_{region}", formula="group", levels=LEVELS["group"],
                           baseline=False).estimates.set_index("term")["estimate"]  # fmt: skip
            mixed = smf.mixedlm(
                f"chi_{region} ~ C(group, Treatment('HC'))*late", data, groups="participant_id"
            ).fit().params  # fmt: skip
            for level in ("MCI", "AD"):
                slope = mixed[f"C(group, Treatment('HC'))[T.{level}]:late"]
                worst = max(worst, abs(score[f"{level} - HC"] - slope))
    return worst


def rows() -> list[dict]:
    found = [one(seed) for seed in range(SEEDS)]
    baseline, changed, gains, flags = (np.array(part) for part in zip(*found, strict=True))
    active, marked = len(ACTIVE), len(INFLAMMATORY)
    truths = f"{SEEDS} cohorts"
    power = [
        ("baseline: active regions found", ".94", baseline[:, :active]),
        ("change: active regions found", ".97", changed[:, :active]),
        ("inflammatory markers found", ".98", flags[:, :marked]),
    ]
    false = [
        ("baseline: inert regions flagged", ".04", baseline[:, active:]),
        ("change: inert regions flagged", ".04", changed[:, active:]),
        ("amyloid and tau flagged", ".05", flags[:, marked:]),
    ]
    table = [row("ST-14", name, f"calibrated {was}", truths, f"{part.mean():.3f}", ">= .90",
                 part.mean() >= 0.9) for name, was, part in power]  # fmt: skip
    table += [row("ST-14", name, f"calibrated {was}", truths, f"{part.mean():.3f}", "<= .06",
                  part.mean() <= 0.06) for name, was, part in false]  # fmt: skip
    gain = gains.mean()
    worst = disagreement()
    return [
        *table,
        row("ST-14", "change of AD in active regions, ppb", "calibrated 4.01", "4.0",
            f"{gain:.3f}", "0.2", abs(gain - 4) <= 0.2),
        row("ST-14", "change score against mixed model, ppb", "", "0", f"{worst:.4f}", "0.3",
            worst <= 0.3),
    ]  # fmt: skip
