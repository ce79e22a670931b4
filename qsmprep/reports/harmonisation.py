"""The page of a harmonisation: what it did, what it rests on and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
import pandas as pd

from qsmprep.reports.pages import data_uri, generator, render, write_page
from qsmprep.reports.pictures import description


class Batch(NamedTuple):
    """A batch: its name, how many acquisitions and participants, its covariates in words."""

    name: str
    acquisitions: int
    participants: int
    covariates: Mapping[str, str]


@dataclass(frozen=True)
class Shown:
    """
    What the page shows.

    Parameters
    ----------
    label
        The method as it stands in names.
    method
        What was done, for a methods section.
    notes
        What a reader must know.
    column
        That names the batches.
    batches
        All of them.
    figures
        Paths by what they show.
    variance
        Rows of the table of the batches.
    names
        Names of the files beside the page.
    """

    label: str
    method: str
    notes: Sequence[str]
    column: str
    batches: Sequence[Batch]
    figures: Mapping[str, Path]
    variance: pd.DataFrame
    names: Sequence[str]


def write_harmonisation_page(output_dir: Path, shown: Shown) -> Path:
    """Write ``OUT/group/harmonisation.html``, and return its path."""
    page = render(
        "harmonisation.html",
        style=Markup(files("qsmprep.data").joinpath("group.css").read_text("utf-8")),
        generator=generator(output_dir),
        shown=shown,
        figures=[
            {"name": name, "uri": data_uri(path), "alt": description(path)}
            for name, path in shown.figures.items()
        ],
        covariates=list(shown.batches[0].covariates) if shown.batches else [],
        rows=shown.variance.to_dict("records"),
    )
    return write_page(page, output_dir / "group" / "harmonisation.html")
