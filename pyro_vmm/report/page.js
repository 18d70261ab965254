"use strict";
(() => {
  for (const element of document.querySelectorAll(".filter, .sorting")) element.hidden = false;

  const key = (row, column) => {
    const cell = row.cells[column];
    const told = cell.dataset.sort;
    return told === undefined ? cell.textContent.trim() : Number(told);
  };
  const compare = (a, b) => {
    if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
    // What is not known stands last when ascending.
    return (Number.isNaN(a) ? Infinity : a) - (Number.isNaN(b) ? Infinity : b) || 0;
  };
  const sort = (table, heading) => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [key(row, heading.cellIndex), row]);
    rows.sort((a, b) => sign * compare(a[0], b[0]));
    body.append(...rows.map((each) => each[1]));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  }

  const input = document.getElementById("filter");
  const table = document.getElementById("cluster-table");
  if (input && table) {
    const shown = document.getElementById("shown");
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      const rows = Array.from(table.tBodies[0].rows);
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      const left = rows.filter((row) => !row.hidden).length;
      shown.textContent = wanted ? `${left} of ${rows.length} clusters` : "";
    });
  }

  // What is folded away would not be printed.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
