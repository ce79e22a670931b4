// Sorting and filtering; without it the page is complete, only longer to read.
"use strict";
(() => {
  const say = document.getElementById("said");
  const value = (row, at, isNumber) => {
    const cell = row.cells[at], text = cell.textContent.trim();
    if (cell.dataset.rank) return +cell.dataset.rank;
    if (text === "n/a" || text === "") return null;
    const number = parseFloat(text.replaceAll("−", "-"));
    return isNumber && !Number.isNaN(number) ? number : text;
  };
  const order = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === typeof b && typeof a === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  const sort = (table, head) => {
    const at = head.cellIndex, body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    const isNumber = head.classList.contains("n");
    const keyed = [...body.rows].map((row) => [value(row, at, isNumber), row]);
    // What is missing stays below, whichever way the others go.
    keyed.sort(([a], [b]) => a === null || b === null ? order(a, b) : down ? order(b, a) : order(a, b));
    body.append(...keyed.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    say.textContent = `Sorted by ${head.textContent.trim()}, ${down ? "descending" : "ascending"}.`;
  };
  for (const table of document.querySelectorAll("table.sortable"))
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }

  const bar = document.getElementById("filter");
  const people = [...document.querySelectorAll("#participants tbody tr")];
  const facts = new Map(people.map((row) => [row.dataset.i, row]));
  const others = [...document.querySelectorAll("[data-i]")];
  const tiles = document.querySelector(".mosaic");
  const apply = () => {
    const asked = new FormData(bar);
    const words = asked.get("words").toLowerCase().split(/\s+/).filter(Boolean);
    const shown = new Set();
    for (const row of people) {
      const text = row.textContent.toLowerCase();
      const fits = ["status", "verdict", "site", "group"].every((key) => !asked.get(key) || row.dataset[key] === asked.get(key));
      if (fits && (!asked.get("outliers") || +row.dataset.outliers > 0)
        && (!asked.get("gaps") || row.dataset.gaps === "1") && words.every((word) => text.includes(word)))
        shown.add(row.dataset.i);
    }
    for (const item of others) item.hidden = !shown.has(item.dataset.i);
    document.getElementById("shown").textContent = `${shown.size} of ${people.length} shown`;
  };
  const arrange = () => {
    const worst = bar.elements.order.value === "worst";
    const key = (tile) => worst ? +facts.get(tile.dataset.i).dataset.worst : 0;
    const sorted = [...tiles.children].sort((a, b) => key(b) - key(a) || a.dataset.i - b.dataset.i);
    tiles.append(...sorted);
  };
  if (bar) {
    bar.hidden = false;
    bar.addEventListener("input", apply);
    if (tiles) bar.elements.order.addEventListener("change", arrange);
    bar.addEventListener("reset", () => setTimeout(() => { apply(); if (tiles) arrange(); }));
    bar.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }
})();
