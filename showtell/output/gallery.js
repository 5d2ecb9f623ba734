const cards = [...document.querySelectorAll("main > figure")];
const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
const number = (card, name, otherwise) => (card.dataset[name] === undefined ? otherwise : Number(card.dataset[name]));
const compare = (a, b) => a.localeCompare(b, undefined, { numeric: true });
const orders = {
  given: (a, b) => a.place - b.place,
  name: (a, b) => compare(a.dataset.name, b.dataset.name),
  caption: (a, b) => compare(a.dataset.caption, b.dataset.caption),
  sure: (a, b) => number(b, "confidence", -1) - number(a, "confidence", -1),
  unsure: (a, b) => number(a, "confidence", 2) - number(b, "confidence", 2),
};

cards.forEach((card, place) => {
  card.place = place;
  card.words = ` ${plain(`${card.dataset.text} ${card.dataset.name}`)}`;
});

function choose() {
  const wanted = plain(element("find").value).split(" ").filter(Boolean);
  const doubtful = element("doubtful").checked;
  let shown = 0;
  for (const card of cards) {
    card.hidden = !wanted.every((word) => card.words.includes(` ${word}`)) || (doubtful && !("doubtful" in card.dataset));
    shown += !card.hidden;
  }
  const all = `${cards.length.toLocaleString("en")} photos`;
  element("count").textContent = shown === cards.length ? all : `${shown.toLocaleString("en")} of ${all}`;
}

function sort() {
  const order = orders[element("sort").value];
  document.querySelector("main").append(...[...cards].sort((a, b) => order(a, b) || a.place - b.place));
}

// ---- Where the model looked for a word

let lit = null; // its button

function clear() {
  if (!lit) return;
  lit.classList.remove("on");
  clearCanvas(lit.closest("figure").querySelector("canvas"));
  lit = null;
}

function look(button) {
  clear();
  const line = button.closest(".caption");
  const canvas = button.closest("figure").querySelector("canvas");
  if (!canvas || !line.dataset.looked) return;
  const [rows, columns] = line.dataset.grid.split(" ").map(Number);
  const bytes = Uint8Array.from(atob(line.dataset.looked), (char) => char.charCodeAt(0));
  const index = [...line.querySelectorAll(".caption-word")].indexOf(button);
  paintHeat(canvas, bytes.subarray(index * rows * columns, (index + 1) * rows * columns), rows, columns);
  button.classList.add("on");
  lit = button;
}

const main = document.querySelector("main");
for (const event of ["mouseover", "focusin", "click"]) {
  main.addEventListener(event, ({ target }) => {
    const button = target.closest(".caption-word");
    if (button) look(button);
  });
}
for (const event of ["mouseout", "focusout"]) main.addEventListener(event, clear);

if (!cards.some((card) => "confidence" in card.dataset)) {
  element("sort").querySelectorAll("[value=sure], [value=unsure]").forEach((option) => option.remove());
}
element("only").hidden = !cards.some((card) => "doubtful" in card.dataset);
element("sort").addEventListener("change", sort);
element("find").addEventListener("input", choose);
element("doubtful").addEventListener("change", choose);
element("controls").addEventListener("submit", (event) => event.preventDefault());
choose();
