"""What is refused, and in which words."""

from bids_skeleton import AFFINE, SHAPE, change, facts, write_dataset, write_gre, write_image
import nibabel as nb
import numpy as np
import pytest

from qsmprep.bids.dataset import read_plan


@pytest.fixture
def root(tmp_path):
    write_dataset(tmp_path)
    return tmp_path


def delete(pattern):
    def harm(folder):
        for path in folder.glob(pattern):
            path.unlink()

    return harm


def sidecars(pattern="*", **keys):
    def harm(folder):
        for path in folder.glob(f"{pattern}MEGRE.json"):
            change(path, **keys)

    return harm


def image(shape=SHAPE, affine=AFFINE, pattern="*"):
    def harm(folder):
        for path in folder.glob(f"{pattern}MEGRE.nii"):
            write_image(path, shape, affine)

    return harm


def content(data, name="sub-02_echo-2_part-phase_MEGRE.nii"):
    def harm(folder):
        (folder / name).write_bytes(data)

    return harm


def cut_off(folder):
    path = folder / "sub-02_echo-2_part-phase_MEGRE.nii"
    path.write_bytes(path.read_bytes()[:-10])


def without_orientation(folder):
    path = folder / "sub-02_echo-1_part-mag_MEGRE.nii"
    picture = nb.load(path)
    voxels = np.asarray(picture.dataobj).copy()
    picture = nb.Nifti1Image(voxels, AFFINE)
    picture.set_sform(None, code=0)
    picture.set_qform(None, code=0)
    picture.to_filename(path)


def copied(folder):
    first = folder / "sub-02_echo-1_part-phase_MEGRE.nii"
    (folder / "sub-02_echo-2_part-phase_MEGRE.nii").write_bytes(first.read_bytes())


def dangling(folder):
    path = folder / "sub-02_echo-2_part-mag_MEGRE.nii"
    path.unlink()
    path.symlink_to(folder / "../.git/annex/nothing")


def compressed_twin(folder):
    write_image(folder / "sub-02_echo-2_part-mag_MEGRE.nii.gz")


def complex_voxels(folder):
    nb.Nifti1Image(np.ones(SHAPE, np.complex64), AFFINE).to_filename(
        folder / "sub-02_echo-1_part-phase_MEGRE.nii"
    )


def in_unit(unit, per_mm):
    def harm(folder):
        path = folder / "sub-02_echo-1_part-mag_MEGRE.nii"
        voxels = np.asarray(nb.load(path).dataobj).copy()
        picture = nb.Nifti1Image(voxels, np.diag([*per_mm * np.diag(AFFINE)[:3], 1]))
        picture.header.set_xyzt_units(unit)
        picture.to_filename(path)

    return harm


def moved(millimetres):
    affine = AFFINE.copy()
    affine[0, 3] = millimetres
    return affine


SHEARED = AFFINE.copy()
SHEARED[1, 2] = 0.5

MISTAKES = {
    "no phase": (delete("*part-phase*"), "no phase; add the part-phase images"),
    "no magnitude": (delete("*part-mag*"), "phase without magnitude"),
    "an echo of one part": (delete("*echo-2_part-mag*"), "echo 2 of part-mag is missing"),
    "an echo of all": (delete("*echo-2_*"), "echo 2 of part-phase is missing"),
    "the first echo": (delete("*echo-1_*"), "echo 1 of part-mag is missing"),
    "the last echo of one": (delete("*echo-3_part-phase*"), "echo 3 of part-phase is missing"),
    "no sidecar": (delete("*echo-3*.json"), "no EchoTime in its sidecar"),
    "no field strength": (sidecars(MagneticFieldStrength=None), "no MagneticFieldStrength"),
    "gauss": (sidecars(MagneticFieldStrength=30000), "is 30000, which looks like gauss"),
    "megahertz": (sidecars(MagneticFieldStrength=123.2), "looks like a frequency in MHz"),
    "not a field": (sidecars(MagneticFieldStrength="3T"), "MagneticFieldStrength is '3T'; give"),
    "two fields": (sidecars("*echo-1*", MagneticFieldStrength=7), "field strength, 3 T, differs"),
    "milliseconds": (sidecars("*echo-3*", EchoTime=15.0), "milliseconds, BIDS wants seconds"),
    "same times": (sidecars("*echo-[23]*", EchoTime=0.01), "0.005, 0.01, 0.01 s does not inc"),
    "falling times": (sidecars("*echo-1*", EchoTime=0.012), "does not increase"),
    "no time": (sidecars("*echo-1*", EchoTime=0), "is not positive"),
    "time as text": (sidecars("*echo-1*", EchoTime="5"), "EchoTime '5' is not a number"),
    "times for one echo": (sidecars("*echo-1*", EchoTime=[0.005, 0.01]), "2 values of EchoTime"),
    "times of parts": (sidecars("*3_part-mag*", EchoTime=0.02), "its EchoTime differs from that"),
    "matrix": (
        image((8, 8, 7), pattern="*echo-2_part-phase_"),
        "its matrix is 8×8×7, that of sub",
    ),
    "position": (image(affine=moved(0.5), pattern="*echo-3_part-mag_"), "0.5 mm off those of sub"),
    "time series": (image((*SHAPE, 2)), "holds 2 volumes where 1 is expected"),
    "one slice": (image((8, 8, 1)), "one slice only"),
    "plane": (image((8, 8)), "its matrix is 8×8, not a volume"),
    "voxel size": (image(affine=np.diag([500, 500, 900, 1])), "voxels measure 500×500×900 mm"),
    "metres": (
        in_unit("meter", 1e-3),
        "voxels measure 0.001×0.001×0.002 mm, and its header is in",
    ),
    "microns": (in_unit("micron", 1e3), "1000×1000×2000 mm, and its header is in micron; convert"),
    "shear": (image(affine=SHEARED), "not at right angles"),
    "orientation": (without_orientation, "the direction of B0 is unknown"),
    "complex": (complex_voxels, "its voxels are complex64, not real numbers"),
    "empty": (content(b""), "is empty, cut off or no NIfTI file"),
    "no image": (content(b"hello" * 200), "is empty, cut off or no NIfTI file"),
    "cut-off header": (content(b"\x5c\x01\x00\x00" + bytes(80)), "is empty, cut off or no NIfTI"),
    "cut off": (cut_off, "is cut off: 1366 of 1376 bytes are there"),
    "not fetched": (dangling, "its content is not there; fetch it"),
    "copy": (copied, "is a copy of sub-02_echo-1_part-phase_MEGRE.nii"),
    "twin": (compressed_twin, "is a second file for echo 2 beside"),
    "no JSON": (content(b"{", "sub-02_echo-2_part-mag_MEGRE.json"), "is not valid JSON"),
    "no text": (content(b"\xff\xfe{", "sub-02_echo-2_part-mag_MEGRE.json"), "is not in UTF-8"),
    "no object": (content(b"[1]", "sub-02_MEGRE.json"), "holds no JSON object"),
    "echo name": (
        lambda folder: write_image(folder / "sub-02_echo-a_part-mag_MEGRE.nii"),
        "echo-a is not a number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_and_harm_nobody_else(root, mistake):
    harm, fact = MISTAKES[mistake]
    harm(write_gre(root, "sub-02"))
    write_gre(root, "sub-03_run-1")
    plan = read_plan(root, need_t1w=False)
    assert [a.participant for a in plan.acquisitions] == ["01", "03"]
    assert plan.skipped == ("sub-02_MEGRE",)
    assert {issue.participant for issue in plan.issues} == {"02"}
    assert {issue.severity for issue in plan.issues} == {"error"}
    assert fact in facts(plan)
    assert "/sub-02/" in facts(plan)  # the file is named


def test_all_mistakes_of_an_acquisition_are_listed_at_once(root):
    folder = write_gre(root, "sub-02")
    sidecars(MagneticFieldStrength=30000, EchoTime=5)(folder)
    image((8, 8, 1), pattern="*echo-2_part-mag_")(folder)
    listed = facts(read_plan(root))
    assert all(fact in listed for fact in ("milliseconds", "gauss", "one slice"))


def test_a_sidecar_above_the_participants_is_everybodys(root):
    write_gre(root, "sub-02")
    (root / "MEGRE.json").write_text("{,}")
    plan = read_plan(root)
    assert plan.skipped == ("sub-01_MEGRE", "sub-02_MEGRE")


def test_one_part_of_a_complex_image_is_not_enough(root):
    write_gre(root, "sub-02", parts=("real",))
    write_gre(root, "sub-03", parts=("imag",))
    listed = facts(read_plan(root))
    assert "real part without imaginary part" in listed
    assert "imaginary part without real part" in listed


def test_magnitude_alone_is_skipped_for_t2starw_and_wrong_for_megre(root):
    write_image(root / "sub-01/anat/sub-01_T2starw.nii.gz")
    write_image(root / "sub-02/anat/sub-02_echo-1_MEGRE.nii.gz")
    plan = read_plan(root, need_t1w=False)
    assert [a.stem for a in plan.acquisitions] == ["sub-01"]  # no name was lost to the T2starw
    assert [(i.key, i.severity) for i in plan.issues] == [
        ("sub-01_T2starw", "warning"),
        ("sub-02_MEGRE", "error"),
    ]


def test_misplaced_and_misnamed_files_are_reported(root):
    write_image(root / "sub-01/anat/sub-02_part-phase_MEGRE.nii")
    write_image(root / "sub-01/anat/sub-01_fine_part-phase_MEGRE.nii")
    write_image(root / "sub-01/ses-1/anat/sub-01_part-phase_MEGRE.nii")
    write_image(root / "sub-01/anat/acq-x_T1w.nii")
    plan = read_plan(root)
    assert len(plan.acquisitions) == 1
    assert [(issue.fact, issue.severity) for issue in plan.issues] == [
        ("is not named as BIDS names files", "error"),
        ("is not named for the folder sub-01", "error"),
        ("is not named for the folder sub-01/ses-1", "error"),
        ("is not named for the folder sub-01", "warning"),
    ]


def test_a_participant_without_gradient_echoes_is_mentioned(root):
    write_image(root / "sub-02/anat/sub-02_T1w.nii.gz")
    assert "sub-02: no MEGRE, T2starw or GRE image; nothing is done" in facts(read_plan(root))
