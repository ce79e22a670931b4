"""The pictures of the mosaic, as files beside the page."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import zlib

from matplotlib.image import imsave
import nibabel as nb
import numpy as np

from qsmprep.files import replacing
from qsmprep.group.outputs import Identity, Outputs
from qsmprep.reports.thumbnail import chi_thumbnail


def draw_mosaic(
    out_dir: Path, acquisitions: Iterable[Outputs]
) -> tuple[dict[Identity, Path], dict[Identity, str]]:
    """
    Draw the pictures that are missing or older than their map.

    Parameters
    ----------
    out_dir
        Output folder; pictures go to ``group/figures``.
    acquisitions
        Whose maps are drawn.

    Returns
    -------
    pictures
        Paths, by whom they are of; where there is no map, the figure of the participant's page.
    reasons
        Why others have none.
    """
    acquisitions = list(acquisitions)
    # Reading compressed maps is what takes the time, and lets other threads run meanwhile.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        drawn = list(pool.map(lambda one: _draw(out_dir / "group" / "figures", one), acquisitions))
    pairs = list(zip(acquisitions, drawn, strict=True))
    return (
        {one.identity: path for one, path in pairs if isinstance(path, Path)},
        {one.identity: reason for one, reason in pairs if isinstance(reason, str)},
    )


def _draw(folder: Path, acquisition: Outputs) -> Path | str:
    """Return the picture of an acquisition, or why there is none."""
    source = acquisition.files.get("Chimap.nii.gz")
    if source is None:
        return acquisition.files.get("desc-chi_figure.png", "there is no Chimap")
    path = folder / f"{acquisition.stem}_desc-mosaic_figure.png"
    if path.is_file() and path.stat().st_mtime >= source.stat().st_mtime:
        return path
    try:
        image = nb.load(source)
        chi = np.asanyarray(image.dataobj, dtype=np.float32)  # type: ignore[attr-defined]
        affine = image.affine  # type: ignore[attr-defined]
        grey = chi_thumbnail(chi, nb.affines.voxel_sizes(affine), nb.aff2axcodes(affine))
    except (OSError, ValueError, EOFError, zlib.error, nb.filebasedimages.ImageFileError) as error:
        return f"{source.name} cannot be drawn: {error}"
    with replacing(path) as temporary:
        imsave(temporary, grey, cmap="gray", vmin=0, vmax=255, format="png")
    return path
