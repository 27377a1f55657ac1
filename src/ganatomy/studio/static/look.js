// The page on which images are looked at: one, two beside one another, or the four views of a hanging.

import { askJson, find, make, tell, tellError } from "./ask.js";
import { fetchImage } from "./image.js";
import { Viewer } from "./viewer.js";

const VIEWS = [["R", "CC"], ["L", "CC"], ["R", "MLO"], ["L", "MLO"]];  // as hung: the right breast on the viewer's left
const LAYOUTS = { one: "one image", two: "two images", hanging: "four views" };

const viewer = new Viewer(find("stage"));
const list = find("items");
let shelves = [];
let chosen = 0, asked = 0;

const shelf = () => shelves[find("shelf").selectedIndex];

function findViews(first) {
  const items = shelf().items;
  const number = VIEWS.map(() => 0);
  const studies = [];
  items.forEach((item, place) => {
    const view = VIEWS.findIndex(([side, name]) => item.facts.laterality === side && item.facts.view_position === name);
    if (view >= 0) {
      (studies[number[view]] ||= [])[view] = place;
      number[view] += 1;
    }
  });
  return studies.find(study => study.includes(first)) || [];
}

function canHang() {
  return shelf().items.some(item => item.facts.laterality && item.facts.view_position);
}

function choosePictures() {
  const here = find("shelf").selectedIndex, layout = find("layout").value;
  if (layout === "hanging") {
    const study = findViews(chosen);
    return VIEWS.map(([side, view], i) => ({ shelf: here, place: study[i], title: `${side} ${view}`,
      align: side === "R" ? 1 : 0 }));
  }
  const pictures = [{ shelf: here, place: chosen }];
  if (layout === "two") {
    const other = Number(find("beside").value);
    pictures.push({ shelf: other, place: Math.min(chosen, shelves[other].items.length - 1) });
  }
  return pictures.map(one => ({ ...one, title: `${shelves[one.shelf].title}\n${shelves[one.shelf].items[one.place].name}` }));
}

async function show() {
  asked += 1;
  const mine = asked, wanted = choosePictures();
  list.querySelectorAll("li").forEach((row, i) => row.setAttribute("aria-selected", String(i === chosen)));
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
  try {
    const images = await Promise.all(wanted.map(one => (
      one.place === undefined ? null : fetchImage(`api/shelves/${one.shelf}/${one.place}`))));
    if (mine !== asked) {
      return;
    }
    const pictures = wanted.map((one, i) => ({ ...one, image: images[i] }));
    find("layout").value === "hanging" ? viewer.showPictures(pictures, 2) : viewer.show(pictures);
    const words = new Set(wanted.map(one => shelves[one.shelf].warning));
    find("warning").textContent = find("layout").value === "hanging" && shelf().drawn_apart
      ? `${[...words].join(" ")} The four views were drawn independently and do not show one woman.` : [...words].join(" ");
    document.body.dataset.shown = String(mine);
    tell("");
  } catch (error) {
    tellError(error);
  }
}

function fillList() {
  list.replaceChildren(...shelf().items.map((item, place) => {
    const row = make("li", "", item.name);
    const facts = Object.values(item.facts).join(" ");
    if (facts) {
      row.append(" ", make("small", "", facts));
    }
    row.onclick = () => choose(place);
    return row;
  }));
  const kinds = Object.entries(LAYOUTS).filter(([name]) => (
    name === "one" || (name === "hanging" ? canHang() : shelves.length > 1 || shelf().items.length > 1)));
  const before = find("layout").value;
  find("layout").replaceChildren(...kinds.map(([name, words]) => new Option(words, name)));
  find("layout").value = kinds.some(([name]) => name === before) ? before : "one";
  chosen = Math.min(chosen, shelf().items.length - 1);
}

function choose(place) {
  chosen = Math.max(0, Math.min(shelf().items.length - 1, place));
  show();
}

find("shelf").onchange = () => { fillList(); show(); };
find("layout").onchange = () => {
  find("beside-field").hidden = find("layout").value !== "two";
  show();
};
find("beside").onchange = show;
document.addEventListener("keydown", event => {
  const step = { j: 1, k: -1 }[event.key] || (event.target === list && { ArrowDown: 1, ArrowUp: -1 }[event.key]);
  if (step && !event.target.closest("input, select, dialog")) {
    event.preventDefault();
    choose(chosen + step);
  }
});

try {
  shelves = await askJson("api/shelves");
  find("shelf").replaceChildren(...shelves.map(one => new Option(one.title)));
  find("beside").replaceChildren(...shelves.map((one, i) => new Option(one.title, i)));
  find("beside").value = String(Math.min(1, shelves.length - 1));
  fillList();
  await show();
} catch (error) {
  tellError(error);
}
