"""Futures of ``concurrent.futures`` on a port: one thread for all of a store, from the first of them on."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future

from ._errors import ClosedError, Error, OutcomeUnknownError
from ._repliq import Port, Result

_log = logging.getLogger("repliq.futures")


class Futures:
    """The operations of a store that are under way."""

    def __init__(self) -> None:
        self._port = Port()
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Result]] = {}
        self._last = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def begin(self) -> tuple[Future[Result], Port, int]:
        """A future, the port and the tag to start its operation with."""
        future: Future[Result] = Future()
        # The commit goes on whatever becomes of the future, so there is nothing to cancel.
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise ClosedError("the store is closed")
            self._last += 1
            tag = self._last
            self._pending[tag] = future
            if self._thread is None:
                arguments = (self._port, self._lock, self._pending)
                self._thread = threading.Thread(
                    target=_run, args=arguments, name="repliq-futures", daemon=True
                )
                self._thread.start()
        return future, self._port, tag

    def forget(self, tag: int) -> None:
        """The operation could not be started."""
        with self._lock:
            self._pending.pop(tag, None)

    def close(self) -> None:
        """Ends every future; called when the store is closed and all has ended that will."""
        with self._lock:
            self._closed = True
            thread = self._thread
            tags = list(self._pending)
        for tag in tags:
            try:
                self._port.cancel(tag)
            except Error:
                pass  # It ended meanwhile.
        if thread is not None and thread is not threading.current_thread():
            self._settle()
        self._port.close()

    def _settle(self) -> None:
        """Waits for the thread to have taken what was cancelled."""
        with self._lock:
            left = list(self._pending.values())
        for future in left:
            try:
                future.exception(timeout=1.0)
            except TimeoutError:
                pass

    def __del__(self) -> None:
        # The store was dropped: its thread ends.
        self._port.close()


def _run(port: Port, lock: threading.Lock, pending: dict[int, Future[Result]]) -> None:
    while True:
        try:
            events = port.drain(256, timeout=None)
        except Error:
            _end_all(lock, pending, ClosedError("the store was closed before the operation ended"))
            return
        except BaseException:
            # Of no memory: nobody knows which events were in it.
            text = "no memory was left to read what became of the operation"
            _end_all(lock, pending, OutcomeUnknownError(text))
            continue
        for event in events:
            with lock:
                future = pending.pop(event.tag, None)
            if future is not None:
                _end(future, event.result, event.error)


def _end_all(lock: threading.Lock, pending: dict[int, Future[Result]], error: Error) -> None:
    with lock:
        left = list(pending.values())
        pending.clear()
    for future in left:
        _end(future, None, error)


def _end(future: Future[Result], result: Result | None, error: BaseException | None) -> None:
    try:
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)
    except BaseException as raised:
        # Of what the program does when it ends: the others are ended, too.
        _log.error("what follows a future failed: %r", type(raised), exc_info=raised)
