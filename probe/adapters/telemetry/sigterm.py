"""SIGTERM: what is buffered is sent before the process goes, within the flush bound.

Rules kept here: who handled the signal before still does, afterwards; a handler that is not Python's, or a
thread that is not the main one, is left alone, and then the flush at the end of each tick is all there is.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType


def before_sigterm(action: Callable[[], None]) -> bool:
    """Have an action done when SIGTERM comes, before what happened so far; returns whether that could be."""
    if threading.current_thread() is not threading.main_thread():
        return False
    previous = signal.getsignal(signal.SIGTERM)
    if previous is None:
        return False

    def handle(number: int, frame: FrameType | None) -> None:
        action()
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)
    return True
