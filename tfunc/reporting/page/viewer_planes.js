// The viewer's planes: which voxel lies where in a picture, and how a picture, a border and the cross-hair come onto a canvas.

const shown = { truth: true, segmentation: true, cross: true, zoom: false };
const CANVASES = ["view-0", "view-1", "view-2"];
const position = () => [state.slice, state.row, state.column];

// What the canvases show: the planes of a volume, or a photograph twice, without and with what is laid over it.
function views() {
  const { planes, shape } = volume.about;
  const drawn = planes.filter(({ down, across }) => shape[down.axis] > 1 && shape[across.axis] > 1);
  const first = planes[0];
  if (drawn.length < 2) return [{ plane: first, id: CANVASES[0], plain: true }, { plane: first, id: CANVASES[1] }];
  return drawn.map((plane, index) => ({ plane, id: CANVASES[index] }));
}

// Where the voxels of a plane are: that at (row, column) of the picture has the index start + row * rowStep + column * columnStep.
function gridOf(plane) {
  const { shape, focus } = volume.about;
  const strides = [shape[1] * shape[2], shape[2], 1];
  const side = ({ axis, reversed }) => {
    const [from, to] = shown.zoom ? focus[axis] : [0, shape[axis]];
    return { axis, size: to - from, step: reversed ? -1 : 1, first: reversed ? to - 1 : from };
  };
  const [down, across] = [side(plane.down), side(plane.across)];
  const start = position()[plane.through] * strides[plane.through] + down.first * strides[down.axis] + across.first * strides[across.axis];
  return { plane, down, across, height: down.size, width: across.size, start, rowStep: down.step * strides[down.axis], columnStep: across.step * strides[across.axis] };
}

// The place [slice, row, column] in the volume of a picture's row and column.
function placeIn(grid, row, column) {
  const place = position();
  place[grid.down.axis] = grid.down.first + grid.down.step * row;
  place[grid.across.axis] = grid.across.first + grid.across.step * column;
  return place;
}

function rgb(color) {
  const value = color.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(color).trim() : color;
  return [1, 3, 5].map((at) => Number.parseInt(value.slice(at, at + 2), 16));
}

// A plane as a canvas, a pixel a voxel: paint(at) gives [red, green, blue, alpha] or nothing.
function painted({ height, width, start, rowStep, columnStep }, paint) {
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const color = paint(start + row * rowStep + column * columnStep);
      if (color) pixels.data.set(color, (row * width + column) * 4);
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// The border of a mask along the voxels' edges.
function border({ height, width, start, rowStep, columnStep }, inside) {
  const path = new Path2D();
  const is = (row, column) => row >= 0 && column >= 0 && row < height && column < width && inside(start + row * rowStep + column * columnStep);
  for (let row = 0; row <= height; row++) {
    for (let column = 0; column <= width; column++) {
      const here = is(row, column);
      if (here !== is(row, column - 1)) addEdge(path, column, row, 0, 1);
      if (here !== is(row - 1, column)) addEdge(path, column, row, 1, 0);
    }
  }
  return path;
}

function addEdge(path, x, y, dx, dy) {
  path.moveTo(x, y);
  path.lineTo(x + dx, y + dy);
}

// Gives a canvas the plane's shape in millimetres, as large as its frame allows.
function fit(canvas, { height, width, plane }) {
  const frame = canvas.parentElement;
  const aspect = width / height / plane.aspect;
  const across = Math.min(frame.clientWidth, frame.clientHeight * aspect);
  canvas.style.width = `${across}px`;
  canvas.style.height = `${across / aspect}px`;
  canvas.width = Math.max(Math.round(across * Math.max(devicePixelRatio, 1)), 1);
  canvas.height = Math.max(Math.round((across / aspect) * Math.max(devicePixelRatio, 1)), 1);
  const context = canvas.getContext("2d");
  context.scale(canvas.width / width, canvas.height / height);
  context.imageSmoothingQuality = "high";
  return context;
}

function layer(context, { height, width }, drawn, smooth) {
  context.imageSmoothingEnabled = smooth; // the picture is smoothed, the maps are shown voxel by voxel
  context.drawImage(drawn, 0, 0, width, height);
}

function stroke(context, path, color, width, dash = [], under = "rgb(0 0 0 / 0.6)") {
  const { a, d } = context.getTransform();
  const pixel = Math.max(devicePixelRatio, 1);
  const onScreen = new Path2D(); // in pixels, as voxels may be taller than wide
  onScreen.addPath(path, new DOMMatrix([a, 0, 0, d, 0, 0]));
  context.save();
  context.resetTransform();
  for (const [style, extra] of [...(under ? [[under, 1.6]] : []), [color, 0]]) {
    context.strokeStyle = style;
    context.lineWidth = (width + extra) * pixel;
    context.lineCap = dash.length ? "butt" : "square";
    context.setLineDash(dash.map((length) => length * pixel));
    context.stroke(onScreen);
  }
  context.restore();
}

// The other planes' places, with a gap where they cross.
function crossHair(context, grid) {
  const [x, y] = [grid.across, grid.down].map(({ axis, first, step }) => (position()[axis] - first) * step + 0.5);
  const { a, d } = context.getTransform();
  const [dx, dy] = [a, d].map((scale) => (9 * Math.max(devicePixelRatio, 1)) / scale);
  const path = new Path2D();
  for (const [x1, y1, x2, y2] of [[0, y, x - dx, y], [x + dx, y, grid.width, y], [x, 0, x, y - dy], [x, y + dy, x, grid.height]]) {
    if (x2 < x1 || y2 < y1) continue;
    path.moveTo(x1, y1);
    path.lineTo(x2, y2);
  }
  stroke(context, path, "rgb(110 190 255 / 0.85)", 1, [], null);
}

function drawSides({ plane, id }) {
  const frame = $(id).parentElement;
  for (const old of frame.querySelectorAll(".side")) old.remove();
  for (const [side, letter] of Object.entries(plane.sides ?? {})) frame.append(element("span", { class: `side ${side}`, "aria-hidden": "true" }, letter));
}
