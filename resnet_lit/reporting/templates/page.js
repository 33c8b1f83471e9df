"use strict";
// Draws the charts of the page, writes their tables when these are opened, and makes tables sortable. No request leaves the page.
(function () {
  const CONFIG = JSON.parse(document.getElementById("chart-config").textContent);

  function read(figure) {
    const chart = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    chart.data = {};
    for (const [name, table] of Object.entries(chart.tables)) {
      const fields = Object.keys(table);
      const count = fields.length ? table[fields[0]].length : 0;
      chart.data[name] = Array.from({ length: count }, (_, at) =>
        Object.fromEntries(fields.filter((field) => table[field][at] !== null).map((field) => [field, table[field][at]])),
      );
    }
    return chart;
  }

  function draw(figure, chart) {
    const place = figure.querySelector(".drawing");
    const width = place.clientWidth || 320;
    const config = structuredClone(CONFIG);
    config.axisY.labelLimit = Math.round(width * (width < 420 ? 0.46 : 0.38));
    if (width < 420) config.axisY.labelFontSize = 10;
    const longest = Math.max(0, ...chart.data.rows.map((row) => String(row.cell ?? "").length));
    if (longest) {
      config.legend.columns = Math.max(1, Math.min(4, Math.floor((width - 50) / (longest * 6.5 + 30))));
      config.legend.labelLimit = Math.round((width - 50) / config.legend.columns) - 24;
    }
    const spec = { ...chart.spec, width: "container", datasets: chart.data };
    const options = { renderer: "svg", actions: false, config, mode: "vega-lite", logLevel: 1, tooltip: { disableDefaultStyle: true } };
    return window
      .vegaEmbed(place, spec, options)
      .then(() => {
        place.style.minHeight = "0";
        figure.dataset.drawn = "yes";
      })
      .catch((error) => {
        place.classList.add("failed");
        place.textContent = "This chart could not be drawn: " + error.message + ". Its numbers are in the table below.";
        figure.dataset.drawn = "no";
      });
  }

  function shown(value, kind) {
    if (value === null || value === undefined) return "";
    if (kind === "share") return (100 * value).toFixed(2) + "%";
    if (kind === "count") return Number(value).toLocaleString("en");
    if (kind === "number") return String(Number(Number(value).toPrecision(5)));
    return String(value);
  }

  function tabulate(details, chart) {
    if (details.querySelector("table")) return;
    const box = document.createElement("div");
    box.className = "box";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Numbers of the chart " + details.dataset.title);
    const table = box.appendChild(document.createElement("table"));
    const head = table.createTHead().insertRow();
    for (const column of chart.columns) {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      cell.textContent = column.title;
      if (column.kind !== "text") cell.className = "num";
    }
    const body = table.createTBody();
    for (const row of chart.data.rows) {
      const line = body.insertRow();
      for (const column of chart.columns) {
        const cell = line.insertCell();
        cell.textContent = shown(row[column.field], column.kind);
        if (column.kind !== "text") cell.className = "num";
      }
    }
    details.appendChild(box);
    sortable(table);
  }

  function worth(cell) {
    const said = cell.dataset.v;
    const text = said === undefined ? cell.textContent.trim() : said;
    const number = text === "" ? NaN : Number(text.replace(/\u2212/g, "-").replace(/[,%\s]/g, ""));
    return { text, number, empty: text === "" || text === "–" };
  }

  function sortable(table) {
    const head = table.tHead && table.tHead.rows[table.tHead.rows.length - 1];
    const body = table.tBodies[0];
    if (!head || !body || body.rows.length < 2) return;
    Array.from(head.cells).forEach((cell, at) => {
      if (cell.colSpan > 1 || !cell.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      while (cell.firstChild) button.appendChild(cell.firstChild);
      cell.appendChild(button);
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending";
        for (const other of head.cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = Array.from(body.rows, (row) => ({ row, key: worth(row.cells[at]) }));
        rows.sort((a, b) => {
          if (a.key.empty !== b.key.empty) return a.key.empty ? 1 : -1; // empty ones last, either way
          const both = !Number.isNaN(a.key.number) && !Number.isNaN(b.key.number);
          const order = both ? a.key.number - b.key.number : a.key.text.localeCompare(b.key.text, "en", { numeric: true });
          return down ? -order : order;
        });
        rows.forEach(({ row }) => body.appendChild(row));
      });
    });
  }

  // Says that a table goes on to the right, and how many of its columns are out of sight.
  function hinted(box) {
    const table = box.querySelector("table");
    if (!table) return;
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.hidden = true;
    box.after(hint);
    const look = () => {
      const edge = box.getBoundingClientRect().right;
      const head = table.rows[0] ? Array.from(table.rows[0].cells) : [];
      const hidden = box.scrollWidth > box.clientWidth + 1 ? head.filter((cell) => cell.getBoundingClientRect().right > edge + 2) : [];
      box.classList.toggle("clipped", hidden.length > 0);
      box.classList.toggle("scrolled", box.scrollLeft > 2);
      hint.hidden = hidden.length === 0;
      if (hidden.length) hint.textContent = hidden.length + (hidden.length === 1 ? " more column" : " more columns") + ": scroll the table →";
    };
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
  }

  // What is folded away is printed too.
  function unfold() {
    document.querySelectorAll("details.more, details.folded").forEach((details) => (details.open = true));
  }

  async function start() {
    window.addEventListener("beforeprint", unfold);
    const contents = document.querySelector("nav.contents details");
    if (contents && window.matchMedia("(min-width: 75rem)").matches) contents.open = true;
    document.querySelectorAll("table.sortable").forEach(sortable);
    document.querySelectorAll(".box").forEach(hinted);
    for (const figure of document.querySelectorAll("figure.chart")) {
      const chart = read(figure);
      const details = figure.querySelector("details.data");
      details.addEventListener("toggle", () => details.open && tabulate(details, chart));
      const folded = figure.closest("details:not([open])");
      if (folded) {
        folded.addEventListener("toggle", () => draw(figure, chart), { once: true }); // folded away it has no width
        continue;
      }
      await draw(figure, chart);
      await new Promise((resume) => setTimeout(resume)); // the page stays responsive between two charts
    }
    document.documentElement.dataset.charts = "drawn";
  }

  start();
})();
