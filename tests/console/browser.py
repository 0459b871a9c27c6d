"""A headless Chromium that notes what it logs and which hosts it asks."""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60


class Browser:
    """Drives one tab of the page at `url`; `close` ends it."""

    def __init__(self, url: str) -> None:
        self.url = url
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (
            "--headless=new",
            "--no-sandbox",  # so that root may run it
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.complaints: list[str] = []
        self.foreign: set[str] = set()

    def close(self) -> None:
        self.driver.quit()

    def open(
        self, path: str = "/", width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Loads a page in a viewport of that many CSS pixels, on a system of that theme."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.url + path)

    def read_logs(self) -> None:
        """Collects complaints of the console and hosts other than the server's."""
        for entry in self.driver.get_log("browser"):
            self.complaints.append(entry["message"])
        own = urlsplit(self.url).netloc
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] != "Network.requestWillBeSent":
                continue
            target = urlsplit(message["params"]["request"]["url"])
            if target.scheme in ("http", "https", "ws", "wss") and target.netloc != own:
                self.foreign.add(target.netloc)

    def one(self, selector: str):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def js(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what: str) -> None:
        WebDriverWait(self.driver, PATIENCE_S, 0.1).until(
            lambda _: condition(), f"waited {PATIENCE_S} s for {what}"
        )

    def wait_for_text(self, selector: str, part: str) -> None:
        self.wait(lambda: part in self.text(selector), f"{part!r} in {selector}")

    def picture(self, path: str, first: str, last: str) -> None:
        """Saves the page from the element `first` to the element `last`, as WebP."""
        clip = self.js(
            "const box = (s) => document.querySelector(s).getBoundingClientRect();"
            "const y = Math.max(0, box(arguments[0]).top + scrollY - 20);"
            "return {x: 0, y, width: innerWidth, scale: 1,"
            " height: box(arguments[1]).bottom + scrollY + 20 - y}",
            first,
            last,
        )
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot",
            {"format": "webp", "quality": 80, "captureBeyondViewport": True, "clip": clip},
        )
        Path(path).write_bytes(base64.b64decode(shot["data"]))
