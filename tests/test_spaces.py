"""Templates by name and folder, and maps carried to them."""

from pathlib import Path
import tempfile

import nibabel as nb
import numpy as np
import pytest

from qsmprep.bids.outputs import expected_outputs, output_metadata
from qsmprep.bids.template import BUNDLED, MNI, SUFFIXES, read_template
from qsmprep.errors import RequestError
from qsmprep.interfaces.anatomy import Tissues
from qsmprep.interfaces.registration import LPS, CarryMap, SyN, TemplateFiles, seeded_ants
from qsmprep.protocol import Protocol
from qsmprep.request import Request, resolve
from qsmprep.resources import Resources

NAMES = ("csf", "gm", "wm")


def write(array, affine, path):
    nb.Nifti1Image(np.asarray(array, dtype=np.float32), affine).to_filename(path)
    return str(path)


def write_template(folder, resolution="res-01_"):
    """Write the five images of a template, a few voxels each."""
    folder.mkdir(parents=True)
    for number, suffix in enumerate(SUFFIXES.values()):
        array = np.full((4, 5, 6), number, dtype=float)
        write(array, np.eye(4), folder / f"{folder.name}_{resolution}{suffix}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return nilearn's template at 4 mm."""
    folder = tmp_path_factory.mktemp("template")
    return TemplateFiles(resolution=4).run(cwd=str(folder)).outputs


# which template


def test_the_default_template_is_always_there(monkeypatch):
    monkeypatch.delenv("TEMPLATEFLOW_HOME", raising=False)
    assert read_template(Protocol.read().normalisation.template) == MNI
    assert MNI.setting == MNI.name == BUNDLED


@pytest.mark.parametrize("resolution", ["res-01_", "res-1_", ""])
def test_a_template_is_found_by_name_where_templateflow_keeps_it(
    tmp_path, monkeypatch, resolution
):
    folder = write_template(tmp_path / "tpl-Old", resolution)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    found = read_template("Old")
    assert found.name == "Old"
    assert dict(found.files)["gm"] == folder / f"tpl-Old_{resolution}label-GM_probseg.nii.gz"
    assert found == read_template(str(folder))


def test_the_finest_complete_grid_is_taken(tmp_path):
    folder = write_template(tmp_path / "tpl-Old", "res-02_")
    write(np.ones((8, 9, 9)), np.eye(4), folder / "tpl-Old_res-01_T1w.nii.gz")
    assert dict(read_template(str(folder)).files)["t1w"].name == "tpl-Old_res-02_T1w.nii.gz"


@pytest.mark.parametrize("kind", SUFFIXES)
def test_placeholders_count_as_missing(tmp_path, kind):
    folder = write_template(tmp_path / "tpl-Old")
    name = f"tpl-Old_res-01_{SUFFIXES[kind]}.nii.gz"
    (folder / name).write_bytes(b"")
    with pytest.raises(RequestError, match=f"not there, or empty: {name}; .*{BUNDLED}"):
        read_template(str(folder))


def test_mistakes_in_a_template_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    with pytest.raises(RequestError, match=f"there is no folder {tmp_path}/tpl-Nowhere; fetch"):
        read_template("Nowhere")
    plain = write_template(tmp_path / "mine")
    with pytest.raises(RequestError, match="is called tpl-X"):
        read_template(str(plain))
    folder = write_template(tmp_path / "tpl-Bad")
    path = folder / "tpl-Bad_res-01_label-WM_probseg.nii.gz"
    write(np.ones((4, 5, 7)), np.eye(4), path)
    with pytest.raises(RequestError, match=f"{path}: its matrix is 4×5×7.*; resample"):
        read_template(str(folder))
    path.write_bytes(b"no image")
    with pytest.raises(RequestError, match=f"{path}: .*; copy or convert it again"):
        read_template(str(folder))


def request_with(template, tmp_path):
    protocol = Protocol.read(
        "fast", ["segmentation.atlas=none", f"normalisation.template={template}"]
    )
    return Request(tmp_path, tmp_path / "out", protocol, Resources(work_dir=tmp_path))


def test_the_digest_knows_a_template_by_its_content(tmp_path):
    here, there = (write_template(tmp_path / place / "tpl-Old") for place in "ab")

    def digest(folder):
        return resolve(request_with(folder, tmp_path))[0].protocol.digest()

    first = digest(here)
    assert first == digest(there) != digest(BUNDLED)
    write(np.full((4, 5, 6), 9), np.eye(4), there / "tpl-Old_res-01_T1w.nii.gz")
    assert digest(there) != first
    assert resolve(request_with(BUNDLED, tmp_path))[0].template == MNI


def test_outputs_are_named_for_the_template():
    names = {"atlas": "X", "template": "Old", "suffix": "MEGRE"}
    paths = [
        path.name
        for kind in ("acquisition", "anatomy")
        for path in expected_outputs(kind, "sub-1", **names, echoes=2)
    ]
    assert {
        "sub-1_space-Old_Chimap.nii.gz",
        "sub-1_space-Old_R2starmap.nii.gz",
        "sub-1_space-Old_desc-trusted_mask.nii.gz",
        "sub-1_space-Old_label-GM_probseg.nii.gz",
        "sub-1_from-T1w_to-Old_mode-image_xfm.h5",
        "sub-1_from-Old_to-T1w_mode-image_xfm.h5",
    } <= set(paths)
    assert not [path for path in paths if BUNDLED in path]
    single = expected_outputs("acquisition", "sub-1", **names, echoes=1)
    assert "sub-1_space-Old_R2starmap.nii.gz" not in [path.name for path in single]


def test_a_space_that_bids_does_not_know_names_its_image(tmp_path):
    own = read_template(str(write_template(tmp_path / "tpl-Old")))
    stages = Protocol.read().stages

    def reference(template, port):
        return output_metadata(
            "anatomy", port, protocol=stages, digest="0", sources=["bids:raw:t1w"], facts={},
            template=template.reference,
        ).get("SpatialReference")  # fmt: skip

    assert reference(own, "template_gm") == "bids:templates:tpl-Old/tpl-Old_res-01_T1w.nii.gz"
    assert reference(MNI, "template_gm") is None
    assert reference(own, "gm") == "bids:raw:t1w"


def test_the_skull_of_a_template_is_taken_off(tmp_path):
    folder = write_template(tmp_path / "tpl-Old")
    inside = np.zeros((4, 5, 6))
    inside[1:3, 1:4, 1:5] = 1
    write(np.full((4, 5, 6), 7), np.eye(4), folder / "tpl-Old_res-01_T1w.nii.gz")
    write(inside, np.eye(4), folder / "tpl-Old_res-01_desc-brain_mask.nii.gz")
    files = {kind: str(path) for kind, path in read_template(str(folder)).files}
    written = TemplateFiles(files=files).run(cwd=str(tmp_path)).outputs
    np.testing.assert_array_equal(nb.load(written.t1w).get_fdata(), 7 * inside)
    assert (nb.load(written.wm).get_fdata() == list(SUFFIXES).index("wm")).all()


# maps carried there


@pytest.fixture(params=["linear", "bSpline"])
def carried(tmp_path, request):
    """Return a ball of constant value, shifted by a third of a voxel and carried."""
    ants = seeded_ants(0)
    grid = np.indices((24, 24, 24)) - 11.5
    inside = np.sqrt((grid**2).sum(axis=0)) < 9
    shift = ants.create_ants_transform("AffineTransform", translation=(0.33, -0.4, 0.25))
    ants.write_transform(shift, str(tmp_path / "shift.txt"))
    image = write(np.where(inside, 0.05, 0), np.eye(4), tmp_path / "chi.nii.gz")
    mask = write(inside, np.eye(4), tmp_path / "mask.nii.gz")
    found = CarryMap(
        image=image,
        mask=mask,
        reference=image,
        transforms=[str(tmp_path / "shift.txt")],
        interpolation=request.param,
    ).run(cwd=str(tmp_path))
    return inside, *(
        nb.load(path).get_fdata() for path in (found.outputs.resampled, found.outputs.mask)
    )


def test_the_rim_of_a_map_is_not_pulled_towards_zero(carried):
    _, chi, known = carried
    np.testing.assert_allclose(chi[known > 0], 0.05, rtol=1e-5)  # of single precision
    assert (chi[known == 0] == 0).all()


def test_a_map_covers_as_much_as_it_did(carried):
    inside, _, known = carried
    assert set(np.unique(known)) == {0, 1}
    # Half of the voxels of a rim that a smooth surface cuts are more than half inside.
    assert known.sum() == pytest.approx(inside.sum(), rel=0.02)


@pytest.mark.parametrize("interpolation", ["linear", "bSpline"])
def test_saved_transforms_carry_as_the_program_does(template, tmp_path, interpolation):
    # What docs/outputs.md tells users to call, on the files it tells them to use.
    ants = seeded_ants(1)
    image, mask = nb.load(template.t1w), template.mask
    grow = np.diag([1.05, 0.96, 1.03, 1]) @ image.affine
    brain = write(image.get_fdata(), grow, tmp_path / "brain.nii.gz")
    inside = write(nb.load(mask).get_fdata(), grow, tmp_path / "inside.nii.gz")
    nonlinear = SyN(
        fixed=template.t1w, fixed_mask=mask, moving=brain, moving_mask=inside, spacing=8.0, seed=1
    ).run(cwd=str(tmp_path))
    turn = nb.eulerangles.euler2mat(0.05, -0.03, 0.04)
    rigid = ants.create_ants_transform(
        "Euler3DTransform", translation=(3.0, -2.0, 4.0), matrix=turn
    )
    ants.write_transform(rigid, str(tmp_path / "rigid.txt"))
    there = [str(tmp_path / "rigid.txt"), nonlinear.outputs.moving_to_fixed]
    found = CarryMap(
        image=brain, mask=inside, reference=template.t1w, transforms=there,
        interpolation=interpolation,
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    ours, known = (nb.load(path).get_fdata() for path in (found.resampled, found.mask))
    theirs, share = (
        ants.apply_transforms(
            ants.image_read(template.t1w), ants.image_read(path), there[::-1],
            interpolator=interpolation,
        ).numpy()
        for path in (brain, inside)
    )  # fmt: skip
    np.testing.assert_array_equal(known > 0, share >= 0.5)
    whole = np.abs(share - 1) < 1e-3  # elsewhere we divide by the share
    assert whole.sum() > 0.4 * known.sum()  # much of a brain lies near its rim at 4 mm
    np.testing.assert_allclose(ours[whole], theirs[whole], atol=2e-3)


# the same every time, and nothing left behind


def tissues_of(template, folder, shift=(0.0, 0.0, 0.0)):
    """Return the paths of the tissues of the template's own brain, somewhere in the scanner."""
    folder.mkdir()
    ants = seeded_ants(0)
    back = ants.create_ants_transform(
        "AffineTransform", translation=(LPS @ np.negative(shift)).tolist()
    )
    ants.write_transform(back, str(folder / "back.txt"))
    for name in ("t1w", "mask"):
        image = nb.load(getattr(template, name))
        affine = nb.affines.from_matvec(np.eye(3), shift) @ image.affine
        write(image.get_fdata(), affine, folder / f"{name}.nii")
    found = Tissues(
        brain=str(folder / "t1w.nii"), mask=str(folder / "mask.nii"),
        template_to_t1w=str(folder / "back.txt"), seed=1,
        **{name: getattr(template, name) for name in NAMES},
    ).run(cwd=str(folder))  # fmt: skip
    return [Path(getattr(found.outputs, name)) for name in NAMES]


def test_tissues_leave_nothing_in_the_temporary_folder(template, tmp_path, monkeypatch):
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(system))
    found = tissues_of(template, tmp_path / "work")
    assert not list(system.iterdir())
    assert {p.name for p in (tmp_path / "work").iterdir()} == {
        "back.txt", "t1w.nii", "mask.nii", *(path.name for path in found)
    }  # fmt: skip
    assert tempfile.gettempdir() == str(system)


def test_tissues_do_not_mind_where_the_head_lies(template, tmp_path):
    # Atropos refuses grids that differ by the rounding of a header, as those far from zero do.
    far = tissues_of(template, tmp_path / "far", (210.12345, -180.54321, 150.98765))
    here = tissues_of(template, tmp_path / "here")
    for one, other in zip(far, here, strict=True):
        one, other = (nb.load(path).get_fdata() for path in (one, other))
        assert np.abs(one - other).mean() < 1e-3  # the interpolation of priors rounds, too


def test_the_same_input_gives_the_same_bytes(template, tmp_path):
    image = nb.load(template.t1w)
    grow = np.diag([1.05, 0.96, 1.03, 1]) @ image.affine
    brain = write(image.get_fdata(), grow, tmp_path / "brain.nii.gz")
    mask = write(nb.load(template.mask).get_fdata(), grow, tmp_path / "mask.nii.gz")
    runs = []
    for name in "ab":
        folder = tmp_path / name
        tissues = tissues_of(template, folder)
        found = SyN(
            fixed=template.t1w, fixed_mask=template.mask, moving=brain, moving_mask=mask,
            spacing=8.0, seed=3,
        ).run(cwd=str(folder))  # fmt: skip
        chi = CarryMap(
            image=brain, mask=mask, reference=template.t1w,
            transforms=[found.outputs.moving_to_fixed],
        ).run(cwd=str(folder))  # fmt: skip
        paths = [found.outputs.moving_to_fixed, found.outputs.fixed_to_moving]
        runs.append([Path(path).read_bytes() for path in (*tissues, *paths)])
        runs[-1].append(nb.load(chi.outputs.resampled).get_fdata().tobytes())
    assert runs[0] == runs[1]
