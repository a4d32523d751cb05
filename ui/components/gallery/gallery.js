// Test images to click on; the index of the picked one is sent to the server. One tab stop; the arrow keys move within.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  const [channels, height, width] = data.shape;
  const size = height * width;
  const strip = document.createElement("div");
  strip.className = "strip";
  strip.setAttribute("role", "toolbar");
  strip.setAttribute("aria-label", `${data.noun}s: the arrow keys move, Enter picks`);
  strip.style.setProperty("--cell", width > 40 ? "5.2rem" : "3.9rem");
  const pixels = Uint8Array.from(atob(data.images), (sign) => sign.charCodeAt(0));
  const held = root.querySelector(":focus")?.dataset.index;
  data.items.forEach((item, position) => {
    const button = strip.appendChild(document.createElement("button"));
    button.type = "button";
    button.dataset.index = item.index;
    button.setAttribute("aria-pressed", String(item.index === data.selected));
    button.setAttribute("aria-label", `${data.noun} ${item.index}: ${item.label}`);
    button.title = `${data.noun} ${item.index}: ${item.label}`;
    button.onclick = () => {
      strip.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      setTriggerValue("pick", item.index);
    };
    const canvas = button.appendChild(document.createElement("canvas"));
    Object.assign(canvas, { width, height });
    if (width <= 40) canvas.classList.add("hard");
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const offset = position * channels * size;
    for (let pixel = 0; pixel < size; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        picture.data[4 * pixel + channel] = pixels[offset + (channels === 3 ? channel : 0) * size + pixel];
      }
      picture.data[4 * pixel + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    button.appendChild(document.createElement("span")).textContent = item.label;
  });
  const buttons = [...strip.children];
  const reach = (button) => buttons.forEach((other) => { other.tabIndex = other === button ? 0 : -1; });
  reach(buttons.find((button) => button.getAttribute("aria-pressed") === "true") ?? buttons[0]);
  strip.addEventListener("focusin", (event) => reach(event.target));
  strip.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const row = Math.max(1, buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: buttons.length - 1 };
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    buttons[Math.min(Math.max(to[event.key], 0), buttons.length - 1)].focus();
  });
  root.replaceChildren(strip);
  if (held !== undefined) strip.querySelector(`[data-index="${held}"]`)?.focus({ preventScroll: true });
}
