// Test images to click on; the index of the picked one is sent to the server. One tab stop; the arrow keys move within.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  const [channels, height, width] = data.shape;
  const strip = el("div", "strip");
  strip.setAttribute("role", "toolbar");
  strip.setAttribute("aria-label", `${data.noun}s: the arrow keys move, Enter picks`);
  strip.style.setProperty("--cell", width > 40 ? "5.2rem" : "3.9rem");
  const pixels = bytes(data.images);
  const held = root.querySelector(":focus")?.dataset.index;
  data.items.forEach((item, position) => {
    const cell = button(strip, "", () => {
      [...strip.children].forEach((other) => other.setAttribute("aria-pressed", String(other === cell)));
      setTriggerValue("pick", item.index);
    }, `${data.noun} ${item.index}: ${item.label}`);
    cell.dataset.index = item.index;
    cell.setAttribute("aria-pressed", String(item.index === data.selected));
    const canvas = cell.appendChild(el("canvas", width <= 40 ? "hard" : ""));
    Object.assign(canvas, { width, height });
    const offset = position * channels * height * width;
    paint(canvas, data.shape, (place) => pixels[offset + place]);
    cell.appendChild(el("span", "", item.label));
  });
  const buttons = [...strip.children];
  const reach = (cell) => buttons.forEach((other) => { other.tabIndex = other === cell ? 0 : -1; });
  reach(buttons.find((cell) => cell.getAttribute("aria-pressed") === "true") ?? buttons[0]);
  strip.addEventListener("focusin", (event) => reach(event.target));
  strip.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const row = Math.max(1, buttons.filter((cell) => cell.offsetTop === buttons[0].offsetTop).length);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: buttons.length - 1 };
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    buttons[Math.min(Math.max(to[event.key], 0), buttons.length - 1)].focus();
  });
  root.replaceChildren(strip);
  if (held !== undefined) strip.querySelector(`[data-index="${held}"]`)?.focus({ preventScroll: true });
}
