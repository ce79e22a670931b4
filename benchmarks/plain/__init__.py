"""
Every algorithm as one would write it from its paper: what the speed of ours is compared with.

Double precision, the whole grid, complex transforms of NumPy, one array operation after another.
Differences are rolled, not transformed, which is the quicker of the two usual ways. Each function
takes the `Subject`, how many `Steps` the method took, and `laps`, which stands for `range`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from plain import background, echoes, inversion
from plain.tools import Steps

__all__ = ["PLAIN", "Steps"]

PLAIN: dict[str, dict[str, Callable]] = {
    "unwrapping": {"laplacian": echoes.laplacian_unwrapping},
    "field": {"weighted": echoes.weighted_field, "nonlinear": echoes.nonlinear_field},
    "background": {
        "vsharp": partial(background.sharp, radii=range(12, 0, -1)),
        "joint": partial(background.pdf, inside=0.01),
        "pdf": background.pdf,
        "lbv": background.lbv,
        "sharp": background.sharp,
        "resharp": background.resharp,
        "ismv": background.ismv,
    },
    "inversion": {
        "wtv": inversion.split_field,
        "hdqsm": partial(inversion.split_field, stages=2),
        "fansi": partial(inversion.split_field, newton=3),
        "medi": inversion.medi,
        "medi0": partial(inversion.medi, fluid=True),
        "sfcr": inversion.sfcr,
        "sfcr0": partial(inversion.sfcr, fluid=True),
        "rts": inversion.rts,
        "tv": inversion.tv,
        "ndi": inversion.ndi,
        "tikhonov": partial(inversion.divided, inverse=inversion.regularised),
        "tsvd": partial(inversion.divided, inverse=inversion.truncated),
        "tkd": partial(inversion.divided, inverse=inversion.thresholded),
    },
    "relaxometry": {
        "arlo": echoes.arlo, "log_linear": echoes.log_linear, "nonlinear": echoes.nonlinear_decay,
    },
}  # fmt: skip
"""What there is a plain transcription of, by stage and method."""
