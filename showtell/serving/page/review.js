const AHEAD = 3; // photos whose proposals are computed while one is looked at
let state = null; // the answer of GET v1/review
let current = null; // {number, name, decided, caption, proposals, error}
let busy = false; // while a decision is being saved
let before = ""; // the text as it was when editing began
const photos = new Map(); // number -> promise of {photo, url}

async function call(path, settings = {}) {
  for (;;) {
    const response = await fetch(`v1/review${path}`, { ...settings, headers: { ...headers(), ...settings.headers } });
    if (response.status === 503) {
      await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, 10));
    } else if (response.ok) {
      return response;
    } else {
      throw Object.assign(new Error(await problem(response)), { status: response.status });
    }
  }
}

function tell(text, failed = false) {
  say(text);
  element("status").classList.toggle("failed", failed);
}

function tellError(error, what) {
  if (error.status === 401) askForToken();
  else tell(`${what}: ${error instanceof TypeError ? "the server cannot be reached; start it again, then load this page again" : error.message}`, true);
}

function askForToken() {
  element("token-form").hidden = false;
  if (token) tell("This token is not the right one.", true);
  element("token").focus();
}

// ---- Photos: fetched ahead, so that the next one is there at once

function load(number) {
  if (!photos.has(number)) {
    const photo = fetchPhoto(number);
    photo.catch(() => photos.delete(number)); // the next look tries again
    photos.set(number, photo);
  }
  return photos.get(number);
}

async function fetchPhoto(number) {
  const image = call(`/${number}/photo`).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob), () => "");
  const photo = await (await call(`/${number}`)).json();
  return { photo, url: await image };
}

function loadAhead(number) {
  for (let next = number + 1; next <= Math.min(number + AHEAD, state.total - 1); next += 1) load(next).catch(() => {});
  for (const [old, photo] of photos) {
    if (Math.abs(old - number) <= 2 * AHEAD) continue;
    photos.delete(old);
    photo.then(({ url }) => { if (url) URL.revokeObjectURL(url); }, () => {});
  }
}

// ---- What is seen

async function show(number) {
  if (number === null) {
    showDone();
    return;
  }
  busy = true;
  const slow = setTimeout(() => tell("Waiting for the proposals of the next photo."), 700);
  try {
    const { photo, url } = await load(number);
    current = photo;
    if (element("status").textContent.startsWith("Waiting")) tell("");
    draw(url);
    loadAhead(number);
  } catch (error) {
    tellError(error, `Photo ${number + 1}`);
  } finally {
    clearTimeout(slow);
    busy = false;
  }
}

function draw(url) {
  element("done").hidden = true;
  element("review").hidden = false;
  element("name").textContent = current.name;
  if (url) element("image").src = url;
  element("image").hidden = !url;
  element("image").alt = `Photo ${current.name}`;
  element("no-image").hidden = Boolean(url);
  element("no-image").textContent = `This photo cannot be decoded: ${current.error || "it cannot be read"}.`;
  const [best] = current.proposals;
  element("caption").value = current.caption ?? best?.text ?? "";
  drawState();
  drawProposals();
  drawNote();
  element("back").disabled = current.number === 0;
  element("forward").disabled = current.number === state.total - 1;
  (element("caption").value ? element("accept") : element("skip")).focus({ preventScroll: true });
}

function drawState() {
  const line = element("state");
  line.classList.toggle("saved", current.decided);
  if (!current.decided) line.textContent = `Photo ${current.number + 1} of ${state.total}`;
  else line.textContent = current.caption === null ? "Skipped; accept a caption to change that" : "Saved; another caption replaces it";
}

function drawProposals() {
  element("others-title").hidden = !current.proposals.length;
  element("others").replaceChildren(...current.proposals.map((proposal, index) => {
    const choice = button("", () => choose(index));
    choice.append(make("kbd", index + 1), make("span", proposal.text));
    if (proposal.confidence !== null) choice.append(make("small", percent(proposal.confidence)));
    const item = make("li");
    item.append(choice);
    return item;
  }));
}

function drawNote() {
  const text = element("caption").value.trim();
  const chosen = current.proposals.findIndex((proposal) => proposal.text === text);
  element("others").querySelectorAll("button").forEach((node, index) => node.setAttribute("aria-pressed", String(index === chosen)));
  const { confidence = null, doubtful = false } = current.proposals[chosen] ?? {};
  element("note").classList.toggle("doubt", doubtful);
  if (chosen < 0) element("note").textContent = current.proposals.length ? "Your own words" : `No proposal${current.error ? `: ${current.error}` : ""}`;
  else if (confidence === null) element("note").textContent = "";
  else element("note").textContent = `Confidence ${percent(confidence)}${doubtful ? ", doubtful: compare it with the photo" : ""}`;
}

function drawProgress() {
  const decided = state.saved + state.skipped;
  element("progress").max = Math.max(state.total, 1);
  element("progress").value = decided;
  const earlier = state.decided_before ? `, ${state.decided_before} before` : "";
  element("count").textContent = `${decided} of ${state.total}`;
  element("output").textContent = `${state.saved} saved to ${state.output}, ${state.skipped} skipped${earlier}`;
}

function showDone() {
  current = null;
  element("review").hidden = true;
  element("done").hidden = false;
  element("done-title").textContent = state.total ? "All photos are decided" : "Nothing is left to decide";
  const earlier = state.decided_before ? ` Earlier reviews decided on ${state.decided_before}.` : "";
  element("done-text").textContent = `${state.saved} saved, ${state.skipped} skipped in this review.${earlier} The file: ${state.output}`;
  element("then").hidden = !state.then;
  element("then-title").textContent = state.kind === "alt" ? "Write the texts into the pages:" : "Train on them:";
  element("command").textContent = state.then;
  element("again").hidden = !state.total;
  element("done-title").focus();
}

// ---- Decisions

async function decide(caption) {
  if (busy || !current) return;
  if (caption !== null && !caption.trim()) {
    tell("Write a caption, or skip the photo.", true);
    element("caption").focus();
    return;
  }
  busy = true;
  const { number, name } = current;
  try {
    const body = JSON.stringify({ caption });
    const response = await call(`/${number}`, { method: "PUT", body, headers: { "Content-Type": "application/json" } });
    state = await response.json();
    Object.assign(current, { decided: true, caption: caption === null ? null : caption.split(/\s+/).filter(Boolean).join(" ") });
    drawProgress();
    tell(caption === null ? `Skipped ${name}.` : `Saved ${name}: ${current.caption}`);
  } catch (error) {
    busy = false;
    tellError(error, `${name} is not saved`);
    return;
  }
  await show(state.next);
}

function choose(index) {
  const proposal = current.proposals[index];
  if (!proposal) return;
  element("caption").value = proposal.text;
  drawNote();
  element("accept").focus();
}

function edit() {
  const box = element("caption");
  before = box.value;
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
}

function walk(step) {
  const number = (current ? current.number : state.total) + step;
  if (!busy && number >= 0 && number < state.total) show(number);
}

// ---- What happens when

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  decide(element("caption").value);
});
element("caption").addEventListener("input", () => { if (current) drawNote(); });
element("caption").addEventListener("focus", () => { before = element("caption").value; });
element("caption").addEventListener("keydown", (event) => {
  if (event.isComposing) return; // Enter ends the input of a Chinese or Japanese word
  if (event.key === "Enter") {
    event.preventDefault();
    if (!event.repeat) decide(element("caption").value);
  } else if (event.key === "Escape") {
    element("caption").value = before;
    drawNote();
    element("accept").focus();
  }
});
element("edit").addEventListener("click", edit);
element("skip").addEventListener("click", () => decide(null));
element("back").addEventListener("click", () => walk(-1));
element("forward").addEventListener("click", () => walk(1));
element("again").addEventListener("click", () => walk(-1));

// Letters act only where the focus is inside the review and not in the text.
const KEYS = { e: edit, s: () => decide(null), ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), 1: () => choose(0), 2: () => choose(1), 3: () => choose(2) };
element("review").addEventListener("keydown", (event) => {
  if (event.target === element("caption") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.repeat && event.key === "Enter") event.preventDefault(); // a key that is held down accepts one photo
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat && !busy) act();
});
element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  start();
});

async function start() {
  try {
    state = await (await call("")).json();
    element("token-form").hidden = true;
    tell("");
    if (state.kind === "alt") {
      document.title = "showtell: review of alt texts";
      element("title").textContent = "Review alt texts";
      element("form").querySelector("label").textContent = "Alt text";
    }
    drawProgress();
    show(state.next);
    const model = await fetch("v1/model", { headers: headers() });
    if (model.ok) {
      const limits = await model.json();
      element("model").textContent = `Model: ${limits.model}, showtell ${limits.version}.`;
    }
  } catch (error) {
    tellError(error, "The review cannot begin");
  }
}
start();
