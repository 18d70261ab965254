"""The installed Chromium, driven by the plain HTTP of the WebDriver protocol; nothing to install, nothing to download."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WHY_NOT = "needs chromium and chromedriver on the path"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Chromium:
    """One headless browser with an empty profile; a context manager."""

    def __init__(self, profile: Path) -> None:
        self.profile = profile

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        assert DRIVER is not None
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            self._root = f"http://127.0.0.1:{self._port()}"
            options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={self.profile}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._root += f"/session/{session['sessionId']}"
        except BaseException:
            self._stop_driver()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._send("DELETE", "")
        finally:
            self._stop_driver()

    def _port(self) -> int:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                return int(found[1])
        raise RuntimeError("chromedriver did not start")

    def _stop_driver(self) -> None:
        self._driver.terminate()
        self._driver.wait(timeout=20)
        assert self._driver.stdout is not None
        self._driver.stdout.close()

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Show a file in a window of this width, in CSS pixels."""
        self._chrome(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._chrome("Emulation.setEmulatedMedia", features=scheme)
        self._send("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """Value that a piece of JavaScript returns."""
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def type_keys(self, keys: str) -> None:
        """Press keys where the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def click(self, selector: str) -> None:
        """Click the middle of the first element that matches."""
        place = {"using": "css selector", "value": selector}
        element = next(iter(self._send("POST", "/element", place).values()))
        self._send("POST", f"/element/{element}/click")

    def complaints(self) -> list[str]:
        """What the console has said since last asked."""
        return [entry["message"] for entry in self._send("POST", "/se/log", {"type": "browser"})]

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self._chrome("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """Write the page as printed."""
        path.write_bytes(base64.b64decode(self._chrome("Page.printToPDF")["data"]))

    def _chrome(self, command: str, **parameters: Any) -> Any:
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})
