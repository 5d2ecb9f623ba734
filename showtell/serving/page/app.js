const AT_ONCE = 6; // requests, as many as browsers open to a host
const CAPTIONS = 3; // of each photo: the best and its alternatives
const TRIES = 5; // where the server is full
let limits = null; // the answer of GET v1/model
let waiting = []; // entries that are not yet sent
let entries = []; // {file, url, card, captions, chosen, error}
let sending = 0;

// ---- The server

async function connect() {
  const response = await fetch("v1/model", { headers: headers() });
  element("token-form").hidden = response.status !== 401;
  if (response.status === 401) {
    if (token) say("This token is not the right one.");
    element("token").focus();
    return;
  }
  if (!response.ok) throw new Error(await problem(response));
  limits = await response.json();
  element("limits").textContent = `At most ${Math.floor(limits.max_bytes / 2 ** 20)} MB each.`;
  element("model").textContent = `Model: ${limits.model}, showtell ${limits.version}.`;
  sendNext();
}

async function ask(entry) {
  for (let attempt = 1; ; attempt += 1) {
    const form = new FormData();
    form.append("images", entry.file, "photo");
    form.append("num_captions", CAPTIONS);
    form.append("beam_size", CAPTIONS);
    form.append("attention", limits.attention);
    const response = await fetch("v1/captions", { method: "POST", body: form, headers: headers(), signal: entry.stop.signal });
    if (response.status === 503 && attempt < TRIES) {
      entry.note.textContent = "The server is busy, waiting for a place";
      await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, 30));
    } else if (response.ok) {
      return (await response.json()).results[0];
    } else {
      throw new Error(await problem(response));
    }
  }
}

async function send(entry) {
  sending += 1;
  try {
    if (entry.file.size > limits.max_bytes) throw new Error("the photo is too large for this server");
    const result = await ask(entry);
    entry.captions = result.captions;
    if (!entry.captions.length) throw new Error(result.error);
    const [best] = entry.captions;
    say(`${entry.file.name}: ${best.text}${best.doubtful ? " (doubtful)" : ""}`);
    showCaption(entry, 0);
  } catch (error) {
    if (error.name === "AbortError") return;
    entry.error = error instanceof TypeError ? "the server cannot be reached" : error.message;
    say(`${entry.file.name}: ${entry.error}`);
    showError(entry);
  } finally {
    sending -= 1;
    showProgress();
    sendNext();
  }
}

function sendNext() {
  while (limits && sending < AT_ONCE && waiting.length) send(waiting.shift());
}

// ---- Photos in

function add(files) {
  const photos = [...files].filter((file) => file.type.startsWith("image/"));
  const others = files.length - photos.length;
  if (others) say(`${others} of these files ${others === 1 ? "is no photo" : "are no photos"}.`);
  if (!photos.length) return;
  const added = photos.map((file) => ({ file, url: URL.createObjectURL(file), captions: [], chosen: 0, error: "", stop: new AbortController() }));
  added.forEach(drawCard);
  entries.push(...added);
  waiting.push(...added);
  element("results").hidden = false;
  showProgress();
  sendNext();
}

function remove(entry) {
  entry.stop.abort();
  entries = entries.filter((other) => other !== entry);
  waiting = waiting.filter((other) => other !== entry);
  const next = entry.card.nextElementSibling || entry.card.previousElementSibling;
  entry.card.remove();
  URL.revokeObjectURL(entry.url);
  if (next) next.querySelector("[tabindex='-1']").focus();
  showProgress();
}

function showProgress() {
  const done = entries.filter((entry) => entry.captions.length || entry.error).length;
  const progress = element("progress");
  progress.max = Math.max(entries.length, 1);
  progress.value = done;
  progress.hidden = done === entries.length;
  element("count").textContent = `${done} of ${entries.length}`;
  const any = entries.some((entry) => entry.captions.length);
  element("copy-csv").disabled = !any;
  element("save-csv").disabled = !any;
  element("results").hidden = !entries.length;
  if (!entries.length) element("choose").focus();
}

// ---- A photo's card

function drawCard(entry) {
  const card = make("li", undefined, "card");
  const photo = make("div", undefined, "photo");
  entry.image = make("img");
  entry.image.src = entry.url;
  entry.image.alt = "";
  entry.image.decoding = "async";
  entry.canvas = make("canvas");
  photo.append(entry.image, entry.canvas);
  entry.side = make("div", undefined, "side");
  entry.title = make("h3", entry.file.name);
  entry.title.tabIndex = -1;
  entry.note = make("p", "Waiting", "waiting");
  entry.side.append(entry.title, entry.note, tools(entry));
  card.append(photo, entry.side);
  entry.card = card;
  element("cards").append(card);
}

function tools(entry, ...more) {
  const line = make("div", undefined, "tools");
  const drop = button("Remove", () => remove(entry));
  drop.setAttribute("aria-label", `Remove ${entry.file.name}`);
  line.append(...more, drop);
  return line;
}

function showError(entry) {
  entry.note = make("p", sentence(entry.error), "failed");
  const again = button("Try again", () => {
    entry.error = "";
    entry.note = make("p", "Waiting", "waiting");
    entry.side.replaceChildren(entry.title, entry.note, tools(entry));
    waiting.push(entry);
    showProgress();
    sendNext();
  });
  entry.side.replaceChildren(entry.title, entry.note, tools(entry, again));
}

function showCaption(entry, chosen) {
  entry.chosen = chosen;
  const caption = entry.captions[chosen];
  entry.image.alt = sentence(caption.text);
  const line = make("p", undefined, "caption");
  line.append(...caption.words.map((word) => wordButton(entry, caption, word)));
  entry.note = make("p", "", "note");
  const parts = [entry.title, line, entry.note];
  if (entry.captions.length > 1) parts.push(make("h4", "Captions to choose from"), otherCaptions(entry));
  const text = () => entry.captions[entry.chosen].text;
  parts.push(tools(
    entry,
    button("Copy text", (event) => copy(text(), event.currentTarget)),
    button("Copy as alt", (event) => copy(`alt="${escapeHtml(sentence(text()))}"`, event.currentTarget)),
  ));
  entry.side.replaceChildren(...parts);
  clearLook(entry);
}

function otherCaptions(entry) {
  const list = make("ul", undefined, "others");
  entry.captions.forEach((caption, index) => {
    const choice = button(caption.text, () => {
      showCaption(entry, index);
      entry.side.querySelectorAll(".others button")[index].focus();
    });
    choice.setAttribute("aria-pressed", String(index === entry.chosen));
    const item = make("li");
    item.append(choice);
    list.append(item);
  });
  return list;
}

function wordButton(entry, caption, word) {
  const node = make("button", word.text, "caption-word");
  node.type = "button";
  node.append(make("small", percent(word.probability)));
  node.style.setProperty("--doubt", `${Math.round(45 * (1 - word.probability))}%`);
  const look = () => lookAt(entry, word, node);
  for (const event of ["mouseenter", "focus", "click"]) node.addEventListener(event, look);
  node.addEventListener("blur", () => clearLook(entry));
  node.addEventListener("mouseleave", () => {
    const focused = document.activeElement;
    if (focused === node) return;
    clearLook(entry);
    if (focused.classList.contains("caption-word") && entry.card.contains(focused)) focused.dispatchEvent(new Event("focus"));
  });
  return node;
}

function clearLook(entry) {
  clearCanvas(entry.canvas);
  entry.card.querySelectorAll(".caption-word.on").forEach((node) => node.classList.remove("on"));
  const { confidence, doubtful } = entry.captions[entry.chosen];
  const doubt = doubtful ? ", doubtful: look at the photo before you use it" : "";
  entry.note.textContent = confidence === null ? "" : `Confidence ${percent(confidence)}${doubt}`;
}

function lookAt(entry, word, node) {
  clearLook(entry);
  node.classList.add("on");
  const right = word.confidence === null ? "" : `, ${percent(word.confidence)} sure that it is right`;
  entry.note.textContent = `“${word.text}”: probability ${percent(word.probability)}${right}`;
  if (!word.attention) return;
  const cells = word.attention.flat();
  const full = Math.max(...cells, 3 / cells.length); // its strongest cell, or three times an even look
  paintHeat(entry.canvas, Float32Array.from(cells, (value) => 255 * value / full), word.attention.length, word.attention[0].length);
}

// ---- Captions out

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escapeHtml = (text) => text.replace(/[&<>"]/g, (char) => ESCAPES[char]);

async function copy(text, from) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyTheOldWay(text);
    from.focus();
  }
  say(done ? "Copied." : "The browser does not allow copying.");
  if (from.dataset.label) return;
  from.dataset.label = from.textContent;
  from.textContent = done ? "Copied" : "Not allowed";
  await pause(1.5);
  from.textContent = from.dataset.label;
  delete from.dataset.label;
}

// Where the page is not from a secure address, the clipboard can only be reached so.
function copyTheOldWay(text) {
  const area = make("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

// Cells that a spreadsheet would take for a formula get an apostrophe.
const csvCell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replace(/"/g, '""')}"`;

function csv() {
  const rows = [["image", "caption", "confidence", "doubtful", "error"]];
  for (const { file, captions, chosen, error } of entries) {
    const caption = captions[chosen];
    if (caption) rows.push([file.name, caption.text, caption.confidence?.toFixed(4) ?? "", caption.doubtful ? "yes" : "", ""]);
    else if (error) rows.push([file.name, "", "", "", error]);
  }
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}

function saveCsv() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "captions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// ---- The camera

const camera = element("camera");

async function openCamera() {
  try {
    element("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    camera.showModal();
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`);
    element("camera-open").disabled = true;
    element("camera-open").textContent = "No camera";
  }
}

function takePhoto() {
  const video = element("video");
  if (!video.videoWidth) return;
  const canvas = make("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    const name = `camera ${new Date().toLocaleTimeString("en-GB")}.jpg`;
    add([new File([blob], name, { type: "image/jpeg" })]);
    camera.close();
  }, "image/jpeg", 0.95);
}

camera.addEventListener("close", () => {
  element("video").srcObject?.getTracks().forEach((track) => track.stop());
  element("video").srcObject = null;
});

// ---- What happens when

const drop = element("drop");
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});
element("choose").addEventListener("click", () => element("files").click());
element("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  start();
});
element("copy-csv").addEventListener("click", (event) => copy(csv(), event.currentTarget));
element("save-csv").addEventListener("click", saveCsv);
element("clear").addEventListener("click", () => [...entries].forEach(remove));
element("camera-open").hidden = !navigator.mediaDevices?.getUserMedia;
element("camera-open").addEventListener("click", openCamera);
element("camera-take").addEventListener("click", takePhoto);
element("camera-close").addEventListener("click", () => camera.close());

function start() {
  connect().catch((error) => {
    say(`The server cannot be reached: ${error.message}`);
    element("limits").textContent = "The server cannot be reached; load this page again.";
  });
}
start();
