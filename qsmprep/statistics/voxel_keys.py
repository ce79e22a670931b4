"""What a file of models may say about a voxelwise model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.permutation import INFERENCES, Settings
from qsmprep.statistics.tfce import CONNECTIVITIES


@dataclass(frozen=True, kw_only=True)
class VoxelwiseKeys:
    """
    Keys of a voxelwise model.

    Parameters
    ----------
    formula
        Right-hand side, as in ``group + age + sex``.
    test
        Term or column that is tested; may be left out if the formula has one.
    mask
        ``deep-grey``, ``grey-matter``, ``brain``, or a file on the grid of the maps.
    smoothing
        Full width at half maximum, mm, of a Gaussian inside the mask; 0 for none.
    permutations
        Random arrangements.
    inference
        Some of ``voxel``, ``cluster`` and ``tfce``.
    cluster_threshold
        Uncorrected p-value that clusters form below.
    alpha
        Below which a corrected p-value is significant.
    two_sided
        Whether effects of both signs count; else positive ones only.
    seed
        Of the permutations.
    connectivity
        Neighbours of a voxel, 6, 18 or 26.
    exchangeability
        Column of blocks within which participants are exchanged.
    coverage
        Part of the maps that must know a voxel.

    Raises
    ------
    RequestError
        If a value is outside of what it can be.
    """

    formula: str
    test: str = ""
    mask: str = "deep-grey"
    smoothing: float = 0.0
    permutations: int = 5000
    inference: Sequence[str] = INFERENCES
    cluster_threshold: float = 0.001
    alpha: float = 0.05
    two_sided: bool = True
    seed: int = 0
    connectivity: int = 6
    exchangeability: str = ""
    coverage: float = 0.9

    def __post_init__(self):
        rules = (
            ("smoothing", 0 <= self.smoothing <= 30, "a width from 0 to 30 mm"),
            ("permutations", 1 <= self.permutations <= 100_000, "a number from 1 to 100000"),
            (
                "inference",
                0 < len(self.inference) == len(set(self.inference) & set(INFERENCES)),
                f"a list of some of {', '.join(INFERENCES)}",
            ),
            ("cluster_threshold", 0 < self.cluster_threshold < 0.5, "a p-value below 0.5"),
            ("alpha", 0 < self.alpha < 1, "a p-value"),
            ("seed", self.seed >= 0, "a number from 0"),
            (
                "connectivity",
                self.connectivity in CONNECTIVITIES,
                f"one of {', '.join(map(str, CONNECTIVITIES))}",
            ),
            ("coverage", 0 < self.coverage <= 1, "a part, above 0 and up to 1"),
        )
        for key, holds, what in rules:
            if not holds:
                raise RequestError(f"{key} = {shown(getattr(self, key))}: give {what}")

    def settings(self, nprocs: int = 1) -> Settings:
        """Return what concerns the permutations."""
        return Settings(
            permutations=self.permutations,
            inference=tuple(name for name in INFERENCES if name in self.inference),
            cluster_threshold=self.cluster_threshold,
            two_sided=self.two_sided,
            connectivity=self.connectivity,
            seed=self.seed,
            nprocs=nprocs,
        )
