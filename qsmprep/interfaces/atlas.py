"""Making an atlas folder of a template and labels that lie elsewhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
import logging
import os
from pathlib import Path
import shutil
from uuid import uuid4

import nibabel as nb
from nibabel.processing import resample_from_to
import numpy as np

import qsmprep
from qsmprep.bids.atlas import COLUMNS, Atlas, AtlasMember
from qsmprep.bids.derivatives import write_json
from qsmprep.bids.lookups import LOOKUPS, harmonise, read_lookup, shipped_lookup
from qsmprep.bids.output import BIDS_VERSION
from qsmprep.errors import RequestError
from qsmprep.files import atomic_write_text, locked, put_on_disk
from qsmprep.interfaces._nifti import load, load_labels, load_mask, save_like

log = logging.getLogger("qsmprep")

WAITING = "waiting for another job, which prepares the atlas %s for all"


def make_atlas_folder(
    folder: str | Path,
    *,
    name: str,
    t1w: str | Path,
    dseg: str | Path,
    lookup: str | Path,
    license: str = "",  # noqa: A002 - what dataset_description.json calls it
    reference: str = "",
) -> Path:
    """
    Write an atlas folder for ``--atlas`` from a T1w and its labels, and return its path.

    Parameters
    ----------
    folder
        New folder.
    name
        What outputs call the atlas, letters and digits.
    t1w, dseg
        Images that share one world, on any grids, in any format that nibabel reads.
    lookup
        What the labels mean: ``cerebra``, ``freesurfer``, ``synthseg``, ``mricloud``, or a table.
        Labels that no voxel has are left out.
    license, reference
        Terms of use, and what to cite.

    Raises
    ------
    RequestError
        If the folder exists, the name is no label of BIDS, or a label has no meaning.
    """
    folder, t1w, dseg = Path(folder), Path(t1w), Path(dseg)
    if folder.exists():
        raise RequestError(f"{folder}: exists already; name a new folder")
    if not name.isalnum():
        raise RequestError(
            f"{name}: a name for an atlas is made of letters and digits only; change it"
        )
    table = shipped_lookup(str(lookup)) if lookup in LOOKUPS else read_lookup(Path(lookup))
    present = set(np.unique(load_labels(dseg)).tolist()) - {0}
    if unknown := sorted(present - {region.index for region in table}):
        raise RequestError(f"{dseg}: {lookup} does not say what {unknown} mean; add them to it")
    atlas = Atlas(
        name=name,
        folder=folder,
        license=license,
        reference=reference,
        members=(AtlasMember(f"tpl-{name}", t1w, dseg),),
        regions=harmonise(region for region in table if region.index in present),
        digest="",
    )
    folder.mkdir(parents=True)
    _write(atlas, folder)
    return folder


def prepare_atlas(atlas: Atlas, folder: Path) -> Atlas:
    """
    Return the atlas with every T1w without skull and all labels on its grid.

    Parameters
    ----------
    atlas
        As `bids.atlas_sources.find_atlas` returns it.
    folder
        Where an atlas folder is written, if anything has to be made; used again if it is there.
    """
    if not any(_to_make(member) for member in atlas.members):
        return atlas
    home = folder / f"atlas-{atlas.name}_{atlas.digest}"
    members = tuple(
        replace(
            m,
            t1w=home / f"{m.label}_T1w.nii.gz",
            dseg=home / f"{m.label}_dseg.nii.gz",
            mask=None,
        )
        for m in atlas.members
    )
    if not home.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        # One job does it for all; without locks several may, so that it is done in one step.
        with locked(folder / f".{home.name}.lock", tell=lambda: log.info(WAITING, atlas.name)):
            if not home.is_dir():
                _write_in_one_step(atlas, home)
    return replace(atlas, folder=home, members=members)


def _write_in_one_step(atlas: Atlas, home: Path) -> None:
    temporary = home.with_name(f".{uuid4().hex}")
    temporary.mkdir()
    try:
        _write(atlas, temporary)
        for path in (*temporary.iterdir(), temporary):
            put_on_disk(path)
        with suppress(OSError):  # another job was faster
            os.rename(temporary, home)
        put_on_disk(home.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _to_make(member: AtlasMember) -> bool:
    """Tell whether a T1w has to lose its skull, or labels to change their grid."""
    t1w, dseg = (nb.Nifti1Image.from_filename(path) for path in (member.t1w, member.dseg))
    return bool(member.mask) or t1w.shape != dseg.shape


def _write(atlas: Atlas, folder: Path) -> None:
    """Write an atlas folder; what is missing in its fields is left out."""
    description = {
        "Name": atlas.name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": atlas.license,
        "ReferencesAndLinks": [atlas.reference] if atlas.reference else [],
        "GeneratedBy": [{"Name": "qsmprep", "Version": qsmprep.__version__}],
    }
    write_json(folder / "dataset_description.json", description)
    lines = ["\t".join(COLUMNS)]
    lines += [f"{region.index}\t{region.name}\t{region.hemisphere}" for region in atlas.regions]
    atomic_write_text(folder / f"atlas-{atlas.name}_dseg.tsv", "\n".join(lines) + "\n")
    for member in atlas.members:
        t1w, image = load(member.t1w)
        if member.mask:
            t1w = np.where(load_mask(member.mask), t1w, 0)
        save_like(t1w, image, folder / f"{member.label}_T1w.nii.gz")
        _, labels = load(member.dseg)
        whole = nb.Nifti1Image(load_labels(member.dseg), labels.affine)
        # Nearest neighbour by world coordinates: no label may be mixed from others.
        moved = resample_from_to(whole, (t1w.shape, image.affine), order=0)
        save_like(np.asarray(moved.dataobj), image, folder / f"{member.label}_dseg.nii.gz")
