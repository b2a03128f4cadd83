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
  const count = (name) => parseInt(((part(name) || {}).textContent || "0").replace(/,/g, ""), 10) || 0;
  const bound = (name) => { const text = (part(name) || {}).textContent || ""; const at = text.indexOf(" of "); return at < 0 ? "" : text.slice(at); };

  function left() {
    const done = count("done"), all = count("candidates"), since = (Date.now() - started) / 1000;
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
    const button = document.createElement("button");
    button.type = "button"; button.className = "link"; button.textContent = event.name || "unnamed";
    button.setAttribute("hx-get", `/attempts/${Number(event.attempt)}`); button.setAttribute("hx-target", "#said");
    const text = document.createElement("code"); text.textContent = event.text;
    about.append(button, text);
    const came = cell(event.verdict, "", "What came");
    if (event.message) { const why = document.createElement("small"); why.textContent = event.message; came.append(why); }
    cell(net(event) === null ? "–" : net(event).toFixed(2), "num", "Net Sharpe, train");
    const rows = part("attempts");
    rows.prepend(line);
    while (rows.children.length > 30) { rows.lastElementChild.remove(); }
    if (window.htmx) { window.htmx.process(line); }
  }

  const source = new EventSource(place.dataset.events);
  const on = (kind, act) => source.addEventListener(kind, (message) => act(JSON.parse(message.data)));
  // The page was drawn before the run was known: draw it again once.
  on("run", () => { if (!part("done") && !loaded) { loaded = true; source.close(); window.location.reload(); } });
  on("round", (event) => say("stage", `round ${event.round}: asking`));
  on("call", (event) => {
    say("stage", `${event.role} answered (${event.seconds.toFixed(1)} s)`);
    say("calls", `${count("calls") + 1}${bound("calls")}`);
    const tokens = count("tokens") + (event.prompt_tokens || 0) + (event.completion_tokens || 0);
    say("tokens", `${tokens.toLocaleString("en-US")}${bound("tokens")}`);
    const cost = part("cost");
    if (cost && event.cost_usd === null) { cost.textContent = `unknown${bound("cost")}`; }
    else if (cost && !cost.textContent.startsWith("unknown")) {
      cost.textContent = `$${(parseFloat(cost.textContent.slice(1)) + event.cost_usd).toFixed(4)}${bound("cost")}`;
    }
  });
  on("proposed", (event) => say("stage", `round ${event.round}: candidate ${event.slot + 1} is proposed, the backtest is next`));
  on("attempt", (event) => {
    say("done", count("done") + 1);
    const bar = part("progress");
    if (bar) { bar.value = count("done"); }
    say("stage", `round ${event.round}: candidate ${event.slot + 1} is through`);
    if (part("attempts")) { row(event); }
    const figure = net(event);
    const best = part("best");
    if (best && figure !== null && !(figure <= parseFloat(best.dataset.net))) {
      best.dataset.net = String(figure);
      const link = document.createElement("a");
      link.href = `/factors/${encodeURIComponent(event.factor)}`; link.textContent = event.name || event.factor;
      const text = document.createElement("code"); text.textContent = event.text;
      best.replaceChildren(link, ": ", text, `, net Sharpe ratio ${figure.toFixed(2)}, ${event.verdict}`);
    }
    left();
  });
  on("note", (event) => { const item = document.createElement("li"); item.textContent = event.text; part("notes").append(item); });
  on("summary", (event) => say("stage", `ended: ${event.status}`));
  on("ended", () => { source.close(); window.location.reload(); });
})();
