"""Other devices than the CPU, as far as a machine without one can tell."""

import array_api_strict
import nibabel as nb
import numpy as np
from phantoms import make_head
import pytest

from qsmprep import cli
from qsmprep.interfaces import _device
from qsmprep.interfaces.background import RemoveBackground
from qsmprep.interfaces.inversion import Invert


@pytest.fixture
def elsewhere(monkeypatch):
    """Take the strict library for a device: NumPy cannot compute with its arrays by accident."""
    sent = []

    def sender(device):
        def send(array):
            sent.append(device)
            return array_api_strict.asarray(np.ascontiguousarray(array))

        return send

    monkeypatch.setattr(_device, "_sender", sender)
    return sent


@pytest.fixture
def files(tmp_path):
    head = make_head((32, 32, 24))
    arrays = {
        "field": head.total,
        "mask": head.mask,
        "noise": np.where(head.mask, 1e-3, 0),
        "magnitude": head.mask,
    }
    for name, array in arrays.items():
        nb.save(nb.Nifti1Image(array.astype("f4"), np.eye(4)), tmp_path / f"{name}.nii")
    return {name: tmp_path / f"{name}.nii" for name in arrays}


@pytest.mark.parametrize(
    ("interface", "method", "output"),
    [(RemoveBackground, "joint", "local"), (Invert, "wtv", "chi")],
)
def test_the_device_changes_where_not_what(tmp_path, elsewhere, files, interface, method, output):
    inputs = {name: files[name] for name in interface.input_spec().copyable_trait_names()
              if name in files}  # fmt: skip

    def run(device):
        (tmp_path / device).mkdir()
        done = interface(method=method, device=device, **inputs).run(cwd=tmp_path / device)
        return nb.load(getattr(done.outputs, output)).get_fdata()

    here = run("cpu")
    assert not elsewhere
    # Rounding may end an iteration one step earlier, which the stopping rule takes for equal.
    np.testing.assert_allclose(run("cuda"), here, atol=1e-3)
    assert set(elsewhere) == {"cuda"}


def test_arrays_come_back_from_any_library():
    class OfCupy:
        def get(self):
            return np.ones(2)

    class OfTorch:
        def cpu(self):
            return self

        def numpy(self):
            return np.ones(2)

    for array in (OfCupy(), OfTorch(), array_api_strict.ones(2), np.ones(2)):
        assert type(_device.to_host(array)) is np.ndarray


def test_a_device_that_is_not_there_is_refused_before_anything_runs(
    simulated, tmp_path, capsys, monkeypatch
):
    def nothing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(_device, "import_module", nothing)
    out = tmp_path / "out"
    call = [str(simulated), str(out), "participant", "--atlas", "none", "--device", "cuda"]
    assert cli.main([*call, "-w", str(tmp_path / "work")]) == 2
    sentence = capsys.readouterr().err
    assert "--device cuda: no library finds such a device (cupy: No module named" in sentence
    assert "install CuPy or PyTorch" in sentence
    assert not out.exists()
