import pytest

from qsmprep.errors import ProtocolError
from qsmprep.protocol import ALGORITHMS, Protocol, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_can_be_read(name):
    assert Protocol.read(name).name == name


def test_a_protocol_written_out_is_the_same_protocol(tmp_path):
    protocol = Protocol.read("consensus", ["inversion.regularisation=1e-5"])
    path = tmp_path / "site.toml"
    path.write_text(protocol.to_toml())
    assert Protocol.read(path).stages == protocol.stages
    assert Protocol.read(path).digest() == protocol.digest()


def test_spelling_out_a_default_does_not_change_the_digest():
    assert Protocol.read("consensus", ["background.padding=24"]).digest() == (
        Protocol.read().digest()
    )


def test_any_changed_setting_changes_the_digest():
    changes = ["inversion.method=tkd", "background.padding=8", "phase.sign=as-is",
               "segmentation.seed=2", "referencing.method=csf", "lesions.rim=2"]  # fmt: skip
    digests = {Protocol.read("consensus", [change]).digest() for change in changes}
    assert len(digests | {Protocol.read().digest()}) == len(changes) + 1


def test_an_atlas_counts_by_its_content_not_its_place():
    here = Protocol.read("consensus", ["segmentation.atlas=/here"]).with_atlas("OASIS@123")
    there = Protocol.read("consensus", ["segmentation.atlas=/there"]).with_atlas("OASIS@123")
    assert here.digest() == there.digest()


def test_another_method_comes_with_its_own_defaults():
    stage = Protocol.read("consensus", ["inversion.regularisation=1", "inversion.method=tkd"])
    assert stage.inversion.params == {"threshold": 0.2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("inversion.method=magic", "choose wtv or hdqsm or .* or tkd"),
        ("inversion.thresh=0.1", "thresh: wtv takes regularisation"),
        ("inverson.method=tkd", "no such stage; there are"),
        ("background.padding=wide", "a number is needed"),
        ("inversion.max_iterations=2.5", "a whole number is needed"),
        ("phase.sign=up", "choose auto or as-is or inverted"),
        ("referencing.regions=csf", "referencing takes method"),
        ("referencing.method=label", "name the region, such as"),
        ("referencing.region=thalamus", "are for method = .label., not whole-brain"),
        ("trust.two_pass=yes", "true or false is needed"),
        ("lesions.rim=3", r"rim = 3: give at most core = 2.5, where the core begins"),
        ("lesions.minimum_mm3=-1", "minimum_mm3 = -1: give 0 to 100000"),
        ("lesions.radius=3", "radius: lesions takes minimum_mm3, minimum_overlap"),
        ("inversion", "stage.name=value"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ProtocolError, match=message):
        Protocol.read("consensus", [change])


def test_a_missing_protocol_names_those_there_are():
    with pytest.raises(ProtocolError, match="consensus, cornell, fast"):
        Protocol.read("consensu")


def test_broken_toml_is_named(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[inversion\n")
    with pytest.raises(ProtocolError, match=r"broken.toml: not readable as TOML"):
        Protocol.read(path)


def test_every_stage_has_an_algorithm_in_the_protocol():
    protocol = Protocol.read()
    for stage, algorithms in ALGORITHMS.items():
        assert getattr(protocol, stage).method in algorithms
