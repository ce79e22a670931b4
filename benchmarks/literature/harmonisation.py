"""ST-15 and ST-16: ComBat, longitudinal ComBat and travelling participants."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.literature.table import row
from qsmprep.simulate.cohorts.sites import SCALES, sites, travellers, upgrade
from qsmprep.statistics import harmonisation, random_intercept, travelling

SEEDS = 50
GOLDEN = Path(__file__).parents[2] / "tests/golden"
COVARIATES = ["age", "sex", "group"]
THEIRS = "neuroCombat 0.2.12, another simulation: "


def both(method, cohort, batch, covariates):
    """Return values before and after, and whose they are."""
    chi = cohort.filter(like="chi_").to_numpy()
    who = harmonisation.Rows(cohort[batch], cohort["participant_id"], cohort[covariates])
    parameters = harmonisation.fit(method, chi, who)
    return (chi, harmonisation.apply(method, parameters, chi, who)), who


def of_sites(seed):
    made = sites(seed)
    cohort, truth = made["cohort"], made["truth"]
    values, who = both("combat", cohort, "site", COVARIATES)
    known = [cohort["age"], cohort["sex"] == "M", cohort["group"] == "patient"]
    design = np.column_stack([np.ones(len(cohort)), *known]).astype(float)
    found = []
    for chi in values:
        variance = harmonisation.site_variance(chi, who)
        beta = np.linalg.lstsq(design, chi, rcond=None)[0]
        left = chi - design @ beta
        sd = [left[cohort["site"] == site].std(axis=0) for site in ("site1", "site2")]
        found.append((
            variance["partial_r2"].mean(), (variance["p"] < 0.05).mean(),
            np.abs(beta[1] - truth["age"]).mean(), beta[3][:3].mean(), (sd[1] / sd[0]).mean(),
        ))  # fmt: skip
    return found


def combat_rows():
    before, after = np.mean([of_sites(seed) for seed in range(SEEDS)], axis=0)
    told = [f"{one:.3f} → {two:.3f}" for one, two in zip(before, after, strict=True)]
    cohort = pd.read_csv(GOLDEN / "combat_data.tsv", sep="\t", keep_default_na=False)
    golden = pd.read_csv(GOLDEN / "combat.tsv", sep="\t").query("kind == 'default'")
    (_, ours), _ = both("combat", cohort, "site", COVARIATES)
    error = np.abs(ours - golden.filter(like="chi_").to_numpy()).max()
    test = "ST-15"
    return [
        row(test, "largest difference from neuroCombat, same file, ppb", "", "0", f"{error:.1e}",
            "1e-6", error < 1e-6),
        row(test, "partial R² of site", f"{THEIRS}.189 → .002", "0 after", told[0], "≤ 0.01",
            after[0] <= 0.01),
        row(test, "regions with p of site < .05", f"{THEIRS}92 % → 0 %", "0 after", told[1], "0",
            after[1] == 0),
        row(test, "error of the age slope, ppb per year", f"{THEIRS}.106 → .064", "falls",
            told[2], "falls", after[2] < before[2]),
        row(test, "patients less controls, ppb", f"{THEIRS}3.63", "4", told[3], "15 %",
            abs(after[3] / 4 - 1) < 0.15),
        row(test, "SD of site 2 over site 1", f"{THEIRS}1.30 → 1.01", f"{SCALES[1]} → 1", told[4],
            "0.04", abs(before[4] - SCALES[1]) < 0.04 and abs(after[4] - 1) < 0.04),
    ]  # fmt: skip


def upgrade_rows():
    slopes, tests = [], []
    for seed in range(SEEDS):
        cohort = upgrade(seed)["cohort"]
        values, who = both("longitudinal-combat", cohort, "scanner", ["age", "years"])
        design = np.column_stack([np.ones(len(cohort)), cohort["years"]])
        people = cohort["participant_id"].to_numpy()
        slopes.append([random_intercept.fit(design, chi, people).coefficients[1].mean()
                       for chi in values])  # fmt: skip
        tests.append([harmonisation.site_variance(chi, who)["p"] for chi in values])
    before, after = np.mean(slopes, axis=0)
    p_before, p_after = np.array(tests).transpose(1, 0, 2)
    test = "ST-16"
    return [
        row(test, "slope over an upgrade, scanner ignored, ppb per year", "", "1",
            f"{before:.3f} → {after:.3f}", "10 %", abs(after - 1) < 0.1),
        row(test, "regions with p of scanner < .05 in a mixed model", "", "0 after",
            f"{np.mean(p_before < 0.05):.0%} → {np.mean(p_after < 0.05):.0%}", "0",
            not (p_after < 0.05).any()),
    ]  # fmt: skip


def travelling_rows():
    errors, claimed, left = [], [], []
    for seed in range(4 * SEEDS):
        made = travellers(seed)
        cohort, truth = made["cohort"], made["truth"].to_numpy().T
        chi = cohort.filter(like="chi_").to_numpy()
        found = travelling.fit(chi, cohort["scanner"], None, cohort["participant_id"])
        errors.append(found.offsets - (truth - truth.mean(axis=0)))
        claimed.append(found.std_errors)
        after = travelling.apply(found, chi, cohort["scanner"])
        home = cohort["scanner"].to_numpy()[24:]
        left.append(after[24:][home == "C"].mean() - after[24:][home == "A"].mean())
    within = np.mean(np.abs(errors) < 1.5)
    ratio = np.std(errors) / np.mean(claimed)
    test = "ST-16"
    return [
        row(test, "offsets of 3 scanners from 8 people within 1.5 ppb",
            "differences between sites about 5 ppb (AJNR 36:467, 2015)", "all", f"{within:.1%}",
            "≥ 99 %", within >= 0.99),
        row(test, "SD of their errors over the standard error told", "", "1", f"{ratio:.3f}",
            "0.05", abs(ratio - 1) < 0.05),
        row(test, "others, 10 years older at scanner C, C less A, ppb", "", "5",
            f"{np.mean(left):.2f}", "0.5", abs(np.mean(left) - 5) < 0.5),
    ]  # fmt: skip


def rows() -> list[dict]:
    return [*combat_rows(), *upgrade_rows(), *travelling_rows()]
