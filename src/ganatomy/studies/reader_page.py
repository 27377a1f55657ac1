"""The rating page of a reader study: one image at a time, six ratings, answers saved to a file or the server."""

OTHERS = {  # by whether any of them may be of a real patient
    True: "The others show real patients. Do not copy or hand on any of them.",
    False: "The others are phantoms; they show no patients.",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Reader study</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #111; color: #ddd; text-align: center; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
img { height: 70vh; max-width: 100%; object-fit: contain; background: #000; image-rendering: auto; }
button { font: inherit; margin: .2rem; padding: .5rem .9rem; background: #333; color: #eee; border: 1px solid #555;
  border-radius: .3rem; cursor: pointer; }
button.chosen { background: #2a5d8f; } input { font: inherit; padding: .4rem; }
</style></head><body><main>
<h1 style="font-size:1.2rem">Real or synthetic?</h1>
<p>About half of these images are synthetic. Rate each one with the buttons or the keys 1 to 6. Not for diagnosis.</p>
<p style="color:#fc8"><strong>__OTHERS__</strong></p>
<p><label>Your name or number: <input id="reader" maxlength="40"></label></p>
<p><img id="image" alt="image to rate"></p>
<p id="choices"></p>
<p><button id="back">back</button> <span id="where"></span> <button id="on">next</button></p>
<p><button id="send" disabled>finish</button> <span id="told"></span></p>
</main><script>
"use strict";
const study = __STUDY__;
const words = ["surely synthetic", "probably synthetic", "rather synthetic", "rather real", "probably real",
  "surely real"];
const stored = localStorage.getItem(study.study);
const ratings = stored ? JSON.parse(stored) : {};
let place = 0;
const at = id => document.getElementById(id);
study.ratings.forEach((value, i) => {
  const button = document.createElement("button");
  button.textContent = value + " " + words[i];
  button.dataset.value = value;
  button.onclick = () => rate(value);
  at("choices").append(button);
});
function rate(value) {
  ratings[study.files[place]] = value;
  localStorage.setItem(study.study, JSON.stringify(ratings));
  if (place < study.files.length - 1) { place += 1; }
  show();
}
function show() {
  const file = study.files[place];
  at("image").src = "images/" + file;
  for (const button of at("choices").children) {
    button.className = ratings[file] == button.dataset.value ? "chosen" : "";
  }
  const done = study.files.filter(name => name in ratings).length;
  at("where").textContent = (place + 1) + " of " + study.files.length + ", " + done + " rated";
  at("send").disabled = done < study.files.length;
}
at("back").onclick = () => { place = Math.max(0, place - 1); show(); };
at("on").onclick = () => { place = Math.min(study.files.length - 1, place + 1); show(); };
document.onkeydown = event => {
  if (event.target.tagName !== "INPUT" && study.ratings.includes(Number(event.key))) { rate(Number(event.key)); }
};
at("send").onclick = async () => {
  const reader = at("reader").value.trim();
  if (!reader) { at("told").textContent = "Please give your name or number."; return; }
  const text = JSON.stringify({study: study.study, reader: reader, ratings: ratings}, null, 1);
  if (location.protocol.startsWith("http")) {
    const answer = await fetch("answers", {method: "POST", body: text});
    const why = answer.ok ? "" : await answer.text() || "error " + answer.status;
    at("told").textContent = answer.ok ? "Thank you. Your answers are saved." : "Not saved: " + why;
    if (answer.ok) { return; }
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = reader.replace(/[^A-Za-z0-9_-]/g, "") + ".json";
  link.click();
  at("told").textContent = "Your answers are a file in your downloads. Please send it to the study's organiser.";
};
show();
</script></body></html>
"""
