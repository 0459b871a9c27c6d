"""The console and the API's page in real Chromium.

usage: test_console.py PROGRAMS URL [FOLDER]   (FOLDER: where screenshots go)
"""

import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Browser
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

URL = ""
PROGRAMS = Path()
NOTHING = "\u2013"  # the dash that stands for a missing value
FOLDER: Path | None = None
ROOT = Path(__file__).parents[2]
TOKENS = """
someone infer,metrics open-sesame-open-sesame
picky infer photos-only-photos-only
"""


@contextmanager
def guarded_server() -> Iterator[str]:
    """The URL of a cleaved that demands tokens."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, port = Path(folder, "tokens"), Path(folder, "port")
        tokens.write_text(TOKENS)
        tokens.chmod(0o600)
        options = ["--listen", "127.0.0.1:0", "--port-file", port, "--tokens", tokens]
        server = subprocess.Popen([PROGRAMS / "cleaved", *options], stderr=subprocess.DEVNULL)
        try:
            while not port.exists():
                assert server.poll() is None, "cleaved ended"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port.read_text().strip()}"
        finally:
            server.terminate()
            server.wait()


class Console(unittest.TestCase):
    """One browser for all; each test loads its page anew."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = Browser(URL)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.browser.close()

    def tearDown(self) -> None:
        """Nothing was blocked, nothing failed, and no other host was asked."""
        self.browser.read_logs()
        complaints, self.browser.complaints = self.browser.complaints, []
        self.assertEqual(complaints, [])
        self.assertEqual(self.browser.foreign, set())

    def load(self, **how) -> None:
        self.browser.open(**how)
        self.browser.js("localStorage.clear()")
        self.browser.wait(lambda: self.browser.all("#samples button"), "the samples")

    def classify(self, sample: str = "cat") -> None:
        self.browser.js(f"document.querySelector('#samples img[alt={sample}]').parentNode.click()")
        self.browser.wait_for_text("#status", "bytes,")

    def compare(self) -> None:
        self.browser.js("document.getElementById('compare').click()")
        self.browser.wait_for_text("#compare-status", "points have run")

    def test_a_sample_is_classified(self) -> None:
        self.load()
        self.classify()
        labels = [item.text for item in self.browser.all("#top li")]
        self.assertEqual(len(labels), 5)
        self.assertRegex(labels[0], "(?i)cat|tabby")
        for side in ("device", "link", "server"):
            self.assertIn(side, self.browser.text("#time"))
        self.assertIn("times fewer bytes", self.browser.text("#wire-scale"))
        for canvas in ("wire-energy", "wire-channels"):
            colours = self.browser.js(
                "const c = document.getElementById(arguments[0]);"
                "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                "return new Set(new Uint32Array(d.buffer)).size",
                canvas,
            )
            self.assertGreater(colours, 10, f"{canvas} is flat")

    def test_a_photo_of_ones_own_is_classified(self) -> None:
        self.load()
        self.browser.one("#file").send_keys(str(ROOT / "models" / "samples" / "palace.jpg"))
        self.browser.wait_for_text("#status", "bytes,")
        self.assertEqual(len(self.browser.all("#top li")), 5)

    def test_a_png_becomes_a_jpeg(self) -> None:
        self.load()
        self.browser.one("#file").send_keys(str(ROOT / "docs" / "report" / "bytes.png"))
        self.browser.wait_for_text("#status", "bytes,")

    def test_a_file_that_is_no_picture_is_refused(self) -> None:
        self.load()
        self.browser.js(
            "const list = new DataTransfer();"
            "list.items.add(new File(['no'], 'x.png', {type: 'image/png'}));"
            "const drop = new DragEvent('drop', {dataTransfer: list, cancelable: true});"
            "document.getElementById('drop').dispatchEvent(drop)"
        )
        self.browser.wait_for_text("#status", "no picture")

    def test_the_camera_takes_a_photo(self) -> None:
        self.load()
        self.browser.one("#camera").click()
        self.browser.wait(lambda: self.browser.one("#shoot").is_displayed(), "the camera")
        self.browser.one("#shoot").click()
        self.browser.wait_for_text("#status", "bytes,")

    def test_every_point_is_compared(self) -> None:
        self.load()
        self.classify("coffee")
        self.compare()
        rows = self.browser.all("#table tbody tr")
        self.assertGreater(len(rows), 10)
        for row in rows:
            self.assertNotIn(NOTHING, row.text, f"a gap in {row.text!r}")
            self.assertRegex(row.text, r"\d+\.\d %")
            self.assertEqual(row.find_elements("css selector", ".wrong"), [])
        self.assertEqual(len(self.browser.all("#frontier .dot")), len(rows))

    def test_the_charts_move(self) -> None:
        self.load()
        self.browser.wait(lambda: self.browser.all("#charts svg .trace[d*=L]"), "two readings")
        self.compare_twice()
        chart = "#charts .card:nth-child({}) svg"
        self.browser.wait(
            lambda: (
                f"p50 {NOTHING}"
                not in self.browser.one(chart.format(2)).get_attribute("aria-label")
            ),
            "a latency",
        )
        saved = self.browser.one(chart.format(3)).get_attribute("aria-label")
        self.assertNotIn("since start 0 B", saved)
        self.assertRegex(self.browser.text("#version"), r"cleaved \d+\.\d+\.\d+")
        self.browser.one("#pause").click()
        self.assertEqual(self.browser.one("#pause").get_attribute("aria-pressed"), "true")

    def compare_twice(self) -> None:
        self.classify()
        self.compare()
        self.compare()

    def test_quantiles_are_prometheus_own(self) -> None:
        """Against histogram_quantile's rule, by hand: 10 in the first bucket,
        30 in the second, then 60 more of which 20 exceed every bound."""
        self.load()
        got = self.browser.driver.execute_async_script(
            """
            const done = arguments[arguments.length - 1];
            const text = (a, b, all) => `# TYPE x histogram
x_bucket{le="0.1"} ${a}
x_bucket{le="0.5"} ${b}
x_bucket{le="+Inf"} ${all}
`;
            import("/console/metrics.js").then(({ parse, quantile }) => {
              const [none, first, second] = [[0, 0, 0], [10, 40, 40], [30, 60, 100]]
                .map((one) => parse(text(...one)));
              done([quantile(none, first, "x", 0.25), quantile(none, first, "x", 0.5),
                quantile(first, second, "x", 0.5), quantile(first, first, "x", 0.5),
                quantile(first, second, "x", 0.99)]);
            });
            """
        )
        want = [0.1, 0.1 + 0.4 / 3, 0.5, None, 0.5]
        for one, other in zip(got, want, strict=True):
            self.assertAlmostEqual(one, other) if other else self.assertIsNone(one)

    def test_dark_follows_system_and_button(self) -> None:
        def paper() -> str:
            return self.browser.js("return getComputedStyle(document.body).backgroundColor")

        self.load(dark=False)
        light = paper()
        self.load(dark=True)
        dark = paper()
        self.assertNotEqual(light, dark)
        button = self.browser.one("#theme")
        button.click()
        self.assertEqual(button.text, "Theme: light")
        self.assertEqual(paper(), light)
        self.browser.driver.refresh()
        self.assertEqual(paper(), light)
        self.browser.js("localStorage.clear()")

    def test_narrow_pages_do_not_scroll_sideways(self) -> None:
        self.load(width=360, height=740)
        self.classify()
        self.compare()
        wide = self.browser.js(
            "return [...document.querySelectorAll('body *')].filter(e => !e.closest('svg') &&"
            " e.getBoundingClientRect().right > 361).map(e => e.outerHTML.slice(0, 80))"
        )
        self.assertEqual(wide, [])
        self.assertEqual(self.browser.js("return document.documentElement.scrollWidth"), 360)

    def test_the_keyboard_suffices(self) -> None:
        self.load()
        self.browser.js("document.activeElement.blur()")
        seen = []
        for _ in range(60):
            ActionChains(self.browser.driver).send_keys(Keys.TAB).perform()
            focused = self.browser.driver.switch_to.active_element
            seen.append(focused.get_attribute("id") or focused.text or focused.tag_name)
            if focused.find_elements("css selector", "img[alt=rocket]"):
                break
        else:
            self.fail(f"Tab never came to the sample: {seen}")
        ActionChains(self.browser.driver).send_keys(Keys.ENTER).perform()
        self.browser.wait_for_text("#status", "bytes,")
        self.assertLess(seen.index("theme"), seen.index("choose"))
        outline = self.browser.js("return getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid")

    def test_everything_has_a_name(self) -> None:
        self.load()
        self.classify()
        nameless = self.browser.js(
            "return [...document.querySelectorAll('button, a, select, input, svg[role], canvas')]"
            ".filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') ||"
            " e.labels?.length || e.querySelector('img[alt]'))).map(e => e.outerHTML)"
        )
        self.assertEqual(nameless, [])

    def test_the_description_is_rendered(self) -> None:
        self.browser.open("/docs")
        self.browser.wait(lambda: len(self.browser.all(".opblock")) > 10, "the operations")
        self.browser.one("#operations-models-getModel button").click()
        operation = "#operations-models-getModel "
        self.browser.wait(lambda: self.browser.all(operation + ".execute"), "Execute")
        self.assertEqual(len(self.browser.all(operation + "tr[data-param-name=model]")), 1)
        self.browser.one(operation + ".execute").click()
        self.browser.wait_for_text(operation + ".live-responses-table", '"fingerprint"')

    def test_a_token_is_asked_for(self) -> None:
        browser, open_url = self.browser, self.browser.url
        with guarded_server() as browser.url:
            browser.open()
            self.answer_dialog("a wrong one")
            browser.wait_for_text("#token-why", "not known")
            self.answer_dialog("photos-only-photos-only")
            browser.wait(lambda: browser.all("#samples button"), "the samples")
            self.classify()
            browser.wait_for_text("#live-status", "lacks the scope metrics")
            self.load()  # the tab remembers it
            self.assertFalse(browser.one("#token").is_displayed())
            browser.js("sessionStorage.clear()")
            browser.open()
            self.answer_dialog("open-sesame-open-sesame")
            browser.wait(lambda: browser.all("#charts svg .trace[d*=L]"), "two readings")
            self.assertEqual(browser.text("#live-status"), "")
            browser.read_logs()
        browser.url = open_url
        refusals = [one for one in browser.complaints if "401" in one or "403" in one]
        self.assertEqual(browser.complaints, refusals)
        browser.complaints = []

    def answer_dialog(self, token: str) -> None:
        self.browser.wait(lambda: self.browser.one("#token").is_displayed(), "the dialog")
        self.assertEqual(self.browser.js("return document.activeElement.id"), "token-text")
        self.browser.one("#token-text").send_keys(token, Keys.ENTER)

    def test_screenshots(self) -> None:
        if not FOLDER:
            self.skipTest("no folder for screenshots")
        self.load()
        self.compare_twice()
        for _ in range(6):
            time.sleep(2)
            self.compare()
        self.classify()
        self.picture("console", "header", "#picture")
        self.picture("console-points", "#points", "#points")
        self.picture("console-live", "#live", "#model")
        self.load(dark=True)
        self.compare_twice()
        self.classify()
        self.picture("console-dark", "header", "#points")
        self.load(width=390, height=844)
        self.compare_twice()
        self.picture("console-phone", "header", "#row-light-base")
        self.browser.open("/docs")
        self.browser.wait(lambda: len(self.browser.all(".opblock")) > 10, "the operations")
        self.picture("api", ".back", "#operations-tag-operation")

    def picture(self, name: str, first: str, last: str) -> None:
        self.browser.js("document.activeElement.blur()")
        self.browser.picture(str(FOLDER / f"{name}.webp"), first, last)


if __name__ == "__main__":
    PROGRAMS = Path(sys.argv.pop(1))
    URL = sys.argv.pop(1)
    if len(sys.argv) > 1:
        FOLDER = Path(sys.argv.pop(1))
        FOLDER.mkdir(parents=True, exist_ok=True)
    unittest.main()
