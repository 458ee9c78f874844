"""Log lines of the library in ``logging``."""

from __future__ import annotations

import logging
import threading

from . import _repliq

_lock = threading.Lock()
_thread: threading.Thread | None = None


def log_set(level: int | None) -> None:
    """Hands log lines of ``level`` and more important ones to ``logging``, under names such as ``repliq.server``.

    ``None`` ends it. Without it the library logs nothing and a line costs a comparison. The lines come on one
    thread of Python that is started here: no other thread of the library enters the interpreter.
    """
    global _thread
    _repliq.log_level(level)
    with _lock:
        if level is not None and _thread is None:
            _thread = threading.Thread(target=_run, name="repliq-log", daemon=True)
            _thread.start()


def _run() -> None:
    while True:
        lines, lost = _repliq.log_drain(None)
        if lost:
            logging.getLogger("repliq").warning("%d log lines were lost", lost)
        for level, name, text in lines:
            logging.getLogger(name).log(level, "%s", text)
