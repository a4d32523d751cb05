// Models in groups to click on; the id of the picked one is sent to the server. One tab stop: arrow keys move within the list.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  const make = (parent, tag, name, text) => parent.appendChild(el(tag, name, text));
  const held = root.querySelector(":focus")?.dataset.id;
  const scrolled = root.querySelector(".list")?.scrollTop;
  const list = el("div", "list");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Models");
  const head = make(list, "div", "line head");
  head.setAttribute("role", "presentation");
  ["Model", "", "clean", "FGSM", "strongest", "at ε", "masked"].forEach((name) => make(head, "span", "cell", name));
  data.groups.forEach((group) => {
    const part = make(list, "div", "group");
    part.setAttribute("role", "group");
    part.setAttribute("aria-label", group.title);
    if (data.groups.length > 1) make(part, "div", "title", group.title).setAttribute("role", "presentation");
    group.lines.forEach((line) => {
      const row = make(part, "div", "line");
      row.dataset.id = line.id;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(line.id === data.selected));
      const [clean, fgsm, strongest] = line.texts;
      row.setAttribute(
        "aria-label",
        `${line.title}: clean ${clean} %, FGSM ${fgsm} %, strongest attack ${strongest} %${line.measured && ` (${line.measured})`}` +
          (line.epsilon ? ` at ε = ${line.epsilon}` : "") + (line.masked ? ", masked" : "") + (line.own ? ", your own" : ""),
      );
      row.tabIndex = line.id === data.selected ? 0 : -1;
      const name = make(row, "span", "cell name", line.title.replace(/([εσT]) (?=[0-9])/g, "$1\u00a0").replaceAll("-", "\u2011"));
      if (line.own) make(name, "small", "own", "your own");
      const bar = make(row, "span", "cell bar");
      bar.style.setProperty("--colour", line.colour);
      line.shares
        .map((share, place) => [share, place])
        .filter(([share]) => share !== null)
        .sort((one, other) => other[0] - one[0])
        .forEach(([share, place]) => (make(bar, "i", `part${place}`).style.width = `${100 * share}%`));
      line.texts.forEach((text, place) => make(row, "span", `cell number n${place}`, text));
      row.querySelector(".n2").title = line.measured;
      make(row, "span", "cell number epsilon", line.epsilon);
      make(row, "span", "cell masked", line.masked ? "⚠ masked" : "");
    });
  });
  const rows = [...list.querySelectorAll("[role=option]")];
  const pick = (row) => {
    rows.forEach((other) => {
      other.setAttribute("aria-selected", String(other === row));
      other.tabIndex = other === row ? 0 : -1;
    });
    setTriggerValue("pick", row.dataset.id);
  };
  list.onclick = (event) => {
    const row = event.target.closest("[role=option]");
    if (row) pick(row);
  };
  list.onkeydown = (event) => {
    const at = rows.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (at < 0 || (to === undefined && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    if (to === undefined) pick(rows[at]);
    else rows[Math.max(0, Math.min(rows.length - 1, to))].focus();
  };
  root.replaceChildren(list);
  if (rows.length && !rows.some((row) => row.tabIndex === 0)) rows[0].tabIndex = 0;
  const selected = rows.find((row) => row.dataset.id === data.selected);
  if (scrolled) list.scrollTop = scrolled;
  else if (selected) list.scrollTop = Math.max(0, selected.offsetTop - list.clientHeight / 2);
  if (held !== undefined) rows.find((row) => row.dataset.id === held)?.focus({ preventScroll: true });
}
