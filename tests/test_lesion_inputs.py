"""Lesions that somebody else has marked: which are taken, and what is wrong with the others."""

from collections import Counter
import re

from bids_skeleton import AFFINE, SHAPE, facts, write_dataset, write_gre, write_image
import nibabel as nb
import numpy as np
import pytest

from qsmprep import cli
from qsmprep.bids.atlas import Atlas, AtlasMember
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.lesion_regions import with_edited_regions
from qsmprep.bids.lesions import check_folder, kind_of, with_lesions
from qsmprep.bids.longitudinal import find_longitudinal
from qsmprep.bids.outcome import expected_of
from qsmprep.errors import RequestError
from qsmprep.methods.regions import Region
from qsmprep.protocol import Protocol
from qsmprep.workflows import cost
from qsmprep.workflows.base import build
from qsmprep.workflows.sharing import name_of
from qsmprep.workflows.steps import steps_of_lesions
from qsmprep.workflows.study import Study

MASK = "space-T1w_label-lesion_mask.nii.gz"
ELSEWHERE = AFFINE.copy()
ELSEWHERE[0, 3] = 99


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of one participant with a FLAIR image."""
    root = tmp_path / "bids"
    root.mkdir()
    write_dataset(root)
    write_image(root / "sub-01/anat/sub-01_FLAIR.nii.gz")
    return root


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lesions"


@pytest.fixture
def heads(bids):
    """Return an atlas by name: nothing of it is read."""
    head = AtlasMember("tpl-x", *[bids / "sub-01/anat/sub-01_T1w.nii.gz"] * 4)
    return Atlas("x", bids, "", "", (head,), (Region(1, "putamen", "L"),), "0" * 12)


def draw(folder, name, values=(1,), affine=AFFINE, dtype=np.uint8, shape=SHAPE):
    """Write an image of single voxels that do not touch."""
    path = folder / "sub-01/anat" / f"sub-01_{name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(shape, dtype=dtype)
    for place, value in enumerate(values):
        array[2 * place : 2 * place + 1, 2:6, 2:6] = value
    nb.Nifti1Image(array, affine).to_filename(path)
    return path


def tell(folder, text, name="lesions"):
    path = folder / f"sub-01/anat/sub-01_{name}.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(bids, folder):
    return with_lesions(read_plan(bids), folder, bids, 3.0)


def given(bids, folder):
    plan = plan_of(bids, folder)
    assert len(plan.acquisitions) == 1, facts(plan)
    return plan.acquisitions[0].lesions


def fault(bids, folder):
    plan = plan_of(bids, folder)
    assert not plan.acquisitions
    (error,) = plan.errors
    assert str(error).count(". ") == 0, "one sentence"
    return str(error)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("space-FLAIR_label-lesion_mask.nii.gz", "lesions"),
        ("space-T1w_label-Lesions_mask.nii", "lesions"),
        ("space-T1w_label-lesion_dseg.nii.gz", "lesions"),
        ("space-T1w_desc-lesion_dseg.nii.gz", "lesions"),
        ("space-T1w_dseg.nii.gz", "lesions"),
        ("space-T1w_desc-aparcaseg_dseg.nii.gz", None),
        ("space-T1w_label-WM_mask.nii.gz", None),
        ("space-MEGRE_label-vein_mask.nii.gz", "veins"),
        ("space-T1w_label-Gd_mask.nii.gz", "enhancing"),
        ("space-T1w_label-lesion_mask.json", None),
        ("not bids_mask.nii.gz", None),
    ],
)
def test_names_tell_what_an_image_shows(folder, name, kind):
    assert kind_of(folder / f"sub-01_{name}") == kind


@pytest.mark.parametrize(
    ("space", "taken"), [("FLAIR", "FLAIR"), ("T1w", "T1w"), ("MEGRE", "GRE")]
)
def test_the_space_is_told_by_the_name(bids, folder, space, taken):
    path = draw(folder, f"space-{space}_label-lesion_mask")
    found = given(bids, folder)
    assert (found.image.path, found.image.space, found.numbered) == (path, taken, False)
    assert (found.flair is not None) == (space == "FLAIR")


def test_other_inversions_share_the_alignment_of_a_flair_image(bids, folder, heads, tmp_path):
    draw(folder, "space-FLAIR_label-lesion_mask")
    plan = plan_of(bids, folder)
    (acquisition,) = plan.acquisitions
    names = set()
    for method in ("tkd", "tsvd"):
        protocol = Protocol.read("fast", [f"inversion.method={method}"])
        study = Study(bids, tmp_path / "out", protocol, heads)
        graph = build(study, plan.acquisitions, tmp_path / "work").get_node(acquisition.name_safe)
        names.add((name_of(graph, "flair_wf"), name_of(graph, "lesions_wf")))
    # Its registration takes minutes; what is measured on the maps differs.
    assert len({flair for flair, _ in names}) == 1
    assert len({lesions for _, lesions in names}) == 2


def test_veins_gadolinium_and_readings_belong_to_lesions(bids, folder):
    draw(folder, "space-T1w_label-lesion_dseg", values=(3, 7))
    veins = draw(folder, "space-MEGRE_label-vein_mask")
    gadolinium = draw(folder, "space-FLAIR_label-Gd_mask")
    tell(folder, "lesion_id\trim\treader\n7\tyes\tA\n7\tno\tB\n")
    found = given(bids, folder)
    assert found.numbered
    assert (found.veins.path, found.veins.space) == (veins, "GRE")
    assert (found.enhancing.path, found.enhancing.space) == (gadolinium, "FLAIR")
    assert found.flair.name == "sub-01_FLAIR.nii.gz"
    assert [row["rim"] for row in found.readings] == ["yes", "no"]
    assert {row["enhancement"] for row in found.readings} == {"n/a"}


def test_numbers_are_taken_before_a_mask_of_the_same(bids, folder):
    draw(folder, "space-T1w_label-lesion_mask")
    path = draw(folder, "space-T1w_label-lesion_dseg", values=(5,))
    assert given(bids, folder).image.path == path


def test_an_empty_mask_says_that_there_are_no_lesions(bids, folder):
    draw(folder, "space-T1w_label-lesion_mask", values=())
    assert given(bids, folder) is not None


def test_without_a_mask_the_maps_are_made_and_somebody_is_told(bids, folder):
    folder.mkdir()
    plan = plan_of(bids, folder)
    assert plan.acquisitions[0].lesions is None
    assert "so that none are measured" in str(plan.warnings[-1])


def test_masks_in_spaces_of_others_are_passed_over_where_one_can_be_used(bids, folder):
    draw(folder, "space-MNI152NLin2009cAsym_label-lesion_mask", affine=ELSEWHERE)
    path = draw(folder, "space-T1w_label-lesion_mask")
    assert given(bids, folder).image.path == path


@pytest.mark.parametrize(
    ("names", "changes", "told"),
    [
        (["label-lesion_mask"], {}, "does not say which image it was drawn on"),
        (["space-MNI_label-lesion_mask"], {}, "is in the space MNI; carry it to space-FLAIR"),
        (
            ["space-T1w_label-lesion_mask", "space-FLAIR_label-lesion_mask"],
            {},
            "is one of several images of lesions",
        ),
        (["acq-x_space-FLAIR_label-lesion_mask"], {}, "a FLAIR image that the session does not"),
        (["space-T1w_label-lesion_mask"], {"affine": ELSEWHERE}, "reach 92 mm beyond"),
        (["space-MEGRE_label-lesion_mask"], {"shape": (8, 8, 9)}, "its matrix is 8×8×9"),
        (["space-T1w_label-lesion_mask"], {"dtype": np.float32, "values": (0.5,)}, "whole numb"),
        (["space-T1w_label-lesion_dseg"], {"dtype": np.int16, "values": (-1,)}, "whole numbers"),
        (["space-T1w_label-lesion_mask"], {"shape": (8, 8, 8, 2)}, "is no volume of labels"),
    ],
)
def test_what_is_wrong_with_an_image_is_one_sentence(bids, folder, names, changes, told):
    for name in names:
        draw(folder, name, **changes)
    assert told in fault(bids, folder)


def test_a_mask_may_not_be_of_two_images(bids, folder):
    (bids / "sub-01/anat/sub-01_FLAIR.nii.gz").unlink()
    for run in "12":
        write_image(bids / f"sub-01/anat/sub-01_run-{run}_FLAIR.nii.gz")
    draw(folder, "space-FLAIR_label-lesion_mask")
    assert "may be of sub-01_run-1_FLAIR.nii.gz and sub-01_run-2" in fault(bids, folder)
    (folder / "sub-01/anat/sub-01_space-FLAIR_label-lesion_mask.nii.gz").unlink()
    draw(folder, "run-2_space-FLAIR_label-lesion_mask")
    assert given(bids, folder).flair.name == "sub-01_run-2_FLAIR.nii.gz"


def test_a_cut_mask_is_named(bids, folder):
    path = draw(folder, "space-T1w_label-lesion_mask")
    path.write_bytes(path.read_bytes()[:60])
    assert "cannot be read to its end" in fault(bids, folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lesion\trim\n3\tyes\n", "has no column lesion_id"),
        ("lesion_id\trim\nthree\tyes\n", "has the lesion_id three"),
        ("lesion_id\trim\n4\tyes\n", "has a lesion 4, which sub-01_space-T1w_label-lesion_dseg"),
        ("lesion_id\treader\n3\tA\n3\tA\n", "has two rows of lesion 3 by the same reader"),
        ('lesion_id\trim\n3\t"ye\n', "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_readings_is_one_sentence(bids, folder, text, told):
    draw(folder, "space-T1w_label-lesion_dseg", values=(3,))
    tell(folder, text)
    assert told in fault(bids, folder)


def test_readings_may_name_the_parts_of_a_mask_by_their_size(bids, folder):
    draw(folder, "space-T1w_label-lesion_mask", values=(1, 1))
    tell(folder, "lesion_id\trim\n2\tyes\n")
    assert given(bids, folder).readings[0]["lesion_id"] == "2"
    tell(folder, "lesion_id\trim\n3\tyes\n")
    assert "has a lesion 3" in fault(bids, folder)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-d", "lesions=/nowhere"), "there is no such folder"),
        (("-d", "lesions={bids}"), "holds no sub-*/**/*_label-lesion_mask.nii.gz"),
        (("-d", "lesions={folder}", "--atlas", "none"), "compared with white matter"),
        (("-d", "lesion={folder}"), "lesions=FOLDER, each once"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(bids, folder, tmp_path, capsys, arguments, told):
    draw(folder, "space-T1w_label-lesion_mask")
    given = [text.format(bids=bids, folder=folder) for text in arguments]
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--atlas", "simulated"]
    assert cli.main([*call, *given]) == 2
    assert told in capsys.readouterr().err


def test_a_folder_without_lesions_is_refused(folder):
    folder.mkdir()
    with pytest.raises(RequestError, match="holds no"):
        check_folder(folder)


def test_lesions_are_expected_where_they_were_given(bids, folder):
    draw(folder, "space-FLAIR_label-lesion_mask")
    plain, told = read_plan(bids).acquisitions[0], plan_of(bids, folder).acquisitions[0]
    more = {path.name for path in set(expected_of(told, "X")) - set(expected_of(plain, "X"))}
    assert more == {
        "sub-01_label-lesion_dseg.nii.gz",
        "sub-01_lesions.tsv",
        "sub-01_desc-profile_lesions.tsv",
        "sub-01_from-FLAIR_to-T1w_mode-image_xfm.txt",
    }


def test_a_job_is_asked_for_what_lesions_need(bids, folder, heads, tmp_path):
    draw(folder, "space-FLAIR_label-lesion_mask")
    draw(folder, "space-T1w_label-vein_mask")
    draw(folder, "space-MEGRE_label-Gd_mask")
    study = Study(bids, tmp_path / "out", Protocol.read("fast"), heads)

    def steps(plan):
        graph = build(study, plan.acquisitions, tmp_path)
        return Counter(
            (cost.kind_of(node), part if (part := cost.part_of(node)) in cost.GRIDS else "")
            for node in cost.nodes_of(graph)
            if cost.kind_of(node).split(".")[0] not in cost.LIGHT
        )

    plan = plan_of(bids, folder)
    told = Counter(steps_of_lesions(plan.acquisitions[0].lesions))
    assert steps(plan) - steps(read_plan(bids)) == told
    assert all(cost.cost_of(kind) is not cost.UNKNOWN for kind, _ in told)


REGIONS = "space-baseline_label-lesion_dseg.nii.gz"


@pytest.fixture
def sessions(tmp_path):
    """Return a dataset of a participant seen twice, and the lesions of both sessions."""
    root, lesions = tmp_path / "seen twice", tmp_path / "lesions"
    for session in ("1", "2"):
        anat = write_gre(root, f"sub-01_ses-{session}")
        write_image(anat / f"sub-01_ses-{session}_T1w.nii.gz")
        path = lesions / f"sub-01/ses-{session}/anat/sub-01_ses-{session}_{MASK}"
        path.parent.mkdir(parents=True)
        write_mask(path)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (lesions / "sub-01/anat").mkdir()
    return root, lesions


def write_mask(path, affine=AFFINE):
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[2:5, 2:5, 2:5] = 1
    nb.Nifti1Image(array, affine).to_filename(path)


def edited_plan(root, lesions):
    plan = with_lesions(read_plan(root), lesions, root, 3.0)
    return with_edited_regions(plan, lesions, find_longitudinal(plan.acquisitions, root))


def test_edited_regions_belong_to_all_sessions(sessions):
    root, lesions = sessions
    path = lesions / f"sub-01/anat/sub-01_{REGIONS}"
    write_mask(path)
    plan = edited_plan(root, lesions)
    assert [one.lesions.regions for one in plan.acquisitions] == [path, path]
    assert not plan.issues


def test_edited_regions_on_another_grid_are_refused_by_name(sessions):
    root, lesions = sessions
    write_mask(lesions / f"sub-01/anat/sub-01_{REGIONS}", affine=ELSEWHERE)
    plan = edited_plan(root, lesions)
    assert not plan.acquisitions
    told = str(plan.errors[0])
    assert re.search(r"its affine puts voxels up to 9\d mm off .*_part-mag.*; edit sub-01_", told)


@pytest.mark.parametrize("name", [f"sub-01_acq-other_{REGIONS}", f"sub-01_run-2_{REGIONS}"])
def test_edited_regions_of_nothing_are_told_of(sessions, name):
    root, lesions = sessions
    write_mask(lesions / "sub-01/anat" / name)
    plan = edited_plan(root, lesions)
    assert [one.lesions.regions for one in plan.acquisitions] == [None, None]
    (issue,) = plan.warnings
    assert name in str(issue)
    assert "is not used" in str(issue)
