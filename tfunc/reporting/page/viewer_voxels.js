// The viewer's voxels: unpacks what Python packed, and counts it, in whole numbers, so that their ratios are those of subjects.csv.

const LEVELS = data.thresholds.length + 1;
const OFF = data.thresholds.length; // the threshold at which nothing is removed
const unpacked = new Map(); // element id -> promise of its bytes
let volume = null; // what is on the screen: { about, image, truth, map, counts, … }

// A code is a level, whether the segmentation is foreground, and whether the probability is on the other side of a half than that.
const levelOf = (code) => code % data.foreground;
const segmentedOf = (code) => (code & data.foreground) !== 0;
const aboveOf = (code) => segmentedOf(code) !== ((code & (2 * data.foreground)) !== 0);

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
  const { index, map, levels = `map-${map}`, classes, region, sided } = data.methods[method];
  for (const id of unpacked.keys()) if (!id.startsWith(`voxels-${subject}-`)) unpacked.delete(id); // one subject in memory
  const coarse = classes ? `prob-${index}-${region}` : `prob-${index}`; // of the class map there is none
  const wanted = { truth: "truth", levels, classes, image: "image", probability: coarse, mutual: `mutual-${index}` };
  const found = {};
  await Promise.all(Object.entries(wanted).map(async ([what, name]) => {
    const id = `voxels-${subject}-${name}`;
    if (name && $(id)) found[what] = await unpack(id);
  }));
  const { image, probability, mutual } = found;
  const loaded = { about, subject, method, region, sided, image, probability, mutual, outside: about.outside[map] };
  if (classes) Object.assign(loaded, asBinary(found, region));
  else Object.assign(loaded, { truth: found.truth, map: found.levels });
  return { ...loaded, counts: count(about.shape, loaded.map, loaded.truth), sizes: sizes(loaded, index) };
}

// Of several classes: what lies in the region, or of the class map (a region of null) what is wrong, as two classes.
function asBinary({ truth, levels, classes }, region) {
  const inside = ({ classes: own }) => Uint8Array.from({ length: 256 }, (_, index) => Number(own.includes(index)));
  const regions = data.regions.map(inside);
  const table = regions[region];
  const found = table ? (at) => table[classes[at]] : (at) => Number(classes[at] !== truth[at]);
  const target = table ? truth.map((index) => table[index]) : new Uint8Array(truth.length);
  const map = levels.map((code, at) => (levelOf(code) < LEVELS ? code + data.foreground * found(at) : code));
  return { labels: truth, segmented: classes, regions, truth: target, map };
}

// counts[slice][level, segmentation, truth], the same order as Python's; voxels that count nowhere have a level beyond all
function count(shape, codes, truth) {
  const area = shape[1] * shape[2];
  return Array.from({ length: shape[0] }, (_, slice) => {
    const table = new Float64Array(LEVELS * 4);
    for (let at = slice * area; at < (slice + 1) * area; at++) {
      const level = levelOf(codes[at]);
      if (level < LEVELS) table[level * 4 + (segmentedOf(codes[at]) ? 2 : 0) + truth[at]]++;
    }
    return table;
  });
}

// [{ segmented, labelled }] voxels of each region in the whole volume; nothing of two classes, whose counts say it.
function sizes(loaded, index) {
  if (!loaded.regions) return [];
  return loaded.regions.map((table, region) => {
    const outside = outcome(loaded.about.outside[`${index}-${region}`], OFF);
    let [segmented, labelled] = [outside.tp + outside.fp, outside.tp + outside.fn];
    for (let at = 0; at < loaded.map.length; at++) {
      if (levelOf(loaded.map[at]) >= LEVELS) continue;
      segmented += table[loaded.segmented[at]];
      labelled += table[loaded.labels[at]];
    }
    return { segmented, labelled };
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
