// What the components share: it is added at the end of each component's script.

function el(tag, kind, text) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text; // never HTML: names come from files and links
  return node;
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A button; `name` is its title, and its name for screen readers.
function button(parent, text, act, name) {
  const made = Object.assign(parent.appendChild(el("button", "", text)), { type: "button", onclick: act });
  if (name) {
    made.title = name;
    made.setAttribute("aria-label", name);
  }
  return made;
}

// A slider over the places 0 to `last`; `moved` is called with the new place.
function slider(parent, last, name, moved) {
  const input = Object.assign(parent.appendChild(el("input")), { type: "range", min: 0, max: last, step: 1 });
  input.setAttribute("aria-label", name);
  input.oninput = () => moved(Number(input.value));
  return input;
}

// Write ε beside its slider.
function showEpsilon(output, input, epsilon) {
  output.replaceChildren(`ε = ${epsilon.toFixed(3)} `, el("small", "", `(${levels(epsilon)})`));
  input.setAttribute("aria-valuetext", `${epsilon.toFixed(3)}, ${levels(epsilon)}`);
}

// A card for a model: an edge in its colour, and a head with its letter and its names.
function modelCard(parent, model, letter) {
  const card = parent.appendChild(el("section", "card"));
  card.style.setProperty("--role", model.colour);
  card.setAttribute("aria-label", `Model ${letter}: ${model.title}`);
  const head = card.appendChild(el("div", "head"));
  const who = head.appendChild(el("div", "who"));
  who.appendChild(el("span", "letter", letter)).style.color = inkOn(model.colour);
  who.appendChild(el("span", "name", model.role)).appendChild(el("small", "", model.title));
  return [card, head];
}

// A canvas for an image of `shape` (channels, height, width); a small image has hard pixel edges.
function imageCanvas(parent, [, height, width]) {
  return Object.assign(parent.appendChild(el("canvas", Math.max(width, height) <= 96 ? "hard" : "")), { width, height });
}

// Paint an image; `value` gives its values, 0 to 255, by their place in the channels, rows and columns.
function paint(canvas, [channels, height, width], value) {
  const picture = new ImageData(width, height);
  const size = height * width;
  for (let pixel = 0; pixel < size; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      picture.data[4 * pixel + channel] = value((channels === 3 ? channel : 0) * size + pixel);
    }
    picture.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function bytes(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

// The place of the value that is nearest to `wanted`.
function nearest(values, wanted) {
  return values.reduce((best, value, place) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? place : best), 0);
}

// A probability in percent, never rounded to 0 or 100.
function percent(share) {
  if (share < 0.0005) return "< 0.1 %";
  return share > 0.9995 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`;
}

function levels(epsilon) {
  return `${(epsilon * 255).toFixed(1).replace(/\.0$/, "")}/255`;
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// Black or white, whichever is easier to read on the colour.
function inkOn(colour) {
  const [red, green, blue] = rgb(colour).map((value) => (value / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

// --- saving a figure --------------------------------------------------------------------------------------------------------

const SLIDE = { width: 1920, height: 1080 };

// Two buttons, PNG and SVG, that save what `what` names; `save` is called with the kind, "png" or "svg".
function saveButtons(parent, what, save) {
  for (const kind of ["PNG", "SVG"]) {
    button(parent, `↓ ${kind}`, () => save(kind.toLowerCase()), `Download the ${what} as ${kind}`).title = `${SLIDE.width} × ${SLIDE.height}`;
  }
}

// The same for a figure; `draw` makes it, an SVG element with a viewBox, and `name` is the file's.
function figureButtons(parent, name, draw) {
  if (window.parent !== window) return; // not on a screen of a presentation
  saveButtons(parent, "figure", async (kind) => {
    const text = new XMLSerializer().serializeToString(onSlide(draw()));
    saveFile(kind === "svg" ? new Blob([text], { type: "image/svg+xml" }) : await pngOf(text), `${name}.${kind}`);
  });
}

// Put the drawing in the middle of a white slide.
function onSlide(drawn) {
  const [x, y, wide, high] = drawn.getAttribute("viewBox").split(" ").map(Number);
  const height = 1.08 * Math.max(high, (wide * SLIDE.height) / SLIDE.width);
  const box = { width: (height * SLIDE.width) / SLIDE.height, height };
  Object.assign(box, { x: x - (box.width - wide) / 2, y: y - (box.height - high) / 2 });
  drawn.prepend(svg("rect", { ...box, fill: "#fff" }));
  const shape = { ...SLIDE, viewBox: `${box.x} ${box.y} ${box.width} ${box.height}`, color: "#14202b", "font-family": "system-ui, 'DejaVu Sans', sans-serif" };
  for (const [key, value] of Object.entries(shape)) drawn.setAttribute(key, value);
  return drawn;
}

async function pngOf(text) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), SLIDE);
  canvas.getContext("2d").drawImage(picture, 0, 0, SLIDE.width, SLIDE.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function saveFile(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
