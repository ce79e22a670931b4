"""What a run may use: of the machine, of its container, of its job."""

import os

import pytest

from qsmprep.resources import usable_cores, usable_memory


def group(root, lines, **files):
    """Write what the kernel tells of control groups; two underscores stand for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("\n".join(lines) + "\n")
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def test_the_limit_of_any_group_around_the_process_holds(tmp_path):
    group(
        tmp_path,
        ["0::/job/step"],
        **{"job__step__memory-max": "max", "job__memory-max": 2**30, "memory-max": 2**31},
    )
    assert usable_memory(tmp_path, {}) == 2**30


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    group(
        tmp_path,
        ["4:memory:/slurm/job_7", "3:cpu,cpuacct:/slurm/job_7", "0::/"],
        **{
            "memory__slurm__job_7__memory-limit_in_bytes": 2**30,
            # What the kernel writes for "no limit".
            "memory__memory-limit_in_bytes": 9223372036854771712,
            "cpu,cpuacct__slurm__job_7__cpu-cfs_quota_us": 100000,
            "cpu,cpuacct__slurm__job_7__cpu-cfs_period_us": 100000,
            "cpu,cpuacct__cpu-cfs_quota_us": -1,
            "cpu,cpuacct__cpu-cfs_period_us": 100000,
        },
    )
    assert usable_memory(tmp_path, {}) == 2**30
    assert usable_cores(tmp_path, {}) == 1


def test_a_container_that_sees_its_group_as_the_root_is_limited(tmp_path):
    group(
        tmp_path,
        ["0::/docker/0123abc"],  # a path of the host, which is not there
        **{"memory-max": 2**29, "cpu-max": "150000 100000"},
    )
    assert usable_memory(tmp_path, {}) == 2**29
    assert usable_cores(tmp_path, {}) == 1  # one and a half cannot keep two busy


def test_without_limits_all_of_the_machine_is_usable(tmp_path):
    group(tmp_path, ["0::/"], **{"memory-max": "max", "cpu-max": "max 100000"})
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert usable_memory(tmp_path, {}) == usable_memory(tmp_path / "none", {}) == physical
    assert usable_cores(tmp_path, {}) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "512"}, 2**29),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # all memory of the node
        ({"SLURM_MEM_PER_CPU": "128", "SLURM_CPUS_ON_NODE": "4"}, 2**29),
    ],
)
def test_memory_of_a_job_is_known_where_nothing_enforces_it(tmp_path, environment, expected):
    assert usable_memory(tmp_path, environment) == (expected or usable_memory(tmp_path, {}))


def test_cores_of_a_job_are_known(tmp_path):
    assert usable_cores(tmp_path, {"SLURM_CPUS_ON_NODE": "1"}) == 1
    assert usable_cores(tmp_path, {"SLURM_CPUS_ON_NODE": "9", "SLURM_CPUS_PER_TASK": "1"}) == 1
