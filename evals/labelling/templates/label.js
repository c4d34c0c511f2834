// One item at a time. All texts reach the page as text nodes, by `el` and `visible` of report_text.js.

const byId = (id) => document.getElementById(id);
const [main, actions, help] = [byId("main"), byId("actions"), byId("help")];
let rater = new URLSearchParams(location.search).get("rater") ?? "";
let state = null; // what the server said last
let busy = false; // a request is under way: a key that is pressed twice counts once
let note = null; // the field, while an item is shown

const VERDICTS = [["p", "Pass", 1, "yes"], ["f", "Fail", 0, "no"]];
const GRADES = data.scores.map(([score, means]) => [String(score), String(score), (score - 1) / 4, "", means]);
const choices = () => (state.item.scale === "score" ? GRADES : VERDICTS);

// -- the server

async function ask(path, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rater, ...body }) };
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Error("The program behind this page has ended. Start assay label again, and open the address that it prints; whatever was saved is there.");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? answer.statusText);
  return found;
}

async function act(path, body, said) {
  if (busy) return;
  busy = true;
  try {
    state = await ask(path, body);
    byId("trouble").hidden = true;
    if (path === "done") return drawEnd();
    draw();
    byId("said").textContent = [said, progressText()].filter(Boolean).join(" ");
  } catch (error) {
    byId("trouble").replaceChildren(el("strong", {}, "Not saved. "), ...visible(error.message));
    byId("trouble").hidden = false;
  } finally {
    busy = false;
  }
}

const answer = ([, name, value]) => act("label", { id: state.item.id, value, note: note.value.value }, `Saved: ${name}.`);
const cannotSay = () => act("label", { id: state.item.id, value: null, note: note.value.value }, "Saved: cannot say.");
const skip = () => act("later", { id: state.item.id }, "Skipped.");
const undo = () => state.undo && act("undo", {}, "Undone.");
const finish = () => act("done", {});

// -- what is shown

function progressText() {
  const { labelled, unsaid, later, items } = state.progress;
  return `${labelled} of ${items} labelled` + (unsaid ? `, ${unsaid} cannot say` : "") + (later ? `, ${later} skipped` : "");
}

function draw() {
  const { labelled, unsaid, items } = state.progress;
  byId("who").replaceChildren("as ", el("bdi", {}, visible(state.rater)));
  byId("progress").textContent = progressText();
  byId("bar").max = items;
  byId("bar").value = labelled + unsaid;
  actions.hidden = !state.item;
  document.body.classList.toggle("score", state.item?.scale === "score");
  if (state.item) drawItem(state.item);
  else drawDone();
}

function drawItem(item) {
  const [at, of] = item.place;
  const heading = el("h1", { tabindex: "-1", dir: "auto" }, visible(item.criterion || item.check));
  note = noteField();
  main.replaceChildren(
    el("section", { class: "criterion" },
      el("p", { class: "small quiet" }, of > 1 ? `Criterion ${at} of ${of} for this output` : "Criterion"),
      heading,
      el("p", { class: "small quiet" }, item.criterion ? [el("bdi", {}, visible(item.check)), ", "] : [], "case ", el("bdi", {}, visible(item.case)),
        item.trial ? `, trial ${item.trial + 1}` : ""),
      item.scale === "score" ? el("p", { class: "anchors small" }, data.scores.map(([n, means]) => `${n} ${means}`).join("; ")) : null),
    el("div", { class: "columns" }, ...parts(item)));
  drawActions();
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

function parts(item) {
  const inputs = item.asked ? pretty(item.inputs) : el("p", { class: "quiet" }, "The run store does not have them.");
  return [part("Inputs", inputs), part("Output", pretty(item.output), "output"),
    item.expected === null ? null : part("Expected", pretty(item.expected))].filter(Boolean);
}

const part = (title, shown, kind = "") => el("section", { class: `card ${kind}` }, el("h2", {}, title), shown);

// Texts as texts, fields by their names; what is nested deeper is JSON.
function pretty(value, depth = 0) {
  if (typeof value === "string") return el("div", { class: /^(\t| {2,}\S)|```/m.test(value) ? "text code" : "text", dir: "auto" },
    value === "" ? el("span", { class: "quiet" }, "(empty)") : visible(value));
  if (value === null || typeof value !== "object") return el("div", { class: "text" }, String(value));
  const entries = Object.entries(value);
  if (depth > 2 || entries.length === 0) return block(value);
  if (Array.isArray(value)) return el("ol", {}, value.map((one) => el("li", {}, pretty(one, depth + 1))));
  return el("dl", { class: "fields" }, entries.map(([name, one]) =>
    el("div", {}, el("dt", { dir: "auto" }, visible(name)), el("dd", {}, pretty(one, depth + 1)))));
}

function noteField() {
  const label = byId("note-field").content.firstElementChild.cloneNode(true);
  label.hidden = true;
  return { label, value: label.querySelector("textarea") };
}

function openNote() {
  note.label.hidden = false;
  note.value.focus();
}

function key(name, text, run, kind = "") {
  return el("button", { type: "button", class: kind, "aria-keyshortcuts": name, onclick: run }, el("kbd", { "aria-hidden": "true" }, name), " ", text);
}

function drawActions() {
  const says = choices().map((one) => {
    const made = key(one[0], one[4] ? el("span", { class: "means" }, one[4]) : one[1], () => answer(one), `say ${one[3]}`);
    if (one[4]) made.setAttribute("aria-label", `${one[1]}: ${one[4]}`);
    return made;
  });
  actions.replaceChildren(note.label,
    el("div", { class: "says" }, says, key("c", "Cannot say", cannotSay, "say")),
    el("div", { class: "rest" }, key("n", "Note", openNote), key("s", "Skip", skip),
      undoButton(), key("?", "Help", toggleHelp),
      el("button", { type: "button", onclick: finish }, "Finish")));
}

function undoButton() {
  const made = key("u", state.undo ? `Undo ${state.undo}` : "Undo", undo);
  made.disabled = !state.undo;
  return made;
}

function drawDone() {
  note = null;
  const button = el("button", { type: "button", class: "primary", onclick: finish }, "Finish");
  main.replaceChildren(el("section", { class: "card ask" },
    el("h1", { tabindex: "-1" }, "All done, thank you"),
    el("p", {}, `${progressText()}. Finish shows in the terminal what came of it.`),
    el("p", { class: "choices" }, button, undoButton())));
  button.focus();
}

function drawEnd() {
  state = null;
  actions.hidden = true;
  const heading = el("h1", { tabindex: "-1" }, "Finished");
  main.replaceChildren(el("section", { class: "card ask" }, heading,
    el("p", {}, "Every label is saved, and the terminal shows what came of them. You can close this page.")));
  heading.focus();
}

function askName() {
  main.replaceChildren(byId("ask-name").content.cloneNode(true));
  const form = main.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    rater = form.elements.rater.value.trim();
    if (!rater) return;
    history.replaceState(null, "", `?${new URLSearchParams({ rater })}`);
    begin();
  });
  form.elements.rater.focus();
}

// -- keys

function toggleHelp() {
  if (help.open) help.close();
  else help.showModal();
}

const KEYS = { c: cannotSay, n: openNote, s: skip };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || !state) return;
  if (event.target.closest("textarea, input")) {
    if (event.key === "Escape") main.querySelector("h1").focus({ preventScroll: true });
    return;
  }
  const run = event.key === "?" ? toggleHelp : help.open ? null : event.key === "u" ? undo : state.item && (
    KEYS[event.key] ?? choices().filter(([name]) => name === event.key).map((one) => () => answer(one))[0]);
  if (!run) return;
  event.preventDefault(); // the n that opens the note is not a part of it
  run();
});

const begin = () => act(`item?${new URLSearchParams({ rater })}`);
if (rater.trim()) begin();
else askName();
