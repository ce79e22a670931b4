"""Which regions are cortex, by their names."""

import re

WORDS = ("cortex", "gyrus", "gyri", "operculum", "planum", "cerebellumexterior")
"""What atlases call parts of the cortex."""

# The regions of Desikan, Killiany and Tourville that go without such a word.
DKT = """
bankssts caudalanteriorcingulate caudalmiddlefrontal cuneus entorhinal frontalpole fusiform
inferiorparietal inferiortemporal insula isthmuscingulate lateraloccipital lateralorbitofrontal
lingual medialorbitofrontal middletemporal paracentral parahippocampal parsopercularis
parsorbitalis parstriangularis pericalcarine postcentral posteriorcingulate precentral
rostralanteriorcingulate rostralmiddlefrontal superiorfrontal superiorparietal superiortemporal
supramarginal temporalpole transversetemporal
"""

SHEETS = (*WORDS, *DKT.split())
"""What the name of a part of the cortex contains, without what is no letter."""

NOT_SHEETS = ("whitematter", "ventricle", "sulcus")
"""What excludes it all the same: ``precentral-white-matter``."""


def is_cortex(name: str) -> bool:
    """
    Return whether a region is a part of the cortex, cerebral or cerebellar.

    What is not known to be, is not: tissue classes of the T1w call much of pallidum and thalamus
    white, so that a rule for cortex would spoil them.

    Parameters
    ----------
    name
        Name of the region, in the vocabulary of atlases or FreeSurfer's (``ctx-lh-cuneus``).
    """
    letters = re.sub("[^a-z]", "", name.lower())
    return any(s in letters for s in SHEETS) and not any(s in letters for s in NOT_SHEETS)
