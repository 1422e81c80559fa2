"""A real browser without a window, driven through the Chrome DevTools Protocol over a pair of pipes.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero byte, on the descriptors 3
(to the browser) and 4 (from it) where it is started with --remote-debugging-pipe.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # a container has no right to make one; nothing but our own page is opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE_S = 60.0


class Tab:
    """One page. `events` are all that the browser has told, as the protocol names them."""

    def __init__(self, commands: int, answers: int):
        self.events: list[dict[str, Any]] = []
        self._commands = commands
        self._answers = answers
        self._buffer = b""
        self._last = 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one method of the protocol. Raises RuntimeError where it fails."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def run(self, script: str) -> Any:
        """The value of a script in the page, awaited where it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of a script as soon as it is true. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {script}")
            time.sleep(0.02)
        return value

    def wait_for_event(self, method: str, **parameters: Any) -> None:
        """Until the browser has told of this, with these parameters among others."""
        while not any(
            event["method"] == method and parameters.items() <= event["params"].items() for event in self.events
        ):
            self.events.append(self._receive())

    def open(self, address: str, *, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """Load a page in a window of this size, in light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height}
        self.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=width < 600)
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an <input type=file>, as a person does in its dialog."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drop_file(self, x: int, y: int, path: Path) -> None:
        """Drag a file from outside over a place of the page, and let it go."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], PATIENCE_S)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def open_chromium(profile: Path) -> Iterator[Tab]:
    """A browser with its files in the folder `profile`. Raises FileNotFoundError where none is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise FileNotFoundError("the test of the page needs a browser: apt-get install chromium")
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=_place(command_read, answer_write),
        close_fds=False,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(answer_write)
    try:
        yield Tab(command_write, answer_read)
    finally:
        os.close(command_write)  # the browser ends with its pipe
        os.close(answer_read)
        process.wait(timeout=PATIENCE_S)


def _place(commands: int, answers: int) -> Callable[[], None]:
    """What puts the two ends of the pipes where the browser looks for them, in the new process."""

    def place() -> None:
        high = [os.dup(commands), os.dup(answers)]  # neither may be overwritten before it is copied
        for number, copy in zip((3, 4), high, strict=True):
            os.dup2(copy, number)

    return place
