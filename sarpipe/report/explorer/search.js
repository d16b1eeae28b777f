// The search field: a combobox over the ids; every place can be reached by it.

const LISTED = 12;
const search = { found: [], active: -1 };

function setUpSearch() {
  const field = page("search");
  field.addEventListener("input", () => openMatches());
  field.addEventListener("blur", () => closeMatches());
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (page("matches").hidden) openMatches();
      else activate(search.active + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && search.found.length && !page("matches").hidden) {
      event.preventDefault();
      take(search.found[Math.max(search.active, 0)]);
    } else if (event.key === "Escape") closeMatches();
  });
}

function openMatches() {
  const typed = page("search").value.trim().toLowerCase();
  const all = [];
  data.ids.forEach((id, i) => {
    if (id.toLowerCase().includes(typed)) all.push(i);
  });
  // Those that begin so come first.
  const begins = (i) => (data.ids[i].toLowerCase().startsWith(typed) ? 0 : 1);
  search.found = all.sort((a, b) => begins(a) - begins(b) || a - b).slice(0, LISTED);
  const options = search.found.map((i, place) => {
    const option = element("li", { role: "option", id: `explorer-match-${place}`, "aria-selected": "false" }, data.ids[i]);
    if (classes) option.append(element("span", {}, classes.names[classes.codes[i]]));
    // Before the field loses the focus, which closes the list.
    option.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      take(i);
    });
    return option;
  });
  const more = all.length - search.found.length;
  if (!all.length || more) {
    options.push(element("li", { class: "note", role: "presentation" }, all.length ? `${whole(more)} more` : "No place has this id."));
  }
  page("matches").replaceChildren(...options);
  page("matches").hidden = false;
  page("search").setAttribute("aria-expanded", "true");
  activate(-1);
  say(all.length === 1 ? "1 place found" : `${whole(all.length)} places found`);
}

function activate(index) {
  search.active = Math.max(-1, Math.min(index, search.found.length - 1));
  page("matches").querySelectorAll("[role=option]").forEach((option, place) => {
    option.setAttribute("aria-selected", String(place === search.active));
    if (place === search.active) option.scrollIntoView({ block: "nearest" });
  });
  if (search.active < 0) page("search").removeAttribute("aria-activedescendant");
  else page("search").setAttribute("aria-activedescendant", `explorer-match-${search.active}`);
}

function closeMatches() {
  page("matches").hidden = true;
  page("search").setAttribute("aria-expanded", "false");
  page("search").removeAttribute("aria-activedescendant");
}

function take(i) {
  page("search").value = data.ids[i];
  closeMatches();
  select(i);
}
