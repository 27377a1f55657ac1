// The page on which samples are judged: the verdicts and scores of a report, and the readers of a study.

import { askJson, find, make, tellError } from "./ask.js";

const EVERY = 3000;  // milliseconds from one look at the readers to the next
const WIDTH = 220, HEIGHT = 16;  // of the drawing of a score
const SIGNS = { good: "✓", poor: "✗", "cannot tell": "?" };

function draw(name, attributes) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => shape.setAttribute(key, value));
  return shape;
}

/** Draw a value with its interval and a bar, on a scale from the least of them (or zero) to the greatest. */
export function drawScore({ value, low, high, bar }, from = 0, to = null) {
  const all = [value, low, high, bar].filter(n => n != null);
  const least = Math.min(from, ...all), most = to ?? Math.max(...all) * 1.05;
  const x = n => 4 + (n - least) / Math.max(most - least, 1e-12) * (WIDTH - 8);
  const picture = draw("svg", { width: WIDTH, height: HEIGHT, role: "img", "aria-label": `${value}` });
  picture.append(draw("line", { x1: 4, x2: WIDTH - 4, y1: 8, y2: 8, stroke: "#303943" }));
  if (low != null && high != null) {
    picture.append(draw("line", { x1: x(low), x2: x(high), y1: 8, y2: 8, stroke: "#56b4e9", "stroke-width": 2 }));
  }
  if (bar != null) {
    picture.append(draw("line", { x1: x(bar), x2: x(bar), y1: 1, y2: 15, stroke: "#e69f00", "stroke-width": 2 }));
  }
  picture.append(draw("circle", { cx: x(value), cy: 8, r: 4, fill: "#56b4e9" }));
  return picture;
}

const format = value => (value == null ? "" : Number(value.toPrecision(4)).toString());
const interval = ({ low, high }) => (low == null ? "" : `${format(low)} to ${format(high)}`);

function addRow(body, cells, title = "") {
  const row = make("tr");
  row.title = title;
  row.append(...cells.map(cell => {
    const place = make("td", typeof cell === "string" ? "" : "drawing", typeof cell === "string" ? cell : "");
    if (typeof cell !== "string") { place.append(cell); }
    return place;
  }));
  body.append(row);
}

function showReport(report) {
  find("report").hidden = false;
  find("generator").textContent = `Synthetic images of ${report.generator}`;
  find("whole").hidden = !report.has_page;
  find("patients").hidden = !(report.has_page && report.shows_patients);
  find("verdicts").replaceChildren(...report.verdicts.map(({ question, answer, reason }) => {
    const row = make("li", answer.replace(" ", "-"));
    row.append(make("strong", "", `${SIGNS[answer] || ""} ${question} ${answer}. `), make("span", "", reason));
    return row;
  }), ...report.warnings.map(words => make("li", "poor", words)));
  report.scores.filter(one => one.value != null).forEach(one => addRow(find("scores"), [one.metric, one.extractor || "",
    format(one.value), interval(one), format(one.floor), drawScore({ ...one, bar: one.floor })], one.definition || ""));
}

function showReaders(study) {
  find("readers").hidden = false;
  find("link").href = find("link").textContent = study.address;
  find("images").textContent = `${study.images} images, half of them synthetic. Results are shown of readers who have finished.`;
  find("results").replaceChildren();
  const finished = new Set(study.results.map(one => one.reader));
  study.results.forEach(one => addRow(find("results"), [one.reader, "all", format(one.auc), interval(one),
    drawScore({ value: one.auc, low: one.low, high: one.high, bar: 0.5 }, 0, 1)]));
  Object.entries(study.progress).filter(([name]) => !finished.has(name)).forEach(([name, rated]) => (
    addRow(find("results"), [name, `${rated} of ${study.images}`, "", "", ""])));
  const telling = study.results.filter(one => one.can_tell).length;
  find("summary").textContent = study.results.length
    ? `${telling} of ${study.results.length} readers have an interval that leaves 0.5 (bar) out: they can tell the images apart.` : "";
}

async function watchReaders() {
  try {
    showReaders(await askJson("api/readers"));
  } catch (error) {
    tellError(error);
  }
  setTimeout(watchReaders, EVERY);
}

try {
  const parts = await askJson("api/judge");
  if (parts.report) { showReport(parts.report); }
  if (parts.readers) { await watchReaders(); }
  document.body.dataset.shown = "1";
} catch (error) {
  tellError(error);
}
