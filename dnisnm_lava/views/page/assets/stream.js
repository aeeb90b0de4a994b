"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const told = read("points"), span = read("span");
const slider = document.getElementById("frame"), log = document.getElementById("log");
const total = told.spikes.stream.length, who = Object.fromEntries(told.who), keys = told.who.map(([key]) => key);
const SVG = "http://www.w3.org/2000/svg", LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 40;

function element(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function html(name, parent, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
}

// ---------------------------------------------------------------- numbers in words

const plain = (value) => String(+value.toPrecision(3));

function brief(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (Math.abs(value) >= size) return plain(value / size) + letter;
  return plain(value);
}

function nice(most, ticks) {
  const rough = most / ticks, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((step) => step * power >= rough * 0.999);
}

function named(i) {
  const first = told.first + i * told.width, last = Math.min(first + told.width, told.first + told.frames) - 1;
  return first === last ? `${first}` : `${first} to ${last}`;
}

function answer(key, i) {
  const said = (told.answers[key] || [])[i];
  return said === null || said === undefined ? "–" : typeof said === "number" ? told.classes[said] : said;
}

// ---------------------------------------------------------------- charts

function series(name) {
  const found = keys.filter((key) => told[name][key]).map((key) => ({ key, label: who[key], values: told[name][key] }));
  if (name === "operations") found.push({ key: "ann", label: "the ANN's multiplications", values: Array(total).fill(told.multiplications) });
  return found.map((s) => ({ ...s, dash: s.key === "skipping" ? "2 3" : s.key === "ann" && name === "operations" ? "6 4" : "" }));
}

function ticksOf(most, least) {
  if (least === null) {
    const step = nice(most, 4), count = Math.floor(most / step + 1e-6);
    return Array.from({ length: count + 1 }, (_, i) => i * step);
  }
  const low = Math.floor(Math.log10(least)), high = Math.ceil(Math.log10(most));
  return Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
}

function frameTicks(width) {
  const step = Math.max(1, nice(Math.max(1, told.frames), Math.max(2, Math.floor(width / 90))));
  const first = Math.ceil(told.first / step) * step, found = [];
  for (let frame = first; frame < told.first + told.frames; frame += step) found.push(frame);
  return found;
}

class Chart {
  constructor(host) {
    this.host = host;
    this.name = host.dataset.chart;
    this.series = series(this.name);
    this.marks = this.name === "agreement" && told.kind === "class";
    this.height = this.marks ? 26 * this.series.length + TOP + BOTTOM : this.name === "operations" ? 260 : 190;
    this.legend();
    this.draw();
  }

  legend() {
    const list = html("ul", this.host.parentNode, undefined, "legend");
    for (const s of this.series) {
      const item = html("li", list);
      const line = html("i", item);
      line.style.borderTopColor = `var(--${s.key})`;
      line.style.borderTopStyle = s.dash ? "dotted" : "solid";
      item.append(this.marks ? `differs from ${s.label}` : s.label);
    }
  }

  x(i) {
    return LEFT + (total > 1 ? (i * (this.width - LEFT - RIGHT)) / (total - 1) : 0);
  }

  draw() {
    this.width = Math.max(200, this.host.clientWidth);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    svg.setAttribute("height", this.height);
    this.host.replaceChildren(svg);
    this.axis(svg);
    if (this.marks) this.ticks(svg);
    else this.curves(svg);
    this.line = element("line", { class: "chosen", y1: TOP, y2: this.height - BOTTOM }, svg);
    const choose = (event) => {
      const at = (event.clientX - svg.getBoundingClientRect().left - LEFT) / (this.width - LEFT - RIGHT);
      show(Math.round(Math.min(1, Math.max(0, at)) * (total - 1)));
    };
    svg.addEventListener("pointerdown", choose);
    svg.addEventListener("pointermove", (event) => event.buttons && choose(event));
    this.mark(+slider.value);
  }

  axis(svg) {
    const base = this.height - BOTTOM;
    for (const i of told.inexact) {
      const half = Math.max(1, (this.x(1) - this.x(0)) / 2 || 1);
      element("rect", { class: "shade", x: Math.max(LEFT, this.x(i) - half), y: TOP, width: 2 * half, height: base - TOP }, svg);
    }
    element("line", { class: "rule", x1: LEFT, x2: this.width - RIGHT, y1: base, y2: base }, svg);
    for (const frame of frameTicks(this.width - LEFT - RIGHT)) {
      const x = this.x((frame - told.first) / told.width), ends = x > this.width - RIGHT - 12;
      if (x > this.width - RIGHT + 1) continue;
      element("line", { class: "rule", x1: x, x2: x, y1: base, y2: base + 4 }, svg);
      element("text", { x: ends ? this.width : x, y: base + 17, "text-anchor": ends ? "end" : "middle" }, svg, frame);
    }
    element("text", { x: (LEFT + this.width - RIGHT) / 2, y: this.height - 5, "text-anchor": "middle" }, svg, "frame");
  }

  curves(svg) {
    const all = this.series.flatMap((s) => s.values), found = all.reduce((a, b) => Math.max(a, b), 0) || 1;
    const isLog = this.name === "operations" && log.checked;
    const above = all.filter((value) => value > 0).reduce((a, b) => Math.min(a, b), found);
    const ticks = ticksOf(found, isLog ? above : null), low = isLog ? ticks[0] : 0;
    const high = isLog ? Math.max(ticks[ticks.length - 1], 10 * low) : found;
    const base = this.height - BOTTOM, tall = base - TOP;
    const y = (v) => base - tall * (isLog ? Math.log10(Math.max(v, low) / low) / Math.log10(high / low) : v / high);
    for (const tick of ticks) {
      element("line", { class: "rule", x1: LEFT, x2: this.width - RIGHT, y1: y(tick), y2: y(tick) }, svg);
      element("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, brief(tick));
    }
    for (const s of this.series) {
      const path = s.values.map((v, i) => `${i ? "L" : "M"}${this.x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      element("path", { d: total > 1 ? path : path + "h4", style: `stroke: var(--${s.key})`, "stroke-dasharray": s.dash }, svg);
    }
  }

  ticks(svg) {
    this.series.forEach((s, row) => {
      const y = TOP + 26 * row + 3;
      const differing = s.values.flatMap((share, i) => (share < 1 ? [i] : []));
      element("path", { d: differing.map((i) => `M${this.x(i).toFixed(1)} ${y}v20`).join(""), style: `stroke: var(--${s.key})` }, svg);
      element("text", { x: LEFT - 6, y: y + 14, "text-anchor": "end" }, svg, differing.length);
      if (!differing.length) element("text", { x: LEFT + 8, y: y + 14 }, svg, "on no frame");
    });
  }

  mark(i) {
    this.line.setAttribute("x1", this.x(i));
    this.line.setAttribute("x2", this.x(i));
  }
}

// ---------------------------------------------------------------- the chosen frame

const charts = [...document.querySelectorAll("[data-chart]")].map((host) => new Chart(host));

function show(i) {
  slider.value = i;
  document.getElementById("chosen").textContent = named(i);
  const fresh = told.fresh.includes(i) ? ", begun anew" : "", clipped = told.inexact.includes(i) ? ", behind a saturation" : "";
  document.querySelector("#row-caption span").textContent = `Frame ${named(i)}${fresh}${clipped}`;
  const body = document.querySelector("#row tbody");
  body.replaceChildren();
  for (const key of keys) row(body, key, i);
  for (const chart of charts) chart.mark(i);
  const at = Math.min(1, (i * told.width + told.width / 2) / span.frames);
  for (const marker of document.querySelectorAll(".marker")) marker.style.left = `${100 * at}%`;
}

function row(body, key, i) {
  const count = (value) => (value === undefined ? "–" : value.toLocaleString("en"));
  const work = key === "ann" ? told.multiplications : (told.operations[key] || [])[i];
  if (work === undefined) return;
  const line = html("tr", body), agreed = (told.agreement[key] || [])[i];
  html("th", line, who[key]).scope = "row";
  const differs = told.kind === "class" && agreed < 1;
  const beside = agreed === undefined || told.kind === "class" ? "" : told.kind === "error" ? ` (RMSE ${agreed})` : ` (${(100 * agreed).toFixed(1)} % agree)`;
  html("td", line, answer(key, i) + beside, differs ? "bad" : "");
  html("td", line, count(work), "n");
  html("td", line, count((told.spikes[key] || [])[i]), "n");
}

slider.addEventListener("input", () => show(+slider.value));
log.addEventListener("change", () => charts.forEach((chart) => chart.draw()));
for (const shot of document.querySelectorAll(".shot")) {
  shot.addEventListener("click", () => show(Math.floor((shot.dataset.frame - told.first) / told.width)));
}
let width = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === width) return;
  width = document.body.clientWidth;
  for (const chart of charts) chart.draw();
}).observe(document.body);

const theme = document.getElementById("theme"), root = document.documentElement;
function dark(is) {
  root.dataset.theme = is ? "dark" : "light";
  theme.setAttribute("aria-pressed", is);
}
theme.setAttribute("aria-pressed", matchMedia("(prefers-color-scheme: dark)").matches);
theme.addEventListener("click", () => dark(theme.getAttribute("aria-pressed") !== "true"));
show(0);
