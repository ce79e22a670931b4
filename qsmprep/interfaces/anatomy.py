"""From a T1w to its brain and tissues, as Nipype interfaces."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
import numpy as np

from qsmprep.errors import InputError
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_mask, save_like
from qsmprep.interfaces.registration import (
    LPS,
    resample,
    seeded_ants,
    temporaries_in,
    to_ants,
    working_image,
)
from qsmprep.methods.box import Box
from qsmprep.methods.segmentation import BRAIN_LITRES, stripped_brain, upper_centre


class _N4InputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True, desc="T1w, with or without skull")


class _N4OutputSpec(TraitedSpec):
    corrected = File(exists=True, desc="the same without the coil's shading")


class N4(SimpleInterface):
    """Divide out the receive field (Tustison et al., 2010, doi:10.1109/TMI.2010.2046908)."""

    input_spec = _N4InputSpec
    output_spec = _N4OutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        t1w, image = load(self.inputs.t1w)
        # N4 works on the logarithm.
        t1w = np.clip(np.nan_to_num(t1w, posinf=0, neginf=0), 0, None)
        if not t1w.any():
            raise InputError(self.inputs.t1w, "has no voxel above 0", "export it again")
        # Half of the mean signal lies above the noise of air and below any tissue.
        tissue = t1w > 0.5 * t1w[t1w > 0].mean()
        corrected = ants.n4_bias_field_correction(
            to_ants(ants, t1w, image.affine),
            mask=to_ants(ants, tissue, image.affine),
            shrink_factor=4,
        ).numpy()
        # Air stays exactly zero: it is how a stripped T1w is recognised.
        corrected = np.where(t1w > 0, corrected, 0)
        path = Path(runtime.cwd) / "corrected.nii.gz"
        self._results["corrected"] = save_like(corrected, image, path)
        return runtime


class _BrainMaskInputSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True, desc="T1w without shading")
    template_t1w = File(exists=True, mandatory=True, desc="template without skull")
    template_mask = File(exists=True, mandatory=True, desc="its brain mask")
    spacing = traits.Float(2.0, usedefault=True, desc="edge of a voxel during registration, mm")
    seed = traits.Int(mandatory=True, desc="seed of the registration's sampling")


class _BrainMaskOutputSpec(TraitedSpec):
    mask = File(exists=True, desc="brain")
    brain = File(exists=True, desc="T1w inside the brain")
    source = traits.Enum("input", "template", desc="whether the T1w came without skull")


class BrainMask(SimpleInterface):
    """Find the brain: as it came if the skull was removed, else carried from the template."""

    input_spec = _BrainMaskInputSpec
    output_spec = _BrainMaskOutputSpec

    def _run_interface(self, runtime):
        t1w, image = load(self.inputs.t1w)
        mask = stripped_brain(t1w, Geometry.from_affine(image.affine).voxel_size)
        self._results["source"] = "template" if mask is None else "input"
        if mask is None:
            mask = self._carried(t1w, image, str(Path(runtime.cwd) / "template_"))
            litres = mask.sum() * Geometry.from_affine(image.affine).voxel_volume / 1e6
            if not BRAIN_LITRES[0] < litres < BRAIN_LITRES[1]:
                raise InputError(
                    self.inputs.t1w,
                    f"no brain was found in it: the template covers {litres:.1f} litres",
                    "give a T1w without skull",
                )
        for name, array in (("mask", mask), ("brain", np.where(mask, t1w, 0))):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        return runtime

    def _carried(self, t1w, image: nb.Nifti1Image, prefix: str):
        """Return the template's mask on the T1w's grid."""
        ants = seeded_ants(self.inputs.seed)
        spacing = self.inputs.spacing
        head = to_ants(ants, t1w, image.affine)
        array, template = load(self.inputs.template_t1w)
        inside = to_ants(ants, load_mask(self.inputs.template_mask), template.affine)
        # The template is the fixed image, because only there is known where to look: one voxel
        # off its brain. A wider rim holds scalp, which drew the brain's surface inwards.
        fixed = working_image(ants, to_ants(ants, array, template.affine), inside, spacing)
        around = ants.resample_image(inside, fixed.spacing, use_voxels=False, interp_type=1)
        moving = working_image(ants, head, head.new_image_like(np.ones_like(t1w)), spacing)
        rim = ants.iMath(around, "MD", 1)
        above = upper_centre(t1w > 0.5 * t1w[t1w > 0].mean(), image.affine)
        displacement = above - upper_centre(load_mask(self.inputs.template_mask), template.affine)
        found = ants.registration(
            fixed,
            moving,
            "SyN",
            initial_transform=self._start(ants, (fixed, moving, rim), displacement, prefix),
            mask=rim,
            mask_all_stages=True,
            syn_metric="CC",
            syn_sampling=2,
            reg_iterations=(40, 20, 5),
            write_composite_transform=True,
            outprefix=prefix,
        )
        carried = resample(ants, inside, image, [found["invtransforms"]], "linear")
        return carried > 0.5

    def _start(self, ants, images, displacement, prefix: str) -> str:
        """
        Return the better of two coarse rigid alignments of the template to the head.

        One starts from the centres of mass, which a long neck draws down; the other from the
        displacement (mm, to the right, front and top) of the upper head against the template.
        """
        shift = ants.create_ants_transform(
            transform_type="Euler3DTransform", translation=(LPS @ displacement).tolist()
        )
        ants.write_transform(shift, f"{prefix}shift.mat")
        small_fixed, small_moving, small_rim = (
            ants.resample_image(image, (4.0, 4.0, 4.0), use_voxels=False, interp_type=kind)
            for image, kind in zip(images, (0, 0, 1), strict=True)
        )
        # A scale would take the skull for the brain, and so would a view without the scalp.
        wide = ants.iMath(small_rim, "MD", 5)
        tries = []
        for number, start in enumerate((f"{prefix}shift.mat", None)):  # None: centres of mass
            found = ants.registration(
                small_fixed,
                small_moving,
                "Rigid",
                initial_transform=start,
                mask=wide,
                mask_all_stages=True,
                outprefix=f"{prefix}start{number}_",
            )
            likeness = ants.image_similarity(
                small_fixed, found["warpedmovout"], "MattesMutualInformation", fixed_mask=small_rim
            )
            tries.append((likeness, number, found["fwdtransforms"][0]))
        return min(tries)[-1]  # ANTs gives the information's negative


class _TissuesInputSpec(BaseInterfaceInputSpec):
    brain = File(exists=True, mandatory=True, desc="T1w inside the brain")
    mask = File(exists=True, mandatory=True, desc="brain")
    csf = File(exists=True, mandatory=True, desc="template's probability of fluid")
    gm = File(exists=True, mandatory=True, desc="template's probability of grey matter")
    wm = File(exists=True, mandatory=True, desc="template's probability of white matter")
    template_to_t1w = File(exists=True, mandatory=True, desc="ITK transform")
    seed = traits.Int(mandatory=True, desc="seed")


class _TissuesOutputSpec(TraitedSpec):
    csf = File(exists=True, desc="probability of cerebrospinal fluid")
    gm = File(exists=True, desc="probability of grey matter")
    wm = File(exists=True, desc="probability of white matter")


class Tissues(SimpleInterface):
    """Split the brain into three tissues (Avants et al., 2011, doi:10.1007/s12021-011-9109-y)."""

    input_spec = _TissuesInputSpec
    output_spec = _TissuesOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        brain, image = load(self.inputs.brain)
        mask = load_mask(self.inputs.mask)
        # Atropos holds dozens of volumes: a head's air would double its memory.
        box = Box(mask, (0, 0, 0)).slices
        around = image.slicer[box]
        names = ("csf", "gm", "wm")
        priors = []
        for name in names:
            prior, template = load(getattr(self.inputs, name))
            prior = to_ants(ants, prior, template.affine)
            priors.append(resample(ants, prior, around, [self.inputs.template_to_t1w], "linear"))
        # Rims that the template misses take the prior of fluid; none may be without any.
        priors[0] = np.clip(1 - priors[1] - priors[2], 0, 1)
        total = sum(priors)
        # It refuses priors whose place, once written to a file, differs in the seventh digit.
        plain = np.diag([*Geometry.from_affine(image.affine).voxel_size, 1.0])
        with temporaries_in(runtime.cwd):
            found = ants.atropos(
                a=to_ants(ants, brain[box], plain),
                x=to_ants(ants, mask[box], plain),
                i=[to_ants(ants, prior / total, plain) for prior in priors],
                m="[0.1,1x1x1]",
                c="[5,0]",
                priorweight=0.25,
                r=0,  # or it would draw its own seed
            )
        for name, probability in zip(names, found["probabilityimages"], strict=True):
            whole = np.zeros(mask.shape, dtype=np.float32)
            whole[box] = probability.numpy()
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(whole, image, path)
        return runtime
