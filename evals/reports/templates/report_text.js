// Elements and texts. Data reaches the page as text nodes only: never as markup, never as a style.

const data = JSON.parse(document.getElementById("data").textContent);

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Characters that hide or reorder what a reader sees are shown by their number.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

function visible(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(INVISIBLE)) {
    if (found[0] === "\r" && text[found.index + 1] === "\n") continue;
    const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(text.slice(from, found.index), el("span", { class: "invisible" }, `U+${code}`));
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts.filter((part) => part !== "");
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "");

function block(value) {
  const text = asText(value);
  return el("pre", { dir: "auto", tabindex: "0" }, text === "" ? el("span", { class: "quiet" }, "(empty)") : visible(text));
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
const cost = (value) => (value === null || value === undefined ? "unknown" : value === 0 ? "$0" : `$${value.toPrecision(3)}`);
const time = (s) => (s < 1 ? `${Number((s * 1000).toPrecision(3))} ms` : `${Number(s.toPrecision(3))} s`);
const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// -- differences, word by word

const MAX_TABLE = 4_000_000; // cells of the comparison: more would make the page wait

function words(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
}

// Return [kind, text] pairs: "same", "del" (only in a) and "ins" (only in b).
function difference(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const left = a.slice(start, a.length - end), right = b.slice(start, b.length - end);
  const middle = left.length * right.length > MAX_TABLE
    ? [["del", left.join("")], ["ins", right.join("")]]
    : longestCommon(left, right);
  return joined([["same", a.slice(0, start).join("")], ...middle, ["same", a.slice(a.length - end).join("")]]);
}

function longestCommon(a, b) {
  const width = b.length + 1, table = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i * width + j] = a[i] === b[j]
        ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
  const found = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) found.push(["same", a[i++]]), j++;
    else if (j >= b.length || (i < a.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) found.push(["del", a[i++]]);
    else found.push(["ins", b[j++]]);
  }
  return found;
}

function joined(pairs) {
  const found = [];
  for (const [kind, text] of pairs) {
    if (text === "") continue;
    if (found.length && found.at(-1)[0] === kind) found.at(-1)[1] += text;
    else found.push([kind, text]);
  }
  return found;
}

function diffBlock(expected, output) {
  const parts = difference(words(asText(expected)), words(asText(output)));
  return el("pre", { dir: "auto", tabindex: "0" }, parts.map(([kind, text]) =>
    kind === "same" ? visible(text) : el(kind, {}, visible(text))).flat());
}

// Where both are objects, what is expected is compared field by field; the rest is not asked for.
function diffView(expected, output) {
  if (!isObject(expected) || !isObject(output)) return diffBlock(expected, output);
  const rows = Object.keys(expected).map((key) => el("tr", {},
    el("td", { dir: "auto" }, visible(key)),
    el("td", {}, Object.hasOwn(output, key) ? (same(expected[key], output[key]) ? "same" : "differs") : "absent"),
    el("td", {}, Object.hasOwn(output, key) ? diffBlock(expected[key], output[key]) : el("pre", {}, el("del", {}, visible(asText(expected[key])))))));
  return el("div", { class: "scroll fields" }, el("table", {},
    el("thead", {}, el("tr", {}, ["field", "output", "difference"].map((name) => el("th", { scope: "col", class: "plain" }, name)))),
    el("tbody", {}, rows)));
}
