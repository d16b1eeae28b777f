// What lies below the places: land, graticule and scale bar of the map; the axes of the projection.

const DEGREES = [90, 60, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const KM_A_DEGREE = 111.195;
const LAND_UNTIL_DEGREES = 6;

const placed = Array.from({ length: count }, (_, i) => i).filter(isPlaced);
let south = 90;
let north = -90;
for (const i of placed) {
  south = Math.min(south, latitude[i]);
  north = Math.max(north, latitude[i]);
}
// Equirectangular, true to scale at the middle latitude.
const squeeze = Math.cos((Math.min(60, Math.abs(south + north) / 2) * Math.PI) / 180);

const land = data.land.map((steps) => {
  const points = [];
  let [x, y] = [0, 0];
  for (let k = 0; k < steps.length; k += 2) {
    x += steps[k];
    y += steps[k + 1];
    points.push([(x / 10) * squeeze, y / 10]);
  }
  return points;
});

function write(context, words, x, y, align, baseline) {
  context.font = "11px system-ui, sans-serif";
  context.textAlign = align;
  context.textBaseline = baseline;
  context.strokeStyle = themed("sea");
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeText(words, x, y);
  context.fillStyle = themed("muted");
  context.fillText(words, x, y);
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function mapGround(plot, context) {
  if (plot.width / plot.scaleX > LAND_UNTIL_DEGREES) drawLand(plot, context);
  drawGraticule(plot, context);
  drawScaleBar(plot, context);
}

function drawLand(plot, context) {
  context.beginPath();
  for (const ring of land) {
    ring.forEach(([x, y], k) => {
      if (k) context.lineTo(plot.screenX(x), plot.screenY(y));
      else context.moveTo(plot.screenX(x), plot.screenY(y));
    });
    context.closePath();
  }
  context.fillStyle = themed("land");
  context.fill("evenodd");
}

function degrees(value, step, negative, positive) {
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
  const size = Math.abs(value).toFixed(digits);
  return Number(size) === 0 ? "0°" : `${size}° ${value < 0 ? negative : positive}`;
}

function drawGraticule(plot, context) {
  const step = DEGREES.findLast((size) => size * plot.scaleY >= 56 && size * squeeze * plot.scaleX >= 64) || DEGREES[0];
  context.strokeStyle = themed("rule");
  context.lineWidth = 1;
  const labels = [];
  for (let k = Math.ceil(plot.dataX(0) / squeeze / step); k * step * squeeze <= plot.dataX(plot.width); k++) {
    if (Math.abs(k * step) > 180) continue;
    const x = plot.screenX(k * step * squeeze);
    line(context, x, plot.screenY(90), x, plot.screenY(-90));
    if (x > 44 && x < plot.width - 16) {
      labels.push([degrees(k * step, step, "W", "E"), x, plot.height - 5, "center", "bottom"]);
    }
  }
  for (let k = Math.ceil(plot.dataY(plot.height) / step); k * step <= plot.dataY(0); k++) {
    if (Math.abs(k * step) > 90) continue;
    const y = plot.screenY(k * step);
    line(context, plot.screenX(-180 * squeeze), y, plot.screenX(180 * squeeze), y);
    if (y > 12 && y < plot.height - 26) labels.push([degrees(k * step, step, "S", "N"), 5, y, "left", "middle"]);
  }
  for (const label of labels) write(context, ...label);
}

function drawScaleBar(plot, context) {
  // East to west, at the middle of what is seen.
  const middle = Math.max(-85, Math.min(85, plot.dataY(plot.height / 2)));
  const perKm = (plot.scaleX * squeeze) / (KM_A_DEGREE * Math.cos((middle * Math.PI) / 180));
  const power = 10 ** Math.floor(Math.log10(110 / perKm));
  const km = [5, 2, 1].map((factor) => factor * power).find((size) => size * perKm <= 110) || power;
  const [right, y] = [plot.width - 12, plot.height - 26];
  const left = right - km * perKm;
  context.strokeStyle = themed("muted");
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(left, y - 5);
  context.lineTo(left, y);
  context.lineTo(right, y);
  context.lineTo(right, y - 5);
  context.stroke();
  write(context, km < 1 ? `${Math.round(km * 1000)} m` : `${whole(km)} km`, (left + right) / 2, y - 4, "center", "bottom");
}

function projectionGround(plot, context) {
  context.strokeStyle = themed("rule");
  context.lineWidth = 1;
  const step = (scale) => {
    const power = 10 ** Math.floor(Math.log10(70 / scale));
    return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size * scale >= 60) || 10 * power;
  };
  const [stepX, stepY] = [step(plot.scaleX), step(plot.scaleY)];
  const labels = [];
  const name = (value, size) => signed(value, Math.max(0, Math.ceil(-Math.log10(size) - 1e-9)));
  for (let k = Math.ceil(plot.dataX(0) / stepX); k * stepX <= plot.dataX(plot.width); k++) {
    const x = plot.screenX(k * stepX);
    line(context, x, 0, x, plot.height);
    if (x > 44 && x < plot.width - 16) labels.push([name(k * stepX, stepX), x, plot.height - 5, "center", "bottom"]);
  }
  for (let k = Math.ceil(plot.dataY(plot.height) / stepY); k * stepY <= plot.dataY(0); k++) {
    const y = plot.screenY(k * stepY);
    line(context, 0, y, plot.width, y);
    if (y > 12 && y < plot.height - 26) labels.push([name(k * stepY, stepY), 5, y, "left", "middle"]);
  }
  for (const label of labels) write(context, ...label);
}
