"""The report in a real browser: no error, no request, and its tables sort and filter.

Chromium is driven over the DevTools protocol on a pair of pipes, which needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.reporting.report import write_report

pytestmark = pytest.mark.long

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
DEADLINE = 60.0


class Page:
    """One tab. ``events`` collects every message of the browser that is no answer."""

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        # The protocol fixes the numbers: the browser reads commands from descriptor 3 and answers on 4.
        launch = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        arguments = ["bash", "-c", launch, "bash", str(commands), str(answers)]
        self._process = subprocess.Popen(
            [*arguments, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._asked = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            self.events.append(answer)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call("Page.navigate", url=path.as_uri())
        end = time.monotonic() + DEADLINE
        while self.run("document.readyState") != "complete" or self.run("location.href") == "about:blank":
            assert time.monotonic() < end, "the page did not load"
            time.sleep(0.05)

    def close(self) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], DEADLINE)
            assert ready, "the browser does not answer"
            got = os.read(self._read, 1 << 16)
            assert got, "the browser ended"
            self._buffer += got
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get update && apt-get install -y chromium")
    if sys.platform == "win32":
        pytest.skip("drives Chromium over inherited pipes, which Windows does not pass on")
    tab = Page(program, tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


@pytest.fixture
def report_file(run_folder: Callable[..., Path]) -> Path:
    return write_report(run_folder()).html


def column(name: str, place: int) -> str:
    rows = f"[...document.querySelectorAll('#{name} tbody tr')].filter(row => !row.hidden)"
    return f"{rows}.map(row => row.cells[{place}].innerText)"


def test_no_error_and_no_request(page: Page, report_file: Path) -> None:
    page.events.clear()
    page.open(report_file)
    page.run("new Promise(done => setTimeout(done, 500))")
    asked = [
        e["params"]["request"]["url"] for e in page.events if e.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [report_file.as_uri()]
    said = [
        e for e in page.events if e.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    ]
    said += [e for e in page.events if e.get("method") == "Log.entryAdded"]
    assert said == []
    assert page.run("window.hacked") is None


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("fetch('http://127.0.0.1:9/').catch(() => 0)", "connect-src"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))", "img-src"),
        (
            "document.body.insertAdjacentHTML('beforeend', '<p onclick=\"hacked = 1\"></p>')",
            "script-src-attr",
        ),
        (
            "document.body.append(Object.assign(document.createElement('script'), {text: 'hacked = 1'}))",
            "script-src",
        ),
    ],
)
def test_the_policy_stops_what_the_report_does_not_bring(
    page: Page, report_file: Path, attempt: str, directive: str
) -> None:
    page.open(report_file)
    heard = "addEventListener('securitypolicyviolation', event => done(event.effectiveDirective))"
    stopped = page.run(f"new Promise(done => {{ {heard}; {attempt}; setTimeout(done, 2000, 'nothing') }})")
    assert stopped.startswith(directive)
    assert page.run("window.hacked") is None


def test_tables_sort_by_click(page: Page, report_file: Path) -> None:
    page.open(report_file)
    click = "document.querySelectorAll('#results thead button')[{}].click()"
    page.run(click.format(2))
    assert page.run(column("results", 2)) == ["0.951", "0.689", "0.641", "0.602", "0.562"]
    page.run(click.format(2))
    assert page.run(column("results", 2)) == ["0.562", "0.602", "0.641", "0.689", "0.951"]
    assert page.run("document.querySelector('#results [aria-sort]').innerText").startswith("Base")
    page.run(click.format(1))
    # Without a BM25 figure, P@1 is last in either direction.
    assert page.run(column("results", 0)) == ["R@100", "nDCG@10", "RR@10", "AP", "P@1"]
    page.run(click.format(1))
    assert page.run(column("results", 0)) == ["AP", "RR@10", "nDCG@10", "R@100", "P@1"]
    page.run(click.format(0))
    assert page.run(column("results", 0)) == ["AP", "nDCG@10", "P@1", "R@100", "RR@10"]


def test_long_tables_filter(page: Page, report_file: Path) -> None:
    page.open(report_file)
    page.run("const field = document.querySelector('#general input'); field.value = 'ING'; 0")
    page.run("field.dispatchEvent(new Event('input'))")
    assert page.run(column("general", 0)) == ["cooking", "shopping"]
    assert page.run("document.querySelector('#general output').innerText") == "2 of 10"


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, report_file: Path, width: int) -> None:
    page.open(report_file, width=width)
    page.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page: Page, report_file: Path, scheme: str) -> None:
    """WCAG 2.2 contrast, at least 4.5 to 1, of every text on the page and in the charts."""
    page.open(report_file, scheme=scheme)
    assert page.run(CONTRAST) == []
    dark = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 60")
    assert dark == (scheme == "dark")


CONTRAST = """
(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length && colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || node.closest('script')) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(walker.currentNode.textContent.trim().slice(0, 40));
  }
  return faint;
})()
"""


def test_print_unfolds_what_is_folded(page: Page, report_file: Path) -> None:
    page.open(report_file)
    folded = page.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 0
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") == 0
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") == folded
    printed = page.call("Page.printToPDF", printBackground=True)["data"]
    assert printed.startswith("JVBERi")


def test_ids_are_distinct(page: Page, report_file: Path) -> None:
    page.open(report_file)
    ids = page.run("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    used = page.run("[...document.querySelectorAll('use')].map(node => node.getAttribute('href'))")
    assert used
    assert {reference.removeprefix("#") for reference in used} <= set(ids)
