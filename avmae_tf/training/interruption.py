"""Notices that a process is to end, and that it stands still; and the exit code that says so.

Whoever ends it says so by SIGTERM: Kubernetes, Vertex AI, a machine that shuts down. On Google
Cloud the metadata server says it, too, of a machine that is taken back, and of one that will be
stopped for maintenance, which may be an hour ahead. What is trained is then saved after the steps
that are under way; see `avmae_tf.training.pieces`.
"""

import contextlib
import faulthandler
import os
import select
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from avmae_tf import console

EXIT_AGAIN = 143  # 128 + SIGTERM: Kubeflow's training operator and Vertex AI start it again
GRACE_SECONDS = 55.0  # after a notice; who gives it waits for a minute at the most
POLL_SECONDS = 5.0
METADATA_HOST = 'GCE_METADATA_HOST'  # environment variable of Google's clients
_PRODUCT, _GOOGLE = Path('/sys/class/dmi/id/product_name'), 'Google'
_STOP = b'\0'


class Interrupted(console.Failed):
    """A run was to end, or lost a worker: what it did is kept, and it is to be started again."""

    exit_code = EXIT_AGAIN


class Watch:
    """What has been noticed; `alive` says that steps go on."""

    def __init__(self, standstill_minutes: float | None = None):
        self.reason = ''  # to end, if there is one
        self.wants_checkpoint = False
        self._standstill = 60.0 * standstill_minutes if standstill_minutes else float('inf')
        self._end_by = self._stands_still_at = float('inf')

    def alive(self) -> None:
        """To be called between steps: from the first time on they must not be long apart."""
        self._stands_still_at = time.monotonic() + self._standstill

    def notice(self, reason: str) -> None:
        """The process is to end; it is ended if it does not do so in time."""
        if not self.reason:
            self.reason, self._end_by = reason, time.monotonic() + GRACE_SECONDS

    def look(self) -> None:
        """Ends the process where it has not ended itself in time, or stands still."""
        if time.monotonic() > self._end_by:
            end(f'{self.reason}, and no step has ended in {GRACE_SECONDS:.0f} seconds since')
        if time.monotonic() > self._stands_still_at:
            faulthandler.dump_traceback()
            end(
                f'no step in {self._standstill / 60:g} minutes: another worker, a device or a file '
                'system hangs; above is what each thread does'
            )


def end(text: str) -> None:
    """Ends the process at once, whatever its other threads do."""
    console.say(f'error: {text}; the last checkpoint is kept, start it again to go on')
    sys.stderr.flush()
    os._exit(EXIT_AGAIN)


@contextlib.contextmanager
def watched(standstill_minutes: float | None = None) -> Iterator[Watch]:
    """Watches over the block. A thread of its own does, since steps and compiling keep the main
    one from Python for minutes.
    """
    watch, stop = Watch(standstill_minutes), threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        handler = signal.signal(signal.SIGTERM, lambda *_: None)
        earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threads = [threading.Thread(target=_listen, args=(watch, reader), daemon=True)]
    if on_google_cloud():
        threads.append(threading.Thread(target=_poll, args=(watch, stop), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        if is_main:
            signal.set_wakeup_fd(earlier)
            signal.signal(signal.SIGTERM, handler)
        stop.set()
        os.write(writer, _STOP)
        threads[0].join()
        os.close(reader)
        os.close(writer)


def _listen(watch: Watch, reader: int) -> None:
    while True:
        if select.select([reader], [], [], 1.0)[0]:
            signals = os.read(reader, 64)
            if signal.SIGTERM in signals:
                watch.notice('SIGTERM')
            if _STOP in signals:
                return
        watch.look()


def on_google_cloud() -> bool:
    """Whether this machine has Google's metadata server."""
    with contextlib.suppress(OSError):
        return METADATA_HOST in os.environ or _GOOGLE in _PRODUCT.read_text()
    return False


def _poll(watch: Watch, stop: threading.Event) -> None:
    was_announced = False
    while not stop.wait(POLL_SECONDS):
        if _ask('preempted') == 'TRUE':
            watch.notice('the machine is taken back')
        announced = _ask('maintenance-event') == 'TERMINATE_ON_HOST_MAINTENANCE'
        if announced and not was_announced:
            watch.wants_checkpoint = True
        was_announced = announced


def _ask(name: str) -> str:
    """What the metadata server says of this machine; '' if nothing."""
    host = os.environ.get(METADATA_HOST) or 'metadata.google.internal'
    request = urllib.request.Request(
        f'http://{host}/computeMetadata/v1/instance/{name}', headers={'Metadata-Flavor': _GOOGLE}
    )
    try:
        with urllib.request.urlopen(request, timeout=POLL_SECONDS) as answer:
            return answer.read().decode().strip()
    except OSError:
        return ''
