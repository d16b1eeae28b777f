// The colour and the marker of every place: by class, orbit pass, or a number.

const look = data.look;
const OTHER = { marker: ".", colour: null };
const UNKNOWN = { marker: "x", colour: null };

function series(index) {
  return index < look.palette.length ? { marker: look.markers[index], colour: look.palette[index] } : OTHER;
}

function byName(names, codeOf) {
  const kinds = names.map((name, index) => ({ ...(name === "unknown" ? UNKNOWN : series(index)), name }));
  return { kinds, kindOf: Uint16Array.from({ length: count }, (_, i) => codeOf(i)), legend: "names" };
}

function byNumber(numbers) {
  const known = Float64Array.from(numbers).filter(Number.isFinite).sort();
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const low = known.length ? at(0.02) : NaN;
  const high = known.length ? at(0.98) : NaN;
  const steps = look.ramp.length;
  const kinds = look.ramp.map((colour) => ({ marker: "o", colour }));
  kinds.push({ ...UNKNOWN, name: "not known" });
  const kindOf = Uint16Array.from(numbers, (number) => {
    if (!Number.isFinite(number)) return steps;
    const share = (number - low) / (high - low || 1);
    return Math.max(0, Math.min(steps - 1, Math.floor(share * steps)));
  });
  return { kinds, kindOf, legend: "ramp", low, high, unknown: count - known.length };
}

const passNames = ["ascending", "descending", "mixed", "unknown"].filter((name) => passOf.includes(name));
const colourings = [];
if (classes) colourings.push({ name: "class", make: () => byName(classes.names, (i) => classes.codes[i]) });
if (passNames.some((name) => name !== "unknown")) {
  colourings.push({ name: "orbit pass", make: () => byName(passNames, (i) => passNames.indexOf(passOf[i])) });
}
for (const value of values) colourings.push({ name: value.name.replaceAll("_", " "), make: () => byNumber(value.of) });
if (valid) colourings.push({ name: "valid fraction", make: () => byNumber(valid) });

let paint = colourings[0].make();

function colourBy(index) {
  paint = colourings[index].make();
  announce("colour");
}

// The outline of a marker of radius r about the origin, as matplotlib names them.
function outline(marker, r) {
  const path = new Path2D();
  const corners = (points) => {
    points.forEach(([x, y], index) => (index ? path.lineTo(x * r, y * r) : path.moveTo(x * r, y * r)));
    path.closePath();
  };
  const star = (arms, inner) => Array.from({ length: 2 * arms }, (_, corner) => {
    const length = corner % 2 ? inner : 1.25;
    const angle = (Math.PI * corner) / arms - Math.PI / 2;
    return [length * Math.cos(angle), length * Math.sin(angle)];
  });
  if (marker === "s") corners([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]]);
  else if (marker === "^") corners([[0, -1.15], [1.1, 0.8], [-1.1, 0.8]]);
  else if (marker === "v") corners([[0, 1.15], [1.1, -0.8], [-1.1, -0.8]]);
  else if (marker === "D") corners([[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]]);
  else if (marker === "P") corners(star(4, 0.6));
  else if (marker === "X") corners(star(4, 0.6).map(([x, y]) => [(x - y) * 0.75, (x + y) * 0.75]));
  else if (marker === "*") corners(star(5, 0.55));
  else if (marker === "x") corners([[-0.9, -0.5], [-0.5, -0.9], [0, -0.35], [0.5, -0.9], [0.9, -0.5], [0.35, 0],
    [0.9, 0.5], [0.5, 0.9], [0, 0.35], [-0.5, 0.9], [-0.9, 0.5], [-0.35, 0]]);
  else path.arc(0, 0, marker === "." ? 0.7 * r : r, 0, 2 * Math.PI);
  return path;
}

function swatch(kind) {
  const ratio = window.devicePixelRatio || 1;
  const canvas = element("canvas", { width: 16 * ratio, height: 16 * ratio, "aria-hidden": "true", class: "marker" });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.translate(8, 8);
  context.fillStyle = kind.colour || themed("muted");
  context.fill(outline(kind.marker, 5));
  return canvas;
}

function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
