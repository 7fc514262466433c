// The viewer's state, controls and input. What it knows and draws is in the files before this one.

Object.assign(state, { row: null, column: null, overlay: "uncertainty", opacity: 70 });
let active = 0; // the view that the arrow keys move through

// -------------------------------------------------------------------------------------------------------------- words

function drawState() {
  const { about } = volume;
  const slice = `slice ${about.first + state.slice + 1} of ${about.depth}`;
  const threshold = data.thresholds[state.threshold] ?? "off";
  const of = data.regions.length ? [volume.region === null ? "class map" : data.regions[volume.region].title] : [];
  const removed = state.threshold < OFF ? `threshold ${threshold}` : volume.region === null ? "threshold off" : "nothing removed";
  const parts = [about.name + (about.why ? ` (${about.why})` : ""), data.methods[state.method].title, ...of, ...(about.depth > 1 ? [slice] : []), removed];
  $("state").textContent = parts.join(" · ");
  $("slice-text").textContent = `${about.first + state.slice + 1} of ${about.depth}`;
  $("threshold-text").textContent = state.threshold === OFF && volume.region !== null ? "off, nothing is removed" : threshold;
  $("slice").max = about.shape[0] - 1;
  $("slice").value = state.slice;
  $("slice").setAttribute("aria-valuetext", slice);
  $("slices").hidden = about.shape[0] === 1;
  $("threshold").value = state.threshold;
  $("threshold").setAttribute("aria-valuetext", threshold);
  $("subject").value = state.subject;
  [...$("ticks").children].forEach((tick, index) => tick.classList.toggle("now", index === state.threshold));
  drawCaptions();
  describe(position());
}

function drawCaptions() {
  const drawn = views();
  const over = overlaid();
  active = Math.min(active, drawn.length - 1);
  drawn.forEach(({ plane, id, plain }, index) => {
    const figure = $(id).closest("figure");
    const place = fileIndex(position())[plane.through];
    const name = plane.name[0].toUpperCase() + plane.name.slice(1);
    const what = over === "none" ? "image" : OVERLAYS[over].title();
    figure.querySelector("figcaption").textContent = drawn[0].plain ? (plain ? "Image" : what[0].toUpperCase() + what.slice(1)) : `${name} ${place + 1}`;
    figure.classList.toggle("active", index === active && !drawn[0].plain);
  });
}

// The index [slice, row, column] in the file, from 0, of a place in the crop.
const fileIndex = (place) => place.map((index, axis) => volume.about.file[axis][0] + volume.about.file[axis][1] * index);

function imageWords(at) {
  const { about, image } = volume;
  if (about.channels === 3) return `image ${image[3 * at]}, ${image[3 * at + 1]}, ${image[3 * at + 2]}`;
  if (!about.channels) return "";
  const { low, high, step, unit } = about.grey;
  const digits = Math.max(0, Math.min(4, Math.ceil(-Math.log10(step || 1))));
  const end = image[at] === 255 ? " or more" : image[at] === 0 ? " or less" : "";
  return `image ≈ ${(low + ((high - low) * image[at]) / 255).toFixed(digits)}${unit && ` ${unit}`}${end}`;
}

function classWords(at) {
  const { region, labels, segmented, map, truth } = volume;
  const words = [["background", "missed"], ["false positive", "correct"]];
  const kind = region === null ? (segmentedOf(map[at]) ? "wrong class" : "right class") : words[Number(segmentedOf(map[at]))][truth[at]];
  return labels ? `${kind}: segmented as ${data.classes[segmented[at]]}, labelled ${data.classes[labels[at]]}` : kind;
}

// Says what is at a place, [slice, row, column] of the crop.
function describe(place) {
  const [, rows, columns] = volume.about.shape;
  const at = (place[0] * rows + place[1]) * columns + place[2];
  const [z, y, x] = fileIndex(place).map((index) => index + 1);
  const where = volume.about.depth > 1 ? `voxel ${x}, ${y}, ${z}` : `pixel ${x}, ${y}`;
  const level = levelOf(volume.map[at]);
  const parts = [`Here: ${where}`, imageWords(at)];
  if (level >= LEVELS) parts.push("counts nowhere");
  else {
    const above = state.threshold === OFF ? "" : level > state.threshold ? ", above the threshold" : ", not above the threshold";
    parts.push(`uncertainty ${LIMITS[level]} to ${LIMITS[level + 1]}${above}`);
    const probability = probabilityAt(at);
    if (probability) parts.push(`probability ${probability.map((value) => value.toFixed(3)).join(" to ")}`);
    if (volume.mutual) parts.push(`mutual information ≈ ${(volume.mutual[at] / data.mutual_steps).toFixed(3)}`);
    parts.push(classWords(at));
  }
  $("here").textContent = parts.filter(Boolean).join(" · ");
}

// Which colour is which region, under the views of the class map, and what the curve above the threshold is then.
function drawRegions() {
  const classMap = volume.region === null;
  $("region-colours").hidden = $("curve-classes").hidden = !classMap;
  $("curve").hidden = classMap;
  $("threshold-verb").textContent = classMap ? "Mark" : "Remove";
  $("show-cross").closest("label").hidden = views()[0].plain;
  const samples = data.regions.map((region) => {
    const sample = element("i", { class: "line" });
    sample.style.borderColor = region.color;
    return element("span", {}, sample, region.title, " \u2003");
  });
  $("region-colours").replaceChildren(...samples, "solid: ground truth, dashed: segmentation");
}

// The control of what is laid over, and what its colours mean.
function drawOverlayControls() {
  const over = overlaid();
  $("overlay").replaceChildren(...Object.entries(OVERLAYS).filter(([, one]) => one.there()).map(([name, one]) => element("option", { value: name }, one.title())));
  $("overlay").value = over;
  $("opacity").value = state.opacity;
  const scale = OVERLAYS[over].scale?.();
  $("scale-of-colours").hidden = !scale;
  if (!scale) return;
  const bar = element("span", { class: "bar" }, ...scale.colors.map(swatch));
  $("scale-of-colours").replaceChildren(scale.from, " ", bar, " ", scale.to, ` \u2003${scale.words}`);
}

function drawContrast() {
  const { grey, channels } = volume.about;
  for (const one of document.querySelectorAll(".contrast")) one.hidden = !channels;
  if (!channels) return;
  const offered = Object.entries(presets());
  const custom = contrast.preset in presets() ? [] : [element("option", { value: "own" }, "own")];
  $("preset").replaceChildren(...offered.map(([name, one]) => element("option", { value: name }, one.title)), ...custom);
  $("preset").value = custom.length ? "own" : contrast.preset;
  $("level").value = contrast.level;
  $("width").value = contrast.width;
  const scale = grey ? (grey.high - grey.low) / 255 : 1;
  const digits = scale > 1 / 25 ? 0 : 2;
  const unit = grey?.unit ? ` ${grey.unit}` : "";
  $("level-text").textContent = `${((grey?.low ?? 0) + scale * contrast.level).toFixed(digits)}${unit}`;
  $("width-text").textContent = `${(scale * contrast.width).toFixed(digits)}${unit}`;
  $("stored").textContent = grey
    ? `The picture in this file is for looking only: 8 bits in 64 greys between ${grey.low.toFixed(digits)} and ${grey.high.toFixed(digits)}${unit}${unit ? "" : " of the file's values"}; what lies beyond is black or white in any window.`
    : "The picture in this file is for looking only; its colours are those of the photograph, 8 bits each.";
}

// -------------------------------------------------------------------------------------------------------------- state

let latest = 0; // of overlapping loads the last is drawn

async function show(changes) {
  const mine = ++latest;
  const other = volume?.subject !== state.subject;
  if (other && (changes.row ?? null) === null) [state.row, state.column] = data.viewer[state.subject].centre;
  if (other || volume.method !== state.method || volume.part !== state.part) {
    const { part } = state;
    const loaded = await load(state.subject, state.method);
    if (mine !== latest) return;
    volume = { ...loaded, part };
    if (volume.about.channels) usePreset(contrast.preset === "own" ? "full" : contrast.preset);
    views().forEach(drawSides);
    drawRegions();
  }
  draw();
  drawNumbers();
  $("open-viewer").dataset.ready = [state.subject, state.method, state.slice, state.threshold, state.part].join(" ");
}

function draw() {
  drawState();
  drawOverlayControls();
  drawContrast();
  drawViews();
}

const moveThreshold = (by) => change({ threshold: clamp(state.threshold + by, 0, OFF) });
const AXES = ["slice", "row", "column"];

// The place through a view's slices after so many steps up: rows run downward, so that up is toward their top, the front.
function moved({ plane: { through } }, by) {
  return clamp(state[AXES[through]] + (through === 1 ? -by : by), 0, volume.about.shape[through] - 1);
}

const moveThrough = (view, by) => change({ [AXES[view.plane.through]]: moved(view, by) });

const moveActive = (by) => volume && moveThrough(views()[active], by);

function activate(index) {
  active = index;
  drawCaptions();
}

const BOXES = { truth: "show-truth", segmentation: "show-segmentation", cross: "show-cross", zoom: "zoom" };

function toggle(what) {
  $(BOXES[what]).checked = shown[what] = !shown[what];
  if (volume) drawViews();
}

function nextOverlay() {
  const names = Object.keys(OVERLAYS).filter((name) => OVERLAYS[name].there());
  change({ overlay: names[(names.indexOf(overlaid()) + 1) % names.length] });
}

const KEYS = {
  ArrowUp: () => moveActive(1),
  ArrowDown: () => moveActive(-1),
  PageUp: () => moveActive(10),
  PageDown: () => moveActive(-10),
  Home: () => moveActive(-1e6),
  End: () => moveActive(1e6),
  ArrowRight: () => moveThreshold(1),
  ArrowLeft: () => moveThreshold(-1),
  p: () => volume && activate((active + 1) % views().length),
  o: () => volume && nextOverlay(),
  m: () => change({ method: (state.method + 1) % data.methods.length }),
  g: () => toggle("truth"),
  s: () => toggle("segmentation"),
  x: () => toggle("cross"),
  z: () => toggle("zoom"),
};

// What of the viewer is in the page's address, and what an address says of it; report.js keeps the address.
function viewerAddress() {
  const about = data.viewer[state.subject];
  const seen = { subject: about.name, slice: about.first + state.slice + 1 };
  if (volume?.subject === state.subject && about.planes.length > 1) seen.at = fileIndex(position()).slice(1).map((index) => index + 1).join(",");
  if (state.overlay !== "uncertainty") seen.overlay = state.overlay;
  return { ...seen, threshold: data.thresholds[state.threshold] ?? "off" };
}

function readViewerAddress(parts) {
  const found = {};
  const subject = data.viewer.findIndex((one) => one.name === parts.get("subject"));
  const threshold = data.thresholds.findIndex((one) => Number(one) === Number(parts.get("threshold") ?? NaN));
  if (threshold >= 0 || parts.get("threshold") === "off") found.threshold = threshold >= 0 ? threshold : OFF;
  if (Object.hasOwn(OVERLAYS, parts.get("overlay"))) found.overlay = parts.get("overlay");
  if (subject < 0) return found;
  const about = data.viewer[subject];
  const slice = Number.parseInt(parts.get("slice"), 10) - 1 - about.first;
  found.subject = subject;
  found.slice = Number.isNaN(slice) ? about.start : clamp(slice, 0, about.shape[0] - 1);
  const at = (parts.get("at") ?? "").split(",").map((one) => Number.parseInt(one, 10) - 1);
  if (at.length === 2 && !at.some(Number.isNaN))
    [found.row, found.column] = at.map((index, axis) => clamp((index - about.file[axis + 1][0]) * about.file[axis + 1][1], 0, about.shape[axis + 1] - 1));
  return found;
}

// -------------------------------------------------------------------------------------------------------------- input

// The place in the crop under a pointer.
function pointed(index, event) {
  const canvas = $(CANVASES[index]);
  const box = canvas.getBoundingClientRect();
  const grid = gridOf(views()[index].plane);
  const row = clamp(Math.floor(((event.clientY - box.top) / box.height) * grid.height), 0, grid.height - 1);
  const column = clamp(Math.floor(((event.clientX - box.left) / box.width) * grid.width), 0, grid.width - 1);
  return placeIn(grid, row, column);
}

function goTo(index, event) {
  const [slice, row, column] = pointed(index, event);
  active = index;
  change({ slice, row, column });
}

function startViews() {
  CANVASES.forEach((id, index) => {
    const canvas = $(id);
    canvas.addEventListener("click", (event) => volume && goTo(index, event));
    canvas.addEventListener("pointermove", (event) => {
      if (!volume || index >= views().length) return;
      if (event.pointerType !== "touch" && event.buttons & 1) goTo(index, event);
      else describe(pointed(index, event));
    });
    canvas.addEventListener("pointerleave", () => volume && describe(position()));
    let rolled = 0;
    canvas.closest("figure").addEventListener("wheel", (event) => {
      if (!volume || event.ctrlKey) return;
      const view = views()[index];
      if (moved(view, event.deltaY < 0 ? 1 : -1) === state[AXES[view.plane.through]]) return; // at the end the page scrolls on
      event.preventDefault();
      rolled += event.deltaMode ? event.deltaY * 30 : event.deltaY;
      if (Math.abs(rolled) < 30) return;
      moveThrough(view, rolled < 0 ? 1 : -1);
      rolled = 0;
    }, { passive: false });
  });
  $("stage").addEventListener("keydown", (event) => {
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  new ResizeObserver(() => volume && drawViews()).observe($("stage"));
}

function startControls() {
  data.viewer.forEach((about, index) => $("subject").append(element("option", { value: index }, about.name + (about.why ? ` (${about.why})` : ""))));
  $("subject").addEventListener("change", () => {
    const subject = Number($("subject").value);
    change({ subject, slice: data.viewer[subject].start });
  });
  $("slice").addEventListener("input", () => change({ slice: Number($("slice").value) }));
  $("threshold").addEventListener("input", () => change({ threshold: Number($("threshold").value) }));
  $("overlay").addEventListener("change", () => change({ overlay: $("overlay").value }));
  $("opacity").addEventListener("input", () => change({ opacity: Number($("opacity").value) }));
  for (const [what, id] of Object.entries(BOXES)) $(id).addEventListener("change", () => toggle(what));
  const redraw = () => {
    drawContrast();
    drawViews();
  };
  $("preset").addEventListener("change", () => {
    if ($("preset").value !== "own") usePreset($("preset").value);
    redraw();
  });
  for (const name of ["level", "width"])
    $(name).addEventListener("input", () => {
      Object.assign(contrast, { preset: "own", [name]: Number($(name).value) });
      redraw();
    });
  $("colours").append(...INFERNO.map(swatch));
  $("ticks").append(...[...data.thresholds, "off"].map((threshold, index) => {
    const tick = element("span", {}, index === OFF ? "off" : String(Number(threshold)).replace("0.", "."));
    tick.style.left = `${((index + 1) / LEVELS) * 100}%`;
    return tick;
  }));
}

startPage();
if (typeof DecompressionStream === "undefined") {
  data.viewer.length = 0;
  $("unavailable").textContent = "The viewer needs a browser of 2023 or later.";
}
if (data.viewer.length) {
  $("open-viewer").hidden = false;
  state.slice = data.viewer[0].start;
  startControls();
  startViews();
  listeners.push(show);
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
