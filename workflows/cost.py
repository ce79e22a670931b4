"""What a participant costs, from the size of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import nibabel as nb

from qsmprep.bids.models import Acquisition
from qsmprep.protocol import Protocol

BASE_MB = 1500
"""Program, libraries and compiled loops of the main process and one worker."""

WORKER_MB = 500
"""The same of each further worker."""

BYTES_PER_VOXEL = 260
"""Peak of the largest step, all echoes together, per voxel of one echo."""

REGISTRATION_MB = 1600
"""Peak of a registration at 1 mm."""

MINUTES_PER_HEAD = 3
"""To align one head of an atlas."""


@dataclass(frozen=True)
class JobCost:
    """
    What a job should ask for.

    Parameters
    ----------
    mem_mb
        Memory of all steps together, MB.
    minutes
        Time.
    """

    mem_mb: int
    minutes: int


def job_cost(
    acquisitions: Sequence[Acquisition], protocol: Protocol, *, heads: int, nprocs: int
) -> JobCost:
    """
    Return what one participant costs.

    Parameters
    ----------
    acquisitions
        Of the participant.
    protocol
        All settings.
    heads
        Members of the atlas.
    nprocs
        Steps that may run at once.
    """
    voxels = [_voxels(acquisition) for acquisition in acquisitions]
    regions = protocol.segmentation.atlas != "none"
    steps = [BYTES_PER_VOXEL * n / 2**20 for n in voxels]
    steps += [REGISTRATION_MB] * (min(max(heads, 1), nprocs) if regions else 0)
    # As many of the largest as may run at once.
    at_once = sum(sorted(steps)[-nprocs:])
    mem_mb = BASE_MB + WORKER_MB * (nprocs - 1) + at_once
    registrations = (2 + heads) * MINUTES_PER_HEAD if regions else 0
    minutes = 10 + sum(20e-6 * n for n in voxels) + registrations * len(voxels)
    return JobCost(100 * math.ceil(mem_mb / 100), math.ceil(2 * minutes))


def _voxels(acquisition: Acquisition) -> int:
    """Return how many voxels an echo has."""
    path = next(iter(acquisition.parts.values()))[0]
    return math.prod(nb.Nifti1Image.from_filename(path).shape[:3])
