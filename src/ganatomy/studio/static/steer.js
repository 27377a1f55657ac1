// The page on which a sample is steered: seed, facts, sliders, and the list of those that are liked.

import { askJson, find, make, tell, tellError } from "./ask.js";
import { fetchImage } from "./image.js";
import { Viewer } from "./viewer.js";

const viewer = new Viewer(find("stage"));
const liked = [];
const moves = {};  // position of each slider that was moved, in the order of their first moves
let about = null, latest = 0, shown = 0;

function position() {
  const facts = {};
  for (const input of find("facts").querySelectorAll("select, input")) {
    if (input.value !== "") { facts[input.name] = input.value; }
  }
  const truncation = find("truncation").value;
  return { seed: Number(find("seed").value), number: Number(find("number").value), facts,
    truncation: truncation === "" ? null : Number(truncation), moves: { ...moves } };
}

/** Ask for the image of the controls, or its draft; an answer that is older than the one on the page is dropped. */
async function draw(draft) {
  latest += 1;
  const mine = latest, begun = performance.now();
  try {
    const image = await fetchImage("api/steer/draw", { position: position(), draft });
    if (mine < shown || (draft && mine < latest - 1)) { return; }
    shown = mine;
    viewer.show([{ image, title: image.draft && about.drafts ? `${image.name}\ndraft` : image.name }]);
    find("warning").textContent = image.warning;
    if (!image.draft) { showMeasures(image.measures); }
    document.body.dataset.shown = String(mine);
    document.body.dataset.milliseconds = (performance.now() - begun).toFixed(1);
    tell("");
  } catch (error) {
    tellError(error);
  }
}

function showMeasures(measures) {
  find("measures").replaceChildren(...Object.entries(measures).flatMap(([name, value]) => [
    make("dt", "", name), make("dd", "", Number(value.toPrecision(4)).toString())]));
}

function addFacts() {
  for (const [name, values] of Object.entries(about.facts)) {
    const label = make("label", "field", name.replaceAll("_", " ")), select = make("select");
    select.name = name;
    select.append(new Option("in turn", ""), ...values.map(value => new Option(value)));
    select.onchange = () => draw(false);
    label.append(select);
    find("facts").append(label);
  }
  for (const [name, [low, high]] of Object.entries(about.numbers)) {
    const label = make("label", "field", `${name.replaceAll("_", " ")} (${low} to ${high}, empty = drawn)`);
    const input = make("input");
    Object.assign(input, { type: "number", name, step: "any" });
    input.onchange = () => draw(false);
    label.append(input);
    find("facts").append(label);
  }
}

function addSlider({ name, r2 }) {
  const box = make("div", "slider"), label = make("label", "bar"), input = make("input"), value = make("output", "", "off");
  label.append(make("span", "", name), value);
  Object.assign(input, { type: "range", min: -about.reach, max: about.reach, step: 0.1, value: 0 });
  input.setAttribute("aria-label", name);
  input.title = `R² of this direction outside the fit: ${r2}`;
  const set = draft => {
    moves[name] = Number(input.value);
    value.textContent = moves[name].toFixed(1);
    draw(draft);
  };
  input.oninput = () => set(true);
  input.onchange = () => set(false);
  box.append(label, input, make("small", "", `R² ${r2.toFixed(2)}`));
  find("sliders").append(box);
}

async function learn() {
  find("learn").disabled = true;
  find("learning").textContent = "Learning from 128 random images; the page can be used meanwhile.";
  try {
    const found = await askJson("api/steer/directions", {});
    found.forEach(addSlider);
    find("learn").hidden = true;
    find("reset").hidden = false;
    find("learning").textContent = "Positions in standard deviations of a code's component. A slider with a low R² does not do what its name says.";
  } catch (error) {
    find("learn").disabled = false;
    tellError(error);
  }
}

function reset() {
  Object.keys(moves).forEach(name => delete moves[name]);
  find("sliders").querySelectorAll(".slider").forEach(box => {
    box.querySelector("input").value = "0";
    box.querySelector("output").textContent = "off";
  });
  draw(false);
}

function describe({ seed, number, moves: moved }) {
  const along = Object.entries(moved).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  return [`seed ${seed}, number ${number}`, ...along].join(", ");
}

function listLiked() {
  find("liked").replaceChildren(...liked.map((one, i) => {
    const row = make("li", "", describe(one)), remove = make("button", "", "×");
    remove.setAttribute("aria-label", `remove ${describe(one)}`);
    remove.onclick = () => { liked.splice(i, 1); listLiked(); };
    row.append(remove);
    return row;
  }));
  find("write").disabled = !liked.length;
}

function like() {
  const now = position();
  if (!liked.some(one => JSON.stringify(one) === JSON.stringify(now))) {
    liked.push(now);
    listLiked();
  }
}

async function write() {
  find("write").disabled = true;
  find("written").textContent = "Making and writing the samples.";
  try {
    const told = await askJson("api/steer/write", { positions: liked, name: find("name").value, to: find("format").value });
    find("written").textContent = `${told.images} samples are in ${told.folder}`;
    tell("");
  } catch (error) {
    find("written").textContent = "";
    tellError(error);
  }
  find("write").disabled = !liked.length;
}

function stepNumber(by) {
  find("number").value = String(Math.max(0, Number(find("number").value) + by));
  draw(false);
}

find("seed").onchange = find("number").onchange = find("truncation").onchange = () => draw(false);
find("back").onclick = () => stepNumber(-1);
find("on").onclick = () => stepNumber(1);
find("learn").onclick = learn;
find("reset").onclick = reset;
find("like").onclick = like;
find("write").onclick = write;
document.addEventListener("keydown", event => {
  const act = { j: () => stepNumber(1), k: () => stepNumber(-1), l: like }[event.key];
  if (act && !event.target.closest("input[type=number], input[type=text], select, dialog")) { act(); }
});

try {
  about = await askJson("api/steer");
  find("truncation-field").hidden = !about.truncation;
  find("format").replaceChildren(...about.formats.map(name => new Option(name)));
  addFacts();
  await draw(false);
} catch (error) {
  tellError(error);
}
