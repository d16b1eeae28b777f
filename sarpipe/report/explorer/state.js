// What is shown, pointed at and selected, and who wants to know of a change.

const state = {
  shown: new Uint8Array(count).fill(1),
  pointed: -1,
  selected: -1,
};
const watchers = { shown: [], pointed: [], selected: [], colour: [] };

function watch(what, act) {
  watchers[what].push(act);
}

function announce(what) {
  for (const act of watchers[what]) act();
}

function say(words) {
  page("said").textContent = words;
}

function inWords(i) {
  const parts = [`Place ${data.ids[i]}`];
  if (classes) parts.push(classes.names[classes.codes[i]]);
  if (isPlaced(i)) parts.push(`latitude ${signed(latitude[i], 2)}, longitude ${signed(longitude[i], 2)}`);
  return parts.join(", ");
}

function point(i, aloud = false) {
  if (state.pointed === i) return;
  state.pointed = i;
  if (aloud && i >= 0) say(inWords(i));
  announce("pointed");
}

function select(i) {
  state.pointed = i;
  state.selected = i;
  const filtered = state.shown[i] ? "" : " It is filtered out.";
  say(`${inWords(i)} is selected; its pictures and neighbours follow the plots.${filtered}`);
  announce("selected");
}
