"""ST-10 and ST-11: iron and time to impairment (Radiology 2025), Cox models and median splits."""

from lifelines import KaplanMeierFitter
import numpy as np
import pandas as pd

from benchmarks.literature.table import row
from qsmprep.simulate.cohorts.survival import time_to_impairment, time_to_impairment_pet
from qsmprep.statistics.cox import cox
from qsmprep.statistics.km import km

SEEDS = 100
FOLLOWED = {"time": "time_to_event", "event": "event"}
COVARIATES = "chi + age + sex + education + apoe4"


def many(cohort, truth, formula=COVARIATES, **keys):
    """Return what models of many cohorts estimate of susceptibility."""
    found = []
    for seed in range(SEEDS):
        fitted = cox(cohort(seed), **FOLLOWED, formula=formula, **keys)
        chi = fitted.estimates.iloc[0]
        found.append({
            "estimate": chi["estimate"], "std_error": chi["std_error"],
            "covered": chi["ci_low"] <= np.log(truth) <= chi["ci_high"],
            "found": chi["p_value"] < 0.05, "events": fitted.facts["events"],
        })  # fmt: skip
    return pd.DataFrame(found).dropna()


def small_rows():
    found = []
    published = {158: ("2.00 (1.23-3.23)", 2.0, 22.5), 110: ("3.59 (1.70-7.57)", 3.59, 16.1)}
    for n, cohort in ((158, time_to_impairment), (110, time_to_impairment_pet)):
        printed, truth, events = published[n]
        many_fits = many(cohort, truth)
        ratio = np.exp(many_fits["estimate"].mean())
        error = many_fits["estimate"].std() / np.sqrt(len(many_fits))
        # Bias away from 1 is expected of so few events; it must not be hidden or larger.
        low, high = truth * np.exp(-2 * error), 1.22 * truth * np.exp(3 * error)
        found += [
            row("ST-10", f"n {n}: geometric mean hazard ratio, {SEEDS} cohorts", printed,
                f"{truth}", f"{ratio:.2f}", f"{low:.2f}-{high:.2f}", low < ratio < high),
            row("ST-10", f"n {n}: events", "not published", f"{events}",
                f"{many_fits['events'].mean():.1f}", "1.5",
                abs(many_fits["events"].mean() - events) < 1.5),
            row("ST-10", f"n {n}: coverage of 95 % intervals", "", "0.95",
                f"{many_fits['covered'].mean():.2f}", "0.86-1",
                many_fits["covered"].mean() >= 0.86),
            row("ST-10", f"n {n}: power", "P = .005" if n == 158 else "P < .001",
                "0.88" if n == 158 else "1.0", f"{many_fits['found'].mean():.2f}", "0.10",
                many_fits["found"].mean() > (0.78 if n == 158 else 0.95)),
        ]  # fmt: skip
    milder = np.exp(many(time_to_impairment_pet, 3.59, firth=True)["estimate"].mean())
    nearer = milder < ratio and abs(np.log(milder / 3.59)) < 0.15
    return [*found, row("ST-10", "n 110: the same with firth = true", "", "3.59", f"{milder:.2f}",
                        "15 %, less than without", nearer)]  # fmt: skip


def large_rows():
    found = []
    large = (
        ("n 15 800", time_to_impairment(1, n=15_800, hazard=0.018), 2.0, 0.05),
        ("n 11 000", time_to_impairment_pet(1, n=11_000, hazard=0.010), 3.59, 0.08),
    )
    for name, table, truth, tolerance in large:
        fitted = cox(table, **FOLLOWED, formula="chi + age")
        ratio = fitted.estimates["hazard_ratio"][0]
        p_value = km(table, **FOLLOWED, by="chi").estimates["p_value"][0]
        found += [
            row("ST-10", f"{name}: hazard ratio", f"{truth:.2f}", f"{truth}", f"{ratio:.3f}",
                f"{100 * tolerance:.0f} %", abs(ratio / truth - 1) < tolerance),
            row("ST-11", f"{name}: log-rank P of a median split", "", "",
                f"{p_value:.0e}", "< 1e-6", p_value < 1e-6),
        ]  # fmt: skip
    return found


def split_rows():
    found = []
    for n, cohort, rate in ((158, time_to_impairment, 0.69), (110, time_to_impairment_pet, 0.91)):
        fits = [km(cohort(seed), **FOLLOWED, by="chi") for seed in range(SEEDS)]
        share = np.mean([fitted.estimates["p_value"][0] < 0.05 for fitted in fits])
        found.append(row("ST-11", f"n {n}: median splits with log-rank P < .05", "", f"{rate}",
                         f"{share:.2f}", "0.12", abs(share - rate) < 0.12))  # fmt: skip
    table, worst = time_to_impairment(0), 0.0
    low = table["chi"] <= table["chi"].median()
    curves = km(table, **FOLLOWED, by="chi").tables["curves"]
    for (_, rows), own in zip(curves.groupby("group", sort=False), (low, ~low), strict=True):
        theirs = KaplanMeierFitter().fit(table["time_to_event"][own], table["event"][own])
        difference = rows["survival"].to_numpy() - theirs.survival_function_.iloc[:, 0].to_numpy()
        worst = max(worst, float(np.abs(difference).max()))
    return [*found, row("ST-11", "curves less those of lifelines", "", "0", f"{worst:.0e}",
                        "1e-12", worst < 1e-12)]  # fmt: skip


def rows() -> list[dict]:
    return small_rows() + large_rows() + split_rows()
