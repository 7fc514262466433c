// The viewer's numbers: of this subject, by slice, by threshold, in millilitres, and what removal costs all subjects.

function put(id, value, words) {
  $(id).textContent = words ?? text(value);
  $(id).dataset.value = value === null ? "" : String(value); // the full number, as in subjects.csv
}

function drawNumbers() {
  const total = wholeVolume();
  const whole = outcome(total, state.threshold);
  const classMap = volume.region === null;
  const own = data.methods[state.method].subjects.dice[data.subjects.indexOf(volume.about.name)]; // the mean over regions
  const [plain, mended] = classMap ? [own, null] : [dice(whole), correctedDice(whole)];
  put("dice", plain);
  put("corrected", mended);
  const gain = classMap ? null : mended - plain;
  put("gain", gain, text(classMap ? null : Math.abs(gain)));
  $("gain").className = gain > 0 ? "up" : gain < 0 ? "down" : "";
  put("overlap", state.threshold === OFF ? null : overlap(whole)); // of no voxels above it is 0, which says nothing
  drawOutcomes(whole);
  drawSizes(whole);
  drawRemoval();
  drawTrade(total, plain);
  drawProfile();
}

const swatch = (color) => {
  const made = element("i");
  made.style.background = color;
  return made;
};

function drawOutcomes(whole) {
  const here = outcome(volume.counts[state.slice], state.threshold);
  const millilitres = volume.about.voxel && volume.about.voxel / 1000;
  $("unit").hidden = !millilitres;
  const flat = volume.about.depth === 1;
  $("things").textContent = flat ? "Pixels" : "Voxels";
  $("everything").textContent = flat ? "image" : "volume";
  document.querySelector(".by-slice").hidden = flat;
  const rows = (volume.region === null ? OF_CLASSES : OUTCOMES).map((one) => {
    const name = { "1,1": "tp", "1,0": "fp", "0,1": "fn" }[one.from];
    const of = one.of ? one.of : (o) => (one.uncertain === null ? o[name] : one.uncertain ? o[name + "u"] : o[name] - o[name + "u"]);
    const cells = [of(whole).toLocaleString("en")];
    if (!flat) cells.unshift(of(here).toLocaleString("en"));
    if (millilitres) cells.push((of(whole) * millilitres).toFixed(1));
    return element("tr", {}, element("th", { scope: "row" }, swatch(`var(${one.color})`), one.name), ...cells.map((cell) => element("td", {}, cell)));
  });
  $("outcomes").tBodies[0].replaceChildren(...rows);
}

// How large the segmentation and the ground truth are: of each region, or of the foreground.
function drawSizes(whole) {
  const millilitres = volume.about.voxel && volume.about.voxel / 1000;
  const amount = (voxels) => (millilitres ? (voxels * millilitres).toFixed(1) : voxels.toLocaleString("en"));
  const rows = volume.regions
    ? volume.sizes.map((size, index) => ({ ...size, title: data.regions[index].title, color: data.regions[index].color }))
    : [{ title: regionName(), color: "var(--segmentation)", segmented: whole.tp + whole.fp, labelled: whole.tp + whole.fn }];
  $("size-unit").textContent = millilitres ? "mL" : volume.about.depth === 1 ? "Pixels" : "Voxels";
  $("sizes").tBodies[0].replaceChildren(...rows.map(({ title, color, segmented, labelled }) => {
    const cells = [segmented, labelled].map((voxels) => element("td", { "data-voxels": voxels }, amount(voxels)));
    return element("tr", {}, element("th", { scope: "row" }, swatch(color), title), ...cells);
  }));
}

const signed = (value) => (value < 0 ? "−" : value > 0 ? "+" : "±") + Math.abs(value).toFixed(3);

// What the chosen threshold costs or gives over all subjects, in words; numbers from the tables, not from this subject.
function drawRemoval() {
  const found = data.methods[state.method].removal;
  const all = data.subjects.length;
  const regions = volume.region === null ? ", a mean over regions each" : "";
  const who = `${all} subject${all === 1 ? "" : "s"}${regions}`;
  $("removal").hidden = !found;
  if (!found) return;
  const highest = Math.max(...found.change);
  const where = data.thresholds[found.change.indexOf(highest)];
  const most = { "-1": `At every threshold it falls, least at ${where} (${signed(highest)}).`, 0: "No threshold makes it higher.", 1: `It rises most at ${where} (${signed(highest)}).` }[Math.sign(highest)];
  if (state.threshold === OFF) {
    $("removal").textContent = `Nothing is removed. Mean Dice of ${who} is ${text(found.dice)}. ${most}`;
    return;
  }
  const [rises, falls, change] = ["rises", "falls", "change"].map((name) => found[name][state.threshold]);
  const rest = rises + falls < all ? `, stays in ${all - rises - falls}` : "";
  $("removal").textContent = `Over ${who}, removal at ${data.thresholds[state.threshold]} changes mean Dice by ${signed(change)}, from ${text(found.dice)}: it rises in ${rises}, falls in ${falls}${rest}. ${most}`;
}

// Dice without uncertain voxels at each threshold, right above the slider that chooses it; at the last nothing is removed.
function drawTrade(total, plain) {
  const curve = volume.region === null ? (o) => overlap(o) ?? 0 : correctedDice;
  const values = data.thresholds.map((_, index) => curve(outcome(total, index)));
  if (volume.region === null) plain = Math.min(...values);
  else values.push(plain);
  const [low, high] = [Math.min(plain, ...values), Math.max(plain, ...values)];
  const y = (value) => 0.92 - 0.84 * ((value - low) / (high - low || 1));
  const points = values.map((value, index) => [index + 1, y(value)]);
  const now = points[state.threshold] ?? [LEVELS, y(plain)];
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
