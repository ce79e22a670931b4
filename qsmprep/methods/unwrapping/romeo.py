"""Unwrapping along the paths one can trust most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from scipy import ndimage

from qsmprep.methods.box import Box
from qsmprep.methods.unwrapping.edges import edge_ranks, mean_weights, used_terms
from qsmprep.methods.unwrapping.growing import DONE, grow

TURN = np.float32(2 * math.pi)
TINY = np.finfo(np.float32).tiny


def romeo(
    phase,
    magnitude,
    mask,
    te,
    *,
    weights: str = "romeo",
    template: int = 1,
    individual: bool = False,
    uncertain: float = 0.0,
):
    """
    Unwrapped phase by ROMEO (Dymerska et al., 2021, doi:10.1002/mrm.28563).

    One echo, the template, is unwrapped in space along a tree of edges, the best first; the
    others follow in time. This differs from there: 1. an echo is predicted by the field of all
    echoes before it, weighted as the field map will be, not by the last one alone; 2. every part
    of the mask has a seed of its own, and its whole turns follow the shortest echo, whose median
    lies within half a turn of zero; 3. echoes unwrapped individually are shifted, part by part,
    to the same prediction.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped phase without receive offset, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        What to unwrap.
    te : sequence of E floats
        Echo times, s.
    weights
        What makes a good edge: ``romeo2`` coherence of phase and of magnitude, ``romeo3`` also
        of the phase gradient over echo time, ``romeo`` also linearity of the phase, ``romeo6``
        also magnitudes neither low nor brighter than tissue.
    template
        Number of the echo that is unwrapped in space, from 1 (ROMEO's default).
    individual
        Whether all other echoes are unwrapped in space, too.
    uncertain
        Quality, relative, up to which voxels are unwrapped in space after all; 0 trusts time
        everywhere (both as in ROMEO, which takes 0.5 where it does not).

    Returns
    -------
    unwrapped : (E, X, Y, Z) float32 array
        rad, zero outside the mask.

    Raises
    ------
    ValueError
        If the mask is empty, or there is no such echo or no such set of weights.
    """
    terms = used_terms(weights)
    if not 1 <= template <= len(te):
        raise ValueError(f"template {template} of {len(te)} echoes: choose one that exists")
    unwrapped = np.zeros(phase.shape, np.float32)
    box = Box(mask, (0, 0, 0)).slices
    echoes = _Echoes(phase[:, *box], magnitude[:, *box], mask[box], te, terms)
    chosen = template - 1
    result = echoes.unwrap(chosen)
    parts = _parts(echoes.mask)
    _settle(result, parts, echoes.phase[0], te[0] / te[chosen])
    slope, information = np.zeros((2, *echoes.mask.shape), np.float32)
    for echo in (chosen, *range(chosen - 1, -1, -1), *range(chosen + 1, len(te))):
        if echo != chosen:
            expected = slope * np.float32(te[echo]) / np.maximum(information, TINY)
            if individual:
                result = echoes.unwrap(echo)
                _align(result, parts, expected)
            else:
                result = echoes.follow(echo, expected)
                if uncertain > 0:
                    result = echoes.mend(echo, result, expected, uncertain)
        power = echoes.magnitude[echo] ** 2
        slope += power * np.float32(te[echo]) * result
        information += power * np.float32(te[echo] ** 2)
        unwrapped[echo][box] = result
    return unwrapped


def unwrap_single(phase, magnitude, mask):
    """
    Unwrap one volume in space.

    Parameters
    ----------
    phase : (X, Y, Z) float32 array
        Wrapped, rad. NumPy only.
    magnitude : (X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        What to unwrap.

    Returns
    -------
    unwrapped : (X, Y, Z) float32 array
        rad, zero outside the mask; the median of each part of the mask lies within half a turn of
        zero.
    """
    return romeo(phase[None], magnitude[None], mask, (1.0,))[0]


def voxel_quality(phase, magnitude, te):
    """
    Mean weight of the edges of every voxel: near 1 in tissue, near 0.3 in noise.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    te : sequence of E floats
        Echo times, s.

    Returns
    -------
    quality : (X, Y, Z) float32 array
        Between 0 and 1.
    """
    everywhere = np.ones(phase.shape[1:], dtype=bool)
    echoes = _Echoes(phase, magnitude, everywhere, te, used_terms("romeo"))
    return mean_weights(echoes.rank(0))


@dataclass(frozen=True)
class _Echoes:
    """All echoes in the bounding box of the mask, and how to weight their edges."""

    phase: np.ndarray
    magnitude: np.ndarray
    mask: np.ndarray
    te: Sequence[float]
    terms: tuple[bool, ...]

    def rank(self, echo: int):
        """Rank the edges of an echo; its gradient is compared with that of the echo before."""
        second, ratio = None, 1.0
        if len(self.te) > 1:
            other = echo - 1 if echo else 1
            second, ratio = self.phase[other], self.te[echo] / self.te[other]
        return edge_ranks(
            self.phase[echo], self.magnitude[echo], self.mask, second, ratio, self.terms
        )

    def unwrap(self, echo: int, start=None, done=None):
        """Unwrap an echo in space, from where `start` is done already, if that is given."""
        start = self.phase[echo] if start is None else start
        nodes = self.rank(echo)
        if done is not None:
            nodes[..., 3][done & self.mask] = DONE
        result = np.ascontiguousarray(np.where(self.mask, start, np.float32(0)))
        grow(result.reshape(-1), nodes)  # a view: what is grown is the result
        return result

    def follow(self, echo: int, expected):
        """Unwrap an echo in time, to within half a turn of what is expected."""
        turns = np.round((self.phase[echo] - expected) / TURN)
        return np.where(self.mask, self.phase[echo] - TURN * turns, np.float32(0))

    def mend(self, echo: int, unwrapped, expected, uncertain: float):
        """Unwrap in space what jumps after unwrapping in time."""
        # Halved, a jump of one turn does not wrap, and shows as the worst of edges.
        ranks = edge_ranks(
            unwrapped / 2, self.magnitude[echo], self.mask, expected / 2, 1.0, self.terms
        )
        return self.unwrap(echo, unwrapped, mean_weights(ranks) > uncertain)


def _parts(mask):
    """Return the connected parts of a mask, each by its bounding box and its voxels therein."""
    labels, _ = ndimage.label(mask)
    boxes = enumerate(ndimage.find_objects(labels), 1)
    return [(box, labels[box] == label) for label, box in boxes]


def _settle(unwrapped, parts, shortest, ratio: float) -> None:
    """Shift each part so that the median of the shortest echo lies within half a turn of zero."""
    for box, part in parts:
        values = unwrapped[box][part]
        values -= TURN * np.round(np.median(values) / TURN)
        if ratio < 1:
            scaled = np.float32(ratio) * values
            rest = np.angle(np.exp(1j * (shortest[box][part] - scaled)).mean())
            rest -= TURN * np.round((np.median(scaled) + rest) / TURN)
            values += TURN * np.round(rest / (TURN * ratio))
        unwrapped[box][part] = values


def _align(unwrapped, parts, expected) -> None:
    """Shift each part by the turns that bring it closest to what is expected."""
    for box, part in parts:
        turns = np.median((unwrapped[box][part] - expected[box][part]) / TURN)
        unwrapped[box][part] -= TURN * np.round(turns)
