"""Models of a cohort: fitted one after the other, a folder and a page for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import shutil
import sys
import traceback
from typing import TYPE_CHECKING, Any, Protocol
import warnings

import numpy as np
import pandas as pd

from qsmprep.errors import QSMPrepError, RequestError
from qsmprep.group.covariates import read_rows
from qsmprep.group.frames import ALL_REGIONS, frame_of, region_columns, regions_of
from qsmprep.group.model_files import ModelSpec
from qsmprep.group.model_outputs import write_model
from qsmprep.group.model_words import Origin
from qsmprep.reports.model_page import ModelPage
from qsmprep.statistics.kinds import KINDS, VOXELWISE
from qsmprep.statistics.results import Fitted

if TYPE_CHECKING:
    from qsmprep.group.cohort_table import CohortTable


class Harmonised(Protocol):
    """Values that were harmonised, as models take them."""

    @property
    def label(self) -> str:
        """The method, as in names of files."""

    @property
    def method(self) -> str:
        """What was done, in sentences with references."""

    def values(self, map: str, reference: str, atlas: str, statistic: str) -> pd.DataFrame:  # noqa: A002
        """Return a row per acquisition and a column per region."""


@dataclass(frozen=True)
class Outcome:
    """
    What became of a model.

    Parameters
    ----------
    spec
        What was asked for.
    fits
        By region, or one under no name.
    failures
        Why a region, or under no name the model, could not be fitted.
    page
        What its page shows; none where nothing was fitted.
    """

    spec: ModelSpec
    fits: Mapping[str, Fitted]
    failures: Mapping[str, str]
    page: ModelPage | None = None


def run_models(
    specs: Sequence[ModelSpec],
    cohort: CohortTable,
    out_dir: Path,
    harmonised: Harmonised | None = None,
    maps: Mapping[str, Path] | None = None,
    protocols: Sequence[str] = (),
    nprocs: int = 1,
) -> list[Outcome]:
    """
    Fit models and write what they found; one that fails does not stop the others.

    Parameters
    ----------
    specs
        What is asked for.
    cohort
        The tables of the participants.
    out_dir
        Output folder; every model has a folder in its ``group/models``.
    harmonised
        Harmonised values, where there are some.
    maps
        Susceptibility on the template by the names of acquisitions, for voxelwise models.
    protocols
        Digests of the protocols that made the maps.
    nprocs
        Cores that these may use.
    """
    root = out_dir / "group/models"
    if root.exists() and not root.is_dir():
        raise RequestError(f"{root}: is no folder; remove or rename it")
    outcomes = []
    for spec in specs:
        print(f"model {spec.name}: {spec.kind}", flush=True)
        folder = root / spec.name
        fit = _function_of(spec, cohort, folder, maps or {}, nprocs)
        origin = _origin(spec, cohort, protocols, harmonised)
        outcome = _run_model(origin, folder, harmonised, fit)
        for region, reason in outcome.failures.items():
            whom = f"model {spec.name}" + (f", {region}" if region else "")
            print(f"{spec.source}: {whom}: {reason}", file=sys.stderr)
        outcomes.append(outcome)
    return outcomes


def _clear(folder: Path) -> None:
    """Remove what an earlier call found, which is no answer to this one."""
    if folder.is_symlink() or folder.is_file():  # the user's, and where it leads as well
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _function_of(
    spec: ModelSpec, cohort: CohortTable, folder: Path, maps: Mapping[str, Path], nprocs: int
) -> Callable[..., Fitted]:
    """Return the function of a kind; that of voxelwise models reads maps and writes others."""
    if spec.kind != VOXELWISE:
        return KINDS[spec.kind][0]
    from qsmprep.group.voxelwise import run_voxelwise

    def fit(frame: pd.DataFrame, **keys: Any) -> Fitted:
        if spec.regions:
            raise RequestError("for has no meaning in a voxelwise model; give it a mask")
        return run_voxelwise(cohort, frame, keys, folder, maps=maps, nprocs=nprocs)

    return fit


def _origin(
    spec: ModelSpec, cohort: CohortTable, protocols: Sequence[str], harmonised: Harmonised | None
) -> Origin:
    """Return what the numbers of a model come from."""
    origin = Origin(spec, cohort, tuple(protocols))
    # Maps are not harmonised.
    if harmonised is None or spec.kind == VOXELWISE or spec.measure.harmonised is False:
        return origin
    return replace(origin, harmonisation=harmonised.label, harmonised=harmonised.method)


def _run_model(
    origin: Origin, folder: Path, harmonised: Harmonised | None, fit: Callable[..., Fitted]
) -> Outcome:
    spec = origin.spec
    _clear(folder)
    try:
        values = harmonised.values if harmonised else None
        frame, notes = frame_of(spec, origin.cohort, values, read_rows)
        fits, failures = fit_regions(spec, frame, fit)
        if not fits:
            return Outcome(spec, {}, failures)
        page = write_model(folder, origin, fits, frame, notes, failures)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # half a folder would pass for an answer
        if isinstance(error, QSMPrepError):
            return Outcome(spec, {}, {"": str(error)})
        raise
    return Outcome(spec, fits, failures, page)


def fit_regions(
    spec: ModelSpec, frame: pd.DataFrame, fit: Callable[..., Fitted]
) -> tuple[dict[str, Fitted], dict[str, str]]:
    """
    Return what was fitted in every region that a model asks for, and why others were not.

    Parameters
    ----------
    spec
        What the model asks for.
    frame
        Its rows; see `qsmprep.group.frames.frame_of`.
    fit
        The function of its kind.

    Raises
    ------
    RequestError
        If there is no such region.
    """
    if not spec.regions:
        try:
            return {"": _fit(spec, frame, fit)}, {}
        except RequestError as error:
            return {}, {"": str(error)}
    names = regions_of(frame) if spec.regions == ALL_REGIONS else spec.regions
    frames = {name: frame.assign(**region_columns(frame, name)) for name in names}
    fits, failures = {}, {}
    for name, rows in frames.items():
        try:
            fits[name] = _fit(spec, rows, fit)
        except RequestError as error:
            failures[name] = str(error)
    return fits, failures


def _fit(spec: ModelSpec, frame: pd.DataFrame, fit: Callable[..., Fitted]) -> Fitted:
    """Fit a model once; warnings of libraries become notes, and their errors sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = fit(frame, **spec.keys)
        except (np.linalg.LinAlgError, ArithmeticError, ValueError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise RequestError(f"could not be fitted ({said}); look at its data") from error
        except (TypeError, LookupError, AttributeError, NameError) as error:
            # Our fault, yet no reason to lose the other models.
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise RequestError(
                f"could not be fitted, by a fault of qsmprep ({type(error).__name__}: {error}; "
                f"{Path(place.filename).name}, line {place.lineno}): please report it"
            ) from error
    notes = dict.fromkeys(
        f"While fitting: {' '.join(str(warning.message).split())}"
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | FutureWarning)
    )
    return replace(fitted, notes=(*fitted.notes, *notes))
