"""Two thousand files as nobody would write them: each is read, or refused in a sentence."""

import gzip
import json
import math
from pathlib import Path
import struct

from bids_skeleton import AFFINE, SHAPE
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
import nibabel as nb
import numpy as np
import pytest

from qsmprep import cli
from qsmprep.bids import dataset
from qsmprep.bids.atlas import read_table
from qsmprep.bids.checks import Image, read_echo_times, read_field_strength
from qsmprep.bids.headers import Header, read_header
from qsmprep.bids.label_images import LabelImage, read_labels
from qsmprep.bids.lookups import read_lookup
from qsmprep.bids.models import Fault
from qsmprep.bids.sidecars import Sidecars
from qsmprep.bids.status import StatusRow, read_status, update_status
from qsmprep.errors import InputError, ProtocolError, RequestError
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import read_image
from qsmprep.protocol import Protocol


def cases(number):
    """Run a test on as many examples, the same ones each time, in one folder."""
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-(10**400), 10**400))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)


def written(tables):
    """Return tables as TOML, or as something like it where TOML has no such value."""
    lines = []
    for stage, table in tables.items():
        if isinstance(table, dict):
            lines.append(f"[{json.dumps(stage)}]")
            lines += [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()]
        else:
            lines.insert(0, f"{json.dumps(stage)} = {json.dumps(table)}")
    return "\n".join(lines).encode()


def the(error, place):
    """Check that an error says where it is, and in most cases a remedy; return no result."""
    assert place in str(error)
    assert isinstance(error, ProtocolError) or "; " in str(error)


# sidecars


@cases(400)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "EchoTime": st.one_of(JSON, st.floats(1e-4, 0.1)),
                "MagneticFieldStrength": st.one_of(JSON, st.floats(0.1, 12)),
                "ImagingFrequency": JSON,
            },
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_value_of_any_key_is_used_or_refused(contents):
    images = [
        Image(Path(f"sub-1_echo-{number}_part-phase_MEGRE.nii"), {}, "MEGRE", content)
        for number, content in enumerate(contents, 1)
    ]
    times, faults = read_echo_times([[image] for image in images])
    assert bool(times) != bool(faults)
    assert all(math.isfinite(time) and 0 < time <= 1 for time in times)
    assert list(times) == sorted(times)
    b0, _, faults = read_field_strength(images)
    assert (0.1 <= b0 <= 12) != bool(faults)
    assert all(fault.fact and fault.remedy for fault in faults)


@cases(150)
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 100_000)
def test_any_content_of_a_sidecar_is_read_or_refused(tmp_path, content):
    (tmp_path / "sub-1_MEGRE.json").write_bytes(content)
    metadata, faults = Sidecars(tmp_path).metadata(tmp_path / "sub-1_echo-1_MEGRE.nii")
    assert isinstance(metadata, dict)
    assert not (metadata and faults)
    assert all(isinstance(fault, Fault) for fault in faults)


# images

HEADER = 352
FIELDS = {
    0: "i", 40: "h", 42: "h", 44: "h", 46: "h", 48: "h", 50: "h", 70: "h", 72: "h", 76: "f",
    80: "f", 84: "f", 88: "f", 108: "f", 112: "f", 116: "f", 252: "h", 254: "h", 256: "f",
    260: "f", 264: "f", 268: "f", 280: "f", 284: "f", 292: "f", 300: "f", 312: "f", 344: "i",
    348: "i",
}  # fmt: skip
VALUES = {
    "h": st.one_of(st.integers(-(2**15), 2**15 - 1), st.integers(-2, 16)),
    "i": st.integers(-(2**31), 2**31 - 1),
    "f": st.one_of(st.floats(width=32), st.sampled_from([0.0, -1.0, 1e-30, 1e30, 352.0])),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of a tiny image with both forms."""
    path = tmp_path_factory.mktemp("sound") / "image.nii"
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    image = nb.Nifti1Image(voxels, AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    image.to_filename(path)
    return path.read_bytes()


def is_read_or_refused(path, content):
    """Read an image as the plan does, as a worker does and as labels."""
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    header, faults = read_header(path, None)
    assert (header is None) == bool(faults)
    assert all(fault.path == path and fault.fact and fault.remedy for fault in faults)
    try:
        image = read_image(path) if header else None
    except InputError as error:
        return the(error, str(path))
    if header is None:
        return False
    assert isinstance(header, Header)
    assert image.shape == header.shape
    assert len(header.shape) in (3, 4)
    geometry = Geometry.from_affine(header.affine)
    assert np.isfinite(geometry.b0_dir).all()
    assert all(0 < edge <= 20 for edge in geometry.voxel_size)
    assert isinstance(read_labels.__wrapped__(path), LabelImage | Fault)
    return True


@cases(400)
@given(
    st.lists(
        st.sampled_from(sorted(FIELDS)).flatmap(
            lambda offset: st.tuples(st.just(offset), VALUES[FIELDS[offset]])
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([".nii", ".nii.gz"]),
)
def test_any_value_of_any_field_of_a_header_is_used_or_refused(tmp_path, sound, changes, ending):
    content = bytearray(sound)
    for offset, value in changes:
        struct.pack_into(f"<{FIELDS[offset]}", content, offset, value)
    is_read_or_refused(tmp_path / f"image{ending}", bytes(content))


@cases(250)
@given(
    st.lists(st.tuples(st.integers(0, HEADER - 1), st.integers(1, 255)), min_size=1, max_size=8),
    st.sampled_from([".nii", ".nii.gz"]),
)
def test_any_flipped_bytes_of_a_header_are_used_or_refused(tmp_path, sound, flips, ending):
    content = bytearray(sound)
    for place, bits in flips:
        content[place] ^= bits
    is_read_or_refused(tmp_path / f"image{ending}", bytes(content))


@cases(150)
@given(st.integers(0, 10**4))
def test_an_image_cut_off_anywhere_is_refused(tmp_path, sound, end):
    end %= len(sound)
    assert not is_read_or_refused(tmp_path / "image.nii", sound[:end])
    packed = gzip.compress(sound, 1)
    path = tmp_path / "image.nii.gz"
    path.write_bytes(packed[: end % len(packed)])
    header, faults = read_header(path)
    if header is None:
        assert faults
        return
    with pytest.raises(InputError):
        read_image(path)


@cases(150)
@given(st.integers(0, 10**4), st.integers(1, 255))
def test_a_flipped_byte_of_a_compressed_image_never_changes_voxels(tmp_path, sound, place, bits):
    packed = bytearray(gzip.compress(sound, 1))
    packed[place % len(packed)] ^= bits
    path = tmp_path / "image.nii.gz"
    path.write_bytes(packed)
    if read_header(path)[0] is None:
        return
    try:
        voxels = read_image(path).get_fdata(dtype=np.float32)
    except InputError:
        return
    assert np.array_equal(voxels.ravel(order="F"), np.frombuffer(sound[HEADER:], "<i2"))


# names

LABEL = st.text("abcdefXYZ0123456789+-_. ", max_size=6)


@cases(150)
@given(st.lists(st.tuples(st.sampled_from(["sub", "ses", "acq", "run", "echo", "part"]), LABEL)))
def test_any_name_of_a_file_is_understood_or_refused(tmp_path, pairs):
    name = "_".join(f"{entity}-{label}" for entity, label in pairs)
    path = tmp_path / "sub-1/anat" / f"{name.replace('/', '')}_MEGRE.nii.gz"
    good, faults = dataset._well_named(tmp_path, [path])
    assert len(good) + len(faults) == 1
    for key in dataset.group_echoes(good):
        assert key[0] == "1"


# tables

ROWS = st.lists(st.lists(TEXT, max_size=4).map("\t".join), max_size=4).map("\n".join)


@cases(200)
@given(
    st.one_of(
        st.binary(max_size=80),
        ROWS.map(lambda text: f"index\tname\themisphere\n{text}".encode()),
        st.tuples(NUMBERS, TEXT, st.sampled_from("LRMX")).map(
            lambda row: "\t".join(["index\tname\themisphere\n", *map(str, row)]).encode()
        ),
    ),
    st.sampled_from([".tsv", ".csv", ".txt"]),
)
def test_any_table_of_labels_is_read_or_refused(tmp_path, content, ending):
    path = tmp_path / f"atlas-x_dseg{ending}"
    path.write_bytes(content)
    for read in (read_table, read_lookup):
        try:
            regions = read(path)
        except RequestError as error:
            the(error, str(path))
        else:
            assert all(0 < region.index < 1e9 for region in regions)


@cases(100)
@given(st.one_of(st.binary(max_size=80), ROWS.map(str.encode)))
def test_any_status_table_is_read_or_refused(tmp_path, content):
    (tmp_path / "status.tsv").write_bytes(content)
    try:
        assert all(isinstance(row, StatusRow) for row in read_status(tmp_path))
    except InputError as error:
        the(error, "status.tsv")


@cases(50)
@given(st.text(max_size=30))
def test_any_reason_is_kept_in_one_row(tmp_path_factory, reason):
    folder = tmp_path_factory.mktemp("status")
    row = StatusRow("sub-1", "n/a", "n/a", "n/a", "MEGRE", "failed", reason)
    update_status(folder, [row])
    (kept,) = read_status(folder)
    assert kept.reason.split() == reason.encode("utf-8", "replace").decode().split()


# protocols and the command line

STAGES = sorted(Protocol.read().stages)
SETTINGS = sorted({name for table in Protocol.read().stages.values() for name in table})


@cases(150)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.one_of(st.sampled_from(STAGES), TEXT),
            st.one_of(
                JSON, st.dictionaries(st.one_of(st.sampled_from(SETTINGS), TEXT), JSON, max_size=2)
            ),
            max_size=2,
        ).map(written),
    )
)
def test_any_protocol_is_read_or_refused(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    try:
        protocol = Protocol.read(path)
    except ProtocolError as error:
        the(error, "")
    else:
        assert Protocol.read(path).digest() == protocol.digest()


@cases(150)
@given(
    st.sampled_from([f"{s}.{n}" for s, table in Protocol.read().stages.items() for n in table]),
    st.one_of(TEXT, JSON.map(json.dumps)),
)
def test_any_change_of_a_protocol_is_taken_or_refused(setting, value):
    try:
        Protocol.read("fast", [f"{setting}={value}"]).digest()
    except ProtocolError as error:
        the(error, "")


OPTIONS = sorted({name for action in cli.parser()._actions for name in action.option_strings})


@cases(150)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*OPTIONS, "participant", "group", "=", "masks=/", "1"]),
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
        ),
        max_size=5,
    )
)
def test_any_command_line_is_refused_without_a_traceback(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(["nowhere", str(tmp_path / "out"), "participant", *arguments])
    except SystemExit as ending:
        status = ending.code
    told = capsys.readouterr().err
    assert status in (0, 2), told  # 0 of --help and --version
    assert "Traceback" not in told or "-v" in arguments or "--verbose" in arguments
