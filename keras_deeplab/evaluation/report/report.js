"use strict";
{
  const table = document.getElementById("images");
  const body = table.tBodies[0];
  const rows = [...body.rows]; // in the order of the dataset, which ties keep
  const headers = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true }); // tile2 before tile10

  function key(cell, numeric) {
    if (cell.classList.contains("none")) return null;
    return numeric ? Number(cell.dataset.value) : cell.textContent;
  }

  function sortBy(header, descending) {
    const column = headers.indexOf(header);
    const numeric = header.classList.contains("number");
    const compare = numeric ? (a, b) => a - b : collator.compare;
    const keyed = rows.map((row) => [key(row.cells[column], numeric), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // last either way
      return descending ? compare(b, a) : compare(a, b);
    });
    const sorted = document.createDocumentFragment();
    for (const [, row] of keyed) sorted.append(row);
    body.append(sorted);
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  for (const header of headers) {
    header.firstElementChild.addEventListener("click", () => {
      sortBy(header, header.getAttribute("aria-sort") === "ascending");
    });
  }
  sortBy(headers.find((header) => header.textContent === "mIoU"), false);

  const box = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const names = rows.map((row) => row.querySelector("th").textContent.toLowerCase());

  function filter() {
    const wanted = box.value.trim().toLowerCase();
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !names[index].includes(wanted);
      count += !row.hidden;
    });
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  }

  box.addEventListener("input", filter);
  filter(); // a reloaded page may keep what was typed
  box.form.hidden = false;
}
