"""Nipype's pool of processes, without its ways of waiting forever and of staying behind."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
import ctypes
import fcntl
from functools import partial
import gc
import logging
import multiprocessing
from multiprocessing.process import BaseProcess
import os
import signal
import sys
from threading import Event, Lock
import time
import traceback

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node

from qsmprep.errors import ResourceError

KILLED = (
    "the process of this step was killed twice, as systems do that run out of memory; "
    "give it more memory, or run fewer steps at once by --nprocs"
)

GRACE_S = 2.0
"""Time that a worker has to remove what it was writing."""


_leaving = Event()
"""Whether this process is a worker that was asked to end."""


class Pool(MultiProcPlugin):
    """
    Run nodes in worker processes, and count a node whose worker is lost as failed.

    Nipype's plugin drops a job that dies without a result, as one killed for memory does, and
    polls for it until the end of days.
    """

    pool: ProcessPoolExecutor

    def __init__(self, plugin_args):
        super().__init__(plugin_args)
        self.pool.shutdown()
        self.workers: dict[ProcessPoolExecutor, dict[int, BaseProcess]] = {}
        """Of all pools; one that is broken forgets its own, and they wait for work for ever."""
        self.pool = self._open(self.processors)
        self.ending = False
        self.resubmission = Lock()
        """Held by the thread that opens a pool, and by the one that ends all there are."""
        self.untold: dict[str, str] = {}
        """Tracebacks that could not be written, by the names of their nodes."""

    def _open(self, workers: int) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=workers,
            initializer=_start_worker,
            initargs=(os.getcwd(),),
            # A fork of a process with threads may hang.
            mp_context=multiprocessing.get_context("forkserver"),
        )
        self.workers[pool] = pool._processes  # type: ignore[assignment]
        return pool

    def end(self) -> None:
        """End all workers now, whatever they are at; nothing happens after a whole run."""
        with self.resubmission:
            self.ending = True  # or workers that end would be replaced by others
        for pool in self.workers:
            pool.shutdown(wait=False, cancel_futures=True)
        _end([worker for workers in self.workers.values() for worker in workers.values()])

    def _send_procs_to_workers(self, updatehash=False, graph=None):
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        # Nipype only sleeps a while between two looks, which takes a quarter of a core.
        running = [self._task_obj[taskid] for taskid, _ in self.pending_tasks]
        waiting = ~self.proc_done & (self.depidx.sum(axis=0) == 0).__array__()
        if running and (len(running) == self.processors or not waiting.any()):
            wait(running, timeout=1.0, return_when=FIRST_COMPLETED)

    def _submit_job(self, node, updatehash=False):
        self._taskid += 1
        try:
            self._submit_to(self.pool, self._taskid, node, updatehash)
        except BrokenProcessPool:  # one lost worker takes its pool with it
            self.pool = self._open(self.processors)
            self._submit_to(self.pool, self._taskid, node, updatehash)
        return self._taskid

    def _submit_to(self, pool, taskid, node, updatehash, last=False):
        future = pool.submit(run_and_tidy, node, updatehash, taskid)
        self._task_obj[taskid] = future
        future.add_done_callback(partial(self._collect, pool, taskid, node, updatehash, last))

    def _collect(self, pool, taskid, node, updatehash, last, future):
        try:
            try:
                self._taskresult[taskid] = future.result()
            except BrokenProcessPool as error:
                if last:
                    raise ResourceError(KILLED) from error
                # Once more, and alone: the others of the pool are lost without fault. First the
                # workers that are left must be gone, or two would write into one folder.
                _end(list(self.workers[pool].values()))
                with self.resubmission:
                    if self.ending:
                        raise
                    self._submit_to(self._open(1), taskid, node, updatehash, last=True)
        except BaseException:  # noqa: BLE001 - also what is no Exception must not be waited for
            self._taskresult[taskid] = {
                "result": None,
                "traceback": traceback.format_exc().splitlines(keepends=True),
                "taskid": taskid,
            }

    def _report_crash(self, node, result=None):
        try:
            return super()._report_crash(node, result)
        except OSError:  # nothing more goes onto this disk, but the reason is to be told
            self.untold[node.fullname] = "".join((result or {}).get("traceback") or [])
            return ""


def _end(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    patience = time.monotonic() + GRACE_S
    for worker in workers:
        worker.join(max(0.0, patience - time.monotonic()))
        worker.kill()  # one that is inside a library does not hear the first call


def run_and_tidy(node, updatehash, taskid):
    """Run a node as nipype does, and give the memory that it no longer uses back."""
    try:
        return run_node(node, updatehash, taskid)
    finally:
        if _leaving.is_set():
            # Nipype takes the end of a worker for a crash of its node, and would have it go on.
            os._exit(1)
        gc.collect()
        # The allocator keeps what it may need again, half a gigabyte after a registration.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # other C libraries than GNU's have no such function
            trim(0)


def _start_worker(folder: str) -> None:
    os.chdir(folder)
    # Ctrl-C reaches all processes of a terminal: the main one decides what becomes of the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGALRM, _leave)
    sys.unraisablehook = _leave_after_all
    _die_with_program()
    hush()


def _leave(*_) -> None:
    """End this worker, once: a second call on its way out would be told as a crash."""
    if not _leaving.is_set():
        _leaving.set()
        sys.exit(1)


def _leave_after_all(lost) -> None:
    """Ask once more: Python drops what is raised in callbacks of its own, such as this end."""
    if lost.exc_type is SystemExit and _leaving.is_set():
        _leaving.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # when the callback is over
    else:
        sys.__unraisablehook__(lost)


def _die_with_program() -> None:
    """
    Have the kernel kill this worker as soon as its program is gone, however that came.

    Else it would go on for minutes, inside a library that lets no thread watch, and then wait
    for work for ever.
    """
    program = multiprocessing.parent_process()
    if program is not None:
        # A pipe, whose other end the program holds: losing it counts as input.
        pipe = program.sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def hush() -> None:
    """Keep libraries from telling twice what progress lines and crash files tell."""
    os.environ["NIPYPE_NO_ET"] = "1"
    import nipype  # noqa: F401 - it sets the levels of its loggers when imported

    for name in ("nipype.workflow", "nipype.interface", "nipype.utils", "nibabel.global"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
