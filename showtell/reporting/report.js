const PORTION = 48;
const data = JSON.parse(element("data").textContent);
const two = data.models.length > 1;
const mimes = { U: "webp", "/": "jpeg", i: "png" }; // by the first letter of the base64 text
const source = (entry) => `data:image/${mimes[entry.image[0]] || "webp"};base64,${entry.image}`;
const thousands = (value) => value.toLocaleString("en");

// ---- What is known of each photo

const tokens = (text) => new Set(
  text.toLowerCase().replace(/’/g, "'").replace(/(?:n't|'(?:s|d|m|ll|re|ve))\b/g, " $&").match(/'?[\p{L}\p{N}]+(?:[-.'/][\p{L}\p{N}]+)*/gu));

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ");

data.photos.forEach((entry, index) => {
  entry.index = index;
  entry.text = plain(["", ...entry.shown.map((shown) => shown.text), ...entry.people, entry.name].join("\n"));
});

// How sure a model is of a caption: its confidence, else the geometric mean of its words' probabilities.
function sureness(shown) {
  if (shown.confidence !== undefined) return shown.confidence;
  if (!shown.p.length) return 0;
  return Math.exp(shown.p.reduce((sum, p) => sum + Math.log(Math.max(p, 1e-3)), 0) / shown.p.length);
}

// Share of the photos that have less of it, for each photo.
function ranks(value) {
  const sorted = data.photos.map(value).sort((a, b) => a - b);
  const first = new Map();
  sorted.forEach((x, place) => { if (!first.has(x)) first.set(x, place / sorted.length); });
  return data.photos.map((entry) => first.get(value(entry)));
}

data.models.forEach((_, model) => {
  const sure = ranks((entry) => sureness(entry.shown[model]));
  const good = ranks((entry) => entry.shown[model].score);
  data.photos.forEach((entry, index) => { entry.shown[model].overrated = sure[index] - good[index]; });
});

function shuffle() {
  data.photos.forEach((entry) => { entry.lot = Math.random(); });
}

// ---- Which photos, in which order

const gain = (entry) => entry.shown[1].score - entry.shown[0].score;
const orders = { // each gives a number; the greatest comes first
  worst: (entry, model) => -entry.shown[model].score,
  best: (entry, model) => entry.shown[model].score,
  confident: (entry, model) => entry.shown[model].overrated,
  gain: (entry) => gain(entry),
  loss: (entry) => -gain(entry),
  random: (entry) => entry.lot,
  data: (entry) => -entry.index,
};
const filters = {
  often: (entry, { model, predicted }) => tokens(entry.shown[model].text).has(predicted),
  never: (entry, { expected }) => entry.people.some((text) => tokens(text).has(expected)),
  confused: (entry, { model, predicted, expected }) => {
    const caption = tokens(entry.shown[model].text);
    const others = entry.people.map(tokens);
    return caption.has(predicted) && !caption.has(expected) && !others.some((words) => words.has(predicted))
      && 2 * others.filter((words) => words.has(expected)).length >= others.length;
  },
};
const labels = {
  often: ({ predicted, model }) => `“${predicted}” used${two ? ` by ${data.models[model]}` : ""}`,
  never: ({ expected }) => `“${expected}” in human captions`,
  confused: ({ predicted, expected, model }) => `“${predicted}” used${two ? ` by ${data.models[model]}` : ""} for “${expected}”`,
};
let filter = null; // {kind, model, predicted, expected}, from a word of the tables
let chosen = []; // photos, in order
let drawn = 0; // how many of them have a card

function choose() {
  const order = element("sort").value;
  const model = two ? Number(element("model").value) : 0;
  if (two) element("of").hidden = !["worst", "best", "confident"].includes(order);
  element("shuffle").hidden = order !== "random";
  const wanted = plain(element("find").value).split(" ").filter(Boolean);
  chosen = data.photos.filter((entry) =>
    wanted.every((word) => entry.text.includes(` ${word}`)) && (!filter || filters[filter.kind](entry, filter)));
  const keys = new Map(chosen.map((entry) => [entry, orders[order](entry, model)]));
  chosen.sort((a, b) => keys.get(b) - keys.get(a) || a.index - b.index);
  element("filter").hidden = !filter;
  element("filter").textContent = filter ? `${labels[filter.kind](filter)} ✕` : "";
  const all = thousands(data.photos.length);
  element("count").textContent = wanted.length || filter ? `${thousands(chosen.length)} of ${all} photos` : `${all} photos`;
  element("cards").replaceChildren();
  drawn = 0;
  drawMore();
}

function drawMore() {
  const cards = chosen.slice(drawn, drawn + PORTION).map((entry, offset) => card(entry, drawn + offset));
  element("cards").append(...cards);
  drawn += cards.length;
  element("more").hidden = drawn >= chosen.length;
  nearEnd.unobserve(element("more"));
  nearEnd.observe(element("more"));
}

const nearEnd = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && drawn < chosen.length) drawMore();
}, { rootMargin: "400px" });

function modelDot(model) {
  const dot = make("i", undefined, `dot m${model}`);
  dot.setAttribute("aria-hidden", "true");
  return dot;
}

function facts(shown) {
  const parts = [`CIDEr ${shown.score.toFixed(2)}`];
  if (shown.confidence !== undefined) parts.push(`confidence ${percent(shown.confidence)}`);
  if (shown.doubtful) parts.push("doubtful");
  return parts.join(", ");
}

function card(entry, place) {
  const item = make("li");
  const button = make("button", undefined, "card");
  button.type = "button";
  const image = make("img");
  image.src = source(entry);
  image.alt = "";
  image.decoding = "async";
  button.append(image);
  entry.shown.forEach((shown, model) => {
    button.append(make("span", shown.text || "(empty caption)"));
    const line = make("span", undefined, "facts");
    if (two) line.append(modelDot(model), `${data.models[model]}: `);
    line.append(facts(shown));
    button.append(line);
  });
  button.addEventListener("click", () => show(place));
  item.append(button);
  return item;
}

// ---- One photo, large

const dialog = element("dialog");
let open = -1; // place among the chosen

function show(place) {
  if (place < 0 || place >= chosen.length) return;
  open = place;
  const entry = chosen[place];
  element("dialog-title").textContent = `${entry.name}, ${thousands(place + 1)} of ${thousands(chosen.length)}`;
  const photo = element("photo");
  photo.src = source(entry);
  photo.alt = entry.people[0] || entry.shown[0].text;
  photo.decode().then(fitPhoto, () => {});
  element("captions").replaceChildren(...entry.shown.map(captionBlock));
  element("people").replaceChildren(...entry.people.map((text) => make("li", text)));
  element("previous").disabled = place === 0;
  element("next").disabled = place === chosen.length - 1;
  clearHeat();
  if (!dialog.open) dialog.showModal();
  fitPhoto();
  dialog.scrollTop = 0;
  const focused = document.activeElement;
  if (!dialog.contains(focused) || focused === dialog || focused.disabled) element("dialog-title").focus();
}

// As large as its column and half to two thirds of the screen let it be, in its own proportions.
function fitPhoto() {
  const photo = element("photo");
  if (!dialog.open || !photo.naturalWidth) return;
  const wide = dialog.querySelector(".look").clientWidth;
  const high = window.innerHeight * (window.innerWidth <= 704 ? 0.42 : 0.66);
  const scale = Math.min(wide / photo.naturalWidth, high / photo.naturalHeight);
  photo.style.width = `${Math.floor(photo.naturalWidth * scale)}px`;
  photo.style.height = `${Math.floor(photo.naturalHeight * scale)}px`;
}

function captionBlock(shown, model) {
  const block = make("div", undefined, `block m${model}`);
  if (two) {
    const title = make("h4");
    title.append(modelDot(model), data.models[model]);
    block.append(title);
  }
  const line = make("p", undefined, "caption");
  if (shown.looked || shown.p.length) line.append(...shown.words.map((_, index) => wordButton(shown, index)));
  else line.textContent = shown.text || "(empty caption)";
  const scores = Object.entries(shown.scores).map(([name, value]) => `${name} ${value.toFixed(2)}`);
  block.append(line, make("p", [facts(shown), ...scores].join(", "), "note"));
  return block;
}

function wordButton(shown, index) {
  const button = make("button", shown.words[index], "caption-word");
  button.type = "button";
  const p = shown.p[index];
  if (p !== undefined) {
    button.append(make("small", percent(p)));
    button.style.setProperty("--doubt", `${Math.round(45 * (1 - p))}%`);
  }
  const look = () => lookAt(shown, index, button);
  for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, look);
  button.addEventListener("blur", clearHeat);
  button.addEventListener("mouseleave", () => {
    const focused = document.activeElement;
    if (focused === button) return;
    clearHeat();
    if (focused.classList.contains("caption-word")) focused.dispatchEvent(new Event("focus"));
  });
  return button;
}

function clearHeat() {
  clearCanvas(element("heat"));
  dialog.querySelectorAll(".caption-word.on").forEach((node) => node.classList.remove("on"));
  const shown = open < 0 ? [] : chosen[open].shown;
  element("word-note").textContent = shown.some((one) => one.looked)
    ? "Choose a word to see where the model looked." : "";
}

function lookAt(shown, index, button) {
  clearHeat();
  button.classList.add("on");
  const word = `“${shown.words[index]}”`;
  const p = shown.p[index];
  const sure = p === undefined ? "" : `, probability ${percent(p)}`;
  element("word-note").textContent = shown.looked ? `Where the model looked for ${word}${sure}` : word + sure;
  if (!shown.looked) return;
  const [rows, columns] = shown.grid;
  const bytes = Uint8Array.from(atob(shown.looked), (char) => char.charCodeAt(0));
  paintHeat(element("heat"), bytes.subarray(index * rows * columns, (index + 1) * rows * columns), rows, columns);
}

// ---- What happens when

function closed() {
  const place = open;
  open = -1;
  while (drawn <= place) drawMore();
  element("cards").children[place]?.firstChild.focus();
}

function filterBy(button) {
  const { kind, model, predicted, expected } = button.dataset;
  filter = { kind, model: Number(model), predicted, expected };
  element("find").value = "";
  choose();
  element("gallery").scrollIntoView();
  element("filter").focus({ preventScroll: true });
}

if (!data.photos.some((entry) => entry.shown.some((shown) => sureness(shown) > 0))) {
  element("sort").querySelector("[value=confident]").remove();
}
if (two) element("model").addEventListener("change", choose);
element("sort").addEventListener("change", choose);
element("shuffle").addEventListener("click", () => { shuffle(); choose(); });
element("find").addEventListener("input", choose);
element("filter").addEventListener("click", () => { filter = null; choose(); element("find").focus(); });
element("controls").addEventListener("submit", (event) => event.preventDefault());
element("more").addEventListener("click", () => {
  const next = drawn;
  drawMore();
  element("cards").children[next]?.firstChild.focus();
});
document.querySelectorAll(".word").forEach((button) => button.addEventListener("click", () => filterBy(button)));
element("previous").addEventListener("click", () => show(open - 1));
element("next").addEventListener("click", () => show(open + 1));
element("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", closed);
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") show(open - 1);
  else if (event.key === "ArrowRight") show(open + 1);
  else return;
  event.preventDefault();
});
window.addEventListener("resize", fitPhoto);
shuffle();
choose();
