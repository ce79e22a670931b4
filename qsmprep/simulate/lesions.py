"""Lesions of a simulated head: round ones of known susceptibility, or those of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nb
import numpy as np
from scipy import ndimage

from qsmprep.errors import InputError, RequestError
from qsmprep.simulate.anatomy import FIRST_OUTSIDE, INDEX, LABELS, R2STAR_PER_PPB
from qsmprep.simulate.head import Head, template_points
from qsmprep.units import PPB_PER_PPM

CHANGE = "lesions"
"""What `SessionSpec.changes` calls all lesions together."""

# Ours: demyelinated white matter has more water, a longer T1 and a lower R2* (Zhang et al., 2016,
# doi:10.3174/ajnr.A4825, found 6 to 8 1/s less beside enhancing ones); iron adds to R2*.
R2STAR, T1, M0 = 16.0, 1.2, 0.80
"""R2* before iron, 1/s; longitudinal relaxation time, s; proton density."""

T1W_DARKER = 0.75
"""T1w intensity of a lesion, relative to what was there."""

FLAIR = {"white-matter": 520.0, "cortex": 640.0, "ventricle": 90.0, "csf": 90.0}
"""FLAIR intensity of tissues by a part of their name, arbitrary units, without noise."""

FLAIR_GREY, FLAIR_LESION = 610.0, 950.0
"""That of all others in the brain, and of lesions."""

FLAIR_OUTSIDE = {"bone": 60.0, "muscle": 330.0, "fat": 800.0, "fluid": 90.0, "blood": 150.0}
"""That around the brain; air is dark."""

APART_MM = 14.0
"""Between the borders of two lesions that are placed: each has white matter of its own."""


@dataclass(frozen=True)
class Ball:
    """
    A round lesion.

    Parameters
    ----------
    ppb
        What it adds to susceptibility; of a shell, what its rim adds.
    radius
        mm.
    rim
        Thickness of the shell, mm; none for a solid lesion.
    hemisphere
        Where a centre is looked for: the deepest white matter of this side that is free.
    centre
        Middle, mm in the T1w image, or none to have it looked for.
    sessions
        Labels of the sessions that show it; none for all.
    """

    ppb: float = 20.0
    radius: float = 6.0
    rim: float | None = None
    hemisphere: str = "L"
    centre: tuple[float, float, float] | None = None
    sessions: tuple[str | None, ...] | None = None


@dataclass(frozen=True)
class LesionMask:
    """
    Lesions of a person, placed where the template's tissue went.

    Connected parts are numbered from the largest on. Those that hold a core, 2.5 mm below the
    surface, are shells in turn with solid ones, the largest first; small ones are solid.

    Parameters
    ----------
    path
        Mask in MNI space.
    ppb
        What solid lesions add.
    rim_ppb
        What the rims of shells add.
    rim
        Their thickness, mm.
    """

    path: Path
    ppb: float = 20.0
    rim_ppb: float = 30.0
    rim: float = 1.5


Lesions = tuple[Ball, ...] | LesionMask

SOLID_AND_SHELL = (Ball(20.0), Ball(30.0, rim=1.5, hemisphere="R"))
"""The two lesions that quantitative susceptibility mapping is to tell apart."""


@dataclass(frozen=True)
class Planted:
    """
    One lesion of a head.

    Parameters
    ----------
    number
        Its label.
    kind
        ``solid`` or ``shell``.
    ppb
        What it adds to susceptibility, or its rim if it is a shell, change included.
    change_ppb
        What all its voxels add besides, because of a change.
    centre
        Mean position, mm in the T1w image.
    volume_mm3
        On the grid of the head.
    """

    number: int
    kind: str
    ppb: float
    change_ppb: float
    centre: tuple[float, float, float]
    volume_mm3: float


def plant(
    head: Head,
    lesions: Lesions,
    *,
    seed: int | None,
    session: str | None = None,
    change: float = 0,
) -> tuple[Head, tuple[Planted, ...]]:
    """
    Return a head with lesions, and what was planted.

    Parameters
    ----------
    head : Head
        The head without them.
    lesions
        What to plant; the same in all sessions.
    seed
        Of the head: masks follow its deformation.
    session
        Label of the session, for lesions that not all have.
    change
        What is added to all voxels of all lesions in this session, ppb.

    Returns
    -------
    head : Head
        With `lesions`, the number of each voxel's lesion. Labels stay those of the tissue that the
        lesion lies in.
    planted : tuple of Planted
        By number; what this session does not show is not in it.
    """
    labels, added, kinds = (
        _from_mask(head, lesions, seed)
        if isinstance(lesions, LesionMask)
        else _balls(head, lesions, session)
    )
    inside = labels > 0
    chi, r2star, t1, m0, t1w = (
        volume.copy() for volume in (head.chi, head.r2star, head.t1, head.m0, head.t1w)
    )
    extra = added[inside] + np.float32(change)
    chi[inside] += extra / np.float32(PPB_PER_PPM)
    r2star[inside] = np.maximum(R2STAR + R2STAR_PER_PPB * extra, 0)
    t1[inside], m0[inside] = T1, M0
    t1w[inside] *= T1W_DARKER
    planted = tuple(
        _described(number, kind, labels, added, change, head) for number, kind in kinds.items()
    )
    changed = replace(head, chi=chi, r2star=r2star, t1=t1, m0=m0, t1w=t1w, lesions=labels)
    return changed, planted


def check_lesions(lesions: Lesions) -> None:
    """Raise an error that names the mask of lesions if it cannot be planted."""
    if isinstance(lesions, LesionMask):
        _read(lesions)


def flair(head: Head):
    """Return the fluid-attenuated image of a head without noise: lesions are bright."""
    shades = np.zeros(max(LABELS) + 1, dtype="f4")
    for index, (tissue, _) in LABELS.items():
        if index >= FIRST_OUTSIDE:
            shades[index] = FLAIR_OUTSIDE.get(tissue.name, 0.0)
        else:
            known = (shade for part, shade in FLAIR.items() if part in tissue.name)
            shades[index] = next(known, FLAIR_GREY)
    image = shades[head.labels]
    if head.lesions is not None:
        image[head.lesions > 0] = FLAIR_LESION
    return image


def _balls(head: Head, balls: Sequence[Ball], session: str | None):
    """Return number and added susceptibility of each voxel, and the kinds by number."""
    labels = np.zeros(head.labels.shape, dtype="i2")
    added = np.zeros(labels.shape, dtype="f4")
    kinds: dict[int, str] = {}
    taken: list[tuple[np.ndarray, float]] = []
    for number, ball in enumerate(balls, start=1):
        centre = np.asarray(ball.centre or _place(head, ball, taken))
        taken.append((centre, ball.radius))
        if ball.sessions is not None and session not in ball.sessions:
            continue
        apart = _distance(head, centre)
        inside = (apart <= ball.radius) & head.brain & (labels == 0)
        if not inside.any():
            raise RequestError(f"lesion {number} at {centre.tolist()} mm lies outside the brain")
        labels[inside] = number
        filled = inside if ball.rim is None else inside & (apart > ball.radius - ball.rim)
        added[filled] = ball.ppb
        kinds[number] = "solid" if ball.rim is None else "shell"
    return labels, added, kinds


def _distance(head: Head, centre):
    """Return the distance of every voxel from a point, mm."""
    axes = [
        np.arange(n) * head.affine[i, i] + head.affine[i, 3] - centre[i]
        for i, n in enumerate(head.labels.shape)
    ]
    x, y, z = np.ix_(*axes)
    return np.sqrt(x * x + y * y + z * z)


def _place(head: Head, ball: Ball, taken):
    """Return the deepest place in white matter that keeps away from other lesions."""
    white = head.labels == INDEX["cerebral-white-matter", ball.hemisphere]
    sampling = np.diag(head.affine)[:3]
    depth = ndimage.distance_transform_edt(white, sampling=sampling)
    for centre, radius in taken:
        depth[_distance(head, centre) < radius + ball.radius + APART_MM] = 0
    if depth.max() < ball.radius:
        raise RequestError(
            f"no white matter is left for a lesion of {ball.radius:g} mm; plant fewer or smaller"
        )
    voxel = np.unravel_index(np.argmax(depth), depth.shape)
    return head.affine[:3, :3] @ voxel + head.affine[:3, 3]


def _read(mask: LesionMask):
    """Return voxels and affine of a mask."""
    try:
        image = nb.Nifti1Image.from_filename(mask.path)
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, nb.filebasedimages.ImageFileError) as error:
        raise InputError(mask.path, f"cannot be read ({error})", "give a NIfTI mask") from error
    if values.ndim != 3 or not (values > 0).any():
        raise InputError(mask.path, "holds no lesion mask", "give a mask in MNI space")
    return values, image.affine


def _from_mask(head: Head, mask: LesionMask, seed: int | None):
    """Return number and added susceptibility of each voxel, and the kinds by number."""
    values, affine = _read(mask)
    points = template_points(head, seed)
    to_voxel = np.linalg.inv(affine)
    at = points @ to_voxel[:3, :3].T.astype("f4") + to_voxel[:3, 3].astype("f4")
    inside = ndimage.map_coordinates((values > 0).astype("u1"), at.T, order=0, cval=0)
    inside = inside.reshape(head.labels.shape).astype(bool) & head.brain
    parts, count = ndimage.label(inside, np.ones((3, 3, 3)))
    if not count:
        raise InputError(mask.path, "has no lesion in the brain", "give a mask in MNI space")
    order = np.argsort(-np.bincount(parts.ravel())[1:], kind="stable")
    number = np.zeros(count + 1, dtype="i2")
    number[1 + order] = np.arange(1, count + 1)
    labels = number[parts]
    edge = np.diag(head.affine)[:3]
    depth = ndimage.distance_transform_edt(inside, sampling=edge) - edge.max() / 2
    deepest = ndimage.maximum(depth, labels, np.arange(1, count + 1))
    cores = [n for n in range(1, count + 1) if deepest[n - 1] > mask.rim + 1]
    kinds = {n: "shell" if n in cores[::2] else "solid" for n in range(1, count + 1)}
    shell = np.isin(labels, cores[::2])
    added = np.where(shell, np.where(depth <= mask.rim, mask.rim_ppb, 0), mask.ppb)
    return labels, np.where(labels > 0, added, 0).astype("f4"), kinds


def _described(number: int, kind: str, labels, added, change: float, head: Head) -> Planted:
    voxels = np.argwhere(labels == number)
    centre = head.affine[:3, :3] @ voxels.mean(axis=0) + head.affine[:3, 3]
    return Planted(
        number,
        kind,
        float(added[tuple(voxels.T)].max()) + change,
        change,
        tuple(centre.tolist()),
        len(voxels) * float(np.diag(head.affine)[:3].prod()),
    )
