"""Nipype's pool of processes, without its ways of waiting forever."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
import logging
import multiprocessing
import os
import traceback

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node


class Pool(MultiProcPlugin):
    """
    Run nodes in worker processes, and count a node whose worker is lost as failed.

    Nipype's plugin drops a job that dies without a result, as one killed for memory does, and
    polls for it until the end of days.
    """

    def __init__(self, plugin_args):
        super().__init__(plugin_args)
        self.pool.shutdown()
        self.pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=self.processors,
            initializer=_start_worker,
            initargs=(os.getcwd(),),
            # A fork of a process with threads may hang.
            mp_context=multiprocessing.get_context("forkserver"),
        )

    def _submit_job(self, node, updatehash=False):
        self._taskid += 1
        try:
            future = self.pool.submit(run_node, node, updatehash, self._taskid)
        except BrokenProcessPool:  # one lost worker takes its pool with it
            self.pool = self._open()
            future = self.pool.submit(run_node, node, updatehash, self._taskid)
        future.add_done_callback(partial(self._collect, self._taskid))
        self._task_obj[self._taskid] = future
        return self._taskid

    def _collect(self, taskid, future):
        try:
            self._taskresult[taskid] = future.result()
        except BaseException:  # noqa: BLE001 - also what is no Exception must not be waited for
            self._taskresult[taskid] = {
                "result": None,
                "traceback": traceback.format_exc().splitlines(keepends=True),
                "taskid": taskid,
            }


def _start_worker(folder: str) -> None:
    os.chdir(folder)
    hush()


def hush() -> None:
    """Keep nipype from telling twice what progress lines and crash files tell."""
    os.environ["NIPYPE_NO_ET"] = "1"
    import nipype  # noqa: F401 - it sets the levels of its loggers when imported

    for name in ("nipype.workflow", "nipype.interface", "nipype.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
