"""The sheet of lesions as a Nipype interface."""

from __future__ import annotations

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    isdefined,
    traits,
)
import numpy as np
import pandas as pd

from qsmprep.interfaces._nifti import load, load_labels
from qsmprep.interfaces.figures import _Draw
from qsmprep.interfaces.lesion_series import read_lesions
from qsmprep.reports.lesion_sheet import Column, lesion_sheet
from qsmprep.units import PPB_PER_PPM


class _DrawLesionsInputSpec(BaseInterfaceInputSpec):
    labels = File(exists=True, mandatory=True, desc="number of the lesion of each voxel")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    anatomical = InputMultiObject(File(exists=True), desc="FLAIR or T1w images on the same grid")
    anatomical_names = traits.List(traits.Str, usedefault=True, desc="what to call each")
    chi = InputMultiObject(File(exists=True), mandatory=True, desc="susceptibility, ppm")
    sessions = traits.List(traits.Str, usedefault=True, desc="of each, if there are several")
    table = File(exists=True, mandatory=True, desc="table of lesions")


class DrawLesions(_Draw):
    """Draw every lesion on T1w or FLAIR and susceptibility of all sessions, and on magnitude."""

    input_spec = _DrawLesionsInputSpec

    def _draw(self):
        columns = []
        if isdefined(self.inputs.anatomical):
            named = zip(self.inputs.anatomical_names, self.inputs.anatomical, strict=True)
            columns += [Column(name, load(path)[0], is_chi=False) for name, path in named]
        columns.append(Column("magnitude", load(self.inputs.magnitude)[0], is_chi=False))
        names = [f"χ {session}" for session in self.inputs.sessions] or ["χ"]
        columns += [
            Column(name, PPB_PER_PPM * load(path)[0], is_chi=True)
            for name, path in zip(names, self.inputs.chi, strict=True)
        ]
        captions = captions_of(read_lesions(self.inputs.table))
        labels = load_labels(self.inputs.labels)
        yield "lesions", lesion_sheet(labels, columns, captions, *self._grid()), ".png"


def captions_of(table: pd.DataFrame) -> list[tuple[int, str]]:
    """Return the number of each lesion and what to write beside it, the largest first."""
    order = table.groupby("lesion_id")["volume_mm3"].max().sort_values(ascending=False)
    return [
        (int(number), _caption(table[table["lesion_id"] == number], number))
        for number in order.index
    ]


def _caption(rows: pd.DataFrame, number: str) -> str:
    """Return what stands beside a lesion: a line for each session."""
    side = next(iter(rows["hemisphere"].dropna()), "")
    head = f"lesion {number} {side}".strip()
    if len(rows) > 1:  # there is room for a line each
        lines = [
            f"{row['session_id']} {row['state']}, {row['volume_mm3']:.0f} mm³, "
            f"{_signed(row['difference'])} ppb"
            for row in rows.to_dict("records")
        ]
        return "\n".join([f"{head}: χ less NAWM", *lines])
    row = rows.to_dict("records")[0]
    return (
        f"{head}\n{row['volume_mm3']:.0f} mm³, χ less NAWM {_signed(row['difference'])} ppb\n"
        f"rim less core {_signed(row['rim_minus_core'])} ppb "
        f"[{_signed(row['rim_ci_low'])}, {_signed(row['rim_ci_high'])}]"
    )


def _signed(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:+.0f}".replace("-", "−")
