// Saves the row of pictures in the same container at the size of a slide.
const WIDE = 240, SIDE = 208;

export default function (component) {
  const { data, parentElement } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  root.replaceChildren();
  figureButtons(root, data.name, () => {
    const shown = root.getRootNode().host.closest('[class*="st-key-pictures"]').querySelectorAll(".pictures figure");
    const whole = svg("svg", { viewBox: `0 0 ${WIDE * shown.length} 320`, "font-size": 19 });
    shown.forEach((figure, place) => whole.appendChild(drawn(figure, WIDE * place + (WIDE - SIDE) / 2)));
    return whole;
  });
}

// A picture in the frame of its verdict, with the words below it.
function drawn(figure, x) {
  const part = svg("g", { transform: `translate(${x} 10)` });
  const colour = figure.style.getPropertyValue("--verdict");
  const [what, says, verdict] = [...figure.querySelector("figcaption").childNodes].map((node) => node.textContent).filter(Boolean);
  part.appendChild(svg("image", { href: enlarged(figure.querySelector("img")), width: SIDE, height: SIDE }));
  part.appendChild(svg("rect", { width: SIDE, height: SIDE, fill: "none", stroke: colour, "stroke-width": 4 }));
  part.appendChild(svg("text", { y: 236, fill: "#14202b" }, what));
  part.appendChild(svg("text", { y: 262, fill: "#14202b", "font-weight": 700 }, says));
  if (verdict) {
    part.appendChild(svg("text", { y: 288, fill: "#14202b", "font-weight": 700 }, verdict));
    part.appendChild(svg("rect", { y: 296, width: SIDE, height: 4, fill: colour }));
  }
  return part;
}

// The picture with every pixel repeated, since not every program draws small pictures with hard edges.
function enlarged(picture) {
  const times = Math.ceil(512 / picture.naturalWidth);
  const canvas = el("canvas");
  Object.assign(canvas, { width: times * picture.naturalWidth, height: times * picture.naturalHeight });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}
