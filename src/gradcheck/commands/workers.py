"""Run pieces of work in processes of their own, and have the results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TextIO, TypeVar

from gradcheck.errors import RuleError

__all__ = ["in_order", "in_processes", "jobs_for"]

T = TypeVar("T")
R = TypeVar("R")

# A process imports JAX first, which takes as long as it takes to verify two or three gradients.
_WORTH = 4


def jobs_for(wanted: int | None, tasks: int) -> int:
    """Choose how many processes to start: what is wanted, else one for each CPU, as far as they have enough to do."""
    if wanted is not None:
        return min(wanted, max(tasks, 1))
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, tasks // _WORTH))


def in_processes(work: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Generator[R]:
    """Work the tasks off in so many processes.

    ``work`` and the tasks are sent to them, so ``work`` must be a function of a module. On Ctrl-C, or where the caller
    wants no more, the processes are ended at once.

    Raises
    ------
    RuleError
        If a process died.
    """
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, _leave_interrupts_to_the_parent)
    try:
        yield from in_order(pool, work, tasks)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise RuleError(
            "a process that verified a gradient has died, of memory or of a crash in compiled code; "
            "run again with --jobs 1 to see at which"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()


def in_order(pool: Executor, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """Hand tasks to an executor of any kind, and yield the results in the order of the tasks, as soon as can be.

    On a terminal, a line that is overwritten says how many are done.
    """
    counter = _Counter(len(tasks), sys.stderr)
    futures = [pool.submit(work, task) for task in tasks]
    for future in futures:
        future.add_done_callback(counter.count)
    try:
        for future in futures:
            result = future.result()
            counter.clear()
            yield result
    finally:
        counter.clear()


class _Counter:
    """Says on a terminal how many tasks are done, and elsewhere nothing."""

    def __init__(self, total: int, file: TextIO) -> None:
        self._total, self._done, self._file = total, 0, file
        self._lock = threading.Lock()  # tasks end in a thread of the executor

    def count(self, _: Future[Any]) -> None:
        """Count one more."""
        with self._lock:
            self._done += 1
            if self._file.isatty() and self._done < self._total:
                self._file.write(f"\r{self._done} of {self._total} done")
                self._file.flush()

    def clear(self) -> None:
        """Make room for a line of results."""
        with self._lock:
            if self._file.isatty():
                self._file.write("\r\x1b[K")
                self._file.flush()


def _leave_interrupts_to_the_parent() -> None:
    """Ignore Ctrl-C, which reaches every process of a terminal: the parent ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
