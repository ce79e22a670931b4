"""ST-06: what lesions are measured to be once a field has become susceptibility."""

import numpy as np
import pytest

from benchmarks.literature.lesion_images import HOLDS, MEAN_PPB, RIM_PPB, invert, measure
from qsmprep.errors import RequestError
from qsmprep.simulate.lesion_phantom import lesion_phantom


@pytest.fixture(scope="module")
def phantom():
    return lesion_phantom(seed=1)


def _figures(rows):
    return np.array([(row.difference, row.rim.difference) for row in rows]) * 1000


def test_the_true_map_has_what_was_planted(phantom):
    solid, shell = _figures(measure(phantom, phantom.chi))
    np.testing.assert_allclose(solid, (20, 0), atol=1e-3)
    # A shell of 1.5 mm fills 0.61 of the voxels of a digital ball of 6 mm.
    full = np.mean(phantom.chi[phantom.lesions == 2] > -0.02)
    np.testing.assert_allclose(shell, (30 * full, 30), atol=0.1)


def test_a_solid_and_a_shell_lesion_survive_noise_and_inversion(phantom):
    true = measure(phantom, phantom.chi)
    found = measure(phantom, invert(phantom, **HOLDS))
    # Both tolerances are those that the studies ask for.
    errors = np.abs(_figures(found) - _figures(true))
    assert errors[:, 0].max() <= MEAN_PPB
    assert errors[:, 1].max() <= RIM_PPB
    assert [row.rim.appearance for row in found] == ["solid", "shell"]


def test_a_bregman_iteration_gives_back_what_total_variation_takes(phantom):
    strong = {"regularisation": 0.2, "outside": 0.1, "tolerance": 5e-3}
    taken, restored = (invert(phantom, "wtv", **strong, restorations=n) for n in (0, 1))
    rims = [_figures(measure(phantom, chi))[1, 1] for chi in (taken, restored)]
    # By surface over volume total variation takes most of a thin rim at this strength.
    assert rims[0] < 20
    assert rims[1] == pytest.approx(30, abs=RIM_PPB)
    errors = [np.std((chi - phantom.chi)[phantom.brain]) for chi in (taken, restored)]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("method", ["wtv", "tkd", "tv"])
def test_defaults_tell_a_shell_from_a_solid_lesion(phantom, method):
    found = measure(phantom, invert(phantom, method))
    assert [row.rim.appearance for row in found] == ["solid", "shell"]
    assert found[1].rim.completeness > 0.9


def test_the_field_of_either_lesion_is_no_rim_evidence(phantom):
    with pytest.raises(RequestError, match="not of field"):
        measure(phantom, phantom.noisy, quantity="field")
    # Taken as susceptibility the field of a shell has neither mean nor rim.
    for row in measure(phantom, phantom.field):
        assert abs(1000 * row.difference) < 1
        assert abs(1000 * row.rim.difference) < 1
