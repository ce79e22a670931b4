"""Which pictures the page of a participant has, and what they show in words."""

from __future__ import annotations

from collections.abc import Mapping
import html
from pathlib import Path
import re
from typing import NamedTuple

from PIL import Image

from qsmprep.reports.pages import data_uri

_DESCRIPTION = re.compile("<dc:description>(.*?)</dc:description>", re.DOTALL)


class Kind(NamedTuple):
    """A kind of figure: its part of the file name, its name, words for it, what to look for."""

    what: str
    name: str
    alt: str
    look_for: str


FIGURES = (
    Kind(
        "mask",
        "Masks on the magnitude",
        "Outlines of the brain mask and of the trusted phase on slices of the magnitude",
        "The outer line should follow the brain; the inner one may leave out only "
        "what has no usable phase.",
    ),
    Kind(
        "phase",
        "Phase",
        "Axial slices of the phase of the first and the last echo",
        "Stripes, where phase turns over, should be closed or end at the border of the brain; "
        "a stripe that ends inside is a fault of the coils' combination.",
    ),
    Kind(
        "field",
        "Total field and its noise",
        "Axial slices of the total field and of its noise",
        "The field should be smooth, without jumps of a whole turn; large only near air. "
        "Noise should be even, and larger only where the signal is lost early.",
    ),
    Kind(
        "localField",
        "Local field",
        "Slices of the local field in three planes, grey scale in ppb",
        "It should show anatomy and no shadow from sinuses and ears.",
    ),
    Kind(
        "chi",
        "Susceptibility map",
        "Slices of the susceptibility map in three planes, grey scale in ppb",
        "Deep grey matter and veins should be bright, white matter dark, without streaks.",
    ),
    Kind(
        "r2star",
        "R2* map",
        "Slices of the map of the relaxation rate R2* in three planes",
        "Deep grey matter should stand out; a bright rim at the sinuses is field, not iron.",
    ),
    Kind(
        "registration",
        "Borders of the T1w image on the magnitude",
        "Tissue borders of the T1w image drawn on slices of the magnitude",
        "The lines should meet the ventricles and the surface of the brain.",
    ),
    Kind(
        "labelsChi",
        "Regions on the susceptibility map",
        "Coloured regions on slices of the susceptibility map",
        "Pallidum and putamen should fill the bright nuclei and not reach beyond.",
    ),
    Kind(
        "labels",
        "Regions on the magnitude",
        "Coloured regions on slices of the magnitude, main regions named in the legend",
        "Each region should lie on its structure, on both sides.",
    ),
    Kind(
        "regions",
        "Regional means",
        "Mean and standard deviation of the susceptibility of the main regions; the same "
        "numbers are in the table below",
        "Both sides should agree; the pallidum is highest in most adults.",
    ),
    Kind(
        "iron",
        "Iron by age, and susceptibility here",
        "Curves of iron over age, and the susceptibility of three nuclei over that iron",
        "On the left, iron in mg per 100 g of wet tissue, measured after death (Hallgren and "
        "Sourander, 1958, doi:10.1111/j.1471-4159.1958.tb12607.x); on the right, susceptibility "
        "at that height, on an axis of its own. Susceptibility should rise with iron, as the "
        "curves do. No factor turns one into the other here: it depends on myelin, on the "
        "reference and on the reconstruction. People differ, and the curve is no norm.",
    ),
)

LESIONS = Kind(
    "lesions",
    "Lesions",
    "Squares around each lesion on FLAIR or T1w, magnitude and susceptibility",
    "The line should follow the lesion. Whether it has a rim is for a reader to say: rim less "
    "core is a research aid, and no diagnosis.",
)
"""Shown where lesions were given; nothing is missing where they were not."""

FRAMES = ("registrationMagnitude", "registrationT1w")
"""Two pictures of the same slices, shown in turns."""


def pictures(by_name: Mapping[str, Path]) -> dict[str, dict]:
    """
    Return the pictures there are, by their part of the file name: `uri` and `alt`.

    Parameters
    ----------
    by_name
        Files of one acquisition, by their names without its stem.
    """
    known = {kind.what: kind.alt for kind in FIGURES}
    found = {}
    for name, path in by_name.items():
        if "_figure." in name:
            what = name.split("_")[0].removeprefix("desc-")
            alt = description(path) or known.get(what, what)
            found[what] = {"uri": data_uri(path), "alt": alt}
    return found


def description(path: Path) -> str:
    """Return what a picture says of itself, empty where it says nothing."""
    if path.suffix == ".svg":
        told = re.search(
            r"<dc:description>(.*?)</dc:description>", path.read_text("utf-8"), re.DOTALL
        )
        return " ".join(html.unescape(told[1]).split()) if told else ""
    try:
        with Image.open(path) as image:
            return str(image.info.get("Description", ""))
    except OSError:
        return ""
