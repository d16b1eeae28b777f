// A plot of places on two canvases, the places below and what is pointed at above; mouse, touch and keyboard.

const NEAR_MOUSE = 12;
const NEAR_FINGER = 24;
const ZOOM = 1.6;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Plot {
  // x and y are arrays of the data, y upwards; NaN is not drawn. ground(plot, context) is drawn below the places.
  constructor(host, x, y, { ground, equal, least }) {
    Object.assign(this, { host, x, y, ground, equal, least });
    this.known = Array.from(x.keys()).filter((i) => Number.isFinite(x[i]) && Number.isFinite(y[i]));
    this.base = element("canvas", { "aria-hidden": "true" });
    this.top = element("canvas", { "aria-hidden": "true" });
    this.tip = element("div", { class: "tip", "aria-hidden": "true", hidden: true });
    host.append(this.base, this.top, this.tip);
    host.parentElement.append(this.zoomButtons());
    this.zoom = 1;
    this.width = 0;
    this.height = 0;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(host);
    this.resize();
  }

  zoomButtons() {
    const button = (label, sign, act) => {
      const made = element("button", { type: "button", "aria-label": label, title: label }, sign);
      made.addEventListener("click", act);
      return made;
    };
    return element("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("Zoom in", "+", () => this.zoomBy(ZOOM)),
      button("Zoom out", "−", () => this.zoomBy(1 / ZOOM)),
      button("Show all places", "⤢", () => this.fit()));
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height || (width === this.width && height === this.height)) return;
    const first = !this.width;
    this.width = width;
    this.height = height;
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.top]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    if (first || this.zoom === 1) this.fit();
    // Now, before the page is painted: a canvas of a new size is empty.
    this.drawAll();
  }

  // All places, with a margin for the labels at the left and at the bottom.
  fit() {
    const range = (numbers) => {
      let low = Infinity;
      let high = -Infinity;
      for (const i of this.known) {
        low = Math.min(low, numbers[i]);
        high = Math.max(high, numbers[i]);
      }
      return this.known.length ? [(low + high) / 2, Math.max(high - low, this.least)] : [0, this.least];
    };
    const [centreX, spanX] = range(this.x);
    const [centreY, spanY] = range(this.y);
    this.zoom = 1;
    this.centre = [centreX, centreY];
    this.fitted = [(this.width - 56) / spanX, (this.height - 56) / spanY];
    if (this.equal) this.fitted.fill(Math.min(...this.fitted));
    this.draw();
  }

  zoomBy(factor) {
    // From the whole, towards the selected place.
    if (this.zoom === 1 && this.has(state.selected)) this.centre = [this.x[state.selected], this.y[state.selected]];
    this.zoom = Math.max(1, Math.min(this.zoom * factor, 4000));
    if (this.zoom === 1) this.fit();
    else this.draw();
  }

  panBy(x, y) {
    this.centre[0] -= x / this.scaleX;
    this.centre[1] += y / this.scaleY;
    this.draw();
  }

  get scaleX() { return this.fitted[0] * this.zoom; }
  get scaleY() { return this.fitted[1] * this.zoom; }
  screenX(x) { return (x - this.centre[0]) * this.scaleX + this.width / 2 + 8; }
  screenY(y) { return (this.centre[1] - y) * this.scaleY + this.height / 2 - 4; }
  dataX(screen) { return (screen - this.width / 2 - 8) / this.scaleX + this.centre[0]; }
  dataY(screen) { return this.centre[1] - (screen - this.height / 2 + 4) / this.scaleY; }

  get radius() {
    const fitting = Math.max(1.7, Math.min(6.5, 75 / Math.sqrt(this.known.length)));
    return fitting * Math.min(2.5, this.zoom ** 0.35);
  }

  draw() {
    if (!this.width || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawAll();
    });
  }

  drawAll() {
    this.drawBase();
    this.drawTop();
  }

  cleared(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  drawBase() {
    const context = this.cleared(this.base);
    this.ground(this, context);
    const half = Math.ceil(1.4 * this.radius) + 1;
    const stamps = paint.kinds.map((kind) => this.stamp(kind, half));
    const dim = this.stamp({ marker: ".", colour: themed("muted") }, half);
    const many = this.known.length > 3000;
    context.globalAlpha = many ? 0.12 : 0.28;
    for (const i of this.known) if (!state.shown[i]) this.press(context, dim, i, half);
    context.globalAlpha = many ? 0.75 : 0.9;
    for (const i of this.known) if (state.shown[i]) this.press(context, stamps[paint.kindOf[i]], i, half);
    context.globalAlpha = 1;
  }

  // A marker drawn once, to be pressed wherever a place is: tens of thousands of paths would take seconds.
  stamp(kind, half) {
    const size = Math.ceil(2 * half * this.ratio);
    const canvas = element("canvas", { width: size, height: size });
    const context = canvas.getContext("2d");
    context.scale(this.ratio, this.ratio);
    context.translate(half, half);
    const path = outline(kind.marker, this.radius);
    context.fillStyle = kind.colour || themed("muted");
    context.fill(path);
    if (this.radius > 3) {
      context.lineWidth = 0.8;
      context.strokeStyle = themed("paper");
      context.stroke(path);
    }
    return canvas;
  }

  press(context, stamp, i, half) {
    const x = this.screenX(this.x[i]);
    const y = this.screenY(this.y[i]);
    if (x < -half || y < -half || x > this.width + half || y > this.height + half) return;
    context.drawImage(stamp, x - half, y - half, stamp.width / this.ratio, stamp.height / this.ratio);
  }

  drawTop() {
    const context = this.cleared(this.top);
    const { selected, pointed } = state;
    if (selected >= 0 && this.has(selected)) {
      this.links(context, selected);
      this.ring(context, selected, 3);
    }
    if (pointed >= 0 && pointed !== selected && this.has(pointed)) this.ring(context, pointed, 1.75);
    this.showTip(pointed);
  }

  links(context, from) {
    for (let k = 0; k < neighbours.count; k++) {
      const to = neighbours.rows[from * neighbours.count + k];
      if (!this.has(to)) continue;
      context.beginPath();
      context.moveTo(this.screenX(this.x[from]), this.screenY(this.y[from]));
      context.lineTo(this.screenX(this.x[to]), this.screenY(this.y[to]));
      this.outlined(context, 1.25, 1.5, "accent");
      context.beginPath();
      context.arc(this.screenX(this.x[to]), this.screenY(this.y[to]), this.radius + 2.5, 0, 2 * Math.PI);
      this.outlined(context, 1.5, 1.5, "accent");
    }
  }

  ring(context, i, width) {
    context.beginPath();
    context.arc(this.screenX(this.x[i]), this.screenY(this.y[i]), this.radius + 4.5, 0, 2 * Math.PI);
    this.outlined(context, width, 2.5, "ink");
  }

  // Strokes what was drawn, on a wider line of the page's colour: seen on any ground.
  outlined(context, width, rim, ink) {
    context.strokeStyle = themed("paper");
    context.lineWidth = width + rim;
    context.stroke();
    context.strokeStyle = themed(ink);
    context.lineWidth = width;
    context.stroke();
  }

  showTip(i) {
    this.tip.hidden = i < 0 || !this.has(i) || !this.isLed;
    if (this.tip.hidden) return;
    const kind = classes ? ` · ${classes.names[classes.codes[i]]}` : "";
    this.tip.textContent = `${data.ids[i]}${kind}`;
    const x = Math.min(Math.max(this.screenX(this.x[i]), 0), this.width);
    const y = this.screenY(this.y[i]);
    this.tip.style.left = `${Math.min(Math.max(x - this.tip.offsetWidth / 2, 4), this.width - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = `${y > 48 ? y - this.radius - 38 : y + this.radius + 12}px`;
  }

  has(i) { return Number.isFinite(this.x[i]) && Number.isFinite(this.y[i]); }

  // The shown place nearest to a point of the screen, or -1.
  near(x, y, reach) {
    let found = -1;
    let least = reach * reach;
    for (const i of this.known) {
      if (!state.shown[i]) continue;
      const away = (this.screenX(this.x[i]) - x) ** 2 + (this.screenY(this.y[i]) - y) ** 2;
      if (away < least) {
        least = away;
        found = i;
      }
    }
    return found;
  }

  // The next shown place in a direction: near, and rather straight ahead. Places at one point follow one another.
  next(from, [right, down]) {
    const order = right + down;
    const x = this.screenX(this.x[from]);
    const y = this.screenY(this.y[from]);
    let found = -1;
    let least = Infinity;
    for (const i of this.known) {
      if (i === from || !state.shown[i]) continue;
      const dx = this.screenX(this.x[i]) - x;
      const dy = this.screenY(this.y[i]) - y;
      const ahead = dx * right + dy * down;
      const aside = Math.abs(dx * down) + Math.abs(dy * right);
      const same = Math.abs(dx) + Math.abs(dy) < 1e-3;
      if (same ? (i - from) * order < 0 : ahead <= 0) continue;
      const cost = same ? Math.abs(i - from) * 1e-9 : ahead + 2.5 * aside;
      if (cost < least) {
        least = cost;
        found = i;
      }
    }
    return found;
  }

  reveal(i) {
    if (!this.width || !this.has(i)) return;
    const x = this.screenX(this.x[i]);
    const y = this.screenY(this.y[i]);
    if (x > 12 && y > 12 && x < this.width - 12 && y < this.height - 12) return;
    this.centre = [this.x[i], this.y[i]];
    this.draw();
  }

  listen() {
    const { host } = this;
    let drag = null;
    const at = (event) => {
      const box = host.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    host.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag = { at: at(event), from: at(event), moved: false };
    });
    host.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (event.pointerType === "touch") return;
      if (drag) {
        drag.moved ||= Math.hypot(x - drag.from[0], y - drag.from[1]) > 4;
        if (drag.moved && this.zoom > 1) {
          host.setPointerCapture(event.pointerId);
          this.panBy(x - drag.at[0], y - drag.at[1]);
        }
        drag.at = [x, y];
        return;
      }
      this.isLed = true;
      point(this.near(x, y, NEAR_MOUSE));
      host.style.cursor = state.pointed >= 0 ? "pointer" : this.zoom > 1 ? "grab" : "default";
    });
    host.addEventListener("pointerup", (event) => {
      const [x, y] = at(event);
      if (drag && !drag.moved) {
        const found = this.near(x, y, event.pointerType === "touch" ? NEAR_FINGER : NEAR_MOUSE);
        if (found >= 0) select(found);
      }
      drag = null;
    });
    for (const gone of ["pointercancel", "pointerleave"]) {
      host.addEventListener(gone, () => {
        drag = null;
        this.isLed = false;
        if (document.activeElement !== host) point(-1);
      });
    }
    host.addEventListener("dblclick", (event) => {
      const [x, y] = at(event);
      this.centre = [this.dataX(x), this.dataY(y)];
      if (this.zoom === 1) this.zoom = 1.001;
      this.zoomBy(ZOOM);
    });
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("focus", () => {
      if (host.matches(":focus-visible")) this.isLed = true;
    });
    host.addEventListener("blur", () => {
      this.isLed = false;
      point(-1);
    });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.act(event.key)) return;
    event.preventDefault();
  }

  // Whether a key means something here; it is then done.
  act(key) {
    this.isLed = true;
    if (key in ARROWS || key === "Home" || key === "End") this.walk(key);
    else if ((key === "Enter" || key === " ") && state.pointed >= 0) select(state.pointed);
    else if (key === "+" || key === "=") this.zoomBy(ZOOM);
    else if (key === "-") this.zoomBy(1 / ZOOM);
    else if (key === "0") this.fit();
    else return false;
    return true;
  }

  walk(key) {
    const shown = this.known.filter((i) => state.shown[i]);
    if (!shown.length) return say("No place is shown here.");
    const from = state.pointed >= 0 ? state.pointed : state.selected;
    let to = key === "End" ? shown.at(-1) : shown[0];
    if (key in ARROWS && from >= 0 && this.has(from)) to = this.next(from, ARROWS[key]);
    if (to < 0) return say("No place further this way.");
    point(to, true);
    this.reveal(to);
  }
}
