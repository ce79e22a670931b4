"""Nipype's pool of processes, without its ways of waiting forever."""

from __future__ import annotations

from functools import partial
import multiprocessing
import traceback

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node


class Pool(MultiProcPlugin):
    """
    Run nodes in worker processes, and count a node whose worker is lost as failed.

    Nipype's plugin drops a job that dies without a result, as one killed for memory does, and
    polls for it until the end of days.
    """

    def _submit_job(self, node, updatehash=False):
        self._taskid += 1
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
                "traceback": traceback.format_exc(),
                "hostname": multiprocessing.current_process().name,
                "taskid": taskid,
            }
