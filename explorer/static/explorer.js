// What moves: copy buttons, steps from month to month, the search while one types, and another look
// at a database that was away. Everything else works without this file.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue; // a page that is not secure may not copy
  button.hidden = false;
  button.addEventListener("click", async () => {
    const word = button.textContent;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = word; }, 1500);
  });
}

const strip = document.querySelector("[data-step]");
if (strip) {
  const shown = strip.querySelector("[aria-current]");
  const list = strip.querySelector("ol");
  list.scrollLeft = shown.offsetLeft - list.offsetLeft - (list.clientWidth - shown.offsetWidth) / 2;
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, .scroll, pre")) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const link = rel && strip.querySelector(`a[rel=${rel}]`);
    if (link) link.click();
  });
}

const search = document.querySelector("input[data-filter]");
if (search) {
  const count = document.querySelector("[data-count]");
  const asked = search.value;
  search.addEventListener("input", () => {
    // What the page has is narrowed down; for more than that, the form asks.
    if (!search.value.toLowerCase().startsWith(asked.toLowerCase())) return;
    const sought = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of document.querySelectorAll(search.dataset.filter)) {
      const text = one.dataset.find.toLowerCase();
      one.hidden = !sought.every((word) => text.includes(word));
      if (!one.hidden && one.tagName === "TR") shown += 1;
    }
    for (const view of document.querySelectorAll("section.view")) {
      view.hidden = !view.querySelector("tr[data-find]:not([hidden])");
    }
    count.textContent = shown === 1 ? "1 feature" : `${shown.toLocaleString("en")} features`;
  });
}

const away = document.querySelector("[data-retry]");
if (away) setTimeout(() => location.reload(), 1000 * away.dataset.retry);
