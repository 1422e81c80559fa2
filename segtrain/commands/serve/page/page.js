"use strict";

const element = (id) => document.getElementById(id);
let limits = { max_bytes: Infinity };
let running = null; // the request whose answer is waited for

async function showModel() {
  try {
    const model = await (await fetch("model")).json();
    limits = model;
    element("title").textContent = model.models.join(" + ");
    document.title = `${model.models.join(" + ")} - segtrain`;
    element("about").textContent = `${model.classes.length} classes: ${model.classes.map((item) => item.name).join(", ")}`;
    element("limits").textContent = `up to ${model.max_bytes / 1e6} MB and ${model.max_pixels / 1e6} million pixels`;
  } catch {
    say("The server does not answer. Is it still running?", "error");
  }
}

function say(text, kind) {
  const message = element("message");
  message.hidden = !text;
  message.textContent = text;
  message.className = kind;
}

async function predict(file) {
  running?.abort();
  const request = (running = new AbortController());
  const size = `${Number((file.size / 1e6).toPrecision(2))} MB`;
  element("result").classList.add("old");
  if (file.size > limits.max_bytes) {
    say(`${file.name} is ${size}; at most ${limits.max_bytes / 1e6} MB are accepted.`, "error");
    return;
  }
  say(`Predicting ${file.name} (${size})`, "busy");
  try {
    const options = { method: "POST", body: file, signal: request.signal };
    const response = await fetch("predict?output=json", options);
    const answer = await response.json();
    if (!response.ok) throw new Error(`${file.name}: ${answer.error}.`);
    await show(answer, file.name);
    if (running === request) say("", "");
  } catch (error) {
    if (error.name === "AbortError") return; // another image came
    const lost = error instanceof TypeError || error instanceof SyntaxError;
    say(lost ? "The connection was lost. Is the server still running?" : error.message, "error");
  }
}

async function show(answer, name) {
  element("image").src = answer.image;
  element("color").src = answer.color;
  await Promise.all([element("image").decode(), element("color").decode()]);
  element("picture").style.setProperty("--ratio", answer.width / answer.height);
  element("caption").textContent = `${name}, ${answer.width} x ${answer.height} pixels`;
  const present = answer.classes.filter((item) => item.share > 0).sort((a, b) => b.share - a.share);
  element("heading").textContent = `${present.length} of ${answer.classes.length} classes`;
  element("legend").replaceChildren(...present.map(legendItem));
  const kind = answer.index.startsWith("data:application/zip") ? "zip" : "png";
  element("download").href = answer.index;
  element("download").download = `${name.replace(/\.[^.]*$/, "") || "image"}_mask.${kind}`;
  element("result").hidden = false;
  element("result").classList.remove("old");
  document.body.classList.add("shown");
}

function legendItem(item) {
  const parts = { swatch: document.createElement("span"), name: document.createElement("span"),
    share: document.createElement("span"), bar: document.createElement("meter") };
  for (const [kind, part] of Object.entries(parts)) part.className = kind;
  parts.swatch.style.background = item.color;
  parts.name.textContent = item.name;
  parts.share.textContent = formatShare(item.share);
  parts.bar.value = item.share;
  const line = document.createElement("li");
  line.append(...Object.values(parts));
  return line;
}

function formatShare(share) {
  const percent = 100 * share;
  return percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

function setOpacity() {
  const value = element("opacity").value;
  element("color").style.opacity = value / 100;
  element("percent").textContent = `${value} %`;
}

function take(files) {
  if (files.length) predict(files[0]);
}

element("opacity").addEventListener("input", setOpacity);
element("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // the same file may be chosen again
});
addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});
setOpacity();
showModel();
