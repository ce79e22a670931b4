"""Pages of models that were not run: one over regions, one without."""

import drawings
import numpy as np
import pandas as pd

from qsmprep.reports.model_page import ModelPage
from qsmprep.reports.plots import write_drawing
from qsmprep.statistics.results import ESTIMATES, Fitted

FORMULA = "scale(chi) + age + sex + education"

METHODS = """The hazard of symptoms was modelled by Cox regression (Cox, 1972) with Efron's ties.

Susceptibility was referenced to csf; protocol default, digest abc123; units ppb."""


def estimates(seed, terms=("scale(chi)", "age", "sex[T.M]", "education")):
    rng = np.random.default_rng(seed)
    middle, error = rng.normal(0.2, 0.4, len(terms)), rng.uniform(0.05, 0.2, len(terms))
    table = pd.DataFrame({
        "term": terms, "estimate": middle, "std_error": error, "statistic": middle / error,
        "df": np.nan, "p_value": np.exp(-2 * np.abs(middle / error)),
        "ci_low": middle - 1.96 * error, "ci_high": middle + 1.96 * error,
    })  # fmt: skip
    assert tuple(table.columns) == ESTIMATES
    for name in ("", "_low", "_high"):
        source = f"ci{name}" if name else "estimate"
        table[f"hazard_ratio{name}"] = np.exp(table[source])
    return table


def fitted(seed, note=None, **facts):
    tests = pd.DataFrame({"term": ["scale(chi)", "global"], "chi_squared": [0.4123, 3.21],
                          "df": [1, 4], "p_value": [0.52, 0.00002]})  # fmt: skip
    return Fitted(
        estimates(seed),
        {"n": 180 - seed, "participants": 180 - seed, "converged": True, "events": 41} | facts,
        "The hazard was modelled by Cox regression.",
        tables={"omnibus": tests},
        notes=(note,) if note else (),
    )


def model_page(folder, regions=("entorhinal", "putamen"), **changes):
    """Return a page whose pictures lie in a folder."""
    note = "41 events for 4 terms are 10.2 per term: below 10 Cox models overfit"
    fits = {region: fitted(seed, note) for seed, region in enumerate(regions or ("",))}
    parts = []
    for region, fit in fits.items():
        table = fit.estimates.assign(p_holm=np.nan, p_bh=np.nan)
        if region:
            table.insert(0, "region", region)
            p = fit.estimates["p_value"].iloc[0]
            table.loc[0, ["p_holm", "p_bh"]] = [min(p * len(fits), 1), min(1.5 * p, 1)]
        parts.append(table)
    kinds = {"survival_by_median": drawings.kaplan_meier(), "hazard_ratios": drawings.forest(),
             "residuals": drawings.diagnostics()}  # fmt: skip
    excluded = pd.DataFrame({"reason": ["no education", "no age", "no education"]})
    return ModelPage(**{
        "name": "entorhinal-mci", "kind": "cox",
        "description": "Does susceptibility foretell the time to symptoms?",
        "formula": FORMULA, "text": f'[model.entorhinal-mci]\nkind = "cox"\nformula = "{FORMULA}"',
        "fits": fits, "estimates": pd.concat(parts, ignore_index=True),
        "drawings": {name: write_drawing(drawing, folder / "figures", name)
                     for name, drawing in kinds.items()},
        "methods": METHODS, "notes": ("The sites differ in their voxels.",), "excluded": excluded,
        "facts": {"map": "Chimap", "reference": "csf", "units": "ppb", "protocol": "abc123"},
        "versions": {"qsmprep": "9.8.7", "lifelines": "0.30.0"},
        "files": ("estimates.tsv", "excluded.tsv", "omnibus.tsv", "data.tsv",
                  "model.json"),
    } | changes)  # fmt: skip
