"""Small figures of each kind before they are drawn, as models return them."""

import numpy as np
import pandas as pd

from qsmprep.statistics.results import Drawing

REGIONS = (
    "caudate", "putamen", "globus pallidus", "thalamus", "nucleus accumbens", "substantia nigra",
    "red nucleus", "subthalamic nucleus", "dentate nucleus", "hippocampus", "amygdala",
    "entorhinal cortex", "parahippocampal gyrus", "inferior temporal gyrus",
    "banks of the superior temporal sulcus", "caudal anterior cingulate cortex",
)  # fmt: skip


def names(count):
    return [REGIONS[i] if i < len(REGIONS) else f"region {i} of the cortex" for i in range(count)]


def kaplan_meier(groups=("low", "high"), people=60, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for number, group in enumerate(groups):
        event, lost = rng.exponential(9 - 2.5 * number, people), rng.uniform(2, 12, people)
        time, seen = np.minimum(event, lost).round(1), event < lost
        survival, spread = 1.0, 0.0
        rows.append((group, 0.0, 1.0, 1.0, 1.0, people, False))
        for at in np.unique(time):
            risk, died = int((time >= at).sum()), int((seen & (time == at)).sum())
            survival *= 1 - died / risk
            spread += died / (risk * max(risk - died, 1))
            half = 1.96 * survival * spread**0.5
            rows.append((group, at, survival, max(survival - half, 0), min(survival + half, 1),
                         risk, bool((~seen & (time == at)).any())))  # fmt: skip
    columns = ["group", "time", "survival", "ci_low", "ci_high", "at_risk", "censored"]
    return Drawing(
        "kaplan_meier", pd.DataFrame(rows, columns=columns),
        "Time without symptoms by susceptibility of the entorhinal cortex, split at the median.",
        {"time": "time since baseline (years)", "survival": "without symptoms",
         "group": "χ of the entorhinal cortex", "note": "log-rank χ²(1) = 8.41, p = .004"},
    )  # fmt: skip


def trajectories(panels=("APOE ε4 −", "APOE ε4 +"), people=25, seed=2):
    rng = np.random.default_rng(seed)
    rows = []
    for number, panel in enumerate(panels):
        for place, line in enumerate(("χ −1 SD", "χ mean", "χ +1 SD")):
            x = np.linspace(0, 10, 21)
            y = 0.3 - 0.02 * (place + 1) * (number + 1) * x
            rows += [(panel, line, a, b, b - 0.04 - 0.01 * a, b + 0.04 + 0.01 * a)
                     for a, b in zip(x, y, strict=True)]  # fmt: skip
            a = rng.uniform(0, 10, people)
            b = 0.3 - 0.02 * (place + 1) * (number + 1) * a + rng.normal(0, 0.15, people)
            rows += [(panel, f"{line} (data)", *ab, np.nan, np.nan)
                     for ab in zip(a, b, strict=True)]  # fmt: skip
    columns = ["panel", "line", "x", "y", "ci_low", "ci_high"]
    return Drawing(
        "trajectories", pd.DataFrame(rows, columns=columns), "Predicted memory over ten years.",
        {"x": "time since baseline (years)", "y": "memory composite (z)"},
    )  # fmt: skip


def forest(count=6, groups=("",), log=True, seed=3):
    rng = np.random.default_rng(seed)
    middle = rng.normal(0.15, 0.3, (count, len(groups)))
    half = 1.96 * rng.uniform(0.08, 0.3, middle.shape)
    change = np.exp if log else (lambda x: 10 * x)
    table = pd.DataFrame(
        [(name, change(m), change(m - h), change(m + h), min(np.exp(-3 * abs(m) / h), 1), group)
         for name, ms, hs in zip(names(count), middle, half, strict=True)
         for group, m, h in zip(groups, ms, hs, strict=True)],
        columns=["label", "estimate", "ci_low", "ci_high", "p_value", "group"],
    )  # fmt: skip
    table["p_holm"] = np.minimum(table["p_value"] * len(table), 1)
    labels = {"estimate": "hazard ratio per SD", "scale": "log", "null": "1"}
    return Drawing("forest", table, "Hazard of symptoms per SD of χ in each region.",
                   labels if log else {"estimate": "MS minus controls (ppb)"})  # fmt: skip


def adjusted_means(groups=("controls", "RRMS", "SPMS"), panels=("",), people=30, seed=4):
    rng = np.random.default_rng(seed)
    rows = []
    for panel in panels:
        for number, group in enumerate(groups):
            y = rng.normal(20 + 6 * number, 9, people)
            half = 1.96 * 9 / people**0.5
            rows.append((panel, group, "mean", y.mean(), y.mean() - half, y.mean() + half))
            rows += [(panel, group, "point", value, np.nan, np.nan) for value in y]
    columns = ["panel", "group", "kind", "y", "ci_low", "ci_high"]
    return Drawing("adjusted_means", pd.DataFrame(rows, columns=columns),
                   "Susceptibility of the putamen, adjusted to the mean age.",
                   {"y": "adjusted χ of the putamen (ppb)"})  # fmt: skip


def spaghetti(groups=("controls", "patients"), people=40, seed=5):
    rng = np.random.default_rng(seed)
    rows = []
    for number, group in enumerate(groups):
        for person in range(people):
            start, slope = rng.normal(25, 6), rng.normal(0.4 + 0.8 * number, 0.5)
            x = np.arange(rng.integers(1, 5)) + rng.uniform(0, 0.3)
            rows += [(f"{group}{person}", group, a, start + slope * a + rng.normal(0, 1),
                      np.nan, np.nan) for a in x]  # fmt: skip
        rows += [("", group, a, 25 + (0.4 + 0.8 * number) * a, 24 + (0.2 + 0.8 * number) * a,
                  26 + (0.6 + 0.8 * number) * a) for a in np.linspace(0, 4, 9)]  # fmt: skip
    columns = ["subject", "group", "x", "y", "ci_low", "ci_high"]
    return Drawing("spaghetti", pd.DataFrame(rows, columns=columns), "χ over time.",
                   {"x": "time (years)", "y": "χ of the putamen (ppb)"})  # fmt: skip


def correlation_matrix(count=7, columns=("age", "MoCA", "UPDRS III", "Hoehn and Yahr stage"),
                       seed=6):  # fmt: skip
    rng = np.random.default_rng(seed)
    across = names(count) if columns is None else columns
    rows = []
    for i, one in enumerate(names(count)):
        for j, two in enumerate(across):
            if columns is not None or j < i:
                r = float(np.tanh(rng.normal(0.1, 0.35)))
                rows.append((one, two, r, max(1 - 1.9 * abs(r), 0.0004), abs(r) > 0.45))
    return Drawing("correlation_matrix",
                   pd.DataFrame(rows, columns=["row", "column", "r", "p_value", "flag"]),
                   "Partial correlations, frames: q < .05.", {"r": "partial r"})  # fmt: skip


def scatter(panels=("putamen", "caudate"), groups=("controls", "patients"), people=40, seed=7):
    rng = np.random.default_rng(seed)
    rows = []
    for panel in panels:
        for number, group in enumerate(groups):
            x = rng.uniform(20, 80, people)
            y = -10 + (0.3 + 0.3 * number) * x
            rows += [(panel, group, "point", a, b, np.nan, np.nan)
                     for a, b in zip(x, y + rng.normal(0, 6, people), strict=True)]  # fmt: skip
            rows += [(panel, group, "line", a, b, b - 3, b + 3)
                     for a, b in ((20, -4 + 6 * number), (80, 14 + 18 * number))]  # fmt: skip
    columns = ["panel", "group", "kind", "x", "y", "ci_low", "ci_high"]
    return Drawing("scatter", pd.DataFrame(rows, columns=columns), "χ over age.",
                   {"x": "age (years)", "y": "χ (ppb)"})  # fmt: skip


def diagnostics(people=200, seed=8):
    rng = np.random.default_rng(seed)
    residual = np.sort(rng.normal(0, 3, people))
    quantile = np.sort(np.random.default_rng(seed + 1).normal(0, 1, people))
    table = pd.concat([
        pd.DataFrame({"panel": "residuals against fitted", "x": rng.uniform(20, 40, people),
                      "y": rng.permutation(residual)}),
        pd.DataFrame({"panel": "normal quantiles", "x": quantile, "y": residual}),
    ])  # fmt: skip
    return Drawing("diagnostics", table, "Residuals of the model.",
                   {"x residuals against fitted": "fitted (ppb)", "x normal quantiles": "expected",
                    "y": "residual (ppb)"})  # fmt: skip


def bars(count=6, groups=("as measured", "harmonised")):
    rows = [(name, group, 5.0 + 3 * i % 7 - 4 * j) for i, name in enumerate(names(count))
            for j, group in enumerate(groups)]  # fmt: skip
    return Drawing("bars", pd.DataFrame(rows, columns=["label", "group", "value"]),
                   "Variance between sites.", {"value": "between sites (ppb²)"})  # fmt: skip


EXAMPLES = {
    make.__name__: make
    for make in (kaplan_meier, trajectories, forest, adjusted_means, spaghetti,
                 correlation_matrix, scatter, diagnostics, bars)
}  # fmt: skip
