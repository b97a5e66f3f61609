// In Airflow's frame: take its colours, and let its own links lead the page around, which the frame's sandbox forbids
// a plain link to do.
(() => {
  "use strict";
  const inside = window.parent !== window;
  const outer = inside ? window.parent.document : document;
  const own = document.documentElement;
  const names = {
    "--bg": "bg", "--bg-muted": "bg-muted", "--fg": "fg", "--fg-muted": "fg-muted", "--border": "border",
    "--link": "fg-info",
  };
  const paint = () => {
    const dark = inside ? outer.documentElement.classList.contains("dark")
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    own.classList.toggle("dark", dark);
    const given = getComputedStyle(outer.documentElement);
    for (const [name, theirs] of Object.entries(names)) {
      const value = inside ? given.getPropertyValue(`--chakra-colors-${theirs}`).trim() : "";
      if (value) own.style.setProperty(name, value); else own.style.removeProperty(name);
    }
  };
  paint();
  if (inside) new MutationObserver(paint).observe(outer.documentElement, { attributeFilter: ["class"] });
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("button.copy");
    if (!copy) return;
    // The clipboard's own interface is missing on plain HTTP; a frame may still copy what is selected.
    const text = document.createElement("textarea");
    text.value = copy.dataset.copy;
    document.body.append(text);
    text.select();
    copy.textContent = document.execCommand("copy") ? "✓" : "✗";
    text.remove();
    copy.focus();
    setTimeout(() => { copy.textContent = "⧉"; }, 1500);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.airflow, a.outside");
    if (!link || !inside || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (link.classList.contains("outside")) { window.parent.open(link.href); return; }
    window.parent.history.pushState(null, "", new URL(link.getAttribute("href"), outer.baseURI));
    window.parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
  });
  const ask = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "application/json, text/html;q=0.9" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  };
  // What the cluster says comes after the page, which works without it.
  document.addEventListener("DOMContentLoaded", async () => {
    for (const one of document.querySelectorAll("[data-later]")) {
      try { one.innerHTML = await (await ask(one.dataset.later)).text(); } // escaped by the server
      catch { one.textContent = "The cluster could not be asked. Reload the page to try again."; }
    }
    const list = document.querySelector("[data-releases]");
    if (!list) return;
    let known = {};
    try { known = await (await ask(list.dataset.releases)).json(); } catch { /* shown as not known */ }
    for (const cell of list.querySelectorAll("[data-of]")) {
      const text = known[cell.dataset.of]?.[cell.dataset.what] ?? "not known";
      cell.textContent = cell.dataset.what === "image" ? text.replace("sha256:", "").slice(0, 12) || "–" : text || "–";
      cell.title = cell.dataset.what === "image" ? text : known[cell.dataset.of]?.why ?? "";
      const copy = cell.parentElement.querySelector("button.copy");
      if (copy && cell.dataset.what === "image" && text.startsWith("sha256:")) {
        copy.dataset.copy = text;
        copy.title = `Copy ${text}`;
        copy.setAttribute("aria-label", copy.title);
      }
    }
  });
  // A table that is wider than its frame is scrolled by keyboard too.
  document.addEventListener("DOMContentLoaded", () => {
    for (const one of document.querySelectorAll(".wide")) {
      if (one.scrollWidth > one.clientWidth) { one.tabIndex = 0; one.setAttribute("role", "region"); one.setAttribute("aria-label", "Table"); }
    }
  });
})();
