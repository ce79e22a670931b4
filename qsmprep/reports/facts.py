"""What is known of one acquisition and of its map, in words: sidecars and headers told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
import math
from pathlib import Path
from typing import NamedTuple

import nibabel as nb

from qsmprep.geometry import Geometry
from qsmprep.reports.pages import MISSING, number, plain
from qsmprep.units import PPB_PER_PPM

SCANNER = {
    "Manufacturer": ("Vendor", ""),
    "ManufacturersModelName": ("Scanner model", ""),
    "SoftwareVersions": ("Software release", ""),
    "ReceiveCoilName": ("Receive coil", ""),
    "MRAcquisitionType": ("Sequence type", ""),
    "SequenceName": ("Sequence", ""),
    "RepetitionTime": ("Repetition time", "s"),
    "FlipAngle": ("Flip angle", "degrees"),
    "PixelBandwidth": ("Bandwidth per pixel", "Hz"),
    "ParallelReductionFactorInPlane": ("Acceleration in plane", ""),
    "PartialFourier": ("Partial Fourier factor", ""),
    "ImagingFrequency": ("Centre frequency", "MHz"),
}
"""Keys of ``Scanner`` in the sidecar of a map, what they are called, and their units."""


class Grid(NamedTuple):
    """
    The grid of a map.

    Parameters
    ----------
    shape
        Voxels along each axis.
    edges
        Of a voxel, mm.
    tilt
        Angle between the main field and the nearest axis of the voxels, degrees.
    """

    shape: tuple[int, ...]
    edges: tuple[float, ...]
    tilt: float


def read_grid(path: Path | None) -> Grid | None:
    """Return the grid of an image, None if its header cannot be read."""
    if path is None:
        return None
    try:
        image = nb.load(path)
    except (OSError, nb.filebasedimages.ImageFileError):
        return None
    shape = tuple(int(n) for n in image.shape[:3])  # type: ignore[attr-defined]
    geometry = Geometry.from_affine(image.affine)  # type: ignore[attr-defined]
    along = min(1.0, max(abs(part) for part in geometry.b0_dir))
    return Grid(shape, geometry.voxel_size, math.degrees(math.acos(along)))


def facts(sidecar: Mapping, grid: Grid | None) -> list[tuple[str, str]]:
    """Return the decisions and measures a reader looks for first, none without a map."""
    if not sidecar:
        return []
    sources = [str(source) for source in _items(sidecar.get("Sources"))]
    t1w = sidecar.get("T1w") or [source for source in sources if "_T1w." in source]
    rows = [
        ("Echo times", echoes(sidecar)),
        ("Field strength", strength(sidecar)),
        ("Voxels", voxels(grid)),
        ("Angle of field and voxels", f"{number(grid.tilt)} degrees" if grid else MISSING),
        ("Phase coding", plain(sidecar.get("PhaseCoding"))),
        ("Sign of the phase", sign(sidecar.get("PhaseSign"))),
        ("Readout", readout(sidecar.get("BipolarReadout"))),
        ("T1w image", plain(t1w or None)),
        ("Reference of χ", reference(sidecar.get("Reference"))),
        ("Background removal", convergence(sidecar.get("BackgroundConvergence"))),
        ("Inversion", convergence(sidecar.get("InversionConvergence"))),
    ]
    rows += [(name, text) for name, text, _ in scanner(sidecar)]
    made_by = sidecar.get("GeneratedBy")
    if isinstance(made_by, Mapping):
        rows.append(("Protocol digest", plain(made_by.get("ProtocolDigest"))))
    return [(name, text) for name, text in rows if text != MISSING]


def scanner(sidecar: Mapping) -> list[tuple[str, str, str]]:
    """Return name, value and BIDS key of what the sidecar tells of the scanner."""
    told = sidecar.get("Scanner")
    told = told if isinstance(told, Mapping) else {}
    return [
        (name, " ".join(filter(None, (plain(told[key]), unit))), key)
        for key, (name, unit) in SCANNER.items()
        if key in told
    ]


def milliseconds(sidecar: Mapping) -> list[float]:
    """Return the echo times in ms, none where they are not told."""
    times = _items(sidecar.get("EchoTimes"))
    return [1e3 * time for time in times if isinstance(time, int | float)]


def _items(found: object) -> Sequence:
    """Return a list of a sidecar, an empty one where something else stands."""
    return found if isinstance(found, list) else []


def echoes(sidecar: Mapping) -> str:
    """Return the echo times in words."""
    times = milliseconds(sidecar)
    return f"{', '.join(number(time, 2) for time in times)} ms" if times else MISSING


def spacing(sidecar: Mapping) -> str:
    """Return echo times as first, spacing and last; all of them if the spacing is uneven."""
    times = milliseconds(sidecar)
    steps = [after - before for before, after in pairwise(times)]
    if not steps or max(steps) - min(steps) > 0.01 * max(steps):
        return echoes(sidecar)
    return f"{times[0]:.3g}:{steps[0]:.3g}:{times[-1]:.3g} ms (first, spacing, last)"


def strength(sidecar: Mapping) -> str:
    """Return the field strength in words."""
    tesla = sidecar.get("MagneticFieldStrength")
    return f"{plain(tesla)} T" if tesla else MISSING


def voxels(grid: Grid | None) -> str:
    """Return size and number of the voxels in words."""
    if grid is None:
        return MISSING
    edges, shape = (" × ".join(f"{n:.4g}" for n in part) for part in (grid.edges, grid.shape))
    return f"{edges} mm, {shape} of them"


def coverage(grid: Grid | None) -> str:
    """Return the field of view in words."""
    if grid is None:
        return MISSING
    return " × ".join(f"{n * d:.0f}" for n, d in zip(grid.shape, grid.edges, strict=True)) + " mm"


def sign(found: object) -> str:
    """Return in words which way the phase turned, and who decided it on which evidence."""
    if not isinstance(found, Mapping):
        return plain(found)
    text = "inverted" if found.get("inverted") else "kept"
    asked = found.get("decided by", "auto")
    text += ", as the data say" if asked == "auto" else f", as the protocol says ({plain(asked)})"
    if found.get("sign", 0) == (1 if found.get("inverted") else -1):
        text += ", against the data"
    evidence = []
    if isinstance(skewness := found.get("skewness"), int | float):
        evidence.append(f"χ in the depth a skewness of {number(skewness, 2)}")
    if isinstance(contrast := found.get("contrast_ppm"), int | float):
        contrast = number(contrast * PPB_PER_PPM)
        evidence.append(f"where R2* is high {contrast} ppb against the rest")
    if evidence:
        text += f"; as it was read, phase gives {', and '.join(evidence)}"
    return text if found.get("agree", True) else f"{text}; the two disagree"


def readout(found: object) -> str:
    """Return in words whether echoes were read out in alternating directions."""
    if not isinstance(found, Mapping):
        return plain(found)
    if not found.get("bipolar"):
        return "monopolar, as phase shows it"
    return (
        f"alternating along {plain(found.get('axis'))}; even echoes were made alike "
        f"({plain(found.get('slope'))} rad per voxel, {plain(found.get('constant'))} rad)"
    )


def reference(found: object) -> str:
    """Return the reference region with its own susceptibility, in words."""
    if not isinstance(found, Mapping):
        return plain(found)
    mean, spread = (found.get(key) for key in ("mean_ppm", "sd_ppm"))
    text = plain(found.get("name"))
    if isinstance(mean, int | float):
        text += f": {number(mean * PPB_PER_PPM)}"
        if isinstance(spread, int | float):
            text += f" ± {number(spread * PPB_PER_PPM)}"
        text += " ppb"
    if found.get("against"):
        text += f", against {plain(found['against'])}"
    if found.get("n_voxels"):
        text += f" ({plain(found['n_voxels'])} voxels)"
    if found.get("found_by"):
        text += f", found by {plain(found['found_by'])}"
    if found.get("instead_of"):
        text += f"; instead of {plain(found['instead_of'])}"
    return text


def convergence(found: object) -> str:
    """Return how an iteration ended, in words."""
    if not isinstance(found, Mapping):
        return plain(found)
    verdict = "converged" if found.get("converged") else "NOT converged"
    return (
        f"{verdict} after {plain(found.get('iterations'))} iterations, "
        f"residual {plain(found.get('residual'))}"
    )


def notes(sidecar: Mapping) -> list[str]:
    """Return what to know besides; a warning if fringes end inside the brain."""
    told = [plain(note) for note in _items(sidecar.get("Notes"))]
    found = sidecar.get("OpenFringes")
    if isinstance(found, Mapping) and found.get("lines"):
        told.append(
            f"Fringes end inside the brain, at {plain(found['lines'])} lines: coils were not "
            f"combined well. Maps are not to be trusted in the {plain(found.get('voxels'))} "
            "voxels beside them"
        )
    return told
