"""From maps and labels to the table of regions."""

from dataclasses import asdict

from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.regions import RegionTable
from qsmprep.methods.regions import Rules
from qsmprep.workflows._graph import open_graph


def init_regions_wf(*, atlas: Atlas, rules: Rules, name: str = "regions_wf") -> pe.Workflow:
    """
    Write what each region says.

    Parameters
    ----------
    atlas
        What the labels mean.
    rules
        Which voxels of a label count.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm, not referenced.
    noise
        Standard deviation of the field, ppm.
    r2star
        R2*, 1/s; optional.
    dseg
        Labels in GRE space.
    dseg_t1w
        Labels in T1w space, which tell what the field of view has cut.
    dseg_carried
        Labels in GRE space as they came from there, if they have been refined since; optional.
    brain_mask
        Brain in GRE space.
    trusted_mask
        Where the maps are measured.
    mean_chi
        Mean susceptibility of several sessions, where vessels are sought; optional.
    mean_r2star
        Their mean R2*; optional.
    gm
        Probability of grey matter in GRE space.
    references
        For each reference its ``mean_ppm``, or None where it could not be taken.
    labels
        Identifying columns of the table: `participant_id session_id acquisition run`.

    Outputs
    -------
    table
        One row per region, map and reference; units in every row.
    """
    inputs = [
        "chi", "noise", "r2star", "dseg", "dseg_t1w", "dseg_carried", "brain_mask",
        "trusted_mask", "mean_chi", "mean_r2star", "gm", "references", "labels",
    ]  # fmt: skip
    workflow, inputnode, outputnode = open_graph(name, inputs, ["table"])
    table = pe.Node(
        RegionTable(
            atlas=atlas.name,
            regions=[(region.index, region.name, region.hemisphere) for region in atlas.regions],
            rules=asdict(rules),
        ),
        name="table",
    )

    workflow.connect([
        (inputnode, table, [(field, field) for field in inputs]),
        (table, outputnode, [("table", "table")]),
    ])  # fmt: skip
    return workflow
