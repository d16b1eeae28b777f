// The filters: class, dates, orbit, pictures. A filter that could leave nothing out is not offered.

const classBoxes = [];

function fill(select, options) {
  select.append(...options.map(([value, words]) => element("option", { value }, words)));
}

function setUpFilters() {
  fill(page("colour"), colourings.map((colouring, index) => [index, colouring.name]));
  page("colour").addEventListener("change", () => colourBy(Number(page("colour").value)));
  page("pass-tool").hidden = passNames.length < 2;
  fill(page("pass"), [["", "any"], ...passNames.map((name) => [name, name === "mixed" ? "mixed" : `${name} only`])]);
  setUpClasses();
  setUpOrbits();
  setUpDays();
  page("pictured-tool").hidden = pictured.size === count;
  for (const name of ["pass", "orbit", "from", "to", "pictured"]) page(name).addEventListener("input", refilter);
  page("reset").addEventListener("click", resetFilters);
}

function setUpClasses() {
  page("classes").hidden = !classes || classes.names.length < 2;
  if (!classes) return;
  const counts = new Array(classes.names.length).fill(0);
  for (const code of classes.codes) counts[code]++;
  classes.names.forEach((name, code) => {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("input", refilter);
    classBoxes.push(box);
    page("classes").append(element("label", { class: "chip" }, box, swatch(series(code)),
      element("span", {}, `${name} `, element("small", {}, whole(counts[code])))));
  });
}

function setUpOrbits() {
  const found = new Set();
  for (let i = 0; orbits && i < count; i++) {
    for (let date = 0; date < dateCount[i]; date++) if (orbits[DATES * i + date]) found.add(orbits[DATES * i + date]);
  }
  page("orbit-tool").hidden = found.size < 2;
  const sorted = [...found].sort((a, b) => a - b);
  fill(page("orbit"), [["", "any"], ...sorted.map((orbit) => [orbit, `${orbit}`])]);
}

function setUpDays() {
  let [first, last] = [NO_DAY, 0];
  for (const number of days) {
    if (number === NO_DAY) continue;
    first = Math.min(first, number);
    last = Math.max(last, number);
  }
  for (const name of ["from", "to"]) {
    page(`${name}-tool`).hidden = first >= last;
    if (first < last) Object.assign(page(name), { min: day(first), max: day(last) });
  }
}

const dayNumber = (name, open) => {
  const value = page(name).valueAsNumber;
  return Number.isFinite(value) ? value / 86400000 : open;
};

function refilter() {
  const chosen = classBoxes.map((box) => box.checked);
  const pass = page("pass").value;
  const orbit = Number(page("orbit").value);
  const [from, to] = [dayNumber("from", -Infinity), dayNumber("to", Infinity)];
  const dated = from !== -Infinity || to !== Infinity;
  for (let i = 0; i < count; i++) {
    state.shown[i] = (!chosen.length || chosen[classes.codes[i]])
      && (!pass || passOf[i] === pass)
      && (!page("pictured").checked || pictured.has(i))
      && (!(orbit || dated) || someDate(i, orbit, from, to, dated));
  }
  announce("shown");
}

// Whether one and the same date is of this orbit and in this range.
function someDate(i, orbit, from, to, dated) {
  for (let at = DATES * i; at < DATES * i + dateCount[i]; at++) {
    const inRange = !dated || (days[at] !== NO_DAY && days[at] >= from && days[at] <= to);
    if (inRange && (!orbit || orbits[at] === orbit)) return true;
  }
  return false;
}

function resetFilters() {
  for (const box of classBoxes) box.checked = true;
  for (const name of ["pass", "orbit", "from", "to"]) page(name).value = "";
  page("pictured").checked = false;
  refilter();
}

function drawCount() {
  const shown = state.shown.reduce((sum, one) => sum + one, 0);
  const of = data.total > count ? `, evenly chosen of ${whole(data.total)}` : "";
  const all = count === 1 ? "1 place" : `${whole(count)} places${of}`;
  page("count").textContent = shown === count ? all : `${whole(shown)} of ${all}`;
  page("reset").disabled = shown === count;
}

function drawLegend() {
  const legend = page("legend");
  const isClass = classes && colourings[Number(page("colour").value)].name === "class";
  page("classes").classList.toggle("coloured", Boolean(isClass));
  legend.hidden = Boolean(isClass) && !page("classes").hidden;
  if (paint.legend === "names") {
    legend.replaceChildren(...paint.kinds.map((kind) => element("span", {}, swatch(kind), kind.name)));
  } else {
    const steps = look.ramp.map((colour) => {
      const step = element("i");
      step.style.background = colour;
      return step;
    });
    const ends = [paint.low, paint.high].map((end) => (Number.isFinite(end) ? amount(end) : "not known"));
    legend.replaceChildren(element("span", {}, ends[0], element("span", { class: "steps" }, ...steps), ends[1]));
    if (paint.unknown) legend.append(element("span", {}, swatch(UNKNOWN), `not known (${whole(paint.unknown)})`));
  }
}
