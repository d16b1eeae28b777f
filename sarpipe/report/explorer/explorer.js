// Everything together.

const KEYS = "Click a place, or move from place to place with the arrow keys and select with Enter; + and − zoom, "
  + "0 shows all; drag to move about. Lines lead to the nearest neighbours of the selected place.";

function setUp() {
  document.getElementById("explorer").hidden = false;
  document.getElementById("explorer-link").hidden = false;
  setUpFilters();
  setUpSearch();
  const plots = [setUpMap(), setUpProjection()].filter(Boolean);
  page("keys").textContent = plots.length ? KEYS : "";
  const redraw = () => plots.forEach((plot) => plot.draw());
  watch("shown", () => {
    drawCount();
    redraw();
    if (state.selected >= 0) drawDetail();
  });
  watch("colour", () => {
    drawLegend();
    redraw();
  });
  watch("pointed", () => plots.forEach((plot) => plot.drawTop()));
  watch("selected", () => {
    drawDetail();
    for (const plot of plots) {
      plot.reveal(state.selected);
      plot.drawTop();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawLegend();
    redraw();
  });
  drawCount();
  drawLegend();
  // Something to look at from the start, and nothing said of it.
  state.selected = data.pictured[0];
  announce("selected");
}

function setUpMap() {
  const missing = count - placed.length;
  if (!placed.length) {
    page("map-view").hidden = true;
    page("map-view").after(element("p", { class: "note empty" },
      count === 1 ? "There is no map: the position of the place is not known."
        : `There is no map: the position of none of the ${whole(count)} places is known.`));
    return null;
  }
  const note = missing ? ` ${whole(missing)} places at unknown positions are not on it.` : "";
  page("map-caption").textContent = `Map, equirectangular.${note}`;
  const x = Float64Array.from(longitude, (degree) => degree * squeeze);
  return new Plot(page("map"), x, latitude, { ground: mapGround, equal: true, least: 0.05 });
}

function setUpProjection() {
  const [first, second] = data.shares.map((share) => signed(100 * share, 1));
  if (count < 3 || !data.shares[0]) {
    page("projection-view").hidden = true;
    page("projection-view").after(element("p", { class: "note empty" }, count < 3
      ? "There is no projection: it needs at least three places." : "There is no projection: all embeddings are equal."));
    return null;
  }
  page("projection-caption").textContent = `Embeddings: principal components 1 (across, ${first} % of the variance) and `
    + `2 (upwards, ${second} %).`;
  return new Plot(page("projection"), component.x, component.y, { ground: projectionGround, equal: false, least: 1e-6 });
}

setUp();
