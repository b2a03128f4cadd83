(() => {
  // Figures are written for people: a typographic minus, thin spaces, units.
  const figure = (text) => {
    const found = text.replace("−", "-").replace(/[\u202f\s,×$+]/g, "").match(/^-?[0-9.]+(e[-+]?[0-9]+)?/);
    return found ? parseFloat(found[0]) : null;
  };
  const compare = (a, b, down) => {
    const x = figure(a), y = figure(b);
    if (x === null || y === null) return x !== null ? -1 : y !== null ? 1 : a.localeCompare(b);
    return down ? y - x : x - y;
  };
  const sortBy = (table, column, down) => {
    const body = table.tBodies[0];
    const key = (row) => row.cells[column].textContent.trim();
    const rows = Array.from(body.rows).sort((a, b) => compare(key(a), key(b), down));
    rows.forEach((row) => body.appendChild(row));
    Array.from(table.tHead.rows[0].cells).forEach((cell, k) => {
      cell.setAttribute("aria-sort", k === column ? (down ? "descending" : "ascending") : "none");
    });
  };
  const filterBox = (table) => {
    const label = document.createElement("label");
    label.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "these words, in any order";
    const said = document.createElement("span");
    said.setAttribute("role", "status");
    label.append("Show rows with ", input, " ", said);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = Array.from(table.tBodies[0].rows);
      rows.forEach((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      });
      said.textContent = rows.filter((row) => !row.hidden).length + " of " + rows.length;
    });
    table.before(label);
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    Array.from(table.tHead.rows[0].cells).forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      button.addEventListener("click", () => sortBy(table, column, cell.getAttribute("aria-sort") !== "descending"));
      cell.append(button);
      cell.setAttribute("aria-sort", "none");
    });
    if (table.tBodies[0].rows.length > 5) filterBox(table);
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
})();
