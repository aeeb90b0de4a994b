"use strict";
/* A T that is chosen, words and curves that tell more where one points, a graph to press, tables that sort and filter, drawings to
   save, light and dark. All texts come ready from the page. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const texts = read("texts"), nodes = read("nodes");
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.querySelector("input[name=steps]:checked").value;

  /* ---- light and dark */

  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  function themed() {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-pressed", String(isDark()));
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  }
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; themed(); });
  dark.addEventListener("change", themed);

  /* ---- the chosen T */

  function choose() {
    const t = chosen(), told = texts[t];
    all("[data-at]").forEach((element) => { element.textContent = told[element.dataset.at]; });
    all("[data-follow-state]").forEach((element) => { element.dataset.state = told[element.dataset.followState]; });
    all("[data-mark]").forEach((mark) => mark.classList.toggle("on", mark.dataset.mark === t));
    all("[data-steps]").forEach((part) => {
      part.hidden = !part.dataset.steps.split(" ").includes(t);
      part.style.order = told[part.dataset.place] || 0;
    });
    all("table").forEach((table) => { if (table.sorted) table.sorted(); });
  }
  all("input[name=steps]").forEach((input) => input.addEventListener("change", choose));
  all("[data-t]").forEach((part) => part.addEventListener("click", () => {
    const input = document.querySelector(`input[name=steps][value="${part.dataset.t}"]`);
    if (!input.checked) { input.checked = true; choose(); }
  }));
  all("[data-switch]").forEach((area) => area.querySelector("select").addEventListener("change", (event) => {
    all("[data-choice]", area).forEach((part) => { part.hidden = part.dataset.choice !== event.target.value; });
  }));

  /* ---- what is pointed at */

  const tip = document.getElementById("tip");
  function tell(part, x, y) {
    tip.textContent = part.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 12) : y + 18}px`;
  }
  const silent = () => { tip.hidden = true; };
  all("[data-tip]").forEach((part) => {
    part.addEventListener("pointermove", (event) => tell(part, event.clientX, event.clientY));
    part.addEventListener("pointerleave", silent);
    part.addEventListener("focus", () => { const box = part.getBoundingClientRect(); tell(part, box.left, box.bottom - 10); });
    part.addEventListener("blur", silent);
  });
  addEventListener("scroll", silent, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") silent(); });

  /* ---- the graph */

  const pane = document.getElementById("node");
  function explain(box) {
    const node = nodes[box.dataset.node], list = document.createElement("dl");
    list.className = "facts narrow";
    for (const [word, value] of node.rows) {
      const [name, told] = ["dt", "dd"].map((tag) => list.appendChild(document.createElement(tag)));
      name.textContent = word;
      told.textContent = typeof value === "string" ? value : texts[chosen()][value.at];
      if (typeof value !== "string") told.dataset.at = value.at;
    }
    const title = document.createElement("h3");
    title.textContent = node.name;
    pane.replaceChildren(title, list);
    all(".node").forEach((other) => other.classList.toggle("on", other === box));
  }
  all(".node").forEach((box) => {
    box.addEventListener("click", () => explain(box));
    box.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); explain(box); } });
  });
  all(".drawing").forEach((drawing) => {
    const on = drawing.querySelector(".node.on"), frame = drawing.getBoundingClientRect();
    const place = on ? on.getBoundingClientRect() : frame;
    drawing.scrollLeft = place.left + place.width / 2 - frame.left - drawing.clientWidth / 2;
    drawing.scrollTop = place.top + place.height / 2 - frame.top - drawing.clientHeight / 2;
  });

  /* ---- drawings as files */

  const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "font-family", "font-size", "font-weight", "text-anchor", "visibility", "paint-order", "image-rendering"];
  function standalone(drawing) {
    const copy = drawing.cloneNode(true), [x, y, width, height] = drawing.getAttribute("viewBox").split(" ");
    const parts = [drawing, ...all("*", drawing)], copies = [copy, ...all("*", copy)];
    parts.forEach((part, i) => {
      const style = getComputedStyle(part);
      copies[i].setAttribute("style", KEPT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
      ["class", "data-tip", "data-t", "data-mark", "data-node", "tabindex", "role"].forEach((name) => copies[i].removeAttribute(name));
    });
    copies.filter((part, i) => parts[i].matches(".hit")).forEach((part) => part.remove());
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    paper.setAttribute("style", `fill:${getComputedStyle(document.body).backgroundColor}`);
    Object.entries({ x, y, width, height }).forEach(([name, value]) => paper.setAttribute(name, value));
    copy.prepend(paper);
    Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height }).forEach(([name, value]) => copy.setAttribute(name, value));
    return new XMLSerializer().serializeToString(copy);
  }
  function save(content, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const SCALE = 3; // pixels of a PNG for each unit of its drawing
  function picture(drawing, name) {
    const image = new Image(), size = drawing.viewBox.baseVal;
    image.onload = () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: SCALE * size.width, height: SCALE * size.height });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, `${name}.png`), "image/png");
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(drawing))}`;
  }
  all("figure.chart, .drawing").forEach((figure) => {
    const drawing = figure.querySelector("svg"), name = figure.id || "graph", line = document.createElement("p");
    line.className = "save";
    for (const [kind, act] of [["SVG", () => save(new Blob([standalone(drawing)], { type: "image/svg+xml" }), `${name}.svg`)], ["PNG", () => picture(drawing, name)]]) {
      const press = Object.assign(document.createElement("button"), { type: "button", textContent: kind });
      press.setAttribute("aria-label", `Save ${name} as ${kind}`);
      press.addEventListener("click", act);
      line.append(press);
    }
    if (figure.id) drawing.after(line); else figure.parentElement.after(line);
  });

  /* ---- tables */

  const order = new Intl.Collator("en", { numeric: true });
  function value(row, index, numeric) {
    const text = row.cells[index].textContent.trim();
    if (!numeric) return text;
    const number = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(number) ? -Infinity : number;
  }

  function sort(table, index, direction) {
    const heads = [...table.tHead.rows[0].cells], numeric = heads[index].classList.contains("n");
    const keyed = [...table.tBodies[0].rows].map((row) => [value(row, index, numeric), row]);
    keyed.sort(([a], [b]) => direction * (numeric ? (a === b ? 0 : a < b ? -1 : 1) : order.compare(a, b)));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
    heads.forEach((head, i) => (i === index ? head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending") : head.removeAttribute("aria-sort")));
    table.sorted = () => sort(table, index, direction);
  }

  all(".sheet table").forEach((table) => [...table.tHead.rows[0].cells].forEach((head, index) => {
    const press = document.createElement("button");
    press.type = "button";
    press.textContent = head.textContent;
    head.replaceChildren(press);
    press.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(table, index, now ? (now === "ascending" ? -1 : 1) : head.classList.contains("n") ? -1 : 1);
    });
  }));

  all(".filter input").forEach((input) => input.addEventListener("input", () => {
    const rows = [...document.getElementById(input.getAttribute("aria-controls")).tBodies[0].rows];
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
    const left = rows.filter((row) => !row.hidden).length;
    input.parentElement.querySelector("output").textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
  }));

  /* ---- copy and save */

  all("[data-copy]").forEach((press) => press.addEventListener("click", async () => {
    const source = document.getElementById(press.dataset.copy);
    getSelection().selectAllChildren(source);
    try { await navigator.clipboard.writeText(source.textContent); press.textContent = "Copied"; } catch { press.textContent = "Selected: copy it now"; }
  }));
  document.getElementById("save").addEventListener("click", () => save(new Blob([document.getElementById("result").textContent], { type: "application/json" }), "result.json"));
  if (innerWidth < 704) all(".roomy").forEach((part) => { part.open = false; }); // 44rem, as in the style
  themed();
})();
