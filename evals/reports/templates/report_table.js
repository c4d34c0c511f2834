// The table of cases. Its state lives in the address, so a view can be linked and gone back to.

const ROWS = 50;
const EMPTY = { q: "", suite: "", status: "", check: "", tag: "", sort: "", dir: "up", page: "1" };
const ORDER = { error: 0, fail: 1, unscored: 2, pass: 3 };
let state = { ...EMPTY };
let shown = []; // the cases that the filters let through, in order

const mixed = (c) => c.passed > 0 && c.passed < c.trials.length;
const change = (c) => (c.before && c.score !== null && c.before.score !== null ? c.score - c.before.score : null);

const STATUSES = {
  error: ["crashed", (c) => c.status === "error"],
  fail: ["failed", (c) => c.status === "fail"],
  bad: ["failed or crashed", (c) => c.status === "fail" || c.status === "error"],
  mixed: ["mixed between trials", mixed],
  pass: ["passed", (c) => c.status === "pass"],
  unscored: ["unscored", (c) => c.status === "unscored"],
  ...(data.reference ? {
    worse: ["worse than the reference", (c) => change(c) < 0],
    better: ["better than the reference", (c) => change(c) > 0],
  } : {}),
};

const COLUMNS = [
  { id: "status", name: "status", of: (c) => ORDER[c.status], cell: statusCell },
  { id: "name", name: "case", of: (c) => c.name, cell: nameCell },
  { id: "suite", name: "suite", of: (c) => c.suite, cell: (c) => el("bdi", {}, visible(c.suite)), rest: true },
  { id: "score", name: "score", of: (c) => c.score, cell: (c) => score(c.score), number: true },
  ...(data.reference ? [{ id: "change", name: "change", of: change, cell: changeCell, number: true }] : []),
  { id: "seconds", name: "seconds", of: (c) => c.seconds, cell: (c) => time(c.seconds), number: true, rest: true },
  { id: "cost", name: "cost", of: (c) => c.cost, cell: (c) => cost(c.cost), number: true, rest: true },
];

const pill = (status) => el("span", { class: `pill ${status in ORDER || status === "score" ? status : "unscored"}` }, status);
const caseLink = (c) => `#case/${encodeURIComponent(c.suite)}/${encodeURIComponent(c.name)}`;

function statusCell(c) {
  const trials = c.trials.length > 1 ? ` ${c.passed}/${c.trials.length}` : "";
  return el("span", {}, pill(c.status), el("span", { class: "small quiet" }, trials));
}

function nameCell(c) {
  return [el("a", { href: caseLink(c), dir: "auto" }, visible(c.name || "(no name)")),
    c.tags.length ? el("div", {}, c.tags.map(tagOf)) : null];
}

const tagOf = (tag) => el("span", { class: "tag", dir: "auto" }, visible(tag));

function changeCell(c) {
  const by = change(c);
  if (by === null) return "–";
  return el("span", { class: by < 0 ? "worse" : by > 0 ? "better" : "quiet" }, `${by > 0 ? "+" : by < 0 ? "−" : ""}${Math.abs(by).toFixed(3)}`);
}

// What the search looks in; made once per case, when it is first asked for.
function haystack(c) {
  return (c.haystack ??= [c.name, c.suite, ...c.tags, asText(c.inputs), asText(c.expected),
    ...c.trials.flatMap((t) => [asText(t.output), t.failure ? `${t.failure.type} ${t.failure.message}` : "",
      ...t.checks.map((check) => `${check[0]} ${check[3]}`)])].join("\n").toLowerCase());
}

function wanted(c) {
  const said = (name) => c.trials.some((t) => t.checks.some((check) => check[0] === name && check[1] === "fail"));
  return (!state.suite || c.suite === state.suite) && (!state.tag || c.tags.includes(state.tag)) &&
    (!state.status || !STATUSES[state.status] || STATUSES[state.status][1](c)) && (!state.check || said(state.check)) &&
    state.q.toLowerCase().split(/\s+/).every((word) => haystack(c).includes(word));
}

function compareBy(of) {
  const sign = state.dir === "down" ? -1 : 1;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  return (a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === null || y === null) return (x === null) - (y === null); // unknown stands last, either way
    return sign * (typeof x === "string" ? compare(x, y) : x - y);
  };
}

function arrange() {
  shown = data.cases.filter(wanted);
  const column = COLUMNS.find((one) => one.id === state.sort);
  if (column) shown.sort(compareBy(column.of));
}

// -- drawing

const form = document.getElementById("filters");
const options = (values) => [...new Set(values)].map((value) => [value, value]);
const FIELDS = [
  ["suite", "Suite", options(data.suites)],
  ["status", "Status", Object.entries(STATUSES).map(([id, [name]]) => [id, name])],
  ["check", "Failed check", options(data.checks)],
  ["tag", "Tag", options(data.cases.flatMap((c) => c.tags)).sort()],
];

function drawFilters() {
  form.append(el("label", { class: "wide" }, "Search", el("input", { type: "search", name: "q", autocomplete: "off", spellcheck: "false" })));
  for (const [name, label, choices] of FIELDS)
    if (choices.length) form.append(el("label", {}, label, el("select", { name },
      el("option", { value: "" }, "all"), choices.map(([value, text]) => el("option", { value }, text)))));
  form.append(el("button", { type: "button", onclick: () => update(EMPTY) }, "Clear"));
  let waiting = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    const name = event.target.name;
    waiting = setTimeout(() => update({ [name]: form.elements[name].value, page: "1" }), name === "q" ? 150 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}

function sortBy(id) {
  const again = state.sort === id;
  if (again && state.dir === "down") update({ sort: "", dir: "up", page: "1" });
  else update({ sort: id, dir: again ? "down" : "up", page: "1" });
  document.getElementById(`sort-${id}`)?.focus();
}

function heading(column) {
  const sorted = state.sort === column.id ? (state.dir === "down" ? "descending" : "ascending") : "none";
  const mark = { ascending: " ↑", descending: " ↓", none: "" }[sorted];
  return el("th", { scope: "col", "aria-sort": sorted, class: classOf(column) },
    el("button", { type: "button", id: `sort-${column.id}`, onclick: () => sortBy(column.id) }, column.name, el("span", { "aria-hidden": "true" }, mark)));
}

const classOf = (column) => [column.number ? "number" : "", column.rest ? "wide-only" : ""].join(" ").trim();

function drawTable() {
  arrange();
  for (const name of ["q", ...FIELDS.map((field) => field[0])]) {
    const input = form.elements[name];
    if (input && input.value !== state[name]) input.value = state[name];
  }
  const pages = Math.max(1, Math.ceil(shown.length / ROWS));
  const page = Math.min(pages, Math.max(1, Number.parseInt(state.page, 10) || 1));
  const rows = shown.slice((page - 1) * ROWS, page * ROWS).map((c) => el("tr", {},
    COLUMNS.map((column) => el("td", { class: classOf(column) }, column.cell(c)))));
  document.getElementById("found").textContent =
    `${shown.length.toLocaleString("en")} of ${count(data.cases.length, "case")}` + (shown.length ? "" : "; clear a filter to see more");
  document.getElementById("table").replaceChildren(el("table", { "aria-label": "Cases" },
    el("thead", {}, el("tr", {}, COLUMNS.map(heading))), el("tbody", {}, rows)));
  drawPages(page, pages);
}

function drawPages(page, pages) {
  const to = (number, text) => el("button", {
    type: "button", disabled: number < 1 || number > pages,
    onclick: () => { update({ page: String(number) }); document.getElementById("cases").focus(); },
  }, text);
  document.getElementById("pages").replaceChildren(...(pages < 2 ? [] :
    [to(page - 1, "Previous"), el("span", {}, `page ${page} of ${pages}`), to(page + 1, "Next")]));
}

function hashOf(of) {
  const set = Object.entries(of).filter(([name, value]) => value !== EMPTY[name]);
  return set.length ? `#cases?${new URLSearchParams(set)}` : "#cases";
}

function update(changes) {
  state = { ...state, ...changes };
  history.replaceState(null, "", hashOf(state));
  drawTable();
}

function readState(query) {
  const found = new URLSearchParams(query);
  state = Object.fromEntries(Object.keys(EMPTY).map((name) => [name, found.get(name) ?? EMPTY[name]]));
}
