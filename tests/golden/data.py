"""Make the tables that the R scripts beside it and the tests read: python tests/golden/data.py."""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def write(name: str, table: pd.DataFrame) -> None:
    """Write a table whose numbers all readers take alike: six decimals."""
    table.to_csv(HERE / name, sep="\t", index=False, float_format="%.6f")


def decline(rng: np.random.Generator) -> pd.DataFrame:
    """Return 110 participants with 3 to 7 visits, as in the decline of ST-12 and ST-13."""
    n = 110
    age, education = rng.normal(68.5, 8.5, n), rng.normal(17, 2.3, n)
    chi, dvr = rng.normal(size=n), rng.normal(size=n)
    level, slope = rng.normal(0, 0.45, n), rng.normal(0, 0.12, n)
    visits = rng.integers(3, 8, n)
    who = np.repeat(np.arange(n), visits)
    later = [1.1 * np.arange(1, k) + rng.normal(0, 0.05, k - 1) for k in visits]
    time = np.concatenate([np.r_[0, times] for times in later])
    table = pd.DataFrame({"participant_id": [f"sub-{i + 1:03d}" for i in who], "time": time})
    for name, values in {"age": age, "education": education, "chi": chi, "dvr": dvr}.items():
        table[name] = values[who]
    fixed = 0.2 - 0.02 * (table.age - 68.5) + 0.05 * (table.education - 17) - 0.05 * table.chi
    change = -0.03 - 0.02 * table.chi - 0.01 * table.dvr - 0.015 * table.chi * table.dvr
    noise = rng.normal(0, 0.22, len(table))
    table["y"] = fixed + level[who] + (change + slope[who]) * table.time + noise
    return table[["participant_id", "time", "y", "age", "education", "chi", "dvr"]]


def lesions(rng: np.random.Generator) -> pd.DataFrame:
    """Return 155 observations of 32 lesions in 19 patients, as many per age as in ST-02."""
    ages = (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 6)
    seen = {1: (16, 10, 7, 5, 6, 8, 7, 8, 5), 0: (16, 9, 11, 5, 7, 10, 9, 10, 6)}
    patient = np.r_[np.arange(19), rng.integers(0, 19, 13)]
    rim = rng.permutation(np.repeat([0, 1], 16))
    of_patient, of_lesion = rng.normal(0, 4, 19), rng.normal(0, 2.5, 32)
    rows = []
    for group, counts in seen.items():
        for age, count in zip(ages, counts, strict=True):
            for lesion in rng.choice(np.flatnonzero(rim == group), count, replace=False):
                mean = 14 + 9 * age - 2.2 * age**2 + 0.13 * age**3 + group * (1 + 1.5 * age)
                level = of_patient[patient[lesion]] + of_lesion[lesion]
                rows.append((patient[lesion], lesion, group, age, mean + level))
    table = pd.DataFrame(rows, columns=["patient", "lesion", "rim", "age", "chi"])
    table["chi"] += rng.normal(0, 3, len(table))
    table["patient"] = [f"pat-{i + 1:02d}" for i in table.patient]
    table["lesion"] = [f"les-{i + 1:02d}" for i in table.lesion]
    return table.sort_values(["patient", "lesion", "age"])


def ancova(rng: np.random.Generator) -> pd.DataFrame:
    """Return 70 participants in three groups of unequal size, of both sexes."""
    group = np.repeat(["HC", "MCI", "AD"], (33, 22, 15))
    sex = np.where(rng.random(70) < 0.6, "F", "M")
    age = rng.normal(68, 7, 70) + 3 * (group == "AD")
    effect = pd.Series({"HC": 0.0, "MCI": 4.0, "AD": 7.0})[group].to_numpy()
    chi = 40 + effect + 0.3 * (age - 68) + 2 * (sex == "M") + rng.normal(0, 6, 70)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:03d}" for i in range(70)],
            "group": group, "sex": sex, "age": age, "chi": chi,
        }
    )  # fmt: skip


def survival(rng: np.random.Generator) -> pd.DataFrame:
    """Return 158 participants with times in quarters of years, so that many are tied."""
    n = 158
    table = pd.DataFrame({"participant_id": [f"sub-{i + 1:03d}" for i in range(n)]})
    table["age"], table["chi"] = rng.normal(69.5, 8.1, n), rng.normal(size=n)
    table["sex"] = rng.permutation(np.repeat(["F", "M"], (99, 59)))
    table["education"] = rng.normal(17, 2.3, n)
    table["apoe4"] = (rng.random(n) < 0.33).astype(int)
    table["family"] = [f"fam-{i + 1:02d}" for i in rng.integers(0, 70, n)]
    table["site"] = rng.choice(["A", "B", "C"], n, p=[0.5, 0.3, 0.2])
    table["entry"] = np.floor(rng.uniform(0, 1.5, n) * 4) / 4
    hazard = 0.12 * np.exp(np.log(2) * table.chi + np.log(1.06) * (table.age - 69.5))
    event = table.entry + rng.exponential(1 / hazard)
    censored = table.entry + rng.uniform(1, 7.7, n)
    table["time"] = np.ceil(np.minimum(event, censored) * 4) / 4
    table["event"] = (event <= censored).astype(int)
    return table


if __name__ == "__main__":
    write("mixed_data.tsv", decline(np.random.default_rng(20261121)))
    write("growth_data.tsv", lesions(np.random.default_rng(20261122)))
    write("ancova_data.tsv", ancova(np.random.default_rng(20261123)))
    write("survival_data.tsv", survival(np.random.default_rng(20261124)))
