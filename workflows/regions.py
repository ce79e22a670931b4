"""From maps and labels to the table of regions."""

from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.regions import RegionTable
from qsmprep.interfaces.registration import ApplyTransforms
from qsmprep.workflows._graph import open_graph


def init_regions_wf(*, atlas: Atlas, name: str = "regions_wf") -> pe.Workflow:
    """
    Bring the labels to the GRE and write what each region says.

    Parameters
    ----------
    atlas
        What the labels mean.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm, not referenced.
    r2star
        R2*, 1/s; optional.
    dseg_t1w
        Labels in T1w space.
    t1w_to_gre
        ITK transform that carries T1w images to the GRE.
    brain_mask
        Brain in GRE space.
    trusted_mask
        Where the maps are measured.
    references
        For each reference its ``mean_ppm``, or None where it could not be taken.
    entities
        BIDS entities of the acquisition: ``subject``, ``session``, ``acquisition``, ``run``.

    Outputs
    -------
    dseg
        Labels in GRE space.
    table
        One row per region, map and reference; units in every row.
    """
    measured = ["chi", "r2star", "dseg_t1w", "brain_mask", "trusted_mask"]
    facts = ["references", "entities"]
    workflow, inputnode, outputnode = open_graph(
        name, [*measured, "t1w_to_gre", *facts], ["dseg", "table"]
    )
    carry = pe.Node(ApplyTransforms(interpolation="genericLabel"), name="carry")
    table = pe.Node(
        RegionTable(
            atlas=atlas.name,
            regions=[(region.index, region.name, region.hemisphere) for region in atlas.regions],
        ),
        name="table",
    )

    workflow.connect([
        (inputnode, carry, [
            ("dseg_t1w", "image"), ("chi", "reference"), ("t1w_to_gre", "transforms"),
        ]),
        (inputnode, table, [(field, field) for field in (*measured, *facts)]),
        (carry, table, [("resampled", "dseg")]),
        (carry, outputnode, [("resampled", "dseg")]),
        (table, outputnode, [("table", "table")]),
    ])  # fmt: skip
    return workflow
