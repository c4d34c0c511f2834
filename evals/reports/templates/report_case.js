// One case, and the way from the address to what is shown.

const section = (title, ...content) => el("section", {}, el("h4", {}, title), ...content);

function pairs(...entries) {
  return el("dl", { class: "facts" }, entries.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function traceOf(id) {
  if (!id) return null;
  if (!data.trace) return id;
  return el("a", { href: data.trace.replace("{trace_id}", encodeURIComponent(id)), rel: "noopener noreferrer" }, id);
}

function checksOf(trial) {
  if (!trial.checks.length) return null;
  const rows = trial.checks.map(([name, status, value, reason, judge]) => el("tr", {},
    el("td", {}, pill(status)),
    el("td", {}, el("strong", { dir: "auto" }, visible(name)), judge ? el("span", { class: "small quiet", dir: "auto" }, " ", visible(judge)) : null, reason ? el("div", { class: "reasons", dir: "auto" }, visible(reason)) : null),
    el("td", { class: "number" }, typeof value === "number" ? score(value) : value ?? "–")));
  const headings = [["says", ""], ["check and reason", ""], ["value", "number"]];
  return section("Checks", el("div", { class: "scroll" }, el("table", { "aria-label": "Checks" },
    el("thead", {}, el("tr", {}, headings.map(([name, kind]) => el("th", { scope: "col", class: `plain ${kind}` }, name)))),
    el("tbody", {}, rows))));
}

function failureOf(failure) {
  return failure && section("Error", el("p", {}, pill("error"), ` ${failure.type} (${failure.kind})`), block(failure.message));
}

// -- messages and tool calls: see report_timeline.js

function messagesOf(trial) {
  if (trial.left_out) return el("p", { class: "quiet" }, "The conversation was left out to keep this file small; the run store has it.");
  if (!trial.messages) return null;
  const list = Array.isArray(trial.messages) ? trial.messages : [trial.messages];
  return section("Messages and tool calls", el("ol", { class: "timeline" }, timeline(list)));
}

// -- the page of a case

function trialOf(c, trial) {
  const title = c.trials.length > 1 ? `Trial ${trial.trial + 1}` : "Result";
  const tokens = trial.tokens.map((n) => n.toLocaleString("en")).join(", ");
  return el("section", { class: "card" },
    el("div", { class: "suite-head" }, el("h3", {}, title), trial.replayed ? el("span", { class: "tag" }, "replayed") : null),
    pairs(["model", trial.model], ["took", time(trial.seconds)], ["requests", String(trial.requests)], ["tokens in, out", tokens],
      ["cost", trial.requests ? cost(trial.cost) : "$0"], ["trace", traceOf(trial.trace)]),
    failureOf(trial.failure),
    el("div", { class: "columns" },
      trial.failure ? null : section("Output", block(trial.output)),
      trial.failure || c.expected === null ? null : section("Difference from expected", differenceOf(c, trial))),
    checksOf(trial), messagesOf(trial));
}

function differenceOf(c, trial) {
  if (same(c.expected, trial.output)) return el("p", {}, "None: the output is what was expected.");
  const shownDiff = diffView(c.expected, trial.output);
  return el("div", {}, shownDiff, shownDiff.querySelector("del, ins") &&
    el("p", { class: "small quiet" }, el("del", {}, "only expected"), " ", el("ins", {}, "only in the output")));
}

function beforeOf(c) {
  if (!data.reference) return null;
  if (!c.before) return el("p", { class: "quiet" }, "The reference has no such case, or its content has changed since.");
  const by = change(c);
  return el("section", { class: "card" }, el("h3", {}, "Reference"),
    pairs(["what", data.reference], ["status", pill(c.before.status)], ["score", score(c.before.score)], ["change", by === null ? null : changeCell(c)]),
    c.before.failure ? failureOf(c.before.failure) : section("Output", block(c.before.output)));
}

function crumbs(c) {
  const at = shown.indexOf(c);
  const link = (other, text) => other && el("a", { href: caseLink(other) }, text);
  return el("nav", { class: "crumbs", "aria-label": "Between cases" }, el("a", { href: hashOf(state) }, "← All cases"),
    at > 0 ? link(shown[at - 1], "Previous case") : null, at >= 0 ? link(shown[at + 1], "Next case") : null);
}

function drawCase(c) {
  return [crumbs(c),
    el("h1", { tabindex: "-1", dir: "auto" }, visible(c.name)),
    el("p", {}, statusCell(c), " ", el("span", { class: "quiet" }, "in suite "), el("bdi", {}, visible(c.suite)), `, score ${score(c.score)} `, c.tags.map(tagOf)),
    el("div", { class: "columns" },
      el("section", { class: "card" }, el("h3", {}, "Input"), block(c.inputs)),
      c.expected === null ? null : el("section", { class: "card" }, el("h3", {}, "Expected"), block(c.expected))),
    c.trials.map((trial) => trialOf(c, trial)).flat(), beforeOf(c)];
}

function absent() {
  return [el("nav", { class: "crumbs" }, el("a", { href: "#cases" }, "← All cases")),
    el("h1", { tabindex: "-1" }, "No such case"), el("p", {}, "This report has no case of this name; it may be of another run.")];
}

// -- from the address to what is shown

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  const hash = location.hash.slice(1);
  const overview = document.getElementById("overview"), page = document.getElementById("case");
  const onCase = hash.startsWith("case/");
  overview.hidden = onCase;
  page.hidden = !onCase;
  if (!onCase) return routeOverview(hash);
  const [, suite, name] = hash.split("/").map(decoded);
  const found = data.cases.find((c) => c.suite === suite && c.name === name);
  page.replaceChildren(...(found ? drawCase(found) : absent()).flat().filter(Boolean));
  document.title = found ? `${found.name} · ${data.title}` : data.title;
  scrollTo(0, 0);
  page.querySelector("h1").focus();
}

function routeOverview(hash) {
  document.title = data.title;
  document.getElementById("case").replaceChildren();
  const [place, query] = [hash.split("?", 1)[0], hash.slice(hash.indexOf("?") + 1)];
  if (place === "cases") readState(hash.includes("?") ? query : "");
  drawTable();
  if (place === "cases") {
    const heading = document.getElementById("cases");
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.getElementById("case").hidden) location.hash = hashOf(state);
});
addEventListener("hashchange", route);
drawFilters();
arrange();
route();
