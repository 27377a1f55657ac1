// The page of a reader study: one image, a rating from 1 to 6, and nothing that is lost when the connection is.

import { ask, askJson, find, make, tell, tellError } from "./ask.js";
import { Viewer } from "./viewer.js";

const WORDS = ["surely synthetic", "probably synthetic", "rather synthetic", "rather real", "probably real", "surely real"];
const AGAIN = 3000;  // milliseconds after which ratings that were not kept are sent again

const viewer = new Viewer(find("stage"));
let study = null, reader = "", place = 0, timer = null;
let ratings = {}, unsent = {};

const store = () => `${study.study}/${reader}`;

async function readPicture(name) {
  const picture = await createImageBitmap(await (await ask(`images/${name}`)).blob());
  const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height).data;
  const values = new Uint16Array(picture.width * picture.height);
  for (let i = 0; i < values.length; i += 1) { values[i] = pixels[4 * i]; }
  return { shape: [picture.height, picture.width], spacing: null, type: "uint16", slope: 1 / 255, unit: "", windows: {},
    classes: [], values, labels: null };
}

async function show() {
  const name = study.files[place], rated = study.files.filter(one => one in ratings).length;
  find("where").textContent = `image ${place + 1} of ${study.files.length}, ${rated} rated`;
  find("back").disabled = place === 0;
  find("on").disabled = place === study.files.length - 1;
  find("send").disabled = rated < study.files.length;
  find("choices").querySelectorAll("button").forEach((button, i) => {
    const chosen = ratings[name] === study.ratings[i];
    button.className = chosen ? "chosen" : "";
    button.setAttribute("aria-checked", String(chosen));
  });
  try {
    const image = await readPicture(name);
    if (study.files[place] === name) {
      viewer.show([{ image }]);
      document.body.dataset.shown = name;
    }
  } catch (error) {
    tellError(error);
  }
}

/** Send what the server has not got yet; it is kept in the browser until then. */
async function send() {
  clearTimeout(timer);
  const sent = { ...unsent };
  if (!Object.keys(sent).length) { return; }
  try {
    await askJson("rate", { reader, ratings: sent });
    for (const [name, value] of Object.entries(sent)) {
      if (unsent[name] === value) { delete unsent[name]; }
    }
    localStorage.setItem(store(), JSON.stringify(unsent));
    document.body.dataset.kept = String(Object.keys(ratings).length);
  } catch (error) {
    tellError(error);
    timer = setTimeout(send, AGAIN);
  }
}

function rate(value) {
  const name = study.files[place];
  ratings[name] = unsent[name] = value;
  localStorage.setItem(store(), JSON.stringify(unsent));
  send();
  step(1) || show();
}

function step(by) {
  const next = Math.max(0, Math.min(study.files.length - 1, place + by));
  const moved = next !== place;
  place = next;
  if (moved) { show(); }
  return moved;
}

async function finish() {
  try {
    await send();
    find("told").textContent = (await askJson("answers", { study: study.study, reader, ratings })).told;
    document.body.dataset.finished = "1";
    tell("");
  } catch (error) {
    tellError(error);
  }
}

async function begin(event) {
  event.preventDefault();
  try {
    study = await askJson("study");
    reader = find("reader").value.trim();
    const kept = (await askJson("begin", { reader, ratings: {} })).ratings;
    unsent = JSON.parse(localStorage.getItem(store()) || "{}");
    ratings = { ...kept, ...unsent };
    place = Math.max(0, study.files.findIndex(name => !(name in ratings)));
    find("choices").replaceChildren(...study.ratings.map((value, i) => {
      const button = make("button", "", `${value} ${WORDS[i]}`);
      button.setAttribute("role", "radio");
      button.onclick = () => rate(value);
      return button;
    }));
    find("begin").hidden = true;
    find("study").hidden = false;
    document.activeElement.blur();
    await show();
    send();
  } catch (error) {
    tellError(error);
  }
}

find("begin").onsubmit = begin;
find("back").onclick = () => step(-1);
find("on").onclick = () => step(1);
find("send").onclick = finish;
document.addEventListener("keydown", event => {
  if (!study || event.target.closest("input, select, dialog") || event.ctrlKey || event.altKey || event.metaKey) { return; }
  if (study.ratings.includes(Number(event.key))) {
    event.stopImmediatePropagation();
    rate(Number(event.key));
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  }
}, true);
