"""Ways to spoil a participant's files, each with what has to be told of it."""

from dataclasses import dataclass
import gzip
import json
from pathlib import Path
import struct

from bids_skeleton import change
import nibabel as nb
import numpy as np
from runs import cut

SKIPPED, FAILED, DONE = "skipped", "failed", "done"


@dataclass(frozen=True)
class Files:
    """The files of one participant."""

    folder: Path
    label: str

    def image(self, echo=2, part="phase"):
        return self.folder / f"sub-{self.label}_echo-{echo}_part-{part}_MEGRE.nii.gz"

    def sidecar(self, echo=2, part="phase"):
        return self.folder / f"sub-{self.label}_echo-{echo}_part-{part}_MEGRE.json"

    def images(self, *parts):
        return [self.image(echo, part) for part in parts or ("mag", "phase") for echo in ECHOES]

    def sidecars(self):
        return sorted(self.folder.glob("*_MEGRE.json"))


ECHOES = (1, 2, 3, 4)

# headers

DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE = 40, 70, 72, 76, 108, 112
QFORM_CODE, SFORM_CODE, SROW_X, MAGIC = 252, 254, 280, 344


def header(offset, layout, *values, every=False):
    """Overwrite a field of the header of the phase of one echo, or of every image."""

    def harm(files):
        for path in files.images() if every else [files.image()]:
            content = bytearray(gzip.decompress(path.read_bytes()))
            struct.pack_into(f"<{layout}", content, offset, *values)
            path.write_bytes(gzip.compress(bytes(content), 1))

    return harm


def both(*harms):
    def harm(files):
        for each in harms:
            each(files)

    return harm


def content(data):
    return lambda files: files.image().write_bytes(data)


def flipped_checksum(files):
    data = bytearray(files.image().read_bytes())
    data[-6] ^= 0xFF
    files.image().write_bytes(bytes(data))


def flipped_voxels(files):
    """Change voxels so that they stay plausible, but not the checksum that belongs to them."""
    plain = bytearray(gzip.decompress(files.image().read_bytes()))
    checksum = gzip.compress(bytes(plain), 1)[-8:]
    plain[100_000:100_400] = plain[200_000:200_400]
    files.image().write_bytes(gzip.compress(bytes(plain), 1)[:-8] + checksum)


def plain_named_gz(files):
    files.image().write_bytes(gzip.decompress(files.image().read_bytes()))


def gz_named_plain(files):
    files.image().rename(files.image().with_suffix(""))


def dangling(files):
    files.image().unlink()
    files.image().symlink_to("../.git/annex/objects/nowhere")


def loop(files):
    files.image().unlink()
    files.image().symlink_to(files.image().name)


def folder(files):
    files.image().unlink()
    files.image().mkdir()


# voxels


def voxels(alter, *parts, dtype=np.float32, echoes=None):
    """Write images of some parts anew, of one echo or of those given."""

    def harm(files):
        for part in parts or ("phase",):
            for echo in echoes or (2,):
                path = files.image(echo, part)
                image = nb.load(path)
                array = alter(image.get_fdata(dtype=np.float32).copy())
                nb.Nifti1Image(array.astype(dtype), image.affine).to_filename(path)

    return harm


def with_one(value):
    def alter(array):
        array[10, 11, 12] = value
        return array

    return alter


def colours(files):
    path = files.image()
    image = nb.load(path)
    rgb = np.zeros(image.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nb.Nifti1Image(rgb, image.affine).to_filename(path)


def affine(alter):
    """Give all images of the participant another affine, for the same voxels."""

    def harm(files):
        for path in files.images():
            image = nb.load(path)
            new = alter(image.affine.copy())
            nb.Nifti1Image(image.get_fdata(dtype=np.float32), new).to_filename(path)

    return harm


def sheared(matrix):
    matrix[0, 2] += 0.5
    return matrix


def reoriented(codes):
    """Store the same head with other voxel axes."""

    def harm(files):
        for path in files.images():
            image = nb.load(path)
            have = nb.orientations.io_orientation(image.affine)
            want = nb.orientations.axcodes2ornt(codes)
            image.as_reoriented(nb.orientations.ornt_transform(have, want)).to_filename(path)

    return harm


def swapped(pairs):
    def harm(files):
        for one, other in pairs(files):
            kept = one.read_bytes()
            one.write_bytes(other.read_bytes())
            other.write_bytes(kept)

    return harm


def packed_again(files):
    """Give echo 3 the phase of echo 2, as another file."""
    packed = gzip.compress(gzip.decompress(files.image(2).read_bytes()), 6)
    assert packed != files.image(2).read_bytes()
    files.image(3).write_bytes(packed)


def as_integers(part_of_the_phase):
    """Store phase as a scanner does, 0 to 4095, and then exchange it with the magnitude."""

    def harm(files):
        for echo in ECHOES:
            mag, phase = (nb.load(files.image(echo, part)) for part in ("mag", "phase"))
            turns = phase.get_fdata(dtype=np.float32) / (2 * np.pi) + 0.5
            levels = np.clip(np.rint(4095 * turns), 0, 4095).astype(np.int16)
            nb.Nifti1Image(levels, phase.affine).to_filename(files.image(echo, "phase"))
            array = mag.get_fdata(dtype=np.float32)
            array = np.rint(2000 * array / array.max()).astype(np.int16)
            nb.Nifti1Image(array, mag.affine).to_filename(files.image(echo, "mag"))
            for part in ("mag", "phase"):
                change(files.sidecar(echo, part), Units=None)
        part_of_the_phase(files)

    return harm


# sidecars


def said(every=False, echo=2, part="phase", **keys):
    def harm(files):
        for path in files.sidecars() if every else [files.sidecar(echo, part)]:
            change(path, **keys)

    return harm


def written(data):
    return lambda files: files.sidecar().write_bytes(data)


def encoded(encoding):
    def harm(files):
        described = json.loads(files.sidecar().read_text()) | {"InstitutionName": "Zürich"}
        text = json.dumps(described, ensure_ascii=False)
        files.sidecar().write_bytes(text.encode(encoding))

    return harm


def in_milliseconds(files):
    for path in files.sidecars():
        change(path, EchoTime=1e3 * json.loads(path.read_text())["EchoTime"])


def mag_and_phase(files):
    return [(files.image(echo, "mag"), files.image(echo, "phase")) for echo in ECHOES]


def without(*paths):
    def harm(files):
        for echo, part in paths:
            files.image(echo, part).unlink()

    return harm


MEGRE = "_echo-2_part-phase_MEGRE"
HEADERS = {
    "no dimensions": (header(DIM, "h", 0), SKIPPED, "its matrix is 0, not a volume"),
    "negative matrix": (header(DIM + 2, "h", -7), SKIPPED, f"{MEGRE}.nii.gz: "),
    "empty matrix": (header(DIM + 4, "h", 0), SKIPPED, f"{MEGRE}.nii.gz: "),
    "magic": (header(MAGIC, "4s", b"xyz"), SKIPPED, "no NIfTI file"),
    "size of header": (header(0, "i", 12345), SKIPPED, "damaged (sizeof_hdr 12345)"),
    "unknown data type": (header(DATATYPE, "h", 9999), SKIPPED, f"{MEGRE}.nii.gz: "),
    "offset beyond the file": (header(VOX_OFFSET, "f", 2e9), SKIPPED, "more than such a small"),
    "offset within the header": (header(VOX_OFFSET, "f", 16), SKIPPED, f"{MEGRE}.nii.gz: "),
    "offset not a number": (header(VOX_OFFSET, "f", np.nan), SKIPPED, f"{MEGRE}.nii.gz: "),
    "sform not a number": (header(SROW_X, "f", np.nan), SKIPPED, "its affine is not finite"),
    "sform infinite": (header(SROW_X + 12, "f", np.inf), SKIPPED, "its affine is not finite"),
    "pixdim zero": (
        both(header(SFORM_CODE, "h", 0, every=True), header(PIXDIM + 4, "f", 0, every=True)),
        SKIPPED, "its voxels measure",
    ),
    "pixdim negative": (
        both(header(SFORM_CODE, "h", 0, every=True), header(PIXDIM + 8, "f", -3, every=True)),
        SKIPPED, "_echo-1_part-mag_MEGRE.nii.gz: ",
    ),
    "slope not a number": (header(SLOPE, "ff", 2.0, np.nan), SKIPPED, f"{MEGRE}.nii.gz: "),
    "enormous": (header(DIM + 2, "3h", 32767, 32767, 32767, every=True), SKIPPED, "MEGRE.nii.gz"),
    "checksum": (flipped_checksum, FAILED, f"{MEGRE}.nii.gz: cannot be read to its end (CRC"),
    "flipped voxels": (flipped_voxels, FAILED, "cannot be read to its end (CRC"),
    "truncated": (lambda f: cut(f.image()), FAILED, f"{MEGRE}.nii.gz: cannot be read to its end"),
    "truncated header": (lambda f: cut(f.image(), 1e-4), SKIPPED, "is empty, cut off or no NIfTI"),
    "not compressed": (plain_named_gz, SKIPPED, "is not a gzip file"),
    "compressed": (gz_named_plain, SKIPPED, f"{MEGRE}.nii: is empty, cut off or no NIfTI"),
    "empty": (content(b""), SKIPPED, f"{MEGRE}.nii.gz: is empty, cut off or no NIfTI"),
    "web page": (content(b"<html>" * 200), SKIPPED, "is empty, cut off or no NIfTI"),
    "dangling link": (dangling, SKIPPED, "its content is not there; fetch it"),
    "link to itself": (loop, SKIPPED, f"{MEGRE}.nii.gz: its content is not there"),
    "folder": (folder, SKIPPED, "echo 2 of part-phase is missing"),
    "shear": (affine(sheared), SKIPPED, "its voxel axes are not at right angles"),
    "complex": (voxels(lambda a: a, dtype=np.complex64), SKIPPED, "its voxels are complex64"),
    "colours": (colours, SKIPPED, "not real numbers"),
    "slice": (voxels(lambda a: a[:, :, :1]), SKIPPED, "one slice only"),
    "plane": (voxels(lambda a: a[:, :, 20]), SKIPPED, "not a volume"),
    "five axes": (voxels(lambda a: a[..., None, None]), SKIPPED, "5 axes"),
    "another matrix": (voxels(lambda a: a[:-1]), SKIPPED, f"{MEGRE}.nii.gz: its matrix is"),
}  # fmt: skip
VOXELS = {
    "NaN": (voxels(with_one(np.nan)), FAILED, f"{MEGRE}.nii.gz: 1 of its voxels are NaN"),
    "infinite": (voxels(with_one(np.inf), "mag"), FAILED, "1 of its voxels are NaN or infinite"),
    "only NaN": (voxels(lambda a: a * np.nan), FAILED, "of its voxels are NaN or infinite"),
    "no magnitude": (
        voxels(np.zeros_like, "mag", echoes=ECHOES), SKIPPED,
        "_echo-2_part-mag_MEGRE.nii.gz: is a copy of",
    ),
    "no magnitude of an echo": (
        voxels(np.zeros_like, "mag"), FAILED,
        "_echo-2_part-mag_MEGRE.nii.gz: its magnitude is 0 everywhere",
    ),
    "constant phase": (
        voxels(np.zeros_like, echoes=ECHOES), SKIPPED, f"{MEGRE}.nii.gz: is a copy of",
    ),
    "constant phase of an echo": (
        voxels(np.ones_like), FAILED, f"{MEGRE}.nii.gz: its phase is 1 everywhere",
    ),
    "one phase twice": (
        packed_again, FAILED,
        "_echo-3_part-phase_MEGRE.nii.gz: its phase in echo 3 is that of echo",
    ),
    "parts swapped": (
        swapped(mag_and_phase), FAILED,
        "_echo-1_part-mag_MEGRE.nii.gz: its magnitude looks like phase",
    ),
    "parts swapped, unsigned": (
        as_integers(swapped(mag_and_phase)), FAILED, "its magnitude looks like phase",
    ),
    "phase in degrees": (
        voxels(np.degrees, echoes=ECHOES), FAILED, "_echo-1_part-phase_MEGRE.nii.gz: its phase ",
    ),
}  # fmt: skip
SIDECARS = {
    "empty sidecar": (written(b""), SKIPPED, f"{MEGRE}.json: is not valid JSON"),
    "Latin-1": (encoded("latin-1"), SKIPPED, f"{MEGRE}.json: is not in UTF-8"),
    "UTF-16": (encoded("utf-16"), SKIPPED, f"{MEGRE}.json: is not in UTF-8"),
    "broken JSON": (written(b'{"EchoTime": 0.01,}'), SKIPPED, "is not valid JSON"),
    "list": (written(b"[0.01]"), SKIPPED, f"{MEGRE}.json: holds no JSON object"),
    "endless nesting": (written(b"[" * 100_000), SKIPPED, "is not valid JSON"),
    "no sidecar": (
        lambda files: [files.sidecar(2, part).unlink() for part in ("mag", "phase")],
        SKIPPED, f"{MEGRE}.nii.gz: no EchoTime in its sidecar",
    ),
    "decimal comma": (said(EchoTime="0,010"), SKIPPED, "EchoTime '0,010' is not a number"),
    "time as text": (said(EchoTime="0.010"), SKIPPED, "EchoTime '0.010' is not a number"),
    "time negative": (said(True, EchoTime=-0.01), SKIPPED, "is not positive"),
    "time zero": (said(True, EchoTime=0), SKIPPED, "is not positive"),
    "time NaN": (said(EchoTime=float("nan")), SKIPPED, "EchoTime"),
    "time huge": (said(True, EchoTime=10**400), SKIPPED, "EchoTime"),
    "milliseconds": (in_milliseconds, SKIPPED, "milliseconds, BIDS wants seconds"),
    "times swapped": (
        swapped(lambda f: [(f.sidecar(1, p), f.sidecar(2, p)) for p in ("mag", "phase")]),
        SKIPPED, "does not increase from echo to echo",
    ),
    "field 3000": (said(True, MagneticFieldStrength=3000), SKIPPED, "like millitesla; give it"),
    "field 0": (said(True, MagneticFieldStrength=0), SKIPPED, "MagneticFieldStrength is 0"),
    "field NaN": (said(True, MagneticFieldStrength=float("nan")), SKIPPED, "give it in tesla"),
    "field as text": (said(True, MagneticFieldStrength="3 T"), SKIPPED, "is '3 T'; give it in"),
    "phase missing": (without((3, "phase")), SKIPPED, "echo 3 of part-phase is missing"),
    "magnitude missing": (without((4, "mag")), SKIPPED, "echo 4 of part-mag is missing"),
}  # fmt: skip
SOUND = {
    "sound": (lambda _: None, DONE, ""),
    # And with a sidecar as Windows writes it, which is not wrong.
    "left-handed": (both(reoriented("LAS"), encoded("utf-8-sig")), DONE, ""),
    "permuted": (reoriented("PIR"), DONE, ""),
}
EVERYTHING = SOUND | HEADERS | VOXELS | SIDECARS
LABELS = {name: f"{number:02d}" for number, name in enumerate(EVERYTHING, 1)}
