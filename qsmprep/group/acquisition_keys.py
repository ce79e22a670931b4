"""How acquisitions were made, so that scans of one protocol on one scanner have one key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import zlib

import nibabel as nb

from qsmprep.group.outputs import Outputs

NOMINAL_TESLA = (0.2, 0.35, 0.55, 1.0, 1.5, 3.0, 4.0, 4.7, 5.0, 7.0, 9.4, 10.5, 11.7)
"""Field strengths that scanners are sold with; some tell 2.89 T where 3 T is meant."""

NEAR = 0.05
"""Part of a nominal field strength within which it is meant."""

SAME_TIME = 0.1
"""Echo times of one protocol differ by less, ms: some scanners adapt them to the tilt."""

SAME_EDGE = 0.02
"""Edges of voxels of one protocol differ by less, mm: headers round them differently."""

MAKERS = {
    "siemens": "Siemens", "ge": "GE", "general": "GE", "philips": "Philips", "canon": "Canon",
    "toshiba": "Canon", "bruker": "Bruker", "united": "United Imaging", "uih": "United Imaging",
    "hitachi": "Hitachi", "fujifilm": "Fujifilm",
}  # fmt: skip
"""First words of ``Manufacturer`` in small letters, and the maker; names change with software."""

COLUMNS = {
    "acquisition_key": "manufacturer, model, software, field strength, echo times and voxel size "
    "in one phrase: equal for scans of one protocol on scanners of one kind",
    "manufacturer": "maker of the scanner, by one name whatever the software calls it",
    "model": "ManufacturersModelName of the sidecar",
    "software": "SoftwareVersions of the sidecar",
    "field_strength": "nominal field strength",
    "echo_times": "echo times, rounded to 0.01",
    "voxel_size": "edges of the voxels of the maps",
}
"""What stands in each column."""


@dataclass(frozen=True)
class Acquired:
    """
    How something was acquired; what is not told is empty.

    Parameters
    ----------
    manufacturer, model, software
        Of the scanner.
    field_strength
        T, None if not told.
    echo_times
        ms.
    voxel_size
        mm.
    """

    manufacturer: str = ""
    model: str = ""
    software: str = ""
    field_strength: float | None = None
    echo_times: tuple[float, ...] = ()
    voxel_size: tuple[float, ...] = ()

    def resembles(self, other: Acquired) -> bool:
        """Tell whether two scans may be of one protocol on scanners of one kind."""
        return (
            (self.manufacturer, self.model, self.software, self.field_strength)
            == (other.manufacturer, other.model, other.software, other.field_strength)
            and _near(self.echo_times, other.echo_times, SAME_TIME)
            and _near(self.voxel_size, other.voxel_size, SAME_EDGE)
        )

    @property
    def key(self) -> str:
        """All of it in one phrase; empty where nothing is told."""
        parts = [
            f"{self.manufacturer} {self.model}".strip(),
            self.software,
            f"{self.field_strength:g} T" if self.field_strength else "",
            _phrase(self.echo_times),
            f"{voxel_text(self.voxel_size)} mm" if self.voxel_size else "",
        ]
        return ", ".join(filter(None, parts))


def read_acquired(outputs: Outputs) -> Acquired:
    """Return how an acquisition was made, as the sidecar and the header of its map tell."""
    sidecar = outputs.sidecar()
    scanner = sidecar.get("Scanner")
    scanner = scanner if isinstance(scanner, Mapping) else {}
    tesla = _numbers([sidecar.get("MagneticFieldStrength")])
    times = sidecar.get("EchoTimes")
    return Acquired(
        manufacturer=_maker(_text(scanner.get("Manufacturer"))),
        model=_text(scanner.get("ManufacturersModelName")),
        software=_text(scanner.get("SoftwareVersions")),
        field_strength=_nominal(tesla[0]) if tesla and tesla[0] > 0 else None,
        echo_times=tuple(round(1e3 * time, 4) for time in _numbers(times)),
        voxel_size=_voxel_size(outputs.files.get("Chimap.nii.gz")),
    )


def acquisition_keys(acquired: Sequence[Acquired]) -> list[str]:
    """
    Return a key for each scan; scans that resemble one another have that of the commonest.

    Rounding alone would part scans of one protocol wherever a value lies at the border.
    """
    commonest = Counter(acquired).most_common()
    commonest.sort(key=lambda item: (-item[1], repr(item[0])))  # the same in any order of files
    keys: dict[Acquired, str] = {}
    kinds: list[Acquired] = []
    for one, _ in commonest:
        kind = next((kind for kind in kinds if kind.resembles(one)), one)
        if kind is one:
            kinds.append(one)
        keys[one] = kind.key
    return [keys[one] for one in acquired]


def voxel_text(edges: Sequence[float]) -> str:
    """Return edges of voxels as a phrase."""
    return " × ".join(f"{edge:.2f}".rstrip("0").rstrip(".") for edge in edges)


def times_text(times: Sequence[float]) -> str:
    """Return echo times as a phrase."""
    return " ".join(f"{time:.2f}".rstrip("0").rstrip(".") for time in times)


def _phrase(times: Sequence[float]) -> str:
    if not times:
        return ""
    ends = f"{times[0]:.1f}" + (f"–{times[-1]:.1f}" if len(times) > 1 else "")
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    if any(abs(time - times[0] - i * step) > SAME_TIME for i, time in enumerate(times)):
        ends = "/".join(f"{time:.1f}" for time in times)
    return f"{len(times)} echo{'es' * (len(times) > 1)} {ends} ms"


def _near(one: Sequence[float], other: Sequence[float], distance: float) -> bool:
    # With room for what is lost when decimal fractions are stored.
    return len(one) == len(other) and all(
        abs(a - b) <= distance + 1e-6 for a, b in zip(one, other, strict=True)
    )


def _nominal(tesla: float) -> float:
    nearest = min(NOMINAL_TESLA, key=lambda nominal: abs(nominal - tesla))
    return nearest if abs(nearest - tesla) <= NEAR * nearest else round(tesla, 1)


def _maker(name: str) -> str:
    first = name.replace("-", " ").split(maxsplit=1)[:1]
    return MAKERS.get(first[0].lower(), name) if first else ""


def _text(told: object) -> str:
    """Return what a sidecar says as one line."""
    told = " ".join(map(str, told)) if isinstance(told, list) else told
    return " ".join(str(told).split()) if told is not None else ""


def _numbers(told: object) -> list[float]:
    """Return what a sidecar says if all of it is numbers, else nothing."""
    numbers = told if isinstance(told, list) else []
    known = [n for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)]
    return known if len(known) == len(numbers) and all(map(math.isfinite, known)) else []


def _voxel_size(path: Path | None) -> tuple[float, ...]:
    try:
        zooms = nb.load(path).header.get_zooms()[:3] if path else ()  # type: ignore[attr-defined]
    except (OSError, ValueError, EOFError, zlib.error, nb.filebasedimages.ImageFileError):
        return ()
    return tuple(round(float(edge), 4) for edge in zooms)
