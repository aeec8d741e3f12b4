"""The page in a real browser: two lists, what moved, filters, blind votes, keys, texts that stay texts."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from sbert_triplet.search.server.app import Service
from sbert_triplet.search.server.app import page as built_page
from sbert_triplet.search.server.keys import Keys
from sbert_triplet.search.server.served import ServedModel

QUERY = "bread at night"
CHECK = "document.querySelectorAll('.hit').length"


def until(page: Any, script: str) -> Any:
    end = time.monotonic() + 30
    while not (found := page.run(script)):
        assert time.monotonic() < end, f"never: {script}; {page.run('document.body.innerText')}"
        time.sleep(0.03)
    return found


def ask(page: Any, query: str) -> None:
    page.run(f"document.getElementById('query').value = {json.dumps(query)}; 0")
    page.run("document.querySelectorAll('.list').forEach(list => list.remove())")
    page.run("document.getElementById('ask').requestSubmit()")
    until(page, "!document.body.classList.contains('busy') && document.querySelectorAll('.list').length > 0")


def opened(page: Any, running: Any, **how: Any) -> None:
    page.call("Page.navigate", url="about:blank")
    page.open(running.url + "/", **how)
    until(page, "document.getElementById('about').textContent.includes('4 documents')")


def press(page: Any, key: str) -> None:
    codes = {"Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13}
    more = {"windowsVirtualKeyCode": codes[key]} if key in codes else {"text": key}
    page.call("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def add_condition(page: Any, condition: str) -> None:
    page.run(
        f"{{ const one = document.getElementById('condition'); one.focus(); one.value = '{condition}' }}"
    )
    press(page, "Enter")


def ids(page: Any, place: int) -> list[str]:
    hits = f"document.querySelectorAll('.list')[{place}].querySelectorAll('.hit')"
    return list(page.run(f"[...{hits}].filter(hit => !hit.hidden).map(hit => hit.dataset.id)"))


def test_policy_and_nothing_from_elsewhere() -> None:
    body, policy = built_page()
    assert policy.startswith("default-src 'none'; connect-src 'self'; img-src data:;")
    assert "unsafe" not in policy
    for word in (b"http://", b"https://", b"//cdn", b"@import", b"innerHTML"):
        assert word not in body.replace(b"http://www.w3.org/2000/svg", b"")


@pytest.mark.long
class TestInBrowser:
    def test_two_lists_and_what_moved(self, page: Any, searching: Any, indexes: Any) -> None:
        page.events.clear()
        opened(page, searching)
        ask(page, QUERY)
        lists = [[hit.id for hit in one.index.search([QUERY])[0]] for one in reversed(indexes)]
        assert [ids(page, 0), ids(page, 1)] == lists
        assert page.run("[...document.querySelectorAll('.list h2')].map(one => one.innerText)") == [
            "Base model",
            "Tuned model",
        ]
        moves = page.run(
            "[...document.querySelectorAll('.tuned .hit')].map(hit => hit.querySelector('.move').innerText)"
        )
        base, tuned = lists
        assert moves == [
            "= same place" if (by := base.index(one) - place) == 0 else f"{'↑' if by > 0 else '↓'} {abs(by)}"
            for place, one in enumerate(tuned)
        ]
        scores = page.run("[...document.querySelectorAll('.tuned .score')].map(one => one.innerText)")
        assert scores == [f"{hit.score:.3f}" for hit in indexes[0].index.search([QUERY])[0]]
        said = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        assert [event for event in page.events if event.get("method") in said] == []
        asked = [
            event["params"]["request"]["url"]
            for event in page.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        assert all(url.startswith((searching.url, "data:", "about:")) for url in asked)

    def test_texts_are_texts(self, page: Any, searching: Any) -> None:
        """A document, an id, metadata and a query that look like markup are shown as they are."""
        opened(page, searching)
        ask(page, "<img src=x onerror='window.hacked = 2'> salt bread")
        shown = page.run("document.querySelector(\".hit[data-id='../salt']\").innerText")
        assert "salt <script>window.hacked = 1</script> & <b>bread</b>" in shown
        assert "kind: <i>" in shown
        assert "../salt" in shown
        assert page.run("document.querySelectorAll('.list script, .list b, .list i, .list img').length") == 0
        assert page.run("window.hacked") is None

    def test_matched_words_are_marked(self, page: Any, searching: Any) -> None:
        opened(page, searching)
        ask(page, "who is playing the chess in parks?")
        marked = (
            "[...document.querySelectorAll(\".tuned .hit[data-id='chess'] mark\")].map(one => one.innerText)"
        )
        # "is", "in" and "the" are in most texts; "playing" and "played" begin alike.
        assert page.run(marked) == ["chess", "played", "park"]

    def test_conditions(self, page: Any, searching: Any) -> None:
        opened(page, searching)
        ask(page, QUERY)
        page.run("document.querySelector(\".hit[data-id='chess'] .chip\").click()")
        until(page, f"{CHECK} === 2")
        assert page.run("document.getElementById('conditions').innerText.trim()") == "year=2023"
        page.run("document.querySelector('#conditions button').click()")
        until(page, f"{CHECK} === 8")
        add_condition(page, "year>=2021")
        until(page, f"{CHECK} === 6")
        add_condition(page, "nonsense")
        until(page, "document.getElementById('message').classList.contains('error')")
        assert "nonsense" in page.run("document.getElementById('message').innerText")
        assert page.run(CHECK) == 0

    def test_threshold(self, page: Any, searching: Any) -> None:
        opened(page, searching)
        ask(page, QUERY)
        scores = page.run(
            "[...document.querySelectorAll('.base .hit')].map(hit => Number(hit.dataset.score))"
        )
        least = (scores[1] + scores[2]) / 2
        move = "const range = document.querySelector('.base .threshold input'); range.step = 'any';"
        page.run(f"{{ {move} range.value = {least}; range.dispatchEvent(new Event('input')) }}")
        assert len(ids(page, 0)) == 2
        assert len(ids(page, 1)) == 4
        assert page.run("document.querySelector('.base output').innerText").endswith(": 2 of 4")
        page.run(f"{{ {move} range.value = 1; range.dispatchEvent(new Event('input')) }}")
        assert "Nothing reaches the threshold." in page.run("document.querySelector('.base').innerText")

    def test_blind_votes(self, page: Any, searching: Any) -> None:
        opened(page, searching)
        page.run("document.activeElement.blur()")
        press(page, "b")
        assert page.run("document.getElementById('blind').checked")
        ask(page, QUERY)
        lists = page.run(
            "document.getElementById('lists').innerText + document.getElementById('lists').innerHTML"
        )
        for word in ("tuned", "base", "Tuned", "Base", "tiny", "score"):
            assert word not in lists
        page.run("document.activeElement.blur()")
        press(page, "1")
        until(page, "document.getElementById('message').innerText.startsWith('1 vote is kept')")
        page.run("document.getElementById('count').click()")
        until(page, "!document.getElementById('votes').hidden")
        cells = page.run("[...document.querySelectorAll('#votes td')].map(cell => Number(cell.innerText))")
        assert (sum(cells), cells[2]) == (1, 0)
        assert len(searching.service.votes.read_text().splitlines()) == 1

    def test_keyboard(self, page: Any, searching: Any) -> None:
        opened(page, searching)
        ask(page, QUERY)
        focused = "document.activeElement.dataset.id || document.activeElement.id"
        press(page, "ArrowDown")
        assert page.run(focused) == ids(page, 0)[0]
        press(page, "j")
        assert page.run(focused) == ids(page, 0)[1]
        press(page, "ArrowRight")
        assert page.run(focused) == ids(page, 0)[1]
        assert page.run("document.activeElement.closest('.list').className") == "list tuned"
        assert page.run("document.querySelectorAll('.twin').length") == 2
        press(page, "/")
        assert page.run(focused) == "query"
        press(page, "Escape")
        until(page, f"{CHECK} === 0")
        assert page.run("document.getElementById('query').value") == ""

    def test_a_key_is_asked_for_and_used(self, page: Any, start: Any, indexes: Any) -> None:
        running = start(Service([indexes[0].served], indexes[:1], keys=Keys(["k" * 20])))
        page.open(running.url + "/")
        until(page, "!document.getElementById('key-line').hidden")
        assert "key" in page.run("document.getElementById('message').innerText")
        page.run(f"document.getElementById('key').value = '{'k' * 20}'; 0")
        ask(page, QUERY)
        assert page.run(CHECK) == 4
        assert page.run("document.querySelector('.list h2').innerText") == "Results"
        assert page.run("document.getElementById('blind-label').hidden")
        page.run("sessionStorage.clear()")

    def test_empty_and_broken(self, page: Any, start: Any, served: ServedModel, searching: Any) -> None:
        opened(page, searching)
        page.run("document.getElementById('ask').requestSubmit()")
        assert page.run("document.getElementById('message').innerText") == "Type a query and press Enter."
        searching.server.should_exit = True
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                httpx.get(searching.url)
            except httpx.HTTPError:
                break
            time.sleep(0.05)
        page.run(
            "document.getElementById('query').value = 'bread'; document.getElementById('ask').requestSubmit()"
        )
        until(page, "document.getElementById('message').innerText.includes('does not answer')")
        page.open(start(Service([served])).url + "/")
        until(page, "document.getElementById('message').innerText.includes('no index')")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1280])
    def test_it_fits_and_can_be_read(self, page: Any, searching: Any, scheme: str, width: int) -> None:
        opened(page, searching, width=width, scheme=scheme)
        ask(page, QUERY)
        assert page.run("document.documentElement.scrollWidth") <= width
        until(page, "getComputedStyle(document.getElementById('lists')).opacity === '1'")
        assert page.faint() == []
        dark = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 60")
        assert dark == (scheme == "dark")
