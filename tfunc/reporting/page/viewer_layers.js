// The viewer's layers: the image in its window, the map that is laid over it, outlines, and what their colours mean.

const INFERNO = ["#000004", "#140b36", "#390963", "#5f136e", "#85216b", "#a92e5e", "#cb4149", "#e65d2f", "#f78410", "#fcae12", "#f5db4c", "#fcffa4"]; // matplotlib's, by level
const VIRIDIS = ["#440154", "#482173", "#433e85", "#38588c", "#2d708e", "#25858e", "#1e9b8a", "#2ab07f", "#52c569", "#86d549", "#c2df23", "#fde725"]; // likewise
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
const LIMITS = ["0", ...data.thresholds, "1"]; // of the levels

// ------------------------------------------------------------------------------------------------------------- values

// [lowest, highest] probability of a voxel, or null where the method's maps have none.
function probabilityAt(at) {
  const { sided, probability, map } = volume;
  if (!sided && !probability) return null;
  const code = sided ? map[at] : probability[at];
  const level = levelOf(code);
  if (level >= LEVELS) return null;
  const [low, high] = [data.halves[level], data.halves[level + 1]];
  return (sided ? aboveOf(code) : segmentedOf(code)) ? [1 - high, 1 - low] : [low, high];
}

function highestMutual() {
  volume.highest ??= volume.mutual.reduce((most, value) => Math.max(most, value), 1);
  return volume.highest;
}

// ------------------------------------------------------------------------------------------------------------- window

const contrast = { preset: "full", level: 127.5, width: 255 };

// The value below which this share of the picture lies, of what is not black.
function quantile(share) {
  if (!volume.tally) {
    volume.tally = new Float64Array(256);
    for (const value of volume.image) volume.tally[value]++;
    volume.tally[0] = 0;
  }
  let left = share * volume.tally.reduce((sum, one) => sum + one, 0);
  return Math.max(volume.tally.findIndex((one) => (left -= one) <= 0), 0);
}

// What presets there are: contrasts of the stored greys, and CT's usual windows where what is stored holds the whole of one.
function presets() {
  const found = {
    full: { title: "full", ends: () => [0, 255] },
    middle: { title: "middle 98 %", ends: () => [quantile(0.01), quantile(0.99)] },
    bright: { title: "bright half", ends: () => [quantile(0.5), quantile(0.998)] },
  };
  const { grey } = volume.about;
  if (grey?.unit !== "HU") return found;
  for (const [name, title, low, high] of [["soft", "soft tissue", -160, 240], ["lung", "lung", -1350, 150], ["bone", "bone", -450, 1050]]) {
    const ends = [low, high].map((value) => (255 * (value - grey.low)) / (grey.high - grey.low));
    if (ends[0] >= -8 && ends[1] <= 263) found[name] = { title: `${title}, ${low} to ${high} HU`, ends: () => ends };
  }
  return found;
}

function usePreset(name) {
  const found = presets();
  contrast.preset = name in found ? name : "full";
  const [low, high] = found[contrast.preset].ends();
  Object.assign(contrast, { level: (low + high) / 2, width: Math.max(high - low, 2) });
}

function windowed() {
  const low = contrast.level - contrast.width / 2;
  return Uint8ClampedArray.from({ length: 256 }, (_, value) => (255 * (value - low)) / contrast.width);
}

function picture(grid) {
  const { image, about } = volume;
  if (!about.channels) return painted(grid, () => [24, 28, 32, 255]);
  const grey = windowed();
  if (about.channels === 3) return painted(grid, (at) => [grey[image[3 * at]], grey[image[3 * at + 1]], grey[image[3 * at + 2]], 255]);
  return painted(grid, (at) => [grey[image[at]], grey[image[at]], grey[image[at]], 255]);
}

// ----------------------------------------------------------------------------------------------------------- overlays

const field = (color) => [...rgb(color), 255];

const regionName = () => data.regions[volume.region]?.title ?? "foreground";

// name -> its title, whether there is one, its colours from 0 on with words, and paint() -> (at) -> colour
const OVERLAYS = {
  none: { title: () => "nothing", there: () => true },
  uncertainty: {
    title: () => "uncertainty",
    there: () => true,
    scale: () => ({ colors: INFERNO, from: "0", to: "1", words: "uncertainty by its twelve levels, exact; up to 0.05 clear" }),
    paint: () => {
      const colors = INFERNO.map((color, index) => (index ? [...rgb(color), 123 + 12 * index] : null)); // the picture stays where a map is nearly sure
      return (at) => colors[levelOf(volume.map[at])];
    },
  },
  probability: {
    title: () => "probability",
    there: () => volume.sided || Boolean(volume.probability),
    scale: () => ({ colors: VIRIDIS, from: "0", to: "1", words: `probability of the ${regionName()} in 24 steps, finer near 0 and 1; below 0.01 clear` }),
    paint: () => {
      const colors = VIRIDIS.map(field);
      return (at) => {
        const found = probabilityAt(at);
        return found && found[1] > 0.01 ? colors[Math.min(Math.floor(6 * (found[0] + found[1])), 11)] : null;
      };
    },
  },
  mutual: {
    title: () => "mutual information",
    there: () => Boolean(volume.mutual),
    scale: () => ({ colors: INFERNO, from: "0", to: text(highestMutual() / data.mutual_steps, 2), words: `mutual information, in steps of 1/${data.mutual_steps}; up to this subject's highest` }),
    paint: () => {
      const colors = INFERNO.map(field);
      return (at) => (volume.mutual[at] ? colors[Math.ceil((11 * volume.mutual[at]) / highestMutual())] : null);
    },
  },
  removed: {
    title: () => (volume.region === null ? "errors: wrong classes" : "without uncertain voxels"),
    there: () => true,
    paint: () => {
      const fills = OUTCOMES.map((one) => field(one.color));
      const { map, truth, region } = volume;
      if (region === null) {
        return (at) => {
          const level = levelOf(map[at]);
          if (level >= LEVELS || level <= state.threshold) return segmentedOf(map[at]) ? fills[1] : null;
          return fills[segmentedOf(map[at]) ? 2 : 3];
        };
      }
      return (at) => {
        if (!segmentedOf(map[at])) return truth[at] ? fills[4] : null;
        return levelOf(map[at]) > state.threshold ? fills[truth[at] ? 3 : 2] : fills[truth[at] ? 0 : 1];
      };
    },
  },
};

// What is laid over: the chosen one, or the uncertainty where this method's maps have no such.
const overlaid = () => (OVERLAYS[state.overlay].there() ? state.overlay : "uncertainty");

// ------------------------------------------------------------------------------------------------------------ drawing

function outlines(context, grid) {
  const css = getComputedStyle(document.documentElement);
  if (volume.region === null) {
    data.regions.forEach(({ color }, index) => {
      const table = volume.regions[index];
      if (shown.truth) stroke(context, border(grid, (at) => table[volume.labels[at]] === 1), color, 2.2);
      if (shown.segmentation) stroke(context, border(grid, (at) => table[volume.segmented[at]] === 1), color, 1.4, [4, 3]);
    });
    return;
  }
  if (shown.truth) stroke(context, border(grid, (at) => volume.truth[at] === 1), css.getPropertyValue("--truth"), 2.6);
  if (shown.segmentation) stroke(context, border(grid, (at) => segmentedOf(volume.map[at])), css.getPropertyValue("--segmentation"), 1.4);
}

function drawView({ plane, id, plain }) {
  const grid = gridOf(plane);
  const context = fit($(id), grid);
  const name = plain ? "none" : overlaid();
  layer(context, grid, picture(grid), true);
  if (OVERLAYS[name].paint) {
    context.globalAlpha = state.opacity / 100;
    layer(context, grid, painted(grid, OVERLAYS[name].paint()), false);
    context.globalAlpha = 1;
  }
  outlines(context, grid);
  if (name === "uncertainty" && state.threshold < OFF)
    stroke(context, border(grid, (at) => levelOf(volume.map[at]) > state.threshold && levelOf(volume.map[at]) < LEVELS), "#ffffff", 1);
  if (shown.cross && !views()[0].plain) crossHair(context, grid);
}

function drawViews() {
  const drawn = views();
  CANVASES.forEach((id, index) => ($(id).closest("figure").hidden = index >= drawn.length));
  $("stage").dataset.views = drawn[0].plain ? "pair" : "planes";
  drawn.forEach(drawView);
}
