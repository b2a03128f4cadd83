// Charts: each figure with data-chart names one or more addresses of curves; all are drawn on one time axis.
"use strict";
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colours = () => dark.matches
    ? ["#5bb2ec", "#f28c4b", "#3cc79a", "#de8dbb", "#dcc04a", "#a9b5c1"]
    : ["#0067a6", "#c2500a", "#00805c", "#a8457f", "#8a6d00", "#5d6874"];
  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const rule = () => getComputedStyle(document.documentElement).getPropertyValue("--rule").trim();

  function shown(value, own) { return value == null ? "–" : own ? value.toFixed(2) : `${(100 * value).toFixed(2)} %`; }

  // Dates as they are written elsewhere in the program, and not month first.
  const DATES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  ];

  // One time axis for all: what a curve does not know at a time is a gap that is bridged.
  function joined(found) {
    const tables = found.map((one) => [one.times, ...one.curves.map((curve) => curve.values)]);
    return tables.length === 1 ? tables[0] : uPlot.join(tables, tables.map((table) => table.map(() => 2)));
  }

  function shading(found) {
    const spans = found[0].spans, gate = found[0].gate, times = found[0].times;
    return {
      hooks: {
        drawClear: [(chart) => {
          const box = chart.bbox, pen = chart.ctx;
          const across = (from, to, colour) => {
            const left = Math.max(chart.valToPos(from, "x", true), box.left);
            const right = Math.min(chart.valToPos(to, "x", true), box.left + box.width);
            if (right > left) { pen.fillStyle = colour; pen.fillRect(left, box.top, right - left, box.height); }
          };
          pen.save();
          if (spans.validation) { across(spans.validation[0], spans.validation[1], dark.matches ? "#5bb2ec22" : "#0067a61a"); }
          if (gate) {
            for (let k = 0; k + 1 < times.length; k++) {
              const shut = gate[k] == null ? 0 : 1 - gate[k];
              if (shut > 0.02) {
                const depth = Math.round(shut * 70).toString(16).padStart(2, "0");
                across(times[k], times[k + 1], (dark.matches ? "#e8edf2" : "#16202b") + depth);
              }
            }
          }
          pen.restore();
        }],
      },
    };
  }

  function draw(figure, found) {
    const place = figure.querySelector(".canvas"), several = found.length > 1, paint = colours();
    const series = [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }];
    const scales = { x: { time: true } }, grid = { stroke: rule(), width: 1 };
    const axes = [{ stroke: ink(), grid, values: DATES }, { stroke: ink(), grid, size: 60, values: (_chart, ticks) => ticks.map((tick) => `${Math.round(1e4 * tick) / 100} %`) }];
    const picked = found.map((one) => ({ ...one, curves: several ? one.curves.filter((c) => c.key === "net") : one.curves }));
    picked.forEach((one, which) => one.curves.forEach((curve, k) => {
      const own = curve.key === "likelihood";
      series.push({
        label: several ? (one.name || one.factor) : curve.label, stroke: paint[(several ? which : k) % paint.length], width: 1.5, spanGaps: true,
        scale: own ? "likelihood" : "y", value: (_chart, value) => shown(value, own),
        show: several || !["vol_gate", "random_gate"].includes(curve.key),
      });
      if (own) { axes.push({ scale: "likelihood", side: 1, stroke: ink(), grid: { show: false }, size: 60 }); }
    }));
    place.replaceChildren();
    const height = Number(figure.dataset.height);
    const chart = new uPlot({
      width: place.clientWidth, height, series, scales, axes, tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1e3), "UTC"),
      plugins: [shading(picked)], cursor: { drag: { x: true, y: false }, sync: { key: "alphaglow" } },
    }, joined(picked), place);
    new ResizeObserver(() => { if (place.clientWidth > 0) { chart.setSize({ width: place.clientWidth, height }); } }).observe(place);
    figure.querySelector(".reading").textContent = found[0].sentence && !several ? " " + found[0].sentence : "";
    figure.dataset.drawn = "1";
  }

  async function fill(figure) {
    try {
      const answers = [];
      for (const address of figure.dataset.chart.split(" ")) {
        const answer = await fetch(address, { headers: { accept: "application/json" } });
        if (!answer.ok) { throw new Error(await answer.text()); }
        answers.push(await answer.json());
      }
      if (answers[0].times.length === 0) { throw new Error(answers[0].sentence || "There is nothing to draw yet."); }
      draw(figure, answers);
    } catch (error) {
      const said = document.createElement("p");
      said.className = "waiting";
      said.textContent = error.message.length < 400 ? error.message : "The curves could not be computed: see the server's own words.";
      figure.querySelector(".canvas").replaceChildren(said);
      figure.dataset.drawn = "0";
    }
  }

  const waiting = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { waiting.unobserve(entry.target); fill(entry.target); }
  }), { rootMargin: "200px" });
  document.querySelectorAll("figure[data-chart]").forEach((figure) => waiting.observe(figure));
})();
