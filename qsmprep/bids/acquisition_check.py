"""What sidecars and headers say of an acquisition, held against the consensus on QSM."""

from __future__ import annotations

from itertools import pairwise
import math

from qsmprep.bids.headers import read_header
from qsmprep.bids.models import Acquisition
from qsmprep.bids.windows import read_windows
from qsmprep.geometry import Geometry
from qsmprep.methods.verdicts import Judgement, judge_all

PUTAMEN_T2STAR_S = {1.5: 55.5e-3, 3.0: 31.5e-3, 7.0: 16.1e-3}
"""By field strength, T (Peters et al., 2007, doi:10.1016/j.mri.2007.02.014)."""

UNTOLD = "its sidecar does not tell"


def check_acquisition(acquisition: Acquisition) -> Judgement:
    """
    Return what can be judged before a voxel is read, as figures with verdicts.

    After Bilgic et al., 2024 (doi:10.1002/mrm.30006); the windows lie in ``qc_windows.toml``.
    """
    values = {
        **_of_sidecar(acquisition),
        **_of_times(acquisition.echo_times, acquisition.b0),
        **_of_grid(acquisition),
        "parts": " and ".join(acquisition.parts),
    }
    # Only Siemens writes NORM, to magnitudes at least: its absence says nothing.
    missing = {"dimensions": UNTOLD, "prescan_normalised": UNTOLD}
    if len(acquisition.echo_times) < 2:
        alone = "there is one echo"
        missing |= {"echo_spacing_ms": alone, "echo_unevenness_percent": alone}
    return judge_all(values, read_windows("acquisition"), missing)


def describe_check(acquisition: Acquisition) -> list[str]:
    """Return a line for each figure that does not pass, with what to do about it."""
    return [
        f"{figure['verdict']}: {figure['reason']}; {figure['advice']}"
        for figure in check_acquisition(acquisition)["figures"].values()
        if figure["verdict"] in ("look", "fail")
    ]


def _of_sidecar(acquisition: Acquisition) -> dict[str, object]:
    values: dict[str, object] = {}
    if isinstance(kind := acquisition.metadata.get("MRAcquisitionType"), str):
        values["dimensions"] = kind
    words = acquisition.metadata.get("ImageType")
    if isinstance(words, list) and "NORM" in words:
        values["prescan_normalised"] = "yes"
    return values


def _of_times(times: tuple[float, ...], b0: float) -> dict[str, object]:
    values: dict[str, object] = {
        "echo_count": len(times),
        "first_echo_ms": 1e3 * times[0],
        "last_echo_per_t2star": times[-1] * putamen_r2star(b0),
    }
    steps = [after - before for before, after in pairwise(times)]
    if steps:
        mean = sum(steps) / len(steps)
        values["echo_spacing_ms"] = 1e3 * max(steps)
        values["echo_unevenness_percent"] = 100 * max(abs(step - mean) for step in steps) / mean
    return values


def putamen_r2star(b0: float) -> float:
    """Return R2* of the putamen of adults, 1/s, on a straight line between what was measured."""
    known = sorted(PUTAMEN_T2STAR_S)
    low, high = (known[0], known[1]) if b0 <= known[1] else (known[1], known[2])
    one, other = 1 / PUTAMEN_T2STAR_S[low], 1 / PUTAMEN_T2STAR_S[high]
    return max(one + (other - one) * (b0 - low) / (high - low), 1.0)


def _of_grid(acquisition: Acquisition) -> dict[str, object]:
    header, _ = read_header(acquisition.files[0], n_volumes=None)
    if header is None:
        return {}
    geometry = Geometry.from_affine(header.affine)
    edges = geometry.voxel_size
    return {
        "largest_edge_mm": max(edges),
        "anisotropy": max(edges) / min(edges),
        "coverage_mm": min(n * h for n, h in zip(header.shape[:3], edges, strict=True)),
        "obliqueness_deg": obliqueness(geometry),
    }


def obliqueness(geometry: Geometry) -> float:
    """Return the angle between the field and the nearest voxel axis, degrees."""
    along = min(1.0, max(abs(component) for component in geometry.b0_dir))
    return math.degrees(math.acos(along))
