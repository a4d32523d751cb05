// Shared by the components that draw a figure: it is saved at the size of a slide, on white, as PNG or SVG.
const SLIDE = { width: 1920, height: 1080 };

// Two buttons. `draw` makes the figure, an SVG element with a viewBox; `name` is the file's, without its ending.
function figureButtons(parent, name, draw) {
  if (window.parent !== window) return; // on a screen of a presentation they only take room
  for (const kind of ["PNG", "SVG"]) {
    const button = parent.appendChild(document.createElement("button"));
    Object.assign(button, { type: "button", className: "save", textContent: `↓ ${kind}` });
    button.setAttribute("aria-label", `Download the figure as ${kind}`);
    button.title = `${SLIDE.width} × ${SLIDE.height}`;
    button.onclick = async () => {
      const drawn = onSlide(draw());
      const text = new XMLSerializer().serializeToString(drawn);
      saveFile(kind === "SVG" ? new Blob([text], { type: "image/svg+xml" }) : await pngOf(text), `${name}.${kind.toLowerCase()}`);
    };
  }
}

// The drawing in the middle of a white ground of a slide's shape.
function onSlide(drawn) {
  const [x, y, wide, high] = drawn.getAttribute("viewBox").split(" ").map(Number);
  const height = 1.08 * Math.max(high, (wide * SLIDE.height) / SLIDE.width);
  const box = { width: (height * SLIDE.width) / SLIDE.height, height };
  Object.assign(box, { x: x - (box.width - wide) / 2, y: y - (box.height - high) / 2 });
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ ...box, fill: "#fff" })) ground.setAttribute(key, value);
  drawn.prepend(ground);
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
