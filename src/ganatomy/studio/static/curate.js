// The page on which samples are accepted and rejected: a wall, sorted by what is measured, and keys.

import { askJson, find, make, tell, tellError } from "./ask.js";

const LIKENESS = "likeness of the nearest training image";  // it is measured where the store is open
const wall = find("wall");
let items = [];  // name, facts, decision, place, measures, tile
let order = [];  // the items that are shown, as they are sorted
let chosen = null;

function sortBy() {
  const name = find("sort").value, sign = Number(find("order").value), wanted = find("filter").value;
  order = items.filter(one => wanted === "all" || (one.decision || "open") === wanted);
  if (name) {
    const value = one => one.measures[name] ?? -Infinity * sign;
    order.sort((a, b) => sign * (value(a) - value(b)) || a.place - b.place);
  }
  wall.replaceChildren(...order.map(one => one.tile));
  order.forEach(showTile);
  choose(order[0]);  // the most remarkable one, from which the keys go on
}

function showTile(one) {
  const name = find("sort").value, value = one.measures[name];
  one.tile.dataset.decision = one.decision || "";
  one.tile.querySelector(".word").textContent = { accept: "✓ accepted", reject: "✗ rejected" }[one.decision] || "";
  one.tile.querySelector(".value").textContent = value === undefined ? "" : Number(value.toPrecision(4)).toString();
}

function choose(one) {
  chosen?.tile.setAttribute("aria-selected", "false");
  chosen = one || null;
  ["accept", "reject", "undo"].forEach(id => { find(id).disabled = !chosen; });
  if (!chosen) {
    find("name").textContent = "No sample is shown.";
    find("measures").replaceChildren();
    return;
  }
  chosen.tile.setAttribute("aria-selected", "true");
  chosen.tile.scrollIntoView({ block: "nearest" });
  find("nearest-field").hidden = !(LIKENESS in chosen.measures);
  if (LIKENESS in chosen.measures) { find("nearest").src = `api/curate/${chosen.place}/nearest.png`; }
  find("name").textContent = [chosen.name, ...Object.values(chosen.facts)].join(", ");
  find("measures").replaceChildren(...Object.entries(chosen.measures).flatMap(([name, value]) => [
    make("dt", "", name), make("dd", "", Number(value.toPrecision(4)).toString())]));
}

function showCounts() {
  const count = word => items.filter(one => (one.decision || "open") === word).length;
  find("counts").replaceChildren(...[["accepted", "accept"], ["rejected", "reject"], ["undecided", "open"]].flatMap(
    ([words, word]) => [make("dt", "", words), make("dd", "", String(count(word)))]));
}

async function decide(decision) {
  const one = chosen;
  if (!one) { return; }
  try {
    await askJson("api/curate/decide", { name: one.name, decision });
    one.decision = decision;
    showTile(one);
    showCounts();
    document.body.dataset.decided = String(Number(document.body.dataset.decided || 0) + 1);
    tell("");
    if (decision && chosen === one) { move(1); }
  } catch (error) {
    tellError(error);
  }
}

function move(by) {
  const place = order.indexOf(chosen) + by;
  if (place >= 0 && place < order.length) { choose(order[place]); }
}

function columns() {
  return getComputedStyle(wall).gridTemplateColumns.split(" ").length;
}

function makeTile(one) {
  const tile = make("figure", "tile"), picture = make("img"), words = make("figcaption");
  tile.setAttribute("role", "option");
  picture.src = `api/curate/${one.place}.png`;
  picture.loading = "lazy";
  picture.alt = one.name;
  words.append(make("span", "value"), make("span", "word"));
  tile.append(picture, words);
  tile.onclick = () => choose(one);
  return tile;
}

document.addEventListener("keydown", event => {
  if (event.target.closest("select, input") || event.ctrlKey || event.metaKey || event.altKey) { return; }
  const act = { a: () => decide("accept"), r: () => decide("reject"), u: () => decide(null),
    ArrowRight: () => move(1), ArrowLeft: () => move(-1), j: () => move(1), k: () => move(-1),
    ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()) }[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
find("accept").onclick = () => decide("accept");
find("reject").onclick = () => decide("reject");
find("undo").onclick = () => decide(null);
find("sort").onchange = find("order").onchange = find("filter").onchange = sortBy;

try {
  const about = await askJson("api/curate");
  find("title").textContent = about.title;
  find("file").textContent = about.file;
  find("command").textContent = about.command;
  items = about.items.map((one, place) => ({ ...one, place, measures: {} }));
  items.forEach(one => { one.tile = makeTile(one); });
  find("sort").replaceChildren(new Option("number", ""));
  sortBy();
  showCounts();
  document.body.dataset.shown = "1";
  const { measures: measured, real } = await askJson("api/curate/measure", {});
  find("nearest-told").textContent = `Training image most like it. ${real}`;
  measured.forEach((measures, i) => { items[i].measures = measures; });
  const names = [...new Set(measured.flatMap(Object.keys))];
  find("sort").append(...names.map(name => new Option(name)));
  find("measuring").textContent = measured.some(one => "score for artefacts" in one) ? ""
    : "Open the store of the training images as well to sort by the score for artefacts.";
  choose(chosen);
  document.body.dataset.measured = "1";
} catch (error) {
  find("measuring").textContent = "";
  tellError(error);
}
