// The page on which a training is planned: the predicted memory by part beside that of a card.

import { askJson, find, make, tell, tellError } from "./ask.js";

const CARDS = { "RTX 4070, 12 GB": 12, "RTX 4080, 16 GB": 16, "RTX 4090, L4 or A10, 24 GB": 24, "L40S or A6000, 48 GB": 48,
  "A100 or H100, 80 GB": 80, "other": null };
const COLOURS = ["#56b4e9", "#e69f00", "#2ab38a", "#f0e442", "#cc79a7", "#d55e00", "#4a8fd6", "#999999"];
const WIDTH = 1000, HEIGHT = 46;

let asked = 0;

function shape(name, attributes) {
  const one = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => one.setAttribute(key, value));
  return one;
}

const inGb = bytes => `${(bytes / 1e9).toFixed(2)} GB`;

function drawBar(plan) {
  const most = Math.max(plan.training_bytes, plan.memory_bytes) * 1.02, x = bytes => bytes / most * WIDTH;
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: "100%", role: "img",
    "aria-label": `${inGb(plan.training_bytes)} of ${inGb(plan.memory_bytes)}` });
  picture.append(shape("rect", { x: 0, y: 8, width: x(plan.memory_bytes), height: 30, fill: "#252d36" }));
  let at = 0;
  Object.values(plan.training_parts).forEach((bytes, i) => {
    picture.append(shape("rect", { x: x(at), y: 12, width: Math.max(0, x(bytes) - 1), height: 22, fill: COLOURS[i % COLOURS.length] }));
    at += bytes;
  });
  const end = x(plan.memory_bytes);
  picture.append(shape("line", { x1: end, x2: end, y1: 2, y2: 44, stroke: "#ffffff", "stroke-width": 2 }));
  find("bar").replaceChildren(picture);
  find("parts").replaceChildren(...Object.entries(plan.training_parts).flatMap(([name, bytes], i) => {
    const term = make("dt"), key = shape("svg", { width: 12, height: 12 });
    key.append(shape("rect", { width: 12, height: 12, fill: COLOURS[i % COLOURS.length] }));
    term.append(key, ` ${name}`);
    return [term, make("dd", "", inGb(bytes))];
  }));
}

async function predict(event) {
  event?.preventDefault();
  asked += 1;
  const mine = asked, number = id => (find(id).value === "" ? null : Number(find(id).value));
  find("verdict").textContent = "Predicting; volumes of 256 cubed take some seconds.";
  try {
    const plan = await askJson("api/plan/ask", { recipe: find("recipe").value, memory_gb: number("memory"),
      shape: find("shape").value.trim(), batch: number("batch"), precision: find("precision").value || null,
      recompute: find("recompute").checked, micro_batches: number("micro") });
    if (mine !== asked) { return; }
    find("verdict").textContent = `${plan.training_fits ? "✓ It fits" : "✗ It does not fit"}: ${inGb(plan.training_bytes)} of `
      + `${inGb(plan.memory_bytes)} (white line), predicted for ${plan.device} in ${plan.precision}, stage ${plan.heaviest_stage}.`;
    find("verdict").className = plan.training_fits ? "fits" : "problem";
    drawBar(plan);
    find("text").textContent = plan.text;
    document.body.dataset.shown = String(mine);
    tell("");
  } catch (error) {
    find("verdict").textContent = "";
    tellError(error);
  }
}

find("form").onsubmit = predict;
find("recipe").onchange = () => {
  find("shape").value = "";
  predict();
};
find("card").onchange = () => {
  const memory = CARDS[find("card").value];
  if (memory) {
    find("memory").value = String(memory);
    predict();
  }
};
find("memory").onchange = () => { find("card").value = "other"; };

try {
  const about = await askJson("api/plan");
  find("recipe").replaceChildren(...Object.keys(about.recipes).map(name => new Option(name)));
  find("card").replaceChildren(...Object.keys(CARDS).map(name => new Option(name)));
  find("card").selectedIndex = 2;
  find("precision").replaceChildren(new Option("as suits the card", ""), ...about.precisions.map(name => new Option(name)));
  await predict();
} catch (error) {
  tellError(error);
}
