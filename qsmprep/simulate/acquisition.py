"""From a head and the settings of a session to its echoes and the truth behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import zlib

import numpy as np
from scipy.spatial.transform import Rotation

from qsmprep.geometry import Geometry
from qsmprep.simulate.anatomy import FIRST_OUTSIDE
from qsmprep.simulate.head import Head
from qsmprep.simulate.signal import (
    VoxelGrid,
    add_noise,
    field_of,
    receive_phase,
    shim,
    steady_state,
)
from qsmprep.units import ppm_to_hz

FLIP_DEG = 15.0
"""Flip angle of the simulated sequence, degrees."""

MARGIN_MM = 15.0
"""What the field of view adds to the brain on every side."""

Triple = tuple[float, float, float]
Motion = tuple[float, float, float, float, float, float]

STILL: Motion = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A head that stays where it is."""


@dataclass(frozen=True)
class SessionSpec:
    """
    What happens to a participant in one session and one acquisition.

    Parameters
    ----------
    label
        Session label; None for datasets without sessions.
    voxel_size
        Edges of a voxel, mm.
    tilt
        Turn of the slab about the scanner's x, y and z, degrees.
    motion
        Turn (degrees) and shift (mm) of the head between the simulation, where the T1w is made
        unless it has a motion of its own, and GRE, about and along x, y, z.
    t1w_motion, flair_motion
        The same for the T1w and the FLAIR image.
    echo_times
        Echo times, s.
    b0
        Field strength, T.
    snr
        Mean brain signal of the first echo over the noise of one channel.
    coding
        How phase is stored, a name in `qsmprep.simulate.codings.CODINGS`.
    skull
        Whether the T1w image shows the whole head.
    changes
        Susceptibility added to regions, ppb by name; ``lesions`` are all lesions together.
    suffix
        BIDS suffix of the acquisition.
    layout
        ``per-echo`` files, or one ``4D`` file for each part.
    acq
        BIDS entity ``acq`` of the acquisition.
    """

    label: str | None = None
    voxel_size: Triple = (1.5, 1.5, 1.5)
    tilt: Triple = (0.0, 0.0, 0.0)
    motion: Motion = STILL
    t1w_motion: Motion = STILL
    flair_motion: Motion = STILL
    echo_times: tuple[float, ...] = (0.005, 0.012, 0.019, 0.026)
    b0: float = 3.0
    snr: float = 60.0
    coding: str = "radians"
    skull: bool = True
    changes: Mapping[str, float] = field(default_factory=dict)
    suffix: str = "MEGRE"
    layout: str = "per-echo"
    acq: str | None = None

    @property
    def repetition_time(self) -> float:
        """Repetition time of the sequence, s."""
        return round(max(self.echo_times) + 0.012, 4)


@dataclass(frozen=True)
class Acquisition:
    """
    Echoes of one session and what is true about them, on the grid of the echoes.

    Parameters
    ----------
    signal : (E, X, Y, Z) complex array
        Echoes with noise; the mean brain magnitude of the first one is 1000.
    chi : (X, Y, Z) real array
        Susceptibility of the brain, ppm, with partial volume.
    total_field : (X, Y, Z) real array
        Field after the shim, as the phase carries it, ppm.
    local_field : (X, Y, Z) real array
        Field of the brain alone, ppm.
    r2star : (X, Y, Z) real array
        Transverse relaxation rate, 1/s.
    labels : (X, Y, Z) int16 array
        Regions, 0 outside the brain.
    affine : (4, 4) array
        From voxels to mm, RAS+.
    t1w_to_gre_world : (4, 4) array
        Rigid transform from mm in the T1w image to mm in the echoes.
    lesions : (X, Y, Z) int16 array, or None
        Number of the lesion of each voxel, 0 for none.
    """

    signal: np.ndarray
    chi: np.ndarray
    total_field: np.ndarray
    local_field: np.ndarray
    r2star: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    t1w_to_gre_world: np.ndarray
    lesions: np.ndarray | None = None


def acquire(head: Head, session: SessionSpec, *, seed: int) -> Acquisition:
    """
    Scan a head.

    Parameters
    ----------
    head : Head
        The head; its affine is that of the T1w image.
    session : SessionSpec
        Settings of the acquisition.
    seed
        Picks the receive phase and, with the label of the session, the noise.

    Returns
    -------
    Acquisition
        Echoes and truth.
    """
    moved = _motion(head, session.motion)
    shape, affine = _field_of_view(head, moved, session)
    grid = VoxelGrid(shape, np.linalg.inv(moved @ head.affine) @ affine)
    # The head's own axes turn with it; the field stays along the scanner's z.
    geometry = Geometry.from_affine(moved @ head.affine)
    total = shim(field_of(head.chi, geometry), head.brain, geometry)
    # Bone and air in a voxel at the border are background, not susceptibility of the brain.
    brain = head.brain.astype("f4")
    chi = brain * head.chi
    r2star = grid.mean(brain * head.r2star)
    local = field_of(chi, geometry)
    weight = steady_state(head.m0, head.t1, tr=session.repetition_time, flip_deg=FLIP_DEG)
    signal = grid.echoes(weight, head.r2star, ppm_to_hz(total, session.b0), session.echo_times)
    signal *= np.exp(1j * receive_phase(shape, affine, seed))
    labels = grid.nearest(head.labels)
    labels[labels >= FIRST_OUTSIDE] = 0
    signal *= 1000 / np.abs(signal[0])[labels > 0].mean()
    return Acquisition(
        signal=add_noise(
            signal, labels > 0, snr=session.snr, seed=noise_seed(seed, session, "GRE")
        ),
        chi=np.where(labels > 0, grid.mean(chi), 0),
        total_field=grid.mean(total),
        local_field=np.where(labels > 0, grid.mean(local), 0),
        r2star=np.where(labels > 0, r2star / np.maximum(grid.mean(brain), 0.1), 0),
        labels=labels,
        affine=affine,
        t1w_to_gre_world=moved @ np.linalg.inv(_motion(head, session.t1w_motion)),
        lesions=None
        if head.lesions is None
        else np.where(labels > 0, grid.nearest(head.lesions), 0),
    )


def moved_head(head: Head, motion: Motion) -> Head:
    """
    Return the head on its own grid after it has moved, for pictures of it.

    Intensities of the T1w image, labels, brain and lesions move; its other maps stay.
    """
    if motion == STILL:
        return head
    back = np.linalg.inv(_motion(head, motion) @ head.affine) @ head.affine
    grid = VoxelGrid(head.labels.shape, back)
    return replace(
        head,
        t1w=grid.mean(head.t1w),
        labels=grid.nearest(head.labels),
        brain=grid.nearest(head.brain),
        lesions=None if head.lesions is None else grid.nearest(head.lesions),
    )


def noise_seed(seed: int, session: SessionSpec, image: str) -> tuple[int, int]:
    """Seed of the noise of one image: sessions differ, and so do T1w and echoes."""
    return seed, zlib.crc32(f"{session.label}/{image}".encode())


def _rotation(degrees) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def _brain_points(head: Head):
    """Where the brain is: (N, 3) in mm of the T1w image, thinned."""
    voxels = np.argwhere(head.brain[::2, ::2, ::2]) * 2
    return voxels @ head.affine[:3, :3].T + head.affine[:3, 3]


def _motion(head: Head, motion) -> np.ndarray:
    """Rigid transform about the middle of the brain, from mm to mm."""
    centre = _brain_points(head).mean(axis=0)
    transform = np.eye(4)
    transform[:3, :3] = _rotation(motion[:3])
    transform[:3, 3] = centre - transform[:3, :3] @ centre + motion[3:]
    return transform


def _field_of_view(head: Head, moved, session: SessionSpec):
    """Shape and affine of a slab, tilted as asked, that holds the brain."""
    axes = _rotation(session.tilt)
    brain = (_brain_points(head) @ moved[:3, :3].T + moved[:3, 3]) @ axes
    low, high = brain.min(axis=0) - MARGIN_MM, brain.max(axis=0) + MARGIN_MM
    edges = np.asarray(session.voxel_size, dtype=float)
    counts = 2 * np.ceil((high - low) / edges / 2).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * edges
    affine[:3, 3] = axes @ ((low + high) / 2 - (counts - 1) / 2 * edges)
    return tuple(int(n) for n in counts), affine
