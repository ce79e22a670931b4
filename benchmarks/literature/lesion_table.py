"""ST-01: what is said of 32 lesions at enhancement (AJNR 40:987, 2019)."""

from benchmarks.literature import table as told
from qsmprep.simulate.cohorts.lesion_table import lesions
from qsmprep.statistics.describe import describe

SHARES = [
    ("nodular enhancement", "enhancement = nodular", 9, 32, 28),
    ("shell enhancement", "enhancement = shell", 23, 32, 72),
    ("rim", "rim = yes", 16, 32, 50),
    ("rim seen at enhancement", "rim_at_enhancement = yes", 13, 16, 81),
    ("rim lasting", "rim_lasting = yes", 14, 16, 88),
    ("central vein", "central_vein = yes", 10, 32, 31),
]
VALUES = [("all", 10.63, None), ("nodular", 6.87, 5.80), ("shell", 12.10, 8.95)]


def row(quantity, published, recovered, tolerance, passed):
    return told.row("ST-01", quantity, published, published, recovered, tolerance, passed)


def rows() -> list[dict]:
    columns = ["chi", "enhancement", "rim", "rim_at_enhancement", "rim_lasting", "central_vein"]
    estimates = describe(lesions(2019), columns=columns, group="enhancement").estimates
    found = estimates.set_index("term")
    table = [
        row(name, f"{count}/{n} ({percent} %)", found.loc[f"{term}, all", "text"], "as printed",
            found.loc[f"{term}, all", "text"] == f"{count}/{n} ({percent} %)")
        for name, term, count, n, percent in SHARES
    ]  # fmt: skip
    for group, mean, sd in VALUES:
        got = found.loc[f"chi, {group}"]
        close = abs(got["estimate"] - mean) <= 0.005 and (sd is None or abs(got["sd"] - sd) < 5e-3)
        spread = "" if sd is None else f" ± {sd:.2f}"
        shown = f"{got['estimate']:.3f}" + ("" if sd is None else f" ± {got['sd']:.3f}")
        table.append(row(f"susceptibility, {group}, ppb", f"{mean:.2f}{spread}", shown, "0.005",
                         close))  # fmt: skip
    return table
