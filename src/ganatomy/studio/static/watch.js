// The page on which runs are watched: charts of the log, the grids over time, and the stop button.

import { askJson, find, make, tell, tellError } from "./ask.js";
import { Charts } from "./charts.js";

const EVERY = 2000;  // milliseconds from one look at the files to the next
const COLOURS = ["#56b4e9", "#e69f00", "#2ab38a", "#f0e442", "#cc79a7", "#d55e00", "#4a8fd6", "#bbbbbb"];

const charts = new Charts(find("charts"));
const runs = [];  // what the server says of each run, with its ticks, whether it is shown, and its colour
let chosen = 0, grid = "";

function formatSeconds(seconds) {
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  if (seconds < 90) { return `${Math.round(seconds)} s`; }
  return hours < 48 ? (hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`) : `${(hours / 24).toFixed(1)} days`;
}

function describeNow(run) {
  const last = run.ticks.at(-1), rows = [];
  const row = (name, value) => rows.push(make("dt", "", name), make("dd", "", value));
  row("state", run.training ? "training" : last && last.images >= run.total ? "complete" : "not running");
  if (last) {
    const seen = run.total ? `${(last.images / 1000).toFixed(2)} of ${(run.total / 1000).toFixed(2)}` : `${last.images / 1000}`;
    row("kimg", seen);
    const told = { level: "level", alpha: "share of the level", batch_size: "batch", learning_rate: "learning rate",
      images_per_second: "images/s", memory_gb: "memory (GB)" };
    for (const [name, words] of Object.entries(told)) {
      const value = last[`progress/${name}`];
      if (value !== undefined) { row(words, Number(value.toPrecision(4)).toString()); }
    }
    if (run.training) {
      const left = last["progress/seconds_left"], pace = last["progress/images_per_second"];
      if (left !== undefined) {
        row("time left", formatSeconds(left));
      } else if (pace && run.total) {
        row("left at this pace", formatSeconds((run.total - last.images) / pace));
      }
    }
  }
  find("now").replaceChildren(...rows);
  find("stop").disabled = !run.training;
}

function listRuns() {
  find("runs").replaceChildren(...runs.map((run, i) => {
    const row = make("div", "run"), box = make("input");
    box.type = "checkbox";
    box.checked = run.shown;
    box.setAttribute("aria-label", `show ${run.name}`);
    box.onchange = () => { run.shown = box.checked; draw(); };
    const dash = make("span", "dash"), name = make("button", i === chosen ? "chosen" : "", run.name);
    dash.style.background = run.colour;
    name.onclick = () => { chosen = i; grid = ""; listRuns(); draw(); };
    row.append(box, dash, name, make("span", "state", run.training ? "training" : ""));
    return row;
  }), ...runs.filter(run => run.problem).map(run => make("p", "problem", run.problem)));
}

function draw() {
  charts.show(runs.filter(run => run.shown), find("smooth").checked);
  find("empty").hidden = runs.some(run => run.ticks.length);
  if (runs.length) {
    describeNow(runs[chosen]);
    showGrid();
  }
}

function showGrid() {
  const slider = find("grid-at"), { grids } = runs[chosen];
  const follows = Number(slider.value) === Number(slider.max);
  slider.max = String(Math.max(0, grids.length - 1));
  if (follows) { slider.value = slider.max; }
  for (const [id, end] of [["grid-back", 0], ["grid-on", grids.length - 1]]) {
    find(id).disabled = Number(slider.value) === end || !grids.length;
  }
  const images = grids[Number(slider.value)];
  find("grid-told").textContent = images === undefined ? "No grid has been drawn yet." : `${images / 1000} thousand images`;
  find("grid").hidden = images === undefined;
  const path = `api/runs/${chosen}/grids/${images}.png`;
  if (images !== undefined && path !== grid) {
    grid = path;
    find("grid").src = path;
  }
}

function stepGrid(by) {
  const slider = find("grid-at");
  slider.value = String(Number(slider.value) + by);
  showGrid();
}

async function update() {
  const told = await askJson("api/runs");
  told.forEach((about, i) => {
    runs[i] ||= { ticks: [], end: 0, shown: true, colour: COLOURS[i % COLOURS.length] };
    Object.assign(runs[i], about);
  });
  let changed = false;
  await Promise.all(runs.map(async (run, i) => {
    const part = await askJson(`api/runs/${i}/log?start=${run.end}`);
    changed ||= part.ticks.length > 0 || part.begun_anew;
    run.ticks = part.begun_anew ? part.ticks : run.ticks.concat(part.ticks);
    run.end = part.end;
  }));
  listRuns();
  if (changed || !document.body.dataset.shown) {
    draw();
  } else if (runs.length) {
    describeNow(runs[chosen]);
    showGrid();
  }
  document.body.dataset.shown = String(runs.reduce((sum, run) => sum + run.ticks.length, 0));
}

async function watch() {
  try {
    await update();
  } catch (error) {
    tellError(error);
  }
  setTimeout(watch, EVERY);
}

find("smooth").onchange = draw;
find("grid-at").oninput = showGrid;
find("grid-back").onclick = () => stepGrid(-1);
find("grid-on").onclick = () => stepGrid(1);
find("stop").onclick = async () => {
  try {
    find("told").textContent = (await askJson(`api/runs/${chosen}/stop`, {})).told;
  } catch (error) {
    tellError(error);
  }
};
document.addEventListener("keydown", event => {
  const step = { j: 1, k: -1 }[event.key];
  if (step && !event.target.closest("input, select")) { stepGrid(step); }
});
tell("");
watch();
