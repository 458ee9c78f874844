"""Listeners: a consumer with a handler, on a thread of Python."""

from __future__ import annotations

import functools
import logging
import threading
import time
import weakref

from ._errors import BusyError, Error, Park, TimeoutError
from ._repliq import Work
from ._status import ListenerStatus

_log = logging.getLogger("repliq.listener")


class Listener:
    """A consumer with a handler, made by ``consumer.listen(handler)``; closing waits for the call under way.

    The handler runs on a thread of its own, or on several, which do not keep the interpreter alive. A listener that is
    collected ends after the calls under way.
    """

    def __init__(self, work: Work, threads: int) -> None:
        self._work = work
        #: What ended the work and not the listener: a bug of the library.
        self._died: list[Error] = []
        run = functools.partial(_run, work, self._died)
        self._threads = [
            threading.Thread(target=run, name="repliq-listener", daemon=True) for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        self._finalizer = weakref.finalize(self, work.stop)
        self._finalizer.atexit = False

    def close(self, *, timeout: float | None = None) -> None:
        """Ends the work after the calls under way, for which it waits, and closes the consumer.

        Raises:
            BusyError: called by the handler itself.
            TimeoutError: the handler did not return in the time given; the work ends when it does.
        """
        if threading.current_thread() in self._threads:
            raise BusyError("a listener cannot be closed by its own handler")
        self._finalizer()
        end = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise TimeoutError("the handler of a listener has not returned in the time given")

    def status(self) -> ListenerStatus:
        """What it has done."""
        status = self._work.status()
        if self._died:
            status["ended"] = self._died[0]
        return status

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def _run(work: Work, died: list[Error]) -> None:
    try:
        work.run()
    except Error as error:
        died.append(error)
        _log.error("a listener ended: %s", error)


def failed(error: BaseException) -> str | None:
    """Logs what a handler raised; the reason where it wants its message put aside."""
    parked = isinstance(error, Park)
    try:
        if parked:
            _log.warning("a handler put its message aside: %s", error)
        else:
            _log.error("a handler failed: %s", error, exc_info=error)
    except BaseException:
        # A logger that fails, or an exception without a text, takes nothing from what the handler said.
        pass
    return str(error) if parked else None
