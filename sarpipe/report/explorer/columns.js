// The table of the places: columns as typed arrays, decoded once.

const ARRAYS = { float32: Float32Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
const DATES = 4;
const NO_DAY = 65535;

const page = (id) => document.getElementById(`explorer-${id}`);

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function unpack(column) {
  return column && new ARRAYS[column.type](bytes(column.base64).buffer);
}

const data = JSON.parse(page("table").textContent);
const count = data.ids.length;
const latitude = unpack(data.latitude);
const longitude = unpack(data.longitude);
const component = { x: unpack(data.x), y: unpack(data.y) };
const store = data.store && { names: data.store.names, codes: unpack(data.store.codes) };
const flags = data.flags && { names: data.flags.names, bits: unpack(data.flags.bits) };
const classes = data.class && { names: data.class.names, codes: unpack(data.class.codes) };
const valid = unpack(data.valid);
const values = data.values.map((value) => ({ name: value.name, truth: value.truth, of: unpack(value) }));
const dateCount = unpack(data.dates);
const days = unpack(data.days);
const passes = { names: data.passes.names, codes: unpack(data.passes.codes) };
const orbits = unpack(data.orbits);
const validByDate = unpack(data.valid_by_date);
const neighbours = {
  count: data.neighbours.count,
  rows: unpack(data.neighbours.rows),
  similarity: unpack(data.neighbours.similarity),
  km: unpack(data.neighbours.km),
};
const pictured = new Map(data.pictured.map((row, place) => [row, place]));

const isPlaced = (i) => Number.isFinite(latitude[i]) && Number.isFinite(longitude[i]);

// The pass of all known dates of a place; "mixed" where they differ.
const passOf = Array.from({ length: count }, (_, i) => {
  const names = new Set();
  for (let date = 0; date < dateCount[i]; date++) names.add(passes.names[passes.codes[DATES * i + date]]);
  names.delete("unknown");
  return names.size === 0 ? "unknown" : names.size === 1 ? [...names][0] : "mixed";
});

function signed(number, digits) {
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" };
  return number.toLocaleString("en", format).replace("-", "−");
}

const whole = (number) => signed(number, 0);

function day(number) {
  return number === NO_DAY ? "date not known" : new Date(number * 86400000).toISOString().slice(0, 10);
}

function position(i) {
  return isPlaced(i) ? `${signed(latitude[i], 4)}°, ${signed(longitude[i], 4)}°` : "not known";
}

// An element. Whatever comes from data is text, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
