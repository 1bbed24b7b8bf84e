// Makes an editor of the text area of a specification: colours, completion of keys from the JSON schema,
// problems at their lines. Without JavaScript the text area stays.

const area = document.getElementById("specification");
const {
  EditorState, EditorView, HighlightStyle, autocompletion, bracketMatching, completionKeymap, defaultKeymap,
  drawSelection, highlightActiveLine, history, historyKeymap, indentOnInput, keymap, lineNumbers, lintGutter,
  setDiagnostics, syntaxHighlighting, tags, yaml,
} = CodeMirror;

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.definition(tags.propertyName), color: "var(--accent)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--ink)" },
]);
const look = EditorView.theme({
  "&": { color: "var(--ink)", background: "var(--back)", border: "1px solid var(--line)", borderRadius: "6px" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-scroller": { fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace", fontSize: "13px", minHeight: "28rem", maxHeight: "70vh" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { color: "var(--faint)", background: "var(--back)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { background: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    { background: "color-mix(in srgb, var(--accent) 25%, transparent)" },
  ".cm-tooltip": { color: "var(--ink)", background: "var(--back)", border: "1px solid var(--line)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { color: "var(--on-accent)", background: "var(--accent)" },
  ".cm-completionInfo": { maxWidth: "24rem" },
});

// The alternatives that a schema stands for, without references.
function alternatives(node, root) {
  if (!node) return [];
  if (node.$ref) return alternatives(node.$ref.split("/").slice(1).reduce((at, part) => at[part], root), root);
  const several = [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])];
  return several.length ? several.flatMap((one) => alternatives(one, root)) : [node];
}

function at(path, root) {
  return path.reduce(
    (found, part) =>
      found.flatMap((node) =>
        alternatives(part === "[]" ? node.items : (node.properties?.[part] ?? node.additionalProperties), root)),
    alternatives(root, root),
  );
}

// Keys from the document to the cursor: of flow mappings in its line, then of less indented lines above.
function pathAt(state, pos) {
  const line = state.doc.lineAt(pos);
  const before = line.text.slice(0, pos - line.from);
  const flow = [];
  for (const found of before.matchAll(/[{[\]}]/g)) {
    if ("{[".includes(found[0])) {
      const key = before.slice(0, found.index).match(/([\w.-]+)\s*:\s*$/)?.[1];
      flow.push(...(key ? [key] : []), ...(found[0] === "[" ? ["[]"] : []));
    } else {
      if (flow.at(-1) === "[]") flow.pop();
      flow.pop();
    }
  }
  const [, spaces, dashes] = line.text.match(/^( *)((?:- +)*)/);
  let indent = spaces.length + dashes.length;
  const path = [];
  let isItem = false;
  if (dashes) [indent, isItem] = [spaces.length, path.unshift("[]") > 0];
  for (let number = line.number - 1; number > 0 && (indent > 0 || isItem); number--) {
    const found = state.doc.line(number).text.match(/^( *)((?:- +)*)([\w.-]+) *:/);
    if (!found) continue;
    const start = found[1].length, column = start + found[2].length;
    if (column < indent || (isItem && column === indent && !found[2])) {
      path.unshift(found[3]);
      [indent, isItem] = [column, false];
    }
    if (found[2] && column === indent && !isItem) {
      path.unshift("[]");
      [indent, isItem] = [start, true];
    }
  }
  return [...path, ...flow];
}

const option = (label, type, node, suffix = "") =>
  ({ label, type, apply: label + suffix, info: node?.description?.replaceAll("``", "") });

let schema;
async function complete(context) {
  schema ??= fetch("/api/v1/schema/sweep.json").then((response) => response.json());
  const root = await schema;
  const path = pathAt(context.state, context.pos);
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const [word] = before.match(/[\w.:-]*$/);
  if (!word && !context.explicit) return null;
  const from = context.pos - word.length;
  const key = before.slice(0, before.length - word.length).match(/([\w.-]+) *: +$/)?.[1];
  const nodes = at(key ? [...path, key] : path, root);
  const values = (some) =>
    some.flatMap((node) => node.enum ?? (node.const === undefined ? (node.examples ?? []) : [node.const]));
  // A section can be given as its name alone, such as `model: cnn-tiny`.
  const plainNames = () => values(nodes.flatMap((node) => alternatives(node.properties?.name, root)));
  let options;
  if (key || nodes.every((node) => !node.properties)) {
    options = [...values(nodes), ...plainNames()].map((value) => option(String(value), "enum"));
  } else {
    const isName = /\[[^{]*$|^ *- +[\w.:-]*$/.test(before) && path.at(-1) === "[]";
    const names = isName ? plainNames() : [];
    const keys = new Map(nodes.flatMap((node) => Object.entries(node.properties ?? {})));
    options = [
      ...names.map((name) => option(name, "enum")),
      ...[...keys].map(([name, node]) => option(name, "property", node, ": ")),
    ];
  }
  const distinct = [...new Map(options.map((one) => [one.label, one])).values()];
  return distinct.length ? { from, options: distinct, validFor: /^[\w.:-]*$/ } : null;
}

// A shadow root: there CodeMirror adopts its style sheets, which the Content-Security-Policy allows.
const host = document.createElement("div");
host.className = "editor";
area.after(host);
const root = host.attachShadow({ mode: "open" });
const view = new EditorView({
  root,
  parent: root,
  state: EditorState.create({
    doc: area.value,
    extensions: [
      lineNumbers(), history(), drawSelection(), indentOnInput(), bracketMatching(), highlightActiveLine(),
      syntaxHighlighting(colours), yaml(), look, lintGutter(),
      autocompletion({ override: [complete], icons: false }),
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      EditorView.contentAttributes.of({ "aria-label": "Specification", "aria-describedby": "check", spellcheck: "false", tabindex: "0" }),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        area.value = update.state.doc.toString();
        area.dispatchEvent(new Event("input", { bubbles: true }));
      }),
    ],
  }),
});
area.hidden = true;
document.querySelector("label[for=specification]").removeAttribute("for");

function showProblems() {
  const { doc } = view.state;
  const found = [...document.querySelectorAll("#check [data-line]")].map((item) => {
    const line = doc.line(Math.min(Number(item.dataset.line), doc.lines));
    const start = line.from + line.text.search(/\S|$/);
    const message = `${item.querySelector(".path").textContent}: ${item.querySelector(".message").textContent}`;
    return { from: start, to: line.to, severity: "error", message };
  });
  view.dispatch(setDiagnostics(view.state, found));
}

document.addEventListener("click", (event) => {
  const item = event.target.closest("#check .line")?.closest("[data-line]");
  if (!item) return;
  event.preventDefault();
  const line = view.state.doc.line(Math.min(Number(item.dataset.line), view.state.doc.lines));
  view.dispatch({ selection: { anchor: line.from }, scrollIntoView: true });
  view.focus();
});
document.addEventListener("htmx:after:swap", showProblems);
showProblems();
