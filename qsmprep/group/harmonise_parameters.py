"""What harmonisation learnt, as a file that can be applied to new participants."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import pandas as pd

import qsmprep
from qsmprep.errors import InputError, RequestError
from qsmprep.files import atomic_write_text
from qsmprep.group.harmonise_options import Options
from qsmprep.group.harmonised import STATISTIC, UNITS, Harmonised, Key, Part, said
from qsmprep.statistics.harmonisation import METHODS, Parameters
from qsmprep.statistics.stored import pack, unpack

_KEPT = ("method", "batch", "covariates", "smooth", "knots", "reference_batch", "mean_only",
         "parametric")  # fmt: skip

_NEW = ("parameters", "maps", "references", "leave_out")


@dataclass(frozen=True)
class Stored:
    """
    Parameters read from a file.

    Parameters
    ----------
    path
        The file.
    options
        Those of the fit, with what to apply them to.
    parts
        Regions and parameters by map, reference and atlas.
    """

    path: Path
    options: Options
    parts: dict[Key, tuple[tuple[str, ...], Parameters]]

    def part(self, key: Key) -> tuple[tuple[str, ...], Parameters]:
        """
        Return regions and parameters of a set of values.

        Raises
        ------
        RequestError
            If the file has none.
        """
        if key not in self.parts:
            raise RequestError(f"{self.path} has no parameters of {said(key)}")
        return self.parts[key]


def write_parameters(path: Path, found: Harmonised, acquisitions: pd.DataFrame) -> Path:
    """
    Write all parameters, exact to the last bit, with whom they were learnt from.

    Parameters
    ----------
    path
        Where.
    found
        What was harmonised.
    acquisitions
        A row each, as in the cohort.
    """
    content = {
        "Description": "What harmonisation learnt; apply with parameters = FILE in [harmonise]",
        "GeneratedBy": {"Name": "qsmprep", "Version": qsmprep.__version__},
        "Method": found.method,
        "Options": {name: getattr(found.options, name) for name in _KEPT},
        "Statistic": STATISTIC,
        "Cohort": _cohort(found, acquisitions),
        "Parts": [_part(part) for part in found.parts.values()],
    }
    return atomic_write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def _part(part: Part) -> dict[str, Any]:
    return {
        **part.key._asdict(),
        "units": UNITS.get(part.key.map, "n/a"),
        "regions": part.regions,
        "parameters": pack(part.parameters),
    }


def _cohort(found: Harmonised, acquisitions: pd.DataFrame) -> dict[str, Any]:
    """Return how many there were in every batch, and their covariates in brief."""
    used = acquisitions[found.batch.notna()]
    covariates = list(found.options.covariates or ())
    return {
        "Acquisitions": len(used),
        "Participants": int(used["participant_id"].nunique()),
        "Batches": {
            str(name): {
                "Acquisitions": len(rows),
                "Participants": int(rows["participant_id"].nunique()),
                **{covariate: in_brief(rows[covariate]) for covariate in covariates},
            }
            for name, rows in used.groupby(found.batch.dropna())
        },
    }


def in_brief(values: pd.Series) -> dict[str, float]:
    """Return mean, standard deviation and range of numbers, or how often every category is."""
    told = values.dropna()
    if told.empty:
        return {}
    if pd.api.types.is_numeric_dtype(told) and not pd.api.types.is_bool_dtype(told):
        spread = float(told.std()) if len(told) > 1 else 0.0
        return {"mean": float(told.mean()), "sd": spread,
                "min": float(told.min()), "max": float(told.max())}  # fmt: skip
    return {str(level): int(count) for level, count in told.astype(str).value_counts().items()}


def read_parameters(options: Options) -> Stored:
    """
    Return the stored parameters that options name.

    Raises
    ------
    InputError
        If the file is none, or of another method.
    """
    path = Path(options.parameters).expanduser()
    remedy = "give a group/desc-*_parameters.json that qsmprep wrote"
    try:
        content = json.loads(path.read_text("utf-8"))
        kept: dict[str, Any] = {name: _as_option(content["Options"][name]) for name in _KEPT}
        kind = METHODS[kept["method"]].kind
        parts: dict[Key, tuple[tuple[str, ...], Parameters]] = {
            Key(one["map"], one["reference"], one["atlas"]): (
                tuple(one["regions"]), unpack(kind, one["parameters"])
            )
            for one in content["Parts"]
        }  # fmt: skip
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, "does not hold parameters of harmonisation", remedy) from error
    if options.method not in ("", kept["method"]):
        raise InputError(path, f"is of {kept['method']}, not {options.method}", "ask for that")
    own: dict[str, Any] = {name: getattr(options, name) for name in _NEW}
    return Stored(path, Options(**kept, **own), parts)


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
