// The pictures of a place: one grey sprite, decoded when the place is looked at, coloured here.

const KEPT = 48;
const NO_DATA_LEVEL = 255;
const colourMaps = Object.fromEntries(Object.entries(look.maps).map(([name, base64]) => [name, bytes(base64)]));
const decoded = new Map();
let encoded = null;

// Levels of the sprite of a place, or null where the page has none.
function spriteOf(i) {
  if (!pictured.has(i)) return Promise.resolve(null);
  if (!decoded.has(i)) {
    encoded ||= JSON.parse(page("pictures").textContent);
    decoded.set(i, decode(encoded[pictured.get(i)]));
    if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(i);
}

async function decode(base64) {
  const image = new Image();
  image.src = `data:image/webp;base64,${base64}`;
  await image.decode();
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// Draws one picture of a sprite into a canvas of its own.
function colour(canvas, sprite, left, top, size, map) {
  const palette = colourMaps[map];
  const picture = new ImageData(size, size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const from = 4 * ((top + y) * sprite.width + left + x);
      const to = 4 * (y * size + x);
      const level = sprite.data[from + 3] < 128 ? NO_DATA_LEVEL : Math.min(sprite.data[from], NO_DATA_LEVEL - 1);
      picture.data.set(palette.subarray(3 * level, 3 * level + 3), to);
      picture.data[to + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// A canvas that the picture appears in once the sprite is decoded. `name` is what a screen reader says.
function picture(i, name, left, top, size, map) {
  const canvas = element("canvas", { width: size, height: size, role: "img", "aria-label": name });
  spriteOf(i).then((sprite) => sprite && colour(canvas, sprite, left, top, size, map));
  return canvas;
}

function channelPicture(i, channel) {
  const { name, map } = look.channels[channel];
  const columns = look.features.length;
  const [left, top] = [(channel % columns) * look.size, Math.floor(channel / columns) * look.size];
  return picture(i, `${name} of ${data.ids[i]}`, left, top, look.size, map);
}

// VV (0) or VH (1) of one date.
function datePicture(i, band, date) {
  const top = (look.channels.length / look.features.length) * look.size;
  const left = (band * DATES + date) * look.date_size;
  const name = `${look.features[band].name} of ${data.ids[i]} at date ${date + 1}`;
  return picture(i, name, left, top, look.date_size, look.channels[band].map);
}
