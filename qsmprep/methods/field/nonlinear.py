"""One field and one offset from many complex echoes."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.field.noise import disagreement, image_noise, image_noise_alone
from qsmprep.methods.field.weighted import weighted_field
from qsmprep.units import phase_to_hz


def nonlinear_field(
    unwrapped, magnitude, mask, te, *, max_iterations: int = 10, tolerance: float = 1e-4
):
    r"""
    Field and offset that fit the complex echoes (Liu et al., 2013, doi:10.1002/mrm.24272).

    .. math:: \min_{f, \varphi_0} \sum_e m_e^2
              \left| e^{i \varphi_e} - e^{i (\varphi_0 + 2 \pi f t_e)} \right|^2

    Noise of complex images is Gaussian where that of phase is not, and whole turns do not count.
    The offset of every voxel is free, for which the field pays in noise: about twice that of
    `weighted` at four echoes. Gauss-Newton steps start from the line through the unwrapped
    phases, or, if that fits twice as well, from the line through phases each within half a turn
    of the line through the two before it. The MEDI toolbox starts from wrapped phase and unwraps
    the field.

    Parameters
    ----------
    unwrapped : (E, X, Y, Z) real array
        Unwrapped phase, rad.
    magnitude : (E, X, Y, Z) real array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where to fit.
    te : sequence of E floats
        Echo times, s.
    max_iterations
        Most Gauss-Newton steps. The MEDI toolbox allows 30, of which the last 20 moved the field
        of a simulated head by a tenth of its noise.
    tolerance
        Change of the field, relative, below which the steps end (MEDI toolbox's default).

    Returns
    -------
    field_hz : (X, Y, Z) real array
        Total field, Hz, zero outside the mask.
    noise_hz : (X, Y, Z) real array
        Its standard deviation, Hz, raised where the echoes disagree by more than noise lets
        them; zero outside the mask.
    """
    if len(te) < 2:  # shows no offset
        return weighted_field(unwrapped, magnitude, mask, te)
    xp = array_namespace(unwrapped, magnitude, mask)
    box = Box(mask, (0, 0, 0)).slices
    cut = [(unwrapped[e, ...][box], magnitude[e, ...][box]) for e in range(len(te))]
    echoes = _Echoes(cut, mask[box], te)
    offset, rate = echoes.line(echoes.phases)
    if len(te) > 2:
        other, faster = echoes.line(_followed(echoes.phases, te))
        better = 2 * echoes.misfit(other, faster) < echoes.misfit(offset, rate)
        offset, rate = xp.where(better, other, offset), xp.where(better, faster, rate)
    for _ in range(max_iterations):
        up, faster = echoes.line([xp.sin(left) for left in echoes.left(offset, rate)])
        offset, rate = offset + up, rate + faster
        if float(xp.sum(faster**2)) <= tolerance**2 * float(xp.sum(rate**2)):
            break

    misfit, seen = echoes.misfit(offset, rate), echoes.seen
    if len(te) > 2:
        sigma = image_noise(misfit, seen, len(te) - 2)
        factor = disagreement(misfit, echoes.total, seen)
    else:  # a line always fits two echoes
        sigma, factor = image_noise_alone(cut[0][1], seen), xp.ones_like(rate)
    noise = xp.where(seen, sigma / xp.sqrt(echoes.spread) * factor, 0.0)
    field_hz, noise_hz = (xp.zeros_like(unwrapped[0, ...]) for _ in range(2))
    field_hz[box], noise_hz[box] = (phase_to_hz(rate, 1.0), phase_to_hz(noise, 1.0))  # of rad/s
    return field_hz, noise_hz


class _Echoes:
    """Phases, and how lines are fitted to them: weights and their moments in time."""

    def __init__(self, echoes, mask, te):
        xp = self.xp = array_namespace(mask)
        self.phases = [phase for phase, _ in echoes]
        self.power = [magnitude**2 for _, magnitude in echoes]
        self.total = sum(self.power)
        one = xp.ones_like(self.total)
        weighted = sum(w * t for w, t in zip(self.power, te, strict=True))
        centre = weighted / xp.where(self.total > 0, self.total, one)
        # Counted from the centre of the weights, offset and rate do not mix.
        self.late = [t - centre for t in te]
        spread = sum(w * t**2 for w, t in zip(self.power, self.late, strict=True))
        self.seen = mask & (spread > 0)
        self.spread = xp.where(self.seen, spread, one)

    def line(self, angles):
        """Return offset and rate of the weighted line through angles, zero where none is seen."""
        zero = self.xp.zeros_like(self.total)
        weighted = [w * a for w, a in zip(self.power, angles, strict=True)]
        slope = sum(t * a for t, a in zip(self.late, weighted, strict=True)) / self.spread
        level = sum(weighted) / self.xp.where(self.seen, self.total, zero + 1)
        return self.xp.where(self.seen, level, zero), self.xp.where(self.seen, slope, zero)

    def left(self, offset, rate):
        """Return what a line leaves of each phase."""
        return [p - offset - t * rate for p, t in zip(self.phases, self.late, strict=True)]

    def misfit(self, offset, rate):
        """Return the weighted squares of the angles that a line leaves."""
        left = self.left(offset, rate)
        return sum(w * wrap(r) ** 2 for w, r in zip(self.power, left, strict=True))


def _followed(phases, te):
    """Return phases with each echo within half a turn of the line through the two before it."""
    phases = list(phases)
    for e in range(2, len(te)):
        ahead = (te[e] - te[e - 1]) / (te[e - 1] - te[e - 2])
        expected = phases[e - 1] + ahead * (phases[e - 1] - phases[e - 2])
        phases[e] = expected + wrap(phases[e] - expected)
    return phases
