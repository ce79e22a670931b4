import numpy as np
from phantoms import OBLIQUE, make_head

from qsmprep.methods.inversion.ilsqr import ilsqr
from qsmprep.methods.inversion.tkd import tkd


def noisy_head():
    head = make_head()
    noise = 5e-4 * np.random.default_rng(3).standard_normal(head.mask.shape)
    return head, np.where(head.mask, head.local + noise, 0).astype("f4")


def error(chi, head):
    return np.std((chi - head.chi)[head.mask]) / np.std(head.chi[head.mask])


def test_streaks_are_taken_off():
    head, field = noisy_head()
    noise = head.mask.astype("f4")
    least_squares, _ = ilsqr(field, head.mask, OBLIQUE, noise=noise, max_iterations=0)
    chi, done = ilsqr(field, head.mask, OBLIQUE, noise=noise)
    assert done.iterations > 0
    assert error(chi, head) < 0.9 * error(least_squares, head)
    assert error(chi, head) < 0.9 * error(tkd(field, head.mask, OBLIQUE), head)


def test_a_cone_of_nothing_has_no_streaks():
    head, field = noisy_head()
    noise = head.mask.astype("f4")
    least_squares, _ = ilsqr(field, head.mask, OBLIQUE, noise=noise, max_iterations=0)
    chi, _ = ilsqr(field, head.mask, OBLIQUE, noise=noise, cone=0.0)
    np.testing.assert_array_equal(chi, least_squares)
