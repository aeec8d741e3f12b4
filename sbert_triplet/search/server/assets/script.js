
"use strict";
(() => {
  const by = id => document.getElementById(id);
  const make = (name, className, text) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const state = { indexes: [], conditions: [], ballot: null, asked: 0, thresholds: {}, last: "" };

  async function call(path, content) {
    const headers = {};
    const key = sessionStorage.getItem("key");
    if (key) headers.Authorization = "Bearer " + key;
    if (content) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method: content ? "POST" : "GET", headers, body: content && JSON.stringify(content) });
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    const body = await answer.json().catch(() => ({}));
    if (answer.status === 401) {
      by("key-line").hidden = false;
      by("key").focus();
    }
    if (!answer.ok) throw new Error((body.error && body.error.message) || "The server answered " + answer.status + ".");
    return body;
  }

  function say(text, isError) {
    by("message").textContent = text;
    by("message").classList.toggle("error", Boolean(isError));
  }

  // Words are alike where they are equal, or begin alike for four letters or more and differ in their ending.
  const words = text => [...text.normalize("NFKC").toLowerCase().matchAll(/[\p{L}\p{N}]+/gu)].map(found => found[0]);
  const common = new Set("a an and are as at be by can do does for from how i in is it my of on or that the this to was what when where which who why with you your".split(" "));
  const asksFor = query => {
    const all = words(query);
    const rare = all.filter(word => !common.has(word));
    return rare.length ? rare : all;
  };
  const alike = (first, second) => {
    if (first === second) return true;
    const length = Math.min(first.length, second.length);
    if (length < 4) return false;
    let same = 0;
    while (same < length && first[same] === second[same]) same += 1;
    return same >= 4 && same >= Math.max(first.length, second.length) - 3;
  };
  function marked(text, wanted) {
    const node = make("p", "text");
    let end = 0;
    for (const found of text.matchAll(/[\p{L}\p{N}]+/gu)) {
      const word = found[0].normalize("NFKC").toLowerCase();
      if (!wanted.some(one => alike(one, word))) continue;
      node.append(text.slice(end, found.index), make("mark", "", found[0]));
      end = found.index + found[0].length;
    }
    node.append(text.slice(end));
    if (text.length > 420) {
      node.classList.add("long");
      node.title = "Click to unfold";
      node.addEventListener("click", () => node.classList.toggle("long"));
    }
    return node;
  }

  function moved(list, other, hit, place) {
    if (!other) return null;
    const before = other.hits.findIndex(one => one.id === hit.id);
    const depth = other.hits.length;
    if (list.index === "base") {
      return before < 0 && depth ? make("span", "move gone", "↓ below " + depth) : null;
    }
    if (before < 0) return depth ? make("span", "move new", "↑ from below " + depth) : null;
    if (before === place) return make("span", "move", "= same place");
    const up = before > place;
    return make("span", "move " + (up ? "up" : "down"), (up ? "↑ " : "↓ ") + Math.abs(before - place));
  }

  function bar(score, low, high) {
    const svg = (name, settings) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(settings)) node.setAttribute(key, value);
      return node;
    };
    const share = high > low ? Math.max(0, Math.min(1, (score - low) / (high - low))) : 1;
    const drawn = svg("svg", { class: "bar", viewBox: "0 0 72 6", preserveAspectRatio: "none", "aria-hidden": "true" });
    drawn.append(svg("rect", { width: 72, height: 6, rx: 3 }), svg("rect", { width: 72 * share, height: 6, rx: 3 }));
    return drawn;
  }

  function chips(hit) {
    const line = make("div", "chips");
    line.append(make("code", "", hit.id));
    for (const [key, value] of Object.entries(hit.metadata)) {
      const chip = make("button", "chip", key + ": " + value);
      chip.type = "button";
      chip.title = "Show only " + key + " = " + value;
      chip.addEventListener("click", () => add(key + "=" + JSON.stringify(value)));
      line.append(chip);
    }
    return line;
  }

  function item(list, other, hit, place, wanted, low, high) {
    const node = make("li", "hit");
    node.tabIndex = 0;
    node.dataset.id = hit.id;
    const body = make("div");
    const facts = make("div", "facts");
    if (hit.score !== undefined) {
      node.dataset.score = hit.score;
      facts.append(bar(hit.score, low, high), make("span", "score", hit.score.toFixed(3)));
      const change = moved(list, other, hit, place);
      if (change) facts.append(change);
    }
    if (hit.passage.number) facts.append(make("span", "", "passage " + (hit.passage.number + 1)));
    body.append(facts, marked(hit.text, wanted), chips(hit));
    node.append(make("span", "rank", String(place + 1)), body);
    for (const event of ["focusin", "mouseenter"]) node.addEventListener(event, () => together(hit.id));
    return node;
  }

  function together(id) {
    for (const node of document.querySelectorAll(".hit")) node.classList.toggle("twin", node.dataset.id === id && document.querySelectorAll(".list").length > 1);
  }

  function slider(list, section, low, high) {
    const name = list.index;
    const line = make("label", "threshold", "Threshold");
    const range = make("input");
    const shown = make("output");
    Object.assign(range, { type: "range", min: low, max: high, step: (high - low) / 200 || 0.01 });
    range.value = state.thresholds[name] ?? low;
    const apply = () => {
      const least = Number(range.value);
      const hits = [...section.querySelectorAll(".hit")];
      for (const hit of hits) hit.hidden = least > low && Number(hit.dataset.score) < least;
      const left = hits.filter(hit => !hit.hidden).length;
      shown.textContent = least > low ? least.toFixed(2) + ": " + left + " of " + hits.length : "off";
      section.querySelector(".none").hidden = !hits.length || left > 0;
    };
    range.addEventListener("input", () => { state.thresholds[name] = Number(range.value); apply(); });
    line.append(range, shown);
    return [line, apply];
  }

  function drawn(list, other, wanted, label) {
    const section = make("section", "list " + (list.index || "hidden-name"));
    const head = make("div", "head");
    head.append(make("h2", "", label));
    if (list.model) head.append(make("small", "", list.model + (list.exact ? "" : ", approximate")));
    section.append(head);
    const scores = list.hits.map(hit => hit.score);
    const cosine = list.similarity === "cosine";
    const low = cosine ? 0 : Math.floor(Math.min(0, ...scores));
    const high = cosine ? 1 : Math.ceil(Math.max(0, ...scores));
    const ranks = make("ol");
    list.hits.forEach((hit, place) => ranks.append(item(list, other, hit, place, wanted, low, high)));
    const none = make("p", "empty none", "Nothing reaches the threshold.");
    none.hidden = true;
    if (list.similarity && list.hits.length) {
      const [line, apply] = slider(list, section, low, high);
      section.append(line, ranks, none);
      apply();
    } else {
      section.append(ranks, none);
    }
    if (!list.hits.length) {
      section.append(make("p", "empty", state.conditions.length ? "No document meets the conditions." : "The index is empty."));
    }
    return section;
  }

  function show(found, query) {
    const wanted = asksFor(query);
    const names = { index: "Results", base: "Base model", tuned: "Tuned model" };
    let lists = found.lists;
    state.ballot = found.ballot;
    by("ballot").hidden = !found.ballot;
    if (!found.ballot) lists = [...lists].sort((first, second) => (first.index > second.index ? 1 : -1));
    const sections = lists.map((list, place) => drawn(
      list, found.ballot ? null : lists[1 - place], wanted, found.ballot ? ["Left", "Right"][place] : lists.length > 1 ? names[list.index] : names.index));
    by("lists").replaceChildren(...sections);
    const count = Math.max(...lists.map(list => list.hits.length));
    say(count ? "" : "Nothing found.");
  }

  async function search() {
    const query = by("query").value.trim();
    if (!query) {
      by("lists").replaceChildren();
      by("ballot").hidden = true;
      say("Type a query and press Enter.");
      return;
    }
    const turn = ++state.asked;
    document.body.classList.add("busy");
    say("Searching …");
    try {
      const found = await call("page/search", {
        query, k: Number(by("k").value), filters: state.conditions, blind: by("blind").checked });
      if (turn === state.asked) show(found, query);
    } catch (problem) {
      if (turn === state.asked) {
        by("lists").replaceChildren();
        by("ballot").hidden = true;
        say(problem.message, true);
      }
    } finally {
      if (turn === state.asked) document.body.classList.remove("busy");
    }
  }

  function add(condition) {
    const plain = condition.trim();
    if (plain && !state.conditions.includes(plain)) state.conditions.push(plain);
    redraw();
  }
  function redraw() {
    by("conditions").replaceChildren(...state.conditions.map(condition => {
      const node = make("li");
      const button = make("button", "", condition);
      button.type = "button";
      button.setAttribute("aria-label", "Remove the condition " + condition);
      button.addEventListener("click", () => { state.conditions = state.conditions.filter(one => one !== condition); redraw(); });
      node.append(button);
      return node;
    }));
    if (by("query").value.trim()) search();
  }

  async function vote(choice) {
    const ballot = state.ballot;
    if (!ballot) return;
    state.ballot = null;
    by("ballot").hidden = true;
    try {
      const { votes } = await call("page/vote", { ballot, choice });
      by("count").hidden = false;
      say(votes + (votes === 1 ? " vote is" : " votes are") + " kept. Ask the next query.");
      by("query").select();
      by("query").focus();
    } catch (problem) {
      say(problem.message, true);
    }
  }

  async function count() {
    try {
      const found = await call("page/votes");
      const table = make("table");
      const row = (name, votes) => {
        const line = table.insertRow();
        line.append(make("th", "", name), make("td", "", String(votes)));
      };
      for (const list of found.lists) row((list.index === "base" ? "Base: " : "Tuned: ") + list.model, list.votes);
      row("Alike", found.ties);
      const chance = found.p_value < 0.001 ? "less than 0.001" : String(Number(found.p_value.toFixed(3)));
      by("votes").replaceChildren(make("h2", "", "Blind votes"), table,
        make("p", "muted", "Were both equally good, counts this far apart would come up with probability " + chance + " (sign test, without ties)."));
      by("votes").hidden = false;
      by("votes").scrollIntoView({ block: "nearest" });
    } catch (problem) {
      say(problem.message, true);
    }
  }

  function step(down) {
    const hits = [...document.querySelectorAll(".hit")].filter(hit => !hit.hidden);
    const here = hits.indexOf(document.activeElement.closest(".hit"));
    const list = here < 0 ? null : hits[here].closest(".list");
    const to = here < 0 ? hits[0] : hits[here + (down ? 1 : -1)];
    if (to && (!list || to.closest(".list") === list)) to.focus();
    else if (!down) by("query").focus();
  }
  function across() {
    const from = document.activeElement.closest(".hit");
    if (!from) return;
    const other = [...document.querySelectorAll(".list")].find(list => list !== from.closest(".list"));
    if (!other) return;
    const hits = [...other.querySelectorAll(".hit")].filter(hit => !hit.hidden);
    const to = hits.find(hit => hit.dataset.id === from.dataset.id) || hits[0];
    if (to) to.focus();
  }

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select");
    const moving = { ArrowDown: () => step(true), ArrowUp: () => step(false) };
    const anywhere = { Escape: () => { by("query").value = ""; by("query").focus(); search(); } };
    const reading = {
      "/": () => { by("query").focus(); by("query").select(); },
      j: () => step(true), k: () => step(false),
      ArrowLeft: across, ArrowRight: across,
      b: () => { if (!by("blind-label").hidden) by("blind").click(); },
      1: () => vote("left"), 2: () => vote("right"), 0: () => vote("tie"),
    };
    const ranged = event.target.matches("input[type=range]") && event.key.startsWith("Arrow");
    const chosen = event.target.matches("select");
    const act = anywhere[event.key] || (!ranged && !chosen && moving[event.key]) || (!typing && !ranged && reading[event.key]);
    if (!act) return;
    event.preventDefault();
    act();
  });
  by("ask").addEventListener("submit", event => {
    event.preventDefault();
    const key = by("key").value.trim();
    if (key) {
      sessionStorage.setItem("key", key);
      by("key").value = "";
      by("key-line").hidden = true;
      about();
    }
    search();
  });
  by("condition").addEventListener("keydown", event => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add(by("condition").value);
    by("condition").value = "";
  });
  by("k").addEventListener("change", search);
  by("blind").addEventListener("change", search);
  by("count").addEventListener("click", count);
  for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));

  async function about() {
    try {
      const { indexes, votes } = await call("page/about");
      state.indexes = indexes;
      by("blind-label").hidden = indexes.length < 2;
      by("count").hidden = indexes.length < 2 || !votes;
      if (!indexes.length) {
        by("about").textContent = "";
        say("This server has a model and no index, so there is nothing to search here. Make one with sbert-triplet index, and serve its URL.", true);
        return;
      }
      const documents = indexes[0].documents;
      const models = indexes.map(one => (indexes.length > 1 ? one.index + ": " : "") + one.model).join(" · ");
      by("about").textContent = documents.toLocaleString("en") + (documents === 1 ? " document · " : " documents · ") + models;
      if (!by("lists").children.length) say(documents ? "Type a query and press Enter." : "The index is empty.");
    } catch (problem) {
      say(problem.message, true);
    }
  }
  about();
})();
