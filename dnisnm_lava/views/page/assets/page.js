"use strict";
/* Curves in the page's colours, tables that sort and filter, a T that is chosen, light and dark. Texts come ready from the page. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const texts = read("texts"), figures = read("figures");
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const plots = all(".plot");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.querySelector("input[name=steps]:checked").value;

  /* ---- curves */

  const NARROW = 520, SHORT = 15, LONG = 34; // pixels of a plot; letters of a name in narrow and in wide ones
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const plain = (name) => name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  const escaped = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const shortened = (name, most) => (plain(name).length > most ? "…" + escaped(plain(name).slice(1 - most)) : name);

  function layout(plot, figure, width) {
    const ink = colour("--ink"), soft = colour("--soft"), line = colour("--line"), page = colour("--page");
    const made = structuredClone(figure.layout);
    Object.assign(made, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, width, autosize: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: soft },
      margin: { l: 8, r: 12, t: 34, b: 8 },
      hoverlabel: { bgcolor: page, bordercolor: line, font: { color: ink, size: 12 }, namelength: -1 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { color: ink }, itemclick: "toggle" },
    });
    for (const name of Object.keys(made).filter((key) => /^[xy]axis\d*$/.test(key))) {
      made[name] = {
        gridcolor: line, zerolinecolor: soft, linecolor: line, fixedrange: true, automargin: true, zeroline: false, ...made[name],
        title: { standoff: 8, font: { size: 12, color: soft }, ...made[name].title }, tickfont: { color: soft, size: 11 },
      };
    }
    const categories = made.yaxis && made.yaxis.type === "category" && figure.data[0] ? figure.data[0].y : null;
    const most = width < NARROW ? SHORT : LONG;
    if (categories) {
      Object.assign(made.yaxis, { tickmode: "array", tickvals: categories, ticktext: categories.map((name) => shortened(name, most)) });
    }
    if (made.xaxis && made.xaxis.ticktext) made.xaxis.ticktext = made.xaxis.ticktext.map((name) => shortened(name, most));
    if ("overSteps" in plot.dataset) {
      made.shapes = [...(made.shapes || []), {
        type: "line", x0: +chosen(), x1: +chosen(), yref: "paper", y0: 0, y1: 1, line: { color: soft, width: 1.5, dash: "dot" },
      }];
    }
    return made;
  }

  function draw(plot, width = plot.clientWidth) {
    if (!width) return; // hidden: drawn when it is shown
    const figure = figures[plot.dataset.figure];
    const data = figure.data.map((trace) => (trace.meta === "ink" ? { ...trace, marker: { ...trace.marker, color: colour("--ink") } } : trace));
    Plotly.react(plot, data, layout(plot, figure, width), { displayModeBar: false, responsive: false, scrollZoom: false });
    plot.dataset.drawn = width;
  }

  const drawAll = () => plots.forEach((plot) => draw(plot));
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
  }), { rootMargin: "600px" });
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.dataset.drawn && target.clientWidth && +target.dataset.drawn !== target.clientWidth) draw(target);
  }));
  const redraw = () => plots.filter((plot) => plot.dataset.drawn).forEach((plot) => draw(plot));

  /* ---- light and dark */

  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  function themed() {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-pressed", String(isDark()));
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    redraw();
  }
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; themed(); });
  dark.addEventListener("change", themed);

  /* ---- the chosen T */

  function choose() {
    const told = texts[chosen()];
    all("[data-at]").forEach((element) => { element.textContent = told[element.dataset.at]; });
    plots.filter((plot) => plot.dataset.drawn && "overSteps" in plot.dataset).forEach((plot) => draw(plot));
    all("table").forEach((table) => { if (table.sorted) table.sorted(); });
  }
  all("input[name=steps]").forEach((input) => input.addEventListener("change", choose));

  all("[data-switch]").forEach((area) => area.querySelector("select").addEventListener("change", (event) => {
    all("[data-choice]", area).forEach((part) => { part.hidden = part.dataset.choice !== event.target.value; });
    all(".plot", area).forEach((plot) => draw(plot));
  }));

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

  all("table").forEach((table) => [...table.tHead.rows[0].cells].forEach((head, index) => {
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
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.getElementById("result").textContent], { type: "application/json" }));
    link.download = "result.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  /* ---- paper */

  const PAPER = 660; // pixels: the width of a page
  window.addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot, Math.min(PAPER, plot.closest(".three") ? 210 : PAPER))));
  window.addEventListener("afterprint", drawAll);

  all(".drawing").forEach((drawing) => { drawing.scrollLeft = (drawing.scrollWidth - drawing.clientWidth) / 2; });
  themed();
  plots.forEach((plot) => { seen.observe(plot); resized.observe(plot); });
})();
