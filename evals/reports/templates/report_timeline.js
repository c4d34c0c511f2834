// Messages and tool calls in their order: of a trial, and of a span of a trace.

const ROLES = {
  instruction: ["instructions", ""], "system-prompt": ["system", ""], "user-prompt": ["user", ""],
  text: ["model", "model"], thinking: ["model, thinking", "model"], file: ["model, file", "model"],
  "tool-call": ["tool call", "tool"], "builtin-tool-call": ["tool call at the provider", "tool"],
  "tool-return": ["tool answer", "tool"], "builtin-tool-return": ["tool answer at the provider", "tool"],
  "retry-prompt": ["asked to try again", "retry"], "retry-feedback": ["asked to try again", "retry"],
};

function roleOf(part) {
  if (!Object.hasOwn(ROLES, part.part_kind)) return [String(part.part_kind ?? "part"), ""];
  const refused = part.part_kind === "tool-return" && part.outcome !== undefined && part.outcome !== "success";
  return refused ? [`tool answer, ${part.outcome}`, "retry"] : ROLES[part.part_kind];
}

function partOf(part, message) {
  if (!isObject(part)) return step("part", "", part);
  const [role, kind] = roleOf(part);
  const content = "args" in part ? part.args : "content" in part ? part.content : part;
  return step(part.tool_name ? `${role}: ${part.tool_name}` : role, kind, parsed(content),
    [part.timestamp ?? message.timestamp, kind === "model" ? message.model_name : null]);
}

function steps(message) {
  if (!isObject(message) || !Array.isArray(message.parts))
    return [step(isObject(message) && typeof message.role === "string" ? message.role : "message", "", isObject(message) ? message.content ?? message : message)];
  const found = message.instructions ? [step("instructions", "", message.instructions)] : [];
  return [...found, ...message.parts.map((part) => partOf(part, message))];
}

// Each run of an agent (a sub-agent's, a judge's) has an id of its own: a heading tells them apart.
function timeline(messages) {
  const idOf = (message) => (isObject(message) ? message.run_id ?? "" : "");
  const runs = [...new Set(messages.map(idOf))];
  let last = null;
  return messages.flatMap((message) => {
    const id = idOf(message), begins = runs.length > 1 && id !== last;
    last = id;
    const agent = isObject(message) && message.agent_name ? `, ${message.agent_name}` : "";
    const title = `Run ${runs.indexOf(id) + 1} of ${runs.length}${agent}`;
    return begins ? [el("li", { class: "run" }, el("h5", {}, visible(title)), id ? el("span", { class: "small quiet" }, visible(String(id))) : null), ...steps(message)] : steps(message);
  });
}

// Arguments often are JSON in a text: shown laid out.
function parsed(value) {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value ?? "";
  try { return JSON.parse(value); } catch { return value; }
}

function step(role, kind, content, when = []) {
  const text = asText(content);
  const said = when.filter(Boolean).map((one) => String(one).slice(0, 60)).join(", ");
  const title = [el("strong", { dir: "auto" }, visible(role)), said ? el("span", { class: "small quiet", dir: "auto" }, " ", visible(said)) : null];
  if (text.length < 1200) return el("li", { class: kind }, el("div", {}, title), block(text));
  return el("li", { class: kind }, el("details", {}, el("summary", {}, title, el("span", { class: "small quiet" }, ` ${text.length.toLocaleString("en")} characters`)), block(text)));
}
