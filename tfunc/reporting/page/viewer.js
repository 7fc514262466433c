// The viewer: unpacks the voxels that Python packed, counts them, and draws one slice three times.

const LEVELS = data.thresholds.length + 1;
const INFERNO = ["#000004", "#140b36", "#390963", "#5f136e", "#85216b", "#a92e5e", "#cb4149", "#e65d2f", "#f78410", "#fcae12", "#f5db4c", "#fcffa4"]; // matplotlib's, by level
const OUTCOMES = [
  { name: "correct, kept", color: "--kept", from: [1, 1], uncertain: false },
  { name: "false, kept", color: "--wrong", from: [1, 0], uncertain: false },
  { name: "false, removed ▲", color: "--mended", from: [1, 0], uncertain: true },
  { name: "correct, removed ▼", color: "--lost", from: [1, 1], uncertain: true },
  { name: "missed", color: "--missed", from: [0, 1], uncertain: null },
];
const OF_CLASSES = [ // of the class map, where a voxel is wrong or right
  { name: "wrong class, kept", color: "--wrong", of: (o) => o.fp - o.fpu },
  { name: "wrong class, uncertain ▲", color: "--mended", of: (o) => o.fpu },
  { name: "right class, uncertain ▼", color: "--lost", of: (o) => o.tnu },
];
const shown = { truth: true, segmentation: true, zoom: false };
const unpacked = new Map(); // element id -> promise of its bytes
let volume = null; // what is on the screen: { about, image, truth, map, counts }

// ------------------------------------------------------------------------------------------------------------- voxels

function unpack(id) {
  if (!unpacked.has(id)) unpacked.set(id, inflate($(id).textContent));
  return unpacked.get(id);
}

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load(subject, method) {
  const about = data.viewer[subject];
  const { map, levels = `map-${map}`, classes, region } = data.methods[method];
  for (const id of unpacked.keys()) if (!id.startsWith(`voxels-${subject}-`)) unpacked.delete(id); // one subject in memory
  const parts = ["truth", levels, ...(classes ? [classes] : []), ...(about.channels ? ["image"] : [])];
  const found = await Promise.all(parts.map((part) => unpack(`voxels-${subject}-${part}`)));
  const image = about.channels ? found.pop() : undefined;
  const loaded = { about, subject, method, region, image, outside: about.outside[map] };
  [loaded.truth, loaded.map] = classes ? asBinary(loaded, ...found) : found;
  return { ...loaded, counts: count(about.shape, loaded.map, loaded.truth) };
}

// Of several classes: what lies in the region, or of the class map (a region of null) what is wrong, as two classes.
function asBinary(loaded, truth, levels, classes) {
  const inside = (region) => Uint8Array.from({ length: 256 }, (_, index) => Number(region.classes.includes(index)));
  Object.assign(loaded, { labels: truth, segmented: classes, regions: data.regions.map(inside) });
  const table = loaded.regions[loaded.region];
  const found = table ? (at) => table[classes[at]] : (at) => Number(classes[at] !== truth[at]);
  const target = table ? truth.map((index) => table[index]) : new Uint8Array(truth.length);
  return [target, levels.map((level, at) => (level < LEVELS ? level + data.foreground * found(at) : level))];
}

// counts[slice][level, segmentation, truth], the same order as Python's; voxels that count nowhere have a level beyond all
function count(shape, codes, truth) {
  const area = shape[1] * shape[2];
  return Array.from({ length: shape[0] }, (_, slice) => {
    const table = new Float64Array(LEVELS * 4);
    for (let at = slice * area; at < (slice + 1) * area; at++)
      if (codes[at] % data.foreground < LEVELS) table[(codes[at] % data.foreground) * 4 + (codes[at] >= data.foreground ? 2 : 0) + truth[at]]++;
    return table;
  });
}

// One table -> tp, fp, tn, fn and, above the threshold with this index, tpu, fpu, tnu, fnu.
function outcome(table, threshold) {
  const found = { tn: 0, fn: 0, fp: 0, tp: 0, tnu: 0, fnu: 0, fpu: 0, tpu: 0 };
  ["tn", "fn", "fp", "tp"].forEach((name, cell) => {
    for (let level = 0; level < LEVELS; level++) {
      found[name] += table[level * 4 + cell];
      if (level > threshold) found[name + "u"] += table[level * 4 + cell];
    }
  });
  return found;
}

const ratio = (above, below, otherwise) => (below === 0 ? otherwise : above / below);
const dice = (o) => ratio(2 * o.tp, 2 * o.tp + o.fp + o.fn, 1);
const correctedDice = (o) => ratio(2 * (o.tp - o.tpu), 2 * (o.tp - o.tpu) + (o.fp - o.fpu) + (o.fn + o.tpu), 1);
const overlap = (o) => ratio(2 * (o.fpu + o.fnu), o.fp + o.fn + (o.fpu + o.fnu) + o.tpu + o.tnu, null);

function wholeVolume() {
  const total = Float64Array.from(volume.outside);
  for (const table of volume.counts) table.forEach((voxels, cell) => (total[cell] += voxels));
  return total;
}

// ------------------------------------------------------------------------------------------------------------ drawing

function view() {
  const [, height, width] = volume.about.shape;
  const [top, bottom, left, right] = shown.zoom ? volume.about.focus : [0, height, 0, width];
  return { top, left, height: bottom - top, width: right - left };
}

function rgb(color) {
  const value = color.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(color).trim() : color;
  return [1, 3, 5].map((at) => Number.parseInt(value.slice(at, at + 2), 16));
}

// The slice as a canvas, a pixel a voxel: paint(at) gives [red, green, blue, alpha] or nothing.
function painted(paint) {
  const { top, left, height, width } = view();
  const [, rows, columns] = volume.about.shape;
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const color = paint((state.slice * rows + top + row) * columns + left + column);
      if (color) pixels.data.set(color, (row * width + column) * 4);
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function picture() {
  const { image, about } = volume;
  if (about.channels === 3) return painted((at) => [image[3 * at], image[3 * at + 1], image[3 * at + 2], 255]);
  return painted((at) => (about.channels ? [image[at], image[at], image[at], 255] : [24, 28, 32, 255]));
}

// The border of a mask along the voxels' edges.
function border(inside) {
  const { top, left, height, width } = view();
  const [, rows, columns] = volume.about.shape;
  const path = new Path2D();
  const is = (row, column) => row >= 0 && column >= 0 && row < rows && column < columns && inside((state.slice * rows + row) * columns + column);
  for (let row = top; row <= top + height; row++) {
    for (let column = left; column <= left + width; column++) {
      const here = is(row, column);
      if (here !== is(row, column - 1)) addEdge(path, column - left, row - top, 0, 1);
      if (here !== is(row - 1, column)) addEdge(path, column - left, row - top, 1, 0);
    }
  }
  return path;
}

function addEdge(path, x, y, dx, dy) {
  path.moveTo(x, y);
  path.lineTo(x + dx, y + dy);
}

function fit(canvas) {
  const { height, width } = view();
  const frame = canvas.parentElement;
  const aspect = (width / height) / volume.about.aspect;
  const across = Math.min(frame.clientWidth, frame.clientHeight * aspect);
  canvas.style.width = `${across}px`;
  canvas.style.height = `${across / aspect}px`;
  canvas.width = Math.round(across * Math.max(devicePixelRatio, 1));
  canvas.height = Math.round((across / aspect) * Math.max(devicePixelRatio, 1));
  const context = canvas.getContext("2d");
  context.scale(canvas.width / width, canvas.height / height);
  context.imageSmoothingQuality = "high";
  return context;
}

function layer(context, drawn, smooth) {
  const { height, width } = view();
  context.imageSmoothingEnabled = smooth; // the picture is smoothed, the maps are shown voxel by voxel
  context.drawImage(drawn, 0, 0, width, height);
}

function stroke(context, path, color, width, dash = []) {
  const pixel = Math.max(devicePixelRatio, 1) / context.getTransform().a;
  for (const [style, extra] of [["rgb(0 0 0 / 0.6)", 1.6], [color, 0]]) {
    context.strokeStyle = style;
    context.lineWidth = (width + extra) * pixel;
    context.lineCap = dash.length ? "butt" : "square";
    context.setLineDash(dash.map((length) => length * pixel));
    context.stroke(path);
  }
}

function outlines(context, fine = false) {
  const css = getComputedStyle(document.documentElement);
  if (volume.region === null) {
    data.regions.forEach(({ color }, index) => {
      const table = volume.regions[index];
      if (shown.truth) stroke(context, border((at) => table[volume.labels[at]] === 1), color, fine ? 1 : 2.6);
      if (shown.segmentation && !fine) stroke(context, border((at) => table[volume.segmented[at]] === 1), color, 1.4, [4, 3]);
    });
    return;
  }
  if (shown.truth) stroke(context, border((at) => volume.truth[at] === 1), css.getPropertyValue("--truth"), 2.6);
  if (shown.segmentation) stroke(context, border((at) => volume.map[at] >= data.foreground), css.getPropertyValue("--segmentation"), 1.4);
}

function drawSlice() {
  const { map, truth } = volume;
  const base = picture();
  const level = (at) => map[at] % data.foreground;
  const image = fit($("view-image"));
  layer(image, base, true);
  outlines(image);

  const uncertainty = fit($("view-uncertainty"));
  const colors = INFERNO.map((color, index) => [...rgb(color), index ? 255 : 150]); // the lowest level dims the picture
  layer(uncertainty, base, true);
  layer(uncertainty, painted((at) => colors[level(at)]), false);
  outlines(uncertainty);
  stroke(uncertainty, border((at) => level(at) > state.threshold && level(at) < LEVELS), "#ffffff", 1);

  const corrected = fit($("view-corrected"));
  const fills = OUTCOMES.map((one) => [...rgb(one.color), 190]);
  layer(corrected, base, true);
  layer(corrected, painted((at) => {
    if (volume.region === null) {
      const wrong = map[at] >= data.foreground;
      if (level(at) >= LEVELS || level(at) <= state.threshold) return wrong ? fills[1] : null;
      return fills[wrong ? 2 : 3];
    }
    const segmented = map[at] >= data.foreground;
    if (!segmented) return truth[at] ? fills[4] : null;
    return level(at) > state.threshold ? fills[truth[at] ? 3 : 2] : fills[truth[at] ? 0 : 1];
  }), false);
  if (volume.region === null) outlines(corrected, true);
  else if (shown.truth) stroke(corrected, border((at) => truth[at] === 1), getComputedStyle(document.documentElement).getPropertyValue("--truth"), 1.6);
}

function drawSides() {
  for (const frame of document.querySelectorAll("#stage .canvas")) {
    for (const old of frame.querySelectorAll(".side")) old.remove();
    for (const [side, letter] of Object.entries(volume.about.sides ?? {})) frame.append(element("span", { class: `side ${side}`, "aria-hidden": "true" }, letter));
  }
}

// ------------------------------------------------------------------------------------------------------------ numbers

function put(id, value, words) {
  $(id).textContent = words ?? text(value);
  $(id).dataset.value = value === null ? "" : String(value); // the full number, as in subjects.csv
}

function drawNumbers() {
  const total = wholeVolume();
  const whole = outcome(total, state.threshold);
  const here = outcome(volume.counts[state.slice], state.threshold);
  const classMap = volume.region === null;
  const own = data.methods[state.method].subjects.dice[data.subjects.indexOf(volume.about.name)]; // the mean over regions
  const [plain, mended] = classMap ? [own, null] : [dice(whole), correctedDice(whole)];
  put("dice", plain);
  put("corrected", mended);
  const gain = classMap ? null : mended - plain;
  put("gain", gain, text(classMap ? null : Math.abs(gain)));
  $("gain").className = gain > 0 ? "up" : gain < 0 ? "down" : "";
  put("overlap", overlap(whole));
  const millilitres = volume.about.voxel && volume.about.voxel / 1000;
  $("unit").hidden = !millilitres;
  const flat = volume.about.depth === 1;
  $("things").textContent = flat ? "Pixels" : "Voxels";
  $("everything").textContent = flat ? "image" : "volume";
  document.querySelector(".by-slice").hidden = flat;
  const rows = (classMap ? OF_CLASSES : OUTCOMES).map((one) => {
    const name = { "1,1": "tp", "1,0": "fp", "0,1": "fn" }[one.from];
    const of = one.of ? one.of : (o) => (one.uncertain === null ? o[name] : one.uncertain ? o[name + "u"] : o[name] - o[name + "u"]);
    const swatch = element("i");
    swatch.style.background = `var(${one.color})`;
    const cells = [of(whole).toLocaleString("en")];
    if (!flat) cells.unshift(of(here).toLocaleString("en"));
    if (millilitres) cells.push((of(whole) * millilitres).toFixed(1));
    return element("tr", {}, element("th", { scope: "row" }, swatch, one.name), ...cells.map((cell) => element("td", {}, cell)));
  });
  $("outcomes").tBodies[0].replaceChildren(...rows);
  drawTrade(total, plain);
  drawProfile();
}

// Corrected Dice at each threshold, right above the slider that chooses it.
function drawTrade(total, plain) {
  const curve = volume.region === null ? (o) => overlap(o) ?? 0 : correctedDice;
  const values = data.thresholds.map((_, index) => curve(outcome(total, index)));
  if (volume.region === null) plain = Math.min(...values);
  const [low, high] = [Math.min(plain, ...values), Math.max(plain, ...values)];
  const y = (value) => 0.92 - 0.84 * ((value - low) / (high - low || 1));
  const points = values.map((value, index) => [index + 1, y(value)]);
  const now = points[state.threshold];
  $("trade").setAttribute("viewBox", `0 0 ${LEVELS} 1`);
  $("trade").replaceChildren(
    element("path", { d: `M0 ${y(plain)}H${LEVELS}`, stroke: "var(--soft)", "stroke-dasharray": "4 3" }),
    element("path", { d: `M${now[0]} 0V1.15`, stroke: "var(--ink)" }),
    element("path", { d: line(points), stroke: "var(--accent)", "stroke-width": 2 }),
    element("path", { d: points.map(([a, b]) => `M${a} ${b}h0`).join(""), stroke: "var(--accent)", "stroke-width": 6, "stroke-linecap": "round" }),
    element("path", { d: `M${now[0]} ${now[1]}h0`, stroke: "var(--ink)", "stroke-width": 11, "stroke-linecap": "round" }),
  );
}

// Where in the volume the target and the errors lie.
function drawProfile() {
  const tables = volume.counts.map((table) => outcome(table, state.threshold));
  const area = volume.about.shape[1] * volume.about.shape[2];
  const labelled = (slice) => volume.labels.subarray(slice * area, (slice + 1) * area).reduce((sum, index) => sum + (index > 0), 0);
  const target = tables.map((o, slice) => (volume.region === null ? labelled(slice) : o.tp + o.fn));
  const errors = tables.map((o) => o.fp - o.fpu + o.fn + o.tpu);
  const most = Math.max(...target, ...errors, 1);
  const points = (values) => values.map((value, index) => [index, 1 - value / most]);
  const last = Math.max(target.length - 1, 1);
  $("profile").setAttribute("viewBox", `0 0 ${last} 1`);
  $("profile").replaceChildren(
    element("path", { d: `${line(points(target))}L${last} 1L0 1Z`, class: "area" }),
    element("path", { d: line(points(target)), stroke: "var(--truth)", "stroke-width": 2 }),
    element("path", { d: line(points(errors)), stroke: "var(--wrong)", "stroke-width": 1.6 }),
    element("path", { d: `M${state.slice} -0.1V1.1`, stroke: "var(--ink)" }),
  );
}

function drawState() {
  const { about } = volume;
  const slice = `slice ${about.first + state.slice + 1} of ${about.depth}`;
  const threshold = data.thresholds[state.threshold];
  const of = data.regions.length ? [volume.region === null ? "class map" : data.regions[volume.region].title] : [];
  const parts = [about.name + (about.why ? ` (${about.why})` : ""), data.methods[state.method].title, ...of, ...(about.depth > 1 ? [slice] : []), `threshold ${threshold}`];
  $("state").textContent = parts.join(" · ");
  $("slice-text").textContent = `${about.first + state.slice + 1} of ${about.depth}`;
  $("threshold-text").textContent = threshold;
  $("slice").max = about.shape[0] - 1;
  $("slice").value = state.slice;
  $("slice").setAttribute("aria-valuetext", slice);
  $("slices").hidden = about.shape[0] === 1;
  $("threshold").value = state.threshold;
  $("threshold").setAttribute("aria-valuetext", threshold);
  $("subject").value = state.subject;
  [...$("ticks").children].forEach((tick, index) => tick.classList.toggle("now", index === state.threshold));
}

// -------------------------------------------------------------------------------------------------------------- input

let wanted = 0; // the latest of overlapping loads is drawn

async function show(changes) {
  const mine = ++wanted;
  if (!volume || volume.subject !== state.subject || volume.method !== state.method || volume.part !== state.part) {
    const { part } = state;
    const loaded = await load(state.subject, state.method);
    if (mine !== wanted) return;
    volume = { ...loaded, part };
    drawSides();
    drawRegions();
  }
  drawState();
  drawSlice();
  drawNumbers();
  $("open-viewer").dataset.ready = [state.subject, state.method, state.slice, state.threshold, state.part].join(" ");
}

const moveSlice = (by) => change({ slice: clamp(state.slice + by, 0, data.viewer[state.subject].shape[0] - 1) });
const moveThreshold = (by) => change({ threshold: clamp(state.threshold + by, 0, data.thresholds.length - 1) });

function toggle(what) {
  const box = $({ truth: "show-truth", segmentation: "show-segmentation", zoom: "zoom" }[what]);
  box.checked = shown[what] = !shown[what];
  if (volume) drawSlice();
}

const KEYS = {
  ArrowUp: () => moveSlice(1),
  ArrowDown: () => moveSlice(-1),
  PageUp: () => moveSlice(10),
  PageDown: () => moveSlice(-10),
  Home: () => moveSlice(-1e6),
  End: () => moveSlice(1e6),
  ArrowRight: () => moveThreshold(1),
  ArrowLeft: () => moveThreshold(-1),
  m: () => change({ method: (state.method + 1) % data.methods.length }),
  g: () => toggle("truth"),
  s: () => toggle("segmentation"),
  z: () => toggle("zoom"),
};

// Which colour is which region, under the views of the class map, and what the curve above the threshold is then.
function drawRegions() {
  const classMap = volume.region === null;
  $("region-colours").hidden = $("curve-classes").hidden = !classMap;
  $("curve").hidden = classMap;
  $("corrected-caption").textContent = classMap ? "Errors: voxels of a wrong class" : "Corrected: the uncertain set to background";
  const samples = data.regions.map((region) => {
    const sample = element("i", { class: "line" });
    sample.style.borderColor = region.color;
    return element("span", {}, sample, region.title, " \u2003");
  });
  $("region-colours").replaceChildren(...samples, "solid: ground truth, dashed: segmentation");
}

function startViewer() {
  data.viewer.forEach((about, index) => $("subject").append(element("option", { value: index }, about.name + (about.why ? ` (${about.why})` : ""))));
  $("subject").addEventListener("change", () => {
    const subject = Number($("subject").value);
    change({ subject, slice: data.viewer[subject].start });
  });
  $("slice").addEventListener("input", () => change({ slice: Number($("slice").value) }));
  $("threshold").addEventListener("input", () => change({ threshold: Number($("threshold").value) }));
  for (const what of ["truth", "segmentation"]) $(`show-${what}`).addEventListener("change", () => toggle(what));
  $("zoom").addEventListener("change", () => toggle("zoom"));
  $("colours").append(...INFERNO.map((color) => {
    const field = element("i");
    field.style.background = color;
    return field;
  }));
  $("ticks").append(...data.thresholds.map((threshold, index) => {
    const tick = element("span", {}, String(Number(threshold)).replace("0.", "."));
    tick.style.left = `${((index + 1) / LEVELS) * 100}%`;
    return tick;
  }));
  $("stage").addEventListener("keydown", (event) => {
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  let rolled = 0;
  $("stage").addEventListener("wheel", (event) => {
    const last = data.viewer[state.subject].shape[0] - 1;
    const up = event.deltaY < 0;
    if (event.ctrlKey || state.slice === (up ? last : 0)) return; // at the end the page scrolls on
    event.preventDefault();
    rolled += event.deltaMode ? event.deltaY * 30 : event.deltaY;
    if (Math.abs(rolled) < 30) return;
    moveSlice(-Math.trunc(rolled / 30) > 0 ? 1 : -1);
    rolled = 0;
  }, { passive: false });
  for (const canvas of document.querySelectorAll("#stage canvas")) {
    canvas.addEventListener("pointermove", (event) => describe(canvas, event));
    canvas.addEventListener("pointerleave", drawState);
  }
  new ResizeObserver(() => volume && drawSlice()).observe($("stage"));
  listeners.push(show);
}

function describe(canvas, event) {
  if (!volume) return;
  const box = canvas.getBoundingClientRect();
  const { top, left, height, width } = view();
  const [, rows, columns] = volume.about.shape;
  const row = top + clamp(Math.floor(((event.clientY - box.top) / box.height) * height), 0, height - 1);
  const column = left + clamp(Math.floor(((event.clientX - box.left) / box.width) * width), 0, width - 1);
  const at = (state.slice * rows + row) * columns + column;
  const level = volume.map[at] % data.foreground;
  if (level >= LEVELS) {
    $("state").textContent = "Here: a voxel that counts nowhere";
    return;
  }
  const limits = ["0", ...data.thresholds, "1"];
  const words = volume.region === null ? [["right class"], ["wrong class"]] : [["background", "missed"], ["false positive", "correct"]];
  const kind = words[Number(volume.map[at] >= data.foreground)][volume.truth[at]];
  $("state").textContent = `Here: ${kind} · uncertainty ${limits[level]} to ${limits[level + 1]}, ${level > state.threshold ? "above" : "not above"} the threshold`;
}

startPage();
if (typeof DecompressionStream === "undefined") {
  data.viewer.length = 0;
  $("unavailable").textContent = "The viewer needs a browser of 2023 or later.";
}
if (data.viewer.length) {
  $("open-viewer").hidden = false;
  state.slice = data.viewer[0].start;
  startViewer();
} else {
  $("unavailable").textContent ||= "No subject fits into this file.";
}
const addressed = readAddress();
apply({ ...state, ...addressed });
if (addressed) $("viewer").scrollIntoView();
addEventListener("hashchange", () => {
  const found = readAddress();
  if (found) change(found);
});
