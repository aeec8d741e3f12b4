"use strict";
// Without this script the report reads the same: sorting, filtering and unfolding for print are what it adds.
(() => {
  const orderOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
    return cell.textContent.trim();
  };

  const isMissing = (value) => (typeof value === "number" ? Number.isNaN(value) : value === "" || value === "–");

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };

  const sortBy = (table, column, button) => {
    const heading = button.parentElement;
    const first = heading.classList.contains("number") || heading.classList.contains("drawn") ? -1 : 1;
    const now = { ascending: 1, descending: -1 }[heading.getAttribute("aria-sort")];
    const direction = now === undefined ? first : -now;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].sort((left, right) => {
      const [a, b] = [orderOf(left, column), orderOf(right, column)];
      // Rows without a value come last, whichever way the others are sorted.
      if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
      return direction * compare(a, b);
    });
    table.tBodies[0].append(...rows);
  };

  const makeSortable = (table) => {
    if (table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, column, button));
      heading.append(button);
    });
  };

  const makeFilterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const label = document.createElement("label");
    const field = document.createElement("input");
    const shown = document.createElement("output");
    label.className = "filter";
    field.type = "search";
    field.autocomplete = "off";
    field.placeholder = "Filter the rows";
    field.setAttribute("aria-label", "Filter the rows");
    label.append(field, " ", shown);
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLocaleLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
      shown.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
    table.parentElement.before(label);
  };

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("table[data-filter]").forEach(makeFilterable);

  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open])")];
    for (const part of unfolded) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of unfolded) part.open = false;
  });
})();
