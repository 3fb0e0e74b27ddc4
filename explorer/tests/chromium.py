"""A real Chromium, driven by its own protocol: pages are opened, typed into, and looked at."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from explorer.tests.html import Page, parsed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
)
WAIT_S = 30


class Tab:
    """A tab of the browser, with what its page complained of and asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        """Lines of the console, and exceptions of the script."""
        self.asked: list[str] = []
        """The addresses that the page asked for."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=WAIT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        """Keeps what an event tells of the page."""
        given = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(given["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(given["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(given["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"]))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, url: str) -> Page:
        """The page at an address, when its script has run."""
        self.complaints.clear()
        self.asked.clear()
        self.call("Page.navigate", url=url)
        self.settle()
        return self.page()

    def settle(self) -> None:
        """Waits until the page is loaded and its script has run."""
        self.wait(lambda: self.run("document.readyState") == "complete")

    def page(self) -> Page:
        """The page as it is now."""
        return parsed(self.run("document.documentElement.outerHTML"))

    def wait(self, is_so: Callable[[], object]) -> None:
        """Waits until something is so."""
        give_up = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < give_up, "it never was so"
            time.sleep(0.05)

    def press(self, key: str, number: int = 0) -> None:
        """Presses a key and lets it go; of keys that the browser acts on, by its number."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=number,
            )

    def type(self, text: str) -> None:
        """Types a text where the focus is."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int = 900) -> None:
        """Makes the window so large."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """Prefers dark or light colours."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)


@contextmanager
def browser(profile: Path) -> Iterator[Callable[[], Tab]]:
    """A browser with a profile of its own; opens tabs."""
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        place = profile / "DevToolsActivePort"
        give_up = time.monotonic() + WAIT_S
        while not (place.exists() and len(place.read_text().splitlines()) == 2):
            assert time.monotonic() < give_up, "Chromium did not start"
            time.sleep(0.05)
        port, path = place.read_text().splitlines()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield lambda: Tab(socket)
    finally:
        process.terminate()
        process.wait(timeout=WAIT_S)
