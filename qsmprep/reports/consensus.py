"""What the consensus on QSM asks a paper to report, filled in for one acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from qsmprep.reports.facts import (
    Grid,
    convergence,
    coverage,
    milliseconds,
    readout,
    reference,
    scanner,
    sign,
    spacing,
    strength,
    voxels,
)
from qsmprep.reports.pages import MISSING, flatten, number, plain
from qsmprep.reports.quality import count, verdict_of

SOURCE = "Bilgic et al., 2024, doi:10.1002/mrm.30006"

STEPS = {
    "phase": "Sign of the phase",
    "offset": "Receive phase",
    "masking": "Masking",
    "trust": "Trust in phase",
    "unwrapping": "Phase unwrapping",
    "field": "Echo combination",
    "relaxometry": "Relaxometry",
    "background": "Background field removal",
    "inversion": "Dipole inversion",
    "two_pass": "Two passes",
    "referencing": "Referencing",
}
"""Stages of the protocol as the consensus calls them."""

_TO_ADD = ("RepetitionTime", "FlipAngle", "ParallelReductionFactorInPlane", "Manufacturer")


class Item(NamedTuple):
    """An item to report; `open` says what the author has to add, empty for nothing."""

    name: str
    asked: str
    told: list[str]
    open: str


def reporting(
    sidecar: Mapping,
    grid: Grid | None,
    quality: Mapping[str, Mapping],
    generator: Mapping[str, str],
) -> list[Item]:
    """
    Return the items of tables 3 to 5 of the consensus (Bilgic et al., 2024).

    Parameters
    ----------
    sidecar
        Of the susceptibility map.
    grid
        Of the susceptibility map.
    quality
        What was judged, by what it is about.
    generator
        Name, version, protocol and digest of what made the outputs.
    """
    return [
        *_acquisition(sidecar, grid),
        Item(
            "Toolbox",
            "mandatory",
            [
                f"{generator['name']} {generator['version']}, protocol {generator['protocol']}, "
                f"digest {generator['digest']}"
            ],
            "",
        ),
        Item("Algorithms", "mandatory", _algorithms(sidecar), ""),
        Item("Further processing", "where done", _processing(grid), ""),
        Item(
            "Referencing",
            "mandatory",
            [
                "Maps are in ppm, tables and this page in ppb",
                f"Reference {reference(sidecar.get('Reference'))}",
            ],
            "Discuss how disease of the reference may have biased the result.",
        ),
        Item(
            "Inclusion and exclusion",
            "mandatory",
            _exclusion(quality),
            "Say which verdicts and which artefacts led to exclusion, and of how many.",
        ),
    ]


def _acquisition(sidecar: Mapping, grid: Grid | None) -> list[Item]:
    told = scanner(sidecar)
    known = {key for _, _, key in told}
    lacking = [name for name in _TO_ADD if name not in known]
    words = {
        "RepetitionTime": "repetition time",
        "FlipAngle": "flip angle",
        "ParallelReductionFactorInPlane": "acceleration",
        "Manufacturer": "vendor and model",
    }
    times = milliseconds(sidecar)
    return [
        Item(
            "Hardware and sequence",
            "essential",
            [strength(sidecar), *(f"{name}: {text}" for name, text, _ in told)],
            f"The sidecars do not tell: {', '.join(words[name] for name in lacking)}."
            if lacking
            else "",
        ),
        Item(
            "Echoes",
            "essential",
            [
                f"{len(times)} echo{'es' if len(times) != 1 else ''}, {spacing(sidecar)}",
                f"Readout {readout(sidecar.get('BipolarReadout'))}",
            ],
            "",
        ),
        Item(
            "Coverage and voxels",
            "essential",
            [f"Field of view {coverage(grid)}", f"Voxels {voxels(grid)}"],
            "",
        ),
    ]


def _algorithms(sidecar: Mapping) -> list[str]:
    made_by = sidecar.get("GeneratedBy")
    stages = made_by.get("Parameters") if isinstance(made_by, Mapping) else None
    if not isinstance(stages, Mapping):
        return []
    ended = {
        "phase": sign(sidecar.get("PhaseSign")),
        "background": convergence(sidecar.get("BackgroundConvergence")),
        "inversion": convergence(sidecar.get("InversionConvergence")),
    }
    lines = []
    for stage, settings in stages.items():
        if not isinstance(settings, Mapping):
            continue
        values = dict(flatten(settings))
        method = values.pop("method", "")
        parts = [plain(method)] if method else []
        parts += [f"{name.replace('_', ' ')} {_value(value)}" for name, value in values.items()]
        text = f"{STEPS.get(stage, stage)}: {', '.join(parts)}"
        if (end := ended.get(stage, MISSING)) != MISSING:
            text += f" – {end}"
        lines.append(text)
    return lines


def _value(value: object) -> str:
    return "none" if value == "" else plain(value)


def _processing(grid: Grid | None) -> list[str]:
    told = [
        "Maps have the grid and the header's position of the echoes; they were not resampled",
        "Copies named space- were interpolated once",
    ]
    if grid and grid.tilt > 0.05:
        told.append(
            f"The slab is tilted by {number(grid.tilt)} degrees: the dipole was turned, not the "
            "data"
        )
    return told


def _exclusion(quality: Mapping[str, Mapping]) -> list[str]:
    told = ["Nobody is excluded by qsmprep"]
    if quality:
        counts = count(quality)
        judged = sum(counts[verdict] for verdict in ("pass", "look", "fail"))
        told.append(
            f"Verdict here {verdict_of(quality)}: of {judged} figures with windows "
            f"{counts['pass']} pass, {counts['look']} ask for a look, {counts['fail']} fail"
        )
    maps = quality.get("maps", {}).get("figures", {})
    part = maps.get("trusted_fraction", {}) if isinstance(maps, Mapping) else {}
    if isinstance(value := part.get("value"), int | float):
        told.append(f"Voxels without trusted phase are left out: {number(100 - 100 * value)} %")
    return told
