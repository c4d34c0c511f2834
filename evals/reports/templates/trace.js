// The spans of one trace: a tree, each with its time on one scale, and what was said within it.

const SVG = "http://www.w3.org/2000/svg", WIDE = 1000, DEEPEST = 8;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function barOf(span) {
  const total = data.seconds || 1, width = Math.max(3, (span.seconds / total) * WIDE);
  const x = Math.min(WIDE - width, (span.start / total) * WIDE);
  const about = `begins after ${time(span.start)}, takes ${time(span.seconds)}`;
  return svg("svg", { class: "lane", viewBox: `0 0 ${WIDE} 8`, preserveAspectRatio: "none", role: "img", "aria-label": about },
    svg("line", { class: "axis", x1: 0, x2: WIDE, y1: 4, y2: 4 }),
    svg("rect", { class: span.error ? "fail" : span.kind, x, width, y: 0, height: 8 }));
}

function figuresOf(span) {
  const tokens = span.tokens[0] + span.tokens[1] ? `${count(span.tokens[0], "token")} in, ${span.tokens[1].toLocaleString("en")} out` : "";
  const asked = span.kind === "agent" || span.kind === "model";
  return [`+${time(span.start)}`, time(span.seconds), tokens, asked && span.cost !== null ? cost(span.cost) : ""].filter(Boolean).join(" · ");
}

function attributesOf(span) {
  const rows = Object.entries(span.attributes).map(([name, value]) => el("tr", {},
    el("td", { dir: "auto" }, visible(name)), el("td", {}, block(value))));
  return rows.length === 0 ? null : el("details", {}, el("summary", { class: "small quiet" }, count(rows.length, "attribute")),
    el("div", { class: "scroll fields" }, el("table", { "aria-label": "Attributes" }, el("tbody", {}, rows))));
}

function saidIn(span) {
  if (span.steps.length === 0) return null;
  const said = el("ol", { class: "timeline" }, span.steps.map((one) => step(one.role, one.kind, parsed(one.content))));
  return el("details", {}, el("summary", { class: "small quiet" }, count(span.steps.length, "message")), said);
}

function spanOf(node) {
  const span = node.span;
  return el("li", { class: `span-of ${span.kind}` },
    el("div", {}, el("span", { class: "tag" }, span.kind), el("strong", { dir: "auto" }, visible(span.title)), " ",
      span.error ? el("span", { class: "pill fail", dir: "auto" }, visible(span.error)) : null),
    el("div", { class: "small quiet" }, figuresOf(span)), barOf(span),
    span.message ? block(span.message) : null, saidIn(span), attributesOf(span), listOf(node.below));
}

const listOf = (nodes) => (nodes.length ? el("ol", { class: "timeline" }, nodes.map(spanOf)) : null);

// Spans come in the order of a walk through the tree; very deep ones stand beside their elders.
function treeOf(spans) {
  const top = [], path = [];
  for (const span of spans) {
    const depth = Math.min(span.depth, DEEPEST), node = { span, below: [] };
    path.length = depth;
    (depth === 0 ? top : path[depth - 1].below).push(node);
    path[depth] = node;
  }
  return top;
}

document.getElementById("timeline").append(listOf(treeOf(data.spans)));
