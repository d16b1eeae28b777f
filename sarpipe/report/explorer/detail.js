// All that is known of the selected place: facts, twelve channels, dates, nearest neighbours.

function drawDetail() {
  const i = state.selected;
  page("place").textContent = data.ids[i];
  page("picked").textContent = `${data.ids[i]}: details`;
  page("facts").replaceChildren(
    ...facts(i),
    element("div", { class: "looks" }, channels(i), element("div", {}, dates(i), nearestOnes(i))),
  );
}

function facts(i) {
  const about = element("dl", { class: "facts" });
  const truth = element("dl", { class: "facts truth", "aria-label": "Labels and truth" });
  const fact = (list, name, words) => list.append(
    element("div", {}, element("dt", {}, name), element("dd", {}, words)));
  if (!state.shown[i]) fact(about, "filter", "left out, shown all the same");
  if (classes) fact(about, "class", classes.names[classes.codes[i]]);
  fact(about, "latitude, longitude", position(i));
  if (store) fact(about, "store", store.names[store.codes[i]]);
  if (valid) fact(about, "pixels with data", Number.isFinite(valid[i]) ? `${percent(valid[i])} %` : "not known");
  if (flags) {
    const named = flags.names.filter((_, bit) => flags.bits[i] & (1 << bit));
    fact(about, "flags", named.length ? named.join(", ") : "none");
  }
  for (const value of values) fact(value.truth ? truth : about, value.name.replaceAll("_", " "), amount(value.of[i]));
  return truth.childElementCount ? [about, element("p", { class: "note over" }, "Labels and truth"), truth] : [about];
}

// Never 100 % of a place that lacks a pixel.
function percent(share) {
  return share >= 1 ? "100" : signed(Math.floor(share * 1000) / 10, 1);
}

function amount(value) {
  return Number.isFinite(value) ? signed(value, Math.abs(value) < 10 ? 2 : 1) : "not known";
}

function block(heading, note, ...content) {
  return element("div", {}, element("h4", {}, heading), element("p", { class: "note" }, note), ...content);
}

function channels(i) {
  const heading = "Twelve channels";
  if (!pictured.has(i)) return block(heading, noPictures());
  const grid = element("div", { class: "tiles" });
  look.channels.forEach((channel, index) => {
    const unit = look.features[index % look.features.length].unit === "dB" ? " dB" : "";
    const digits = channel.range && Math.max(...channel.range.map(Math.abs)) < 100 ? 1 : 0;
    const range = channel.range ? `${signed(channel.range[0], digits)} to ${signed(channel.range[1], digits)}` : "no data";
    grid.append(element("figure", {}, channelPicture(i, index), element("figcaption", {},
      element("b", {}, channel.name), element("span", {}, `${range}${channel.range ? unit : ""}`))));
  });
  const note = "Mean, deviation (std) and last minus first (diff) over the dates: blue fell, red rose, pink is no "
    + "data. Ranges are those of the colours, the same for all places; clahe and edge in grey levels.";
  return block(heading, note, grid);
}

function noPictures() {
  return `The page holds the pictures of ${whole(pictured.size)} of ${whole(count)} places, evenly chosen; `
    + "this is not one of them. “With pictures only” shows which are.";
}

function dates(i) {
  const made = Array.from({ length: dateCount[i] }, (_, date) => {
    const at = DATES * i + date;
    const lines = [element("b", {}, day(days[at]))];
    const pass = passes.names[passes.codes[at]];
    const orbit = orbits ? orbits[at] : 0;
    if (pass === "unknown" && !orbit) lines.push(element("span", {}, "orbit not known"));
    if (pass !== "unknown") lines.push(element("span", {}, pass));
    if (orbit) lines.push(element("span", {}, `orbit ${orbit}`));
    if (validByDate) lines.push(element("span", {}, `${validByDate[at]} % with data`));
    const pictures = pictured.has(i)
      ? [0, 1].map((band) => element("div", { class: "band" }, datePicture(i, band, date),
        element("span", {}, look.features[band].name)))
      : [];
    return element("figure", {}, ...pictures, element("figcaption", {}, ...lines));
  });
  const number = made.length === 1 ? "One date" : `${["No", "", "Two", "Three", "Four"][made.length]} dates`;
  const note = pictured.has(i)
    ? "VV and VH, denoised, at half the resolution; the colours are those of mean_vv and mean_vh."
    : "When the place was seen, and from which orbit.";
  return block(number, note, element("div", { class: "dates" }, ...made));
}

function nearestOnes(i) {
  const list = element("ol", { class: "nearest" });
  for (let k = 0; k < neighbours.count; k++) list.append(element("li", {}, neighbour(i * neighbours.count + k)));
  const note = neighbours.count
    ? "By the cosine of the standardised embeddings, as the retrieval below; distances are over the ground."
    : "There is no other place.";
  return block("Nearest in the embedding", note, list);
}

function neighbour(at) {
  const other = neighbours.rows[at];
  const km = neighbours.km[at];
  const lines = [element("b", {}, data.ids[other])];
  if (classes) lines.push(element("span", {}, classes.names[classes.codes[other]]));
  lines.push(element("span", {}, `similarity ${signed(neighbours.similarity[at], 2)}`));
  lines.push(element("span", {}, Number.isFinite(km) ? `${signed(km, km < 10 ? 1 : 0)} km` : "distance not known"));
  const button = element("button", { type: "button", "data-place": data.ids[other] });
  if (pictured.has(other)) {
    const image = channelPicture(other, 0);
    image.setAttribute("aria-hidden", "true");
    button.append(image);
  } else button.append(element("span", { class: "blank" }));
  button.append(element("span", { class: "lines" }, ...lines));
  button.addEventListener("click", () => {
    select(other);
    page("detail").focus({ preventScroll: true });
  });
  button.addEventListener("pointerenter", () => point(other));
  button.addEventListener("pointerleave", () => point(-1));
  button.addEventListener("focus", () => point(other));
  button.addEventListener("blur", () => point(-1));
  return button;
}
