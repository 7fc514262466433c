"use strict";
// The page's state, the curves and the table of subjects. Names come from file names: they only ever become text nodes.

document.documentElement.classList.add("js"); // what is of use with a script only shows now, what stands in for it goes

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const text = (value, digits = 3) => (value === null || Number.isNaN(value) ? "–" : value.toFixed(digits));
const ink = (color) => (color === "#000000" ? "currentColor" : color); // black lines turn light on a dark page

function element(name, attributes = {}, ...children) {
  const space = ["svg", "path", "line", "g", "text"].includes(name) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// ------------------------------------------------------------------------------------------------------------- state

const state = { part: 0, method: 0, subject: 0, slice: null, threshold: data.thresholds.length, measure: "ue" };
const listeners = [];
let writing = 0;

function apply(changes) {
  if ("part" in changes) {
    const { title, ...numbers } = data.parts[changes.part]; // of several classes: all that is shown is of one part
    Object.assign(data, numbers);
    if (!(state.measure in data.measures)) changes.measure = "ue";
  }
  Object.assign(state, changes);
  for (const listener of listeners) listener(changes);
}

function change(changes) {
  apply(changes);
  clearTimeout(writing);
  writing = setTimeout(writeAddress, 200); // browsers refuse many changes of the address in a short time
}

function writeAddress() {
  const parts = { method: data.methods[state.method].name };
  if (state.part) parts.region = data.parts[state.part].title;
  if (data.viewer.length) Object.assign(parts, viewerAddress());
  try {
    history.replaceState(null, "", "#" + new URLSearchParams(parts));
  } catch {
    // some browsers don't allow it for files; the page works without
  }
}

function readAddress() {
  if (!location.hash.includes("=")) return null;
  const parts = new URLSearchParams(location.hash.slice(1));
  const found = {};
  const method = data.methods.findIndex((one) => one.name === parts.get("method"));
  const part = data.parts.findIndex((one) => one.title === parts.get("region"));
  if (part >= 0) found.part = part;
  if (method >= 0) found.method = method;
  return Object.assign(found, readViewerAddress(parts));
}

// ------------------------------------------------------------------------------------------------------------ curves

const HEIGHT = 336;
const printing = matchMedia("print"); // paper is narrower than the window, and letters keep their size
let reading = null; // index of the threshold that is read off, or null for each method's best

function drawChart() {
  const width = printing.matches ? 430 : Math.max($("chart").clientWidth, 260);
  const curves = data.methods.map((method) => method.curves[state.measure]);
  const largest = Math.max(...curves.flat().filter((value) => value !== null), 0);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((one) => largest / one <= 6) ?? 0.2;
  const top = Math.max(Math.ceil(largest / step - 1e-9) * step, step);
  const x = (value) => 40 + (width - 52) * Number(value);
  const y = (value) => HEIGHT - 42 - (HEIGHT - 54) * (value / top);
  const svg = element("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": data.measures[state.measure] + " over the uncertainty threshold" });
  for (let value = 0; value <= top + 1e-9; value += step) {
    svg.append(element("line", { class: "axis", x1: 40, x2: width - 12, y1: y(value), y2: y(value) }));
    svg.append(element("text", { x: 34, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(step < 0.1 ? 2 : 1)));
  }
  for (const value of [0, 0.2, 0.4, 0.6, 0.8, 1])
    svg.append(element("text", { x: x(value), y: HEIGHT - 22, "text-anchor": "middle" }, value.toFixed(1)));
  svg.append(element("text", { x: x(0.5), y: HEIGHT - 3, "text-anchor": "middle" }, "uncertainty threshold"));
  if (reading !== null) {
    const place = x(data.thresholds[reading]);
    svg.append(element("line", { class: "reading", x1: place, x2: place, y1: 8, y2: HEIGHT - 42 }));
  }
  data.methods.forEach((method, index) => {
    const points = curves[index].map((value, at) => (value === null ? null : [x(data.thresholds[at]), y(value)]));
    const group = element("g", { class: followed !== null && followed !== index ? "faint" : "" });
    const look = { stroke: ink(method.color), "stroke-width": index === state.method ? 2.8 : 1.7, "stroke-linejoin": "round" };
    group.append(element("path", { d: line(points), "stroke-dasharray": method.dash, ...look }));
    const dots = points.filter(Boolean).map(([a, b]) => `M${a} ${b}h0`).join("");
    group.append(element("path", { d: dots, ...look, "stroke-width": 6, "stroke-linecap": "round" }));
    svg.append(group);
  });
  $("chart").replaceChildren(svg);
}

function line(points) {
  let path = "";
  points.forEach((point, index) => {
    if (point) path += (points[index - 1] ? "L" : "M") + point.map((value) => value.toFixed(3)).join(" ");
  });
  return path;
}

let followed = null; // the method under the pointer in the readout

// Rows of the readout stay and are rewritten: one that was replaced while the focus came to it would lose it.
function readoutRow(index) {
  const rows = $("readout").tBodies[0].rows;
  if (rows.length === data.methods.length) return rows[index];
  const method = data.methods[index];
  const sample = element("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" }, element("path", { d: "M1 6H33", stroke: ink(method.color), "stroke-width": 2.4, "stroke-dasharray": method.dash }));
  const row = element(
    "tr",
    { mouseenter: () => follow(index), mouseleave: () => follow(null) },
    element("td", {}, sample),
    element("td", {}, element("button", { type: "button", click: () => change({ method: index }) }, method.title)),
    element("td"),
  );
  return $("readout").tBodies[0].appendChild(row);
}

function drawReadout() {
  const curves = data.methods.map((method) => method.curves[state.measure]);
  const at = curves.map((values) => (reading === null ? best(values) : reading));
  const values = curves.map((curve, index) => (at[index] === null ? null : curve[at[index]]));
  const winner = values[best(values)];
  const rows = data.methods.map((_, index) => readoutRow(index));
  rows.forEach((row, index) => {
    const shown = element(values[index] === winner ? "strong" : "span", {}, text(values[index]));
    const where = reading === null && at[index] !== null ? element("span", { class: "rank" }, ` at ${data.thresholds[at[index]]}`) : "";
    row.cells[2].replaceChildren(shown, where);
    if (index === state.method) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
  $("readout").caption.textContent = reading === null ? `Each method's ${lower() ? "lowest" : "highest"}` : `At threshold ${data.thresholds[reading]}`;
}

const lower = () => data.lower.includes(state.measure); // whether lower values are better

function best(values) {
  let found = null;
  values.forEach((value, index) => {
    if (value !== null && (found === null || (lower() ? value < values[found] : value > values[found]))) found = index;
  });
  return found;
}

function follow(index) {
  followed = index;
  drawChart();
}

function read(index) {
  reading = index;
  drawChart();
  drawReadout();
}

function startCurves() {
  const offer = () => {
    $("measure").replaceChildren(...Object.entries(data.measures).map(([name, title]) => element("option", { value: name }, title)));
    $("measure").value = state.measure;
  };
  $("measure").addEventListener("change", () => change({ measure: $("measure").value }));
  const chart = $("chart");
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const value = (event.clientX - box.left - 40) / (box.width - 52);
    const gaps = data.thresholds.map((threshold) => Math.abs(Number(threshold) - value));
    const nearest = gaps.indexOf(Math.min(...gaps));
    if (nearest !== reading) read(nearest);
  });
  chart.addEventListener("pointerleave", () => read(null));
  chart.addEventListener("blur", () => read(null));
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") read(null);
    if (!move) return;
    event.preventDefault();
    read(clamp((reading ?? (move > 0 ? -1 : data.thresholds.length)) + move, 0, data.thresholds.length - 1));
  });
  new ResizeObserver(drawChart).observe(chart);
  printing.addEventListener("change", drawChart);
  listeners.push((changes) => {
    if ("part" in changes) offer();
    drawChart();
    drawReadout();
  });
}

// ---------------------------------------------------------------------------------------------------------- subjects

const order = { column: "dice", descending: false };
const COLUMNS = {
  subject: { title: "Subject" },
  dice: { title: "Dice" },
  ece: { title: "ECE %", show: (value) => text(value === null ? null : 100 * value) },
  ue: { title: "U-E", at: "ue" },
  corrected: { title: "Corrected Dice", at: "bnf" },
  change: { title: "Change", at: "bnf" },
};

function subjectRows() {
  const method = data.methods[state.method];
  const rows = data.subjects.map((subject, index) => {
    const row = { subject, inline: data.viewer.findIndex((one) => one.name === subject) };
    for (const [name, values] of Object.entries(method.subjects)) row[name] = values[index];
    row.change = row.corrected === null || row.dice === null ? null : row.corrected - row.dice;
    return row;
  });
  const sign = order.descending ? -1 : 1;
  return rows.sort((a, b) => {
    const [one, other] = [a[order.column], b[order.column]];
    if (one === null || other === null) return (one === null) - (other === null); // undefined values stand last
    return sign * (order.column === "subject" ? one.localeCompare(other, undefined, { numeric: true }) : one - other);
  });
}

function drawSubjects() {
  const method = data.methods[state.method];
  const head = Object.entries(COLUMNS).map(([name, column]) => {
    const sorted = order.column === name ? (order.descending ? "descending" : "ascending") : null;
    const button = element("button", { type: "button", "data-sort": name, click: () => sortBy(name) }, column.title);
    const at = column.at in method.best ? element("small", {}, `at ${data.thresholds[method.best[column.at]]}`) : "";
    return element("th", { scope: "col", "aria-sort": sorted }, button, at);
  });
  const wanted = $("find").value.trim().toLowerCase();
  const rows = subjectRows().filter((row) => row.subject.toLowerCase().includes(wanted));
  $("found").textContent = wanted ? `${rows.length} of ${data.subjects.length}` : "";
  $("subject-table").tHead.rows[0].replaceChildren(...head);
  $("subject-table").tBodies[0].replaceChildren(...rows.map(subjectRow));
}

function subjectRow(row) {
  const open = row.inline >= 0;
  const name = open ? element("a", { href: "#viewer", click: (event) => openSubject(event, row.inline) }, row.subject) : row.subject;
  const cells = Object.entries(COLUMNS).slice(1).map(([key, column]) => {
    if (key !== "change") return element("td", {}, (column.show ?? text)(row[key]));
    const direction = row.change > 0 ? "up" : row.change < 0 ? "down" : "";
    return element("td", { class: direction }, text(row.change === null ? null : Math.abs(row.change)));
  });
  return element(
    "tr",
    { class: open ? "inline" : "", "aria-current": open && row.inline === state.subject ? "true" : null, click: open ? (event) => openSubject(event, row.inline) : null },
    element("th", { scope: "row" }, name),
    ...cells,
  );
}

function openSubject(event, index) {
  event.preventDefault();
  event.stopPropagation();
  change({ subject: index, slice: data.viewer[index].start });
  $("viewer").scrollIntoView({ block: "start" });
  $("stage").focus({ preventScroll: true });
}

function sortBy(name) {
  order.descending = order.column === name ? !order.descending : name !== "subject" && name !== "dice";
  order.column = name;
  drawSubjects();
  document.querySelector(`[data-sort="${name}"]`).focus();
}

// ------------------------------------------------------------------------------------------------------------- start

function startPage() {
  for (const select of document.querySelectorAll("select[data-method]")) {
    data.methods.forEach((method, index) => select.append(element("option", { value: index }, method.title)));
    select.addEventListener("change", () => change({ method: Number(select.value) }));
  }
  listeners.push(() => {
    for (const select of document.querySelectorAll("select[data-method]")) select.value = state.method;
  });
  $("find").addEventListener("input", drawSubjects);
  listeners.push((changes) => {
    if ("method" in changes || "subject" in changes || "part" in changes) drawSubjects();
  });
  for (const select of document.querySelectorAll("select[data-choose]")) select.addEventListener("change", () => change({ part: Number(select.value) }));
  listeners.push(() => {
    for (const select of document.querySelectorAll("select[data-choose]")) select.value = state.part;
    for (const one of document.querySelectorAll("[data-part]")) one.hidden = Number(one.dataset.part) !== state.part;
  });
  startCurves();
  markWide();
  for (const term of document.querySelectorAll(".term")) {
    for (const event of ["mouseenter", "focus"]) term.addEventListener(event, () => placeTip(term));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const term of document.querySelectorAll(".term")) term.classList.add("quiet");
  });
}

// Tables and figures that are wider than their place say so.
function markWide() {
  const look = new ResizeObserver((entries) => {
    for (const { target } of entries) hint(target.closest(".wide"));
  });
  for (const wide of document.querySelectorAll(".wide")) for (const one of [wide, ...wide.children]) look.observe(one);
}

function hint(wide) {
  wide.classList.toggle("overflows", wide.clientWidth > 0 && wide.scrollWidth > wide.clientWidth + 2);
}

function placeTip(term) {
  const [box, tip] = [term.getBoundingClientRect(), term.querySelector(".tip")];
  term.classList.remove("quiet");
  tip.style.left = `${clamp(box.left, 8, Math.max(8, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.bottom + 6}px`;
}
