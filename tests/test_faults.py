"""Eighty ways to spoil a participant: what is told of each, and that nobody else is harmed."""

import faults
from faults import DONE, EVERYTHING, HEADERS, LABELS, SIDECARS, VOXELS, Files
import nibabel as nb
import numpy as np
import pytest
from runs import CHI, FAST, copy_participant, statuses

from qsmprep.bids.status import read_status

FAULTS = HEADERS | VOXELS | SIDECARS


@pytest.fixture(scope="module")
def run(simulated, qsmprep, tmp_path_factory):
    """Return a run on a participant for each fault, in a folder with a name as people give."""
    folder = tmp_path_factory.mktemp("faults") / "Büro #1 'α' %20 100% "
    bids = folder / "bids [raw]"
    folder.mkdir()
    for name, (harm, *_) in EVERYTHING.items():
        label = LABELS[name]
        copy_participant(simulated, bids, label)
        harm(Files(bids / f"sub-{label}/anat", label))
    # A minus sign of typographers, which is no number.
    (bids / "participants.tsv").write_text("participant_id\tscore\nsub-01\t\u22121\n", "utf-8")
    return qsmprep(bids, folder / "out (1)", *FAST, work=folder / 'w & "work"')


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_one_sentence_everywhere(run, name):
    _, status, sentence = EVERYTHING[name]
    participant = f"sub-{LABELS[name]}"
    row = statuses(run.out)[participant]
    assert (row.status, sentence in row.reason) == (status, True), row.reason
    assert not list(run.out.glob(f"{participant}/**/*.nii.gz"))  # nothing that looks like a map
    assert " | " not in row.reason
    path, fact_and_remedy = row.reason.split(": ", 1)
    assert path.startswith(str(run.out.parent / f"bids [raw]/{participant}/anat/"))
    assert "; " in fact_and_remedy
    page = (run.out / f"{participant}.html").read_text()
    assert f"{participant}_" in page


def test_all_others_finish_and_the_exit_status_says_that_some_did_not(run):
    assert run.status == 1
    assert len(read_status(run.out)) == len(EVERYTHING)
    done = [row.participant_id for row in read_status(run.out) if row.status == DONE]
    assert done == [
        f"sub-{LABELS[n]}" for n, (_, status, _) in EVERYTHING.items() if status == DONE
    ]
    assert "Traceback" not in run.stdout + run.stderr
    assert "pixdim" not in run.stderr.split("acquisitions to do")[1].split("done,")[0].replace(
        "by pixdim", ""
    )  # nibabel keeps to itself what it mends


def test_what_is_told_at_the_end_can_be_read_at_a_glance(run):
    *_, last = run.stderr.splitlines()
    counts = {
        status: sum(row.status == status for row in read_status(run.out))
        for status in ("done", "skipped", "failed")
    }
    assert last.endswith(", ".join(f"{number} {status}" for status, number in counts.items()))
    told = run.stderr.split(" steps done")[1].splitlines()
    alike = [line for line in told if "holds no JSON" not in line and "sub-*" in line]
    assert any(line.count("_MEGRE, ") for line in alike)  # those of one reason share a line
    for line in told:
        assert len(line) < 400, line


@pytest.mark.parametrize("name", ["left-handed", "permuted"])
def test_the_order_of_voxels_does_not_change_the_map(run, name):
    own = nb.load(run.out / CHI)
    path = run.out / CHI.replace("sub-01", f"sub-{LABELS[name]}")
    stored = nb.load(path)
    assert nb.aff2axcodes(stored.affine) != nb.aff2axcodes(own.affine)
    back = nb.as_closest_canonical(stored)
    np.testing.assert_allclose(back.affine, own.affine, atol=1e-4)
    chi, other = (image.get_fdata(dtype=np.float32) for image in (own, back))
    both = (chi != 0) & (other != 0)
    assert both.sum() > 0.99 * max((chi != 0).sum(), (other != 0).sum())
    # Sums in another order round otherwise, and the queue of the unwrapping has another order.
    assert np.quantile(abs(chi - other)[both], 0.99) < 1e-3
    assert np.corrcoef(chi[both], other[both])[0, 1] > 0.999


def test_every_kind_of_fault_has_a_case():
    assert len(faults.HEADERS) + len(faults.VOXELS) + len(faults.SIDECARS) >= 60
