"""A page as a person sees it: Debian's Chromium without a screen, driven by its DevTools."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
FLAGS = (
    *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'),
    *('--disable-background-networking', '--disable-component-update', '--disable-sync'),
    '--remote-debugging-port=0',
    '--enable-unsafe-swiftshader',  # WebGL without a graphics card
)
SECONDS = 120
# Every element of the page, of what is in the shadow of another, and of frames.
_ALL = """
function all(root) {
  const found = [];
  for (const x of root.querySelectorAll('*')) {
    found.push(x);
    if (x.shadowRoot) found.push(...all(x.shadowRoot));
    if (x.tagName === 'IFRAME' && x.contentDocument) found.push(...all(x.contentDocument));
  }
  return found;
}
"""
_TEXT = """
all(document).filter(x => !['SCRIPT', 'STYLE'].includes(x.tagName)).flatMap(
  x => [...x.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim())
).filter(t => t).join('\\n')
"""


def find() -> str | None:
    """The command of a browser, if there is one on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a browser, as long as the `with` block lasts."""

    def __init__(self, command: str, width: int = 1400, height: int = 900):
        self.command, self.size = command, (width, height)
        self.numbers = itertools.count(1)

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        window = f'--window-size={self.size[0]},{self.size[1]}'
        command = [self.command, *FLAGS, window, f'--user-data-dir={self.folder.name}']
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        self.process = subprocess.Popen([*command, 'about:blank'], **quiet)
        try:
            port = self._until(self._port, 'it has no port')
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/json', timeout=SECONDS) as f:
                (page,) = [p for p in json.load(f) if p['type'] == 'page']
            address = page['webSocketDebuggerUrl']
            self.socket = websocket.create_connection(address, SECONDS, suppress_origin=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def _port(self) -> str | None:
        path = Path(self.folder.name, 'DevToolsActivePort')
        lines = path.read_text().splitlines() if path.exists() else []
        return lines[0] if lines else None

    def _until(self, look, what: str):
        """What `look()` returns as soon as it is something."""
        deadline = time.monotonic() + SECONDS
        while not (found := look()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'{self.command}: {what}')
            time.sleep(0.2)
        return found

    def _ask(self, method: str, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({'id': number, 'method': method, 'params': parameters}))
        while (answer := json.loads(self.socket.recv())).get('id') != number:
            if answer.get('method') == 'Fetch.requestPaused':
                self._answer(answer['params']['requestId'])
        assert 'error' not in answer, answer
        return answer['result']

    def serve(self, pattern: str, script: str):
        """Answers requests of the page that this machine cannot reach with a script."""
        self.script = base64.b64encode(script.encode()).decode()
        self._ask('Fetch.enable', patterns=[{'urlPattern': pattern}])

    def _answer(self, request: str):
        kind = {'name': 'Content-Type', 'value': 'text/javascript'}
        answer = {'responseCode': 200, 'responseHeaders': [kind], 'body': self.script}
        parameters = {'requestId': request, **answer}
        message = {'id': next(self.numbers), 'method': 'Fetch.fulfillRequest', 'params': parameters}
        self.socket.send(json.dumps(message))

    def open(self, address: str):
        """Opens another page; nothing of the one before is left."""
        self._ask('Page.navigate', url='about:blank')
        self._ask('Page.navigate', url=address)

    def run(self, script: str):
        """The value of the last expression of a script in the page; `all(root)` is there for it."""
        found = self._ask('Runtime.evaluate', expression=_ALL + script, returnByValue=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def text(self) -> str:
        """All that is written on the page, a line for each piece."""
        return self.run(_TEXT)

    def wait_for(self, script: str):
        """What the script returns as soon as it is something."""
        return self._until(lambda: self.run(script), f'nothing of {script}')

    def wait_for_text(self, *parts: str):
        """Until all of `parts` are on the page."""

        def missing() -> list[str]:
            text = self.text()
            return [part for part in parts if part not in text]

        try:
            self._until(lambda: not missing(), '')
        except AssertionError:
            raise AssertionError(f'{missing()} not on the page: {self.text()[:4000]}') from None

    def screenshot(self, path: str):
        """The visible part of the page, as a PNG."""
        data = self._ask('Page.captureScreenshot', format='png')['data']
        Path(path).write_bytes(base64.b64decode(data))
