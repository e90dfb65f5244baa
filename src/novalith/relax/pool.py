"""Many relaxations at once: one process a worker, one thread a process, one task in flight a worker.

Workers are started fresh (never forked) and load the potential once, with one thread for every numerical library: small
matrices gain nothing from two, and sums keep one order, so that on one machine a relaxation gives the same bytes
whatever the number of workers. That is also why a pool of one worker starts a process of its own: what the caller's
process has loaded, and how, is not ours to set.

A worker that dies is replaced and its task tried once more; a second death ends that task with `Ending.FAILED` and
leaves the others alone. A task that outlasts the wall clock limit ends with `Ending.TIMED_OUT`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType

from novalith.errors import CorruptDataError, InputError, NovalithError
from novalith.materials import Crystal
from novalith.relax.base import Ending, Relaxation
from novalith.relax.potentials import load_potential, potential_info
from novalith.relax.relaxer import RelaxSettings, relax, without_result

#: One thread for every numerical library, and the same order of sums in every run on the same processor. They are read
#: when a library is loaded, so a worker must be born with them.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MKL_CBWR": "AUTO",
}
#: Deaths of a worker that one task may cause before it is given up.
_MAX_DEATHS = 2


@dataclass(frozen=True)
class _Task:
    """What a worker is busy with; `deaths` counts the workers that it has outlived."""

    id: str
    crystal: Crystal
    deaths: int = 0


@dataclass
class _Worker:
    """A process, the wire to it, and what it is busy with."""

    process: SpawnProcess
    wire: Connection
    task: _Task | None = None
    since: float = 0.0

    def stop(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.join()
        self.wire.close()


class RelaxationPool:
    """Workers that relax crystals; a context manager.

    Args:
        potential: its name (see `novalith.relax.potentials`).
        settings: when each relaxation stops.
        n_workers: processes to run.
        task_limit_s: wall clock limit of one task, generous: results must not depend on the speed of the machine.

    Attributes:
        info: name, version and energy scale of the potential.
        settings: as given.

    Raises:
        UnknownNameError: no potential has this name.
        InputError: `n_workers` or `task_limit_s` is not positive.
    """

    def __init__(
        self, potential: str, settings: RelaxSettings, n_workers: int, *, task_limit_s: float = 1800.0
    ) -> None:
        if n_workers < 1:
            raise InputError(f"n_workers is {n_workers}; expected at least 1.")
        if not task_limit_s > 0:
            raise InputError(f"task_limit_s is {task_limit_s}; expected a positive number of seconds.")
        self.info = potential_info(potential)
        self.settings = settings
        self._n_workers = n_workers
        self._task_limit_s = task_limit_s
        self._workers: list[_Worker] = []
        self._open = False

    def __enter__(self) -> RelaxationPool:
        self._open = True
        self._workers = [self._start() for _ in range(self._n_workers)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers, self._open = [], False

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return tuple(w.process.pid for w in self._workers if w.process.pid is not None)

    def run(self, tasks: Iterable[tuple[str, Crystal]]) -> Iterator[tuple[str, Relaxation]]:
        """Relax crystals and yield (id, relaxation) as each is done; every task is answered once.

        Tasks are drawn one by one as workers fall idle. What is in flight when the caller stops listening is dropped.

        Raises:
            CorruptDataError: a worker could not load the potential.
        """
        if not self._open:
            raise InputError(
                "The pool has no workers: use it as a context manager, 'with RelaxationPool(...) as pool'."
            )
        source = iter(tasks)
        again: deque[_Task] = deque()
        try:
            while True:
                while sum(w.task is not None for w in self._workers) < self._n_workers:
                    task = again.popleft() if again else next((_Task(*t) for t in source), None)
                    if task is None:
                        break
                    self._give(task)
                if not any(w.task for w in self._workers):
                    return
                yield from self._collect(again)
        finally:
            for worker in [w for w in self._workers if w.task is not None]:
                self._retire(worker)

    def _give(self, task: _Task) -> None:
        """Hand a task to an idle worker, or to a new one where workers have died."""
        worker = next((w for w in self._workers if w.task is None), None)
        if worker is None:
            worker = self._start()
            self._workers.append(worker)
        worker.task, worker.since = task, time.monotonic()
        # A worker may have died while idle: its closed wire is met in `_collect`, and the task goes to its successor.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.wire.send(task.crystal)

    def _collect(self, again: deque[_Task]) -> Iterator[tuple[str, Relaxation]]:
        """Wait for something to happen and yield the tasks that it ended."""
        busy = {w.wire: w for w in self._workers if w.task is not None}
        next_limit = min(w.since for w in busy.values()) + self._task_limit_s
        ready = wait(list(busy), timeout=max(0.0, next_limit - time.monotonic()))
        for wire in [w for w in busy if w in ready]:
            worker = busy[wire]
            task = worker.task
            if task is None:
                continue
            try:
                answer = worker.wire.recv()
            except (EOFError, ConnectionResetError):
                self._retire(worker)
                yield from self._after_death(task, again)
                continue
            if isinstance(answer, str):
                raise CorruptDataError(answer)
            worker.task = None
            yield task.id, answer
        for worker in busy.values():
            if worker.task is not None and time.monotonic() - worker.since >= self._task_limit_s:
                task = worker.task
                self._retire(worker)
                reason = f"The relaxation took more than {self._task_limit_s:g} s."
                yield task.id, without_result(task.crystal, self.info, Ending.TIMED_OUT, reason)

    def _after_death(self, task: _Task, again: deque[_Task]) -> Iterator[tuple[str, Relaxation]]:
        deaths = task.deaths + 1
        if deaths < _MAX_DEATHS:
            again.append(_Task(task.id, task.crystal, deaths))
            return
        reason = f"The worker process died {deaths} times on this crystal; is there enough memory?"
        yield task.id, without_result(task.crystal, self.info, Ending.FAILED, reason)

    def _retire(self, worker: _Worker) -> None:
        worker.stop()
        self._workers.remove(worker)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self.info.name, self.settings), name="novalith-relax", daemon=True
        )
        with _environment(WORKER_ENVIRONMENT), _main_left_alone():
            process.start()
        theirs.close()  # so that the death of the worker closes the wire
        return _Worker(process, ours)


def _serve(wire: Connection, potential_name: str, settings: RelaxSettings) -> None:
    """The life of a worker: load the potential, then answer crystals with relaxations until the wire closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers in order
    import torch

    torch.set_num_threads(1)
    try:
        try:
            potential = load_potential(potential_name)
        except NovalithError as error:
            wire.send(str(error))
            return
        while True:
            wire.send(relax(wire.recv(), potential, settings))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or has no more work


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep a new worker from running the user's script again.

    A spawned process imports the main module of its parent, and a script without a ``__name__`` guard would start its
    campaign once more in every worker. Workers need nothing from it: what they run is imported by name.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__spec__", "__file__") if hasattr(main, name)}
    main.__spec__ = None
    if "__file__" in hidden:
        del main.__file__
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes started within; the parent's own are put back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
