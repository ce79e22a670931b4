"""From a folder to a plan: what is found, and what is asked for."""

from pathlib import Path
import pickle

from bids_skeleton import AFFINE, DATA, SHAPE, change, facts, write_dataset, write_gre, write_image
import numpy as np
import pytest

from qsmprep.bids.dataset import read_plan
from qsmprep.bids.plan import describe
from qsmprep.errors import RequestError


@pytest.fixture
def root(tmp_path):
    write_dataset(tmp_path)
    return tmp_path


def test_a_plain_dataset_is_read_whole(root):
    plan = read_plan(root)
    (acquisition,) = plan.acquisitions
    assert not plan.issues
    assert acquisition.key == "sub-01_MEGRE"
    assert acquisition.stem == acquisition.t1w.stem == "sub-01"
    assert acquisition.echo_times == (0.005, 0.01, 0.015)
    assert (acquisition.b0, acquisition.phase_units) == (3.0, "arbitrary")
    assert acquisition.folder == Path("sub-01/anat")
    assert list(acquisition.parts) == ["mag", "phase"]
    assert [p.name for p in acquisition.parts["phase"]] == [
        f"sub-01_echo-{echo}_part-phase_MEGRE.nii" for echo in (1, 2, 3)
    ]
    assert pickle.loads(pickle.dumps(plan)) == plan  # worker processes get it


@pytest.mark.parametrize("suffix", ["MEGRE", "T2starw", "GRE"])
@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
def test_suffixes_and_extensions(root, suffix, extension):
    write_gre(root, "sub-02", suffix=suffix, extension=extension)
    assert read_plan(root, participants=["02"]).acquisitions[0].suffix == suffix


def test_every_entity_is_kept_and_separates(root):
    for stem in ("acq-a_run-01", "acq-a_run-02", "acq-b_rec-norm_run-01", "acq-b_run-01"):
        write_gre(root, f"sub-02_ses-1_{stem}", times=[0.01])
    plan = read_plan(root, participants=["sub-02"], need_t1w=False)
    assert not plan.issues
    assert [(a.stem, *a.labels.values()) for a in plan.acquisitions] == [
        ("sub-02_ses-1_acq-a_run-01", "sub-02", "ses-1", "a", "01"),
        ("sub-02_ses-1_acq-a_run-02", "sub-02", "ses-1", "a", "02"),
        ("sub-02_ses-1_acq-b_rec-norm_run-01", "sub-02", "ses-1", "b_rec-norm", "01"),
        ("sub-02_ses-1_acq-b_run-01", "sub-02", "ses-1", "b", "01"),
    ]
    assert plan.acquisitions[2].name_safe == "sub_02_ses_1_acq_b_rec_norm_run_01_MEGRE"


def test_acquisitions_that_differ_in_suffix_alone_get_names_of_their_own(root):
    for suffix in ("MEGRE", "T2starw"):
        write_gre(root, "sub-02", suffix=suffix)
        write_gre(root, "sub-02_acq-fine", suffix=suffix)
    write_gre(root, "sub-02_acq-thick")
    stems = {a.key: a.stem for a in read_plan(root, participants=["02"]).acquisitions}
    assert stems == {
        "sub-02_MEGRE": "sub-02_acq-MEGRE",
        "sub-02_T2starw": "sub-02_acq-T2starw",
        "sub-02_acq-fine_MEGRE": "sub-02_acq-fineMEGRE",
        "sub-02_acq-fine_T2starw": "sub-02_acq-fineT2starw",
        "sub-02_acq-thick_MEGRE": "sub-02_acq-thick",
    }


def test_real_and_imaginary_parts_serve_and_phase_is_preferred(root):
    write_gre(root, "sub-02", parts=("real", "imag"))
    assert list(read_plan(root, participants=["02"]).acquisitions[0].parts) == ["real", "imag"]
    write_gre(root, "sub-02")
    (acquisition,) = read_plan(root, participants=["02"]).acquisitions
    assert list(acquisition.parts) == ["mag", "phase"]
    assert acquisition.notes == (
        "part-imag and part-real beside part-mag and part-phase: not used",
    )


def test_an_image_without_part_is_the_magnitude(root):
    folder = root / "sub-01/anat"
    for path in sorted(folder.glob("*_part-mag_*")):
        path.rename(folder / path.name.replace("_part-mag", ""))
    assert len(read_plan(root).acquisitions[0].parts["mag"]) == 3


def test_one_4d_file_holds_all_echoes(root):
    folder = root / "sub-02/anat"
    for part in ("mag", "phase"):
        write_image(folder / f"sub-02_part-{part}_MEGRE.nii.gz", (*SHAPE, 3))
    # Inherited by both from the root of the dataset.
    sidecar = root / "MEGRE.json"
    sidecar.write_text('{"EchoTime": [0.004, 0.008, 0.013], "MagneticFieldStrength": 7}')
    (acquisition,) = read_plan(root, participants=["02"]).acquisitions
    assert acquisition.echo_times == (0.004, 0.008, 0.013)
    assert [len(paths) for paths in acquisition.parts.values()] == [1, 1]
    sidecar.write_text('{"EchoTime": [0.004, 0.008], "MagneticFieldStrength": 7}')
    assert "holds 3 volumes where 2 is expected" in facts(read_plan(root, participants=["02"]))


def test_a_single_echo_needs_no_echo_entity(root):
    folder = root / "sub-02/anat"
    for part in ("mag", "phase"):
        write_image(folder / f"sub-02_part-{part}_T2starw.nii")
        (folder / f"sub-02_part-{part}_T2starw.json").write_text(
            '{"EchoTime": 0.02, "MagneticFieldStrength": 3}'
        )
    assert read_plan(root, participants=["02"]).acquisitions[0].echo_times == (0.02,)


def test_metadata_are_inherited_as_pybids_inherits_them(root):
    from bids.layout import BIDSLayout

    (root / "MEGRE.json").write_text('{"EchoTime": 9, "FlipAngle": 10, "Manufacturer": "A"}')
    (root / "acq-other_MEGRE.json").write_text('{"FlipAngle": 90}')
    (root / "sub-01/sub-01_part-phase_MEGRE.json").write_text('{"FlipAngle": 15}')
    (acquisition,) = read_plan(root).acquisitions
    assert acquisition.metadata["FlipAngle"] == 15
    assert acquisition.metadata["EchoTime"] == 0.005
    layout = BIDSLayout(root, validate=False)
    oracle = layout.get_metadata(str(acquisition.parts["phase"][0]))
    layout.connection_manager.session.close()
    layout.connection_manager.engine.dispose()
    assert dict(acquisition.metadata) == oracle


def test_field_strength_may_come_from_the_imaging_frequency(root):
    for sidecar in (root / "sub-01/anat").glob("*MEGRE.json"):
        change(sidecar, MagneticFieldStrength=None, ImagingFrequency=123.25)
    (acquisition,) = read_plan(root).acquisitions
    assert acquisition.b0 == pytest.approx(2.8947, abs=1e-4)  # 123.25 / 42.577
    assert acquisition.notes == ("the field strength was taken from ImagingFrequency",)


def test_of_two_sidecars_in_one_folder_the_more_specific_has_the_last_word(root):
    (root / "MEGRE.json").write_text('{"FlipAngle": 10}')
    (root / "part-phase_MEGRE.json").write_text('{"FlipAngle": 20}')
    assert read_plan(root).acquisitions[0].metadata["FlipAngle"] == 20


# Which T1w image


def test_the_t1w_image_of_the_session_is_used_before_any_other(root):
    for session in ("1", "2", "3"):
        write_gre(root, f"sub-02_ses-{session}", times=[0.01])
    for session, name in (("2", "rec-x_run-1"), ("2", "run-2"), ("2", "run-1"), ("3", "run-1")):
        write_image(root / f"sub-02/ses-{session}/anat/sub-02_ses-{session}_{name}_T1w.nii")
    one, two, three = read_plan(root, participants=["02"]).acquisitions
    assert one.t1w == two.t1w
    assert one.notes == (
        "no T1w image in this session: sub-02_ses-2_run-1_T1w.nii of ses-2 was used",
    )
    assert two.t1w.path.name == "sub-02_ses-2_run-1_T1w.nii"
    assert "not sub-02_ses-2_run-2_T1w.nii, sub-02_ses-2_rec-x_run-1_T1w.nii" in two.notes[0]
    assert three.t1w.path.name == "sub-02_ses-3_run-1_T1w.nii"
    assert not three.notes
    # A session that is not processed still lends its anatomy.
    (alone,) = read_plan(root, participants=["02"], sessions=["ses-1"]).acquisitions
    assert alone == one


def test_without_t1w_the_maps_are_made(root):
    (root / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    plan = read_plan(root)
    assert len(plan.acquisitions) == 1
    assert "no T1w image; the maps are made, the regional table is not" in facts(plan)
    assert not plan.errors
    assert not read_plan(root, need_t1w=False).issues


def test_a_broken_or_phase_t1w_is_none(root):
    (root / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    write_image(root / "sub-01/anat/sub-01_part-phase_T1w.nii")
    plan = read_plan(root)
    assert plan.acquisitions[0].t1w is None
    assert [issue.severity for issue in plan.issues] == ["warning", "warning"]


# What is asked for


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"participants": ["sub-O1"]}, "sub-O1: there is no such participant; .* is sub-01"),
        ({"sessions": ["pre"]}, "ses-pre: there is no such session; the dataset has none"),
        ({"filters": {"bold": {}}}, "'bold' is unknown; it takes megre and t1w"),
        ({"filters": {"megre": {"acq": "x"}}}, "'acq', which is no entity; .* 'acquisition'"),
        ({"filters": {"t1w": {"suffix": None}}}, "the suffix of t1w is a name"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(root, request_, message):
    with pytest.raises(RequestError, match=message):
        read_plan(root, **request_)


def test_what_is_no_dataset_is_refused(root, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(RequestError, match=r"no sub-\* folder"):
        read_plan(empty)
    with pytest.raises(RequestError, match="no such folder"):
        read_plan(empty / "nothing")
    (root / "dataset_description.json").write_text("{")
    with pytest.raises(RequestError, match=r"n\.json: is not valid JSON"):
        read_plan(root)
    (root / "dataset_description.json").unlink()
    with pytest.raises(RequestError, match=r"no dataset_description.json"):
        read_plan(root)


def test_a_dataset_may_be_given_by_any_path(root, monkeypatch):
    (root / "link").symlink_to(root)
    monkeypatch.chdir(root)
    for path in (".", "sub-01/..", root / "link"):
        assert len(read_plan(path).acquisitions) == 1


def test_labels_select(root):
    for session in ("1", "2"):
        write_gre(root, f"sub-02_ses-{session}", times=[0.01])
    assert [a.session for a in read_plan(root, sessions=["2"]).acquisitions] == ["2"]
    plan = read_plan(root, participants=["sub-02", "02"], sessions=["ses-1"])
    assert [a.key for a in plan.acquisitions] == ["sub-02_ses-1_MEGRE"]


@pytest.mark.parametrize(
    ("entities", "stems"),
    [
        ({"acquisition": "a"}, ["sub-02_acq-a"]),
        ({"acquisition": None}, ["sub-02_run-2"]),
        ({"acquisition": "*"}, ["sub-02_acq-a", "sub-02_acq-b"]),
        ({"acquisition": ["a", "b"]}, ["sub-02_acq-a", "sub-02_acq-b"]),
        ({"run": 2}, ["sub-02_run-2"]),
        ({"suffix": "GRE"}, ["sub-02_acq-b"]),
        ({"session": "9"}, []),
    ],
)
def test_filters_select(root, entities, stems):
    write_gre(root, "sub-02_acq-a", times=[0.01])
    write_gre(root, "sub-02_acq-b", times=[0.01], suffix="GRE")
    write_gre(root, "sub-02_run-2", times=[0.01])
    plan = read_plan(root, participants=["02"], filters={"megre": entities})
    assert [a.stem for a in plan.acquisitions] == stems


def test_filters_select_the_t1w_image(root):
    write_image(root / "sub-01/anat/sub-01_acq-mp2rage_UNIT1.nii.gz")
    filters = {"t1w": {"suffix": "UNIT1"}}
    (acquisition,) = read_plan(root, filters=filters).acquisitions
    assert acquisition.t1w.key == "sub-01_acq-mp2rage_UNIT1"


def test_only_the_participants_asked_for_are_opened(root):
    for folder in ("derivatives/x/sub-01", "sourcedata/sub-01", "code/sub-01", "sub-02/anat"):
        (root / folder).mkdir(parents=True)
        (root / folder / "sub-01_part-phase_MEGRE.nii").write_bytes(b"")
    (root / "sub-02/anat/sub-02_MEGRE.json").write_text("{")
    assert not read_plan(root, participants=["01"]).issues


def test_the_index_can_be_kept(root, tmp_path_factory):
    write_gre(root, "sub-02")
    database = tmp_path_factory.mktemp("index") / "db"
    first = read_plan(root, participants=["01"], database_dir=database)
    write_gre(root, "sub-03")
    again = read_plan(root, database_dir=database, need_t1w=False)
    assert first.acquisitions[0].key == "sub-01_MEGRE"
    # Complete, whoever was asked for when it was made; not aware of what came later.
    assert [a.key for a in again.acquisitions] == ["sub-01_MEGRE", "sub-02_MEGRE"]
    other = tmp_path_factory.mktemp("other")
    (other / "sub-01").mkdir()
    (other / "dataset_description.json").write_text("{}")
    with pytest.raises(RequestError, match="is the index of"):
        read_plan(other, database_dir=database)


# In words


PROSE = """\
sub-01
  sub-01_MEGRE: mag and phase
    3 echoes at 5, 10, 15 ms, 3 T
    8×8×8 voxels of 1×1×2 mm, 0.0° oblique
    T1w: sub-01_T1w.nii.gz
    look: the last echo time over T2* of the putamen is 0.476, expected 0.5 to 3; let the last \
echo be about T2* of the tissue in question
    fail: the smallest extent of the field of view is 8 mm, expected at least 110 mm; cover the \
whole brain: a slab misses fields from outside, and nuclei come out too low

sub-02
  warning: sub-02: no T1w image; the maps are made, the regional table is not

sub-02 ses-1
  sub-02_ses-1_MEGRE: mag and phase
    3 echoes at 5, 10, 15 ms, 3 T
    8×8×8 voxels of 1×1×1 mm, 12.0° oblique
    T1w: none
    look: the last echo time over T2* of the putamen is 0.476, expected 0.5 to 3; let the last \
echo be about T2* of the tissue in question
    fail: the smallest extent of the field of view is 8 mm, expected at least 110 mm; cover the \
whole brain: a slab misses fields from outside, and nuclei come out too low

sub-03
  warning: sub-03: no T1w image; the maps are made, the regional table is not
  skipped: sub-03_echo-1_part-mag_MEGRE.nii: no phase; add the part-phase images: magnitudes \
alone hold no susceptibility

2 acquisitions to do, 1 skipped, 2 warnings"""


def test_the_plan_reads_as_prose(root):
    tilt = np.deg2rad(12)
    turned = AFFINE.copy()
    turned[1:3, 1:3] = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    for path in write_gre(root, "sub-02_ses-1").glob("*.nii"):
        write_image(path, affine=turned)
    write_gre(root, "sub-03", parts=("mag",))
    assert describe(read_plan(root)).replace(f"{root}/sub-03/anat/", "") == PROSE


@pytest.mark.skipif(DATA is None, reason="no data: set QSMPREP_TEST_DATA")
def test_the_dataset_for_tests_is_read_whole():
    plan = read_plan(DATA / "bids")
    assert not plan.issues
    assert [(a.key, *a.parts, len(a.echo_times), a.phase_units) for a in plan.acquisitions] == [
        ("sub-0002_MEGRE", "mag", "phase", 3, "arbitrary"),
        ("sub-1000_MEGRE", "mag", "phase", 4, "arbitrary"),
        ("sub-1001_ses-01_MEGRE", "mag", "phase", 3, "rad"),
        ("sub-1001_ses-02_MEGRE", "real", "imag", 3, None),
    ]
    assert all(a.t1w is not None and a.t1w.session == a.session for a in plan.acquisitions)
