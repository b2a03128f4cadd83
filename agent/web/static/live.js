// The run under way: its events change the page as they come.
"use strict";
(function () {
  const place = document.getElementById("live");
  if (!place || !place.dataset.events) { return; }
  const part = (name) => place.querySelector(`[data-live="${name}"]`);
  const say = (name, text) => { const found = part(name); if (found) { found.textContent = text; } };
  const started = Date.now();
  const first = Number((part("done") || {}).textContent || 0);
  let loaded = false;
  const net = (event) => event.figures && typeof event.figures.sharpe_net === "number" ? event.figures.sharpe_net : null;
  function left(done, all) {
    const since = (Date.now() - started) / 1000;
    if (done <= first || all === 0) { return; }
    const seconds = since / (done - first) * (all - done);
    say("left", seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
  }

  function row(event) {
    const line = document.createElement("tr");
    const cell = (text, kind, label) => {
      const one = document.createElement("td");
      one.textContent = text;
      if (kind) { one.className = kind; }
      if (label) { one.dataset.label = label; }
      line.append(one);
      return one;
    };
    cell(`${event.round}.${event.slot + 1}`, "", "Place");
    const about = cell("", "what");
    const link = document.createElement("a");
    link.textContent = event.name || "unnamed";
    for (const name of ["href", "hx-get"]) { link.setAttribute(name, `/attempts/${Number(event.attempt)}`); }
    link.setAttribute("hx-target", "#said");
    const text = document.createElement("code"); text.textContent = event.text;
    about.append(link, text);
    const came = cell(event.verdict, "", "What came");
    if (event.message) { const why = document.createElement("small"); why.textContent = event.message; came.append(why); }
    cell(net(event) === null ? "–" : net(event).toFixed(2), "num", "Net Sharpe, train");
    const rows = part("attempts");
    rows.prepend(line);
    while (rows.children.length > 30) { rows.lastElementChild.remove(); }
    if (window.htmx) { window.htmx.process(line); }
  }

  // A browser keeps six connections to a server: a tab that nobody sees gives its own back, and misses nothing.
  const acts = [];
  let source = null, seen = "", over = false;
  const on = (kind, act) => acts.push([kind, act]);
  function listen() {
    if (source || over || document.hidden) { return; }
    source = new EventSource(seen ? place.dataset.events.replace(/start=\d+/, `start=${seen}`) : place.dataset.events);
    for (const [kind, act] of acts) {
      source.addEventListener(kind, (message) => { seen = message.lastEventId || seen; act(JSON.parse(message.data)); });
    }
  }
  function leave() { if (source) { source.close(); source = null; } }
  document.addEventListener("visibilitychange", () => { if (document.hidden) { leave(); } else { listen(); } });
  // The page was drawn before the run was known: draw it again once.
  on("run", () => { if (!part("done") && !loaded) { loaded = true; over = true; leave(); window.location.reload(); } });
  // What the events add up to is added up by the server.
  on("state", (state) => {
    for (const name of ["stage", "done", "candidates", "calls", "tokens", "cost"]) { say(name, String(state[name])); }
    const bar = part("progress");
    if (bar) { bar.value = state.done; }
    const best = part("best");
    if (best && state.best) {
      const link = document.createElement("a");
      link.href = `/factors/${encodeURIComponent(state.best.factor)}`; link.textContent = state.best.name;
      const text = document.createElement("code"); text.textContent = state.best.text;
      best.replaceChildren(link, ": ", text, `, ${state.best.came}`);
    }
    left(state.done, state.candidates);
  });
  on("attempt", (event) => { if (part("attempts")) { row(event); } });
  on("note", (event) => { const item = document.createElement("li"); item.textContent = event.text; part("notes").append(item); });
  on("ended", () => { over = true; leave(); window.location.reload(); });
  listen();
})();
