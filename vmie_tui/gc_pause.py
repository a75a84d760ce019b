"""Keeps the cycle collector from stopping the program while very many values are built.

20,000 machines are some 200,000 objects. While they are made, the collector would look through all of them a dozen
times, each time for 30 to 150 ms in which no key is answered; they hold no cycles, so it would find nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_was_enabled = True


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collection inside the block; afterwards what exists is set aside (`gc.freeze`), never to be looked through.

    Objects set aside are still freed when their last reference goes. May be nested and used by several threads.
    """
    global _users, _was_enabled  # noqa: PLW0603 - the collector is one for the process
    with _lock:
        if _users == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                gc.freeze()
                if _was_enabled:
                    gc.enable()
