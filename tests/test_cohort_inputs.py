"""Tables that people made are read to the letter, or refused in one sentence."""

import json
import shutil

import numpy as np
import pytest
from studies import write_scan, write_study, write_table

from qsmprep import cli
from qsmprep.errors import InputError
from qsmprep.group.strict import join_cells, read_cells, text_of


def table_of(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return join_cells([read_cells(path)], **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "participants.tsv"


@pytest.mark.parametrize(
    "content",
    [
        b"participant_id\tage\nsub-01\t7.5\nsub-02\tn/a\n",
        b"\xef\xbb\xbfparticipant_id\tage\r\nsub-01\t7.5\r\nsub-02\tn/a\r\n",  # of a spreadsheet
        b"participant_id\tage\rsub-01\t7.5\rsub-02\tn/a",
        b"\nparticipant_id\tage\n\nsub-01\t7.5\n\t\nsub-02\t\n\n",
        b"participant_id\tage\t\nsub-01\t7.5\t\nsub-02\tNA\t\t\n",
        b' participant_id \t"age"\n sub-01\t "7.5"\n"sub-02"\tNaN\n',
        "participant_id\tage\nsub-01\t\u00a07.5\u00a0\nsub-02\tN/A\n".encode(),
        b"participant_id\tage\nsub-01\t+0.75e1\nsub-02\tn/a\n",
    ],
)
def test_the_same_table_written_in_many_ways_is_the_same(path, content):
    table = table_of(path, content)
    assert table["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert table["age"].dtype == float
    np.testing.assert_array_equal(table["age"], [7.5, np.nan])


@pytest.mark.parametrize(
    "cells",
    [
        ["01", "02", "10"],  # labels
        ["1234567890123456789", "1234567890123456788"],  # which no float can tell apart
        ["M", "F", "M"],
        ["12 y", "13 y"],
        ["89+", "n/a"],
        ["1;2", "3;4"],
        ["T1", "2", "T3"],  # one number among words
        ["Zivadinov, R", "7,5", "Chen"],
        ["−abc", "–"],
    ],
)
def test_words_stay_as_they_are_written(path, cells):
    table = table_of(path, "\n".join(["x", *cells]))
    assert table["x"].fillna("n/a").tolist() == cells


def test_numbers_are_read_and_written_without_a_change(path):
    cells = ["0.1", "-7.5", "70", "12345678901", "0.30000000000000004", "n/a", "1e-09"]
    assert text_of(table_of(path, "\n".join(["x", *cells])))["x"].tolist() == cells


@pytest.mark.parametrize("minus", ["−7.5", "-7.5", "\u22127.50"])
def test_the_minus_of_typesetters_is_one(path, minus):
    assert table_of(path, f"x\n{minus}\n1\n")["x"].tolist() == [-7.5, 1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x\n7,5\n8\n", "line 2, column x: 7,5 has a decimal comma; write a point"),
        ("x\n1\n-0,25\nn.d.\n", "line 3, column x: -0,25 has a decimal comma"),
        ("x\n−7,5\n−8,5\n", "line 2, column x: -7,5 has a decimal comma"),
        ("x\n1.234,5\n", "has a decimal comma"),
        ("x\n70\n71\n>90\n", "line 4, column x: '>90' is no number, but 2 of 3"),
        ("x\n70\n12 y\n", "line 3, column x: '12 y' is no number"),
        ("x\n0\nM\n1\n", "line 3, column x: 'M' is no number"),
        ("x\n1\n–2\n", "'–2' is no number"),  # a dash is no minus
        ("x\n1\n1_000\n", "'1_000' is no number"),
        ("x\n1\ninf\n", "'inf' is no number"),
        ("x\n1\n1e400\n", "'1e400' is no number"),  # to a float
        ("x\n1\n٣\n", "'٣' is no number"),
        ("x\ty\n1\t2\n3\n", "has 1 cells in line 3 and 2 in its header"),
        ("x\ty\n1\t2\t3\n", "has 3 cells in line 2 and 2 in its header"),
        ("x\tx\n1\t2\n", "has two columns x; rename or remove one"),
        ("x\t\ty\n1\t2\t3\n", "column 2 has no name"),
        ("x,y\n1,2\n", "is not parted by tabs"),
        ("x;y\n1;2\n", "is not parted by tabs"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("x\tsite\n1\tKöln\n".encode("latin-1"), r"line 2 is not in UTF-8 \(byte 0xf6\)"),
        ("x\n1\n".encode("utf-16"), "is no text in UTF-8"),
        (b"PK\x03\x04 a spreadsheet", "is no text in UTF-8"),
    ],
)
def test_what_could_be_mistaken_is_refused_with_its_place(path, content, told):
    with pytest.raises(InputError, match=told) as refused:
        table_of(path, content)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_column_is_of_one_kind_in_all_tables(tmp_path):
    tables = []
    for name, content in (("a", "x\n1\n2\n"), ("b", "x\n3\nlow\n")):
        (tmp_path / name).write_text(content)
        tables.append(read_cells(tmp_path / name))
    with pytest.raises(InputError, match="b: line 3, column x: 'low' is no number"):
        join_cells(tables)


def test_columns_that_must_be_numbers_are_even_where_most_are_words(path):
    with pytest.raises(InputError, match="line 2, column age: '12 y' is no number"):
        table_of(path, "age\n12 y\n13 y\n", numbers=["age"])


# what is refused at the group level, one item each

PEOPLE = "participant_id\tage\nsub-01\t60\nsub-02\t61\n"


def write(name, text):
    return lambda bids, out: write_table(bids / name, text)  # noqa: ARG005


def of_another_person(bids, out):  # noqa: ARG001
    path = next(out.glob("sub-02/ses-1/anat/*_regions.tsv"))
    path.write_text(path.read_text().replace("sub-02", "sub-01"))


def twice_a_region(bids, out):  # noqa: ARG001
    path = next(out.glob("sub-02/ses-1/anat/*_regions.tsv"))
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")


def a_word_for_a_mean(bids, out):  # noqa: ARG001
    path = next(out.glob("sub-02/ses-1/anat/*_regions.tsv"))
    path.write_text(path.read_text().replace("2110.500000", "2110,5"))


def cut_short(bids, out):  # noqa: ARG001
    path = next(out.glob("sub-02/ses-1/anat/*_regions.tsv"))
    path.write_text(path.read_text()[:-60])


def gone(bids, out):  # noqa: ARG001
    (bids / "participants.tsv").unlink()
    (bids / "participants.tsv").symlink_to("../.git/annex/nowhere")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (gone, "participants.tsv: cannot be read (No such file"),
        (write("participants.tsv", "age\n4\n"), "has no column participant_id; there are age"),
        (write("participants.tsv", "participant_id\tage\n\t4\n"), "line 2 has no participant_id"),
        (write("participants.tsv", PEOPLE + "01\t7\n"), "several rows of sub-01"),
        (write("participants.tsv", PEOPLE.replace("61", ">90")), "column age: '>90' is no number"),
        (write("participants.tsv", PEOPLE.replace("61", "6,1")), "6,1 has a decimal comma"),
        (write("participants.json", '{"age": {"Units": "months"}}'), "age is in months"),
        (write("participants.json", "{"), "cannot be read as JSON"),
        (write("sub-01/sub-01_sessions.tsv", "age\n4\n"), "has no column session_id"),
        (write("sub-01/sub-01_sessions.tsv", "session_id\nses-1\n1\n"),
         "has several rows of sub-01 ses-1; keep one"),
        (write("sub-01/sub-01_sessions.tsv", "session_id\tmood\nn/a\tgood\n"),
         "line 2 has no session_id"),
        (write("sub-01/sub-01_sessions.tsv", "session_id\tacq_time\nses-1\tJune\n"),
         "column acq_time: 'June' is no date"),
        (write("sub-01/sub-01_sessions.tsv", "session_id\tyears_from_baseline\nses-1\t1 y\n"),
         "column years_from_baseline: '1 y' is no number"),
        (write("phenotype/x.tsv", "score\n4\n"), "has no column participant_id"),
        (write("phenotype/x.tsv", "participant_id\tiron\nsub-01\t1\nsub-1\t2\n"),
         "names sub-1, whom participants.tsv does not have"),
        (write("phenotype/x.tsv", "participant_id\tiron\tiron\nsub-01\t1\t2\n"),
         "two columns iron"),
        (of_another_person, "rows that are not of sub-02 ses-1"),
        (twice_a_region, "several rows of cuneus, R2starmap"),
        (a_word_for_a_mean, "sub-02_ses-1_seg-x_regions.tsv: cannot be read as a table"),
        (cut_short, "its rows are ragged"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_with_its_file_and_nothing_is_written(
    tmp_path, capsys, spoil, told
):
    bids, out = write_study(tmp_path)
    write_table(bids / "participants.tsv", PEOPLE)
    spoil(bids, out)
    assert cli.main([str(bids), str(out), "group"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"qsmprep: error: {tmp_path}")
    assert told in line
    assert not list((out / "group").glob("*")) if (out / "group").exists() else True


# what the command line refuses


@pytest.fixture
def refused(tmp_path, capsys):
    """Call the group level on a study, see that it refuses, and return its sentence."""
    bids, out = write_study(tmp_path)

    def call(*arguments, level="group"):
        assert cli.main([str(bids), str(out), level, *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert not (out / "group").exists()
        return line.removeprefix("qsmprep: error: ")

    call.out, call.root = out, tmp_path
    return call


def test_an_acquisition_in_two_folders_is_refused_by_name(refused):
    shutil.copytree(refused.out, refused.root / "copy")
    told = refused("-d", f"B={refused.root / 'copy'}")
    assert "sub-01 ses-1 (out and B), sub-01 ses-2 (out and B)" in told


def test_results_of_several_protocols_are_refused_with_folders_and_digests(refused):
    write_scan(refused.root / "b", "03", "1", GeneratedBy={"ProtocolDigest": "b" * 12})
    told = refused("-d", f"B={refused.root / 'b'}")
    assert f"{'a' * 12} in {refused.out} (4), {'b' * 12} in {refused.root / 'b'} (1)" in told
    assert "--allow-protocols" in told


def test_tables_of_two_folders_that_disagree_are_refused(refused):
    (refused.root / "bids/participants.tsv").unlink()
    write_scan(refused.root / "b", "03", "1")
    write_table(refused.out / "participants.tsv", "participant_id\tsex\nsub-01\tF\nsub-02\tM\n")
    write_table(refused.root / "b/participants.tsv", "participant_id\tsex\nsub-01\tM\n")
    told = refused("-d", f"B={refused.root / 'b'}")
    assert "several rows of sub-01, or another folder tells it otherwise" in told


def test_the_digest_of_a_folder_counts_where_its_sidecars_tell_none(refused):
    write_scan(refused.root / "b", "03", "1", GeneratedBy=None)
    made_by = {"Name": "qsmprep", "Protocol": {"Digest": "c" * 12}}
    path = refused.root / "b/dataset_description.json"
    path.write_text(json.dumps({"GeneratedBy": [made_by]}))
    assert "c" * 12 in refused("-d", f"B={refused.root / 'b'}")


def test_folders_that_are_none_are_refused(refused):
    (refused.root / "empty").mkdir()
    assert "there is no such folder" in refused("-d", "B=/nowhere")
    assert "holds no map and no table" in refused("-d", f"B={refused.root / 'empty'}")
    assert "counts anyhow" in refused("-d", f"B={refused.out}")
    assert "SITE=FOLDER" in refused("-d", "B")
    assert "SITE=FOLDER" in refused("-d", "a b=/tmp")
    assert "each SITE once" in refused("-d", "B=/tmp", "-d", "B=/tmp")
    write_scan(refused.root / "b", "03", "1")
    assert "give another name" in refused("-d", f"out={refused.root / 'b'}")
    same = refused("-d", f"B={refused.root / 'b'}", "-d", f"C={refused.root / 'b'}")
    assert "the same folder as B" in same


def test_models_that_are_not_there_are_refused(refused):
    assert "--model /nowhere.toml: there is no such file" in refused("--model", "/nowhere.toml")


@pytest.mark.parametrize(
    "arguments",
    [("--protocol", "fast"), ("--set", "a.b=1"), ("--atlas", "none"), ("--reports-only",),
     ("--clean-workdir",), ("--bids-filter-file", "x"), ("--device", "cpu")],
)  # fmt: skip
def test_options_of_the_participant_level_are_refused_at_the_other(refused, arguments):
    told = refused(*arguments)
    assert told.startswith(f"{arguments[0]}: for the participant level")


def test_options_of_the_group_level_are_refused_at_the_other(refused):
    told = refused("--model", "x", "--harmonise", "combat", level="participant")
    assert told.startswith("--harmonise, --model: for the group level")


def test_every_option_is_for_one_level_or_for_both():
    from qsmprep.group.command import OF_GROUP, OF_PARTICIPANTS

    both = {
        "help", "version", "bids_dir", "output_dir", "analysis_level", "participant_label",
        "session_label", "skip_bids_validation", "derivatives", "dry_run", "verbose",
        # What a machine has, a script may say to either level.
        "nprocs", "omp_nthreads", "mem_mb", "work_dir",
    }  # fmt: skip
    known = {action.dest: action.option_strings for action in cli.parser()._actions}
    assert set(known) == both | OF_GROUP.keys() | OF_PARTICIPANTS.keys()
    for name, option in {**OF_GROUP, **OF_PARTICIPANTS}.items():
        assert option in known[name]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path, capsys):
    bids, out = write_study(tmp_path)
    model = tmp_path / "m.toml"
    model.write_text('[model.a]\nkind = "describe"\n[model.b]\nkind = "describe"\n', "utf-8")
    call = [str(bids), str(out), "group", "--dry-run", "--harmonise", "combat"]
    assert cli.main([*call, "--model", str(model)]) == 0
    told = capsys.readouterr()
    assert "4 tables of 4 acquisitions of 2 participants" in told.out
    assert "harmonised by combat" in told.out
    assert told.out.count(f"(describe) of {model} would be fitted") == 2
    assert "score of 1 (sub-02)" in told.err
    assert not (out / "group").exists()
