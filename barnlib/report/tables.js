/* Tables that can be sorted by a click or a key on a column's heading and, if they are long, filtered by words. Where a page
   is narrower than a table, its headings break after an underscore and cells with many words keep a width to be read in.
   A table is left alone where order cannot be changed: cells that span rows, headings of several lines, few rows. */
(function () {
  "use strict";

  const SORT_FROM = 3, FILTER_FROM = 12; // rows
  const MANY = 24; // characters of a cell that holds more than a number or a name
  const NUMBER = /^[+−-]?(?:\d[\d,\u202f]*\.?\d*|\.\d+)(?:e[+-]?\d+)?/i;

  /* The number that a text begins with: "61 % (58 to 64)" is 61, "1,024" is 1024. NaN where it begins with none. */
  function number(text) {
    const found = text.match(NUMBER);
    return found ? Number.parseFloat(found[0].replace(/[,\u202f]/g, "").replace("−", "-")) : NaN;
  }

  function isBlank(text) {
    return text === "" || text === "–" || text.toLowerCase() === "nan" || text === "None";
  }

  /* Rows in the order of one column, empty cells last; as they were where they are equal. */
  function ordered(rows, column, descending) {
    const texts = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
    const filled = [...texts.values()].filter((text) => !isBlank(text));
    const numeric = filled.length > 0 && filled.every((text) => !Number.isNaN(number(text)));
    const sign = descending ? -1 : 1;
    return rows.slice().sort((one, two) => {
      const [a, b] = [texts.get(one), texts.get(two)];
      if (isBlank(a) || isBlank(b)) { return isBlank(a) - isBlank(b); }
      return sign * (numeric ? number(a) - number(b) : a.localeCompare(b, "en", { numeric: true }));
    });
  }

  function isPlain(table) {
    const head = table.tHead, body = table.tBodies[0];
    if (!head || !body || table.tBodies.length > 1 || body.rows.length < SORT_FROM) { return false; }
    const columns = body.rows[0].cells.length;
    const heading = head.rows[head.rows.length - 1];
    const whole = (row) => row.cells.length === columns && [...row.cells].every((cell) => cell.rowSpan === 1 && cell.colSpan === 1);
    return whole(heading) && [...body.rows].every(whole) && [...head.rows].slice(0, -1).every(whole);
  }

  function sortable(table) {
    const body = table.tBodies[0], heading = table.tHead.rows[table.tHead.rows.length - 1];
    const first = [...body.rows];
    [...heading.cells].forEach((cell, column) => {
      if (cell.textContent.trim() === "") { return; }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = "Sort by this column";
      button.append(...cell.childNodes);
      cell.replaceChildren(button);
      cell.setAttribute("scope", "col");
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[cell.getAttribute("aria-sort") || "none"];
        [...heading.cells].forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== "none") { cell.setAttribute("aria-sort", next); }
        body.append(...(next === "none" ? first : ordered(first, column, next === "descending")));
      });
    });
  }

  function filterable(table, number) {
    const rows = [...table.tBodies[0].rows];
    const box = document.createElement("div"), label = document.createElement("label");
    const input = document.createElement("input"), shown = document.createElement("span");
    box.className = "table-filter";
    input.type = "search";
    input.id = "table-filter-" + number;
    label.htmlFor = input.id;
    label.textContent = "Filter rows";
    shown.setAttribute("role", "status");
    box.append(label, input, shown);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += !row.hidden;
      }
      shown.textContent = words.length ? count + " of " + rows.length + " rows" : "";
    });
    const scroller = table.closest(".text_html, .pst-scrollable-table-container") || table;
    scroller.before(box);
  }

  function wrappable(table) {
    for (const heading of table.querySelectorAll("th")) {
      for (const node of [...heading.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE && one.data.includes("_"))) {
        const parts = node.data.split("_");
        const broken = parts.slice(0, -1).flatMap((part) => [part + "_", document.createElement("wbr")]);
        node.replaceWith(...broken, parts[parts.length - 1]);
      }
    }
    for (const cell of table.querySelectorAll("th, td")) { cell.classList.toggle("words", cell.textContent.trim().length > MANY); }
  }

  function start() {
    document.querySelectorAll("article table").forEach((table, number) => {
      if (table.closest(".explorer")) { return; }
      const around = table.closest(".text_html, .pst-scrollable-table-container");
      if (around) { // what scrolls sideways can be reached by keyboard
        around.tabIndex = 0;
        around.setAttribute("role", "region");
        around.setAttribute("aria-label", "Table");
      }
      wrappable(table);
      if (!isPlain(table)) { return; }
      sortable(table);
      if (table.tBodies[0].rows.length >= FILTER_FROM) { filterable(table, number); }
    });
  }

  if (document.readyState === "loading") { document.addEventListener("DOMContentLoaded", start); } else { start(); }
})();
