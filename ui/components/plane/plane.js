// Decision maps side by side. Pointing at a map shows the image at that point, x + a·u + b·v clipped to [0, 1], and its answer.
const LAST = new WeakMap();
const SIZE = 400; // the drawing's own units for each side of a map
const EDGE = { left: 30, right: 8, top: 8, bottom: 34 };

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  const before = LAST.get(root);
  if (!before || before.data.token !== data.token || before.data.turn !== data.turn) {
    const maps = new Maps(root, data, before && before.data.turn === data.turn ? before.index : null);
    LAST.set(root, maps);
  }
  LAST.get(root).report = setStateValue;
}

class Maps {
  constructor(root, data, index) {
    Object.assign(this, { root, data });
    this.clean = bytes(data.clean);
    const focused = root.contains(root.getRootNode().activeElement) && root.getRootNode().activeElement.type === "range";
    root.replaceChildren();
    this.buildTrack();
    const cards = root.appendChild(el("div", "cards"));
    this.cards = data.models.map((model, place) => new Card(this, cards, model, "ABCD"[place]));
    this.buildLegend();
    this.goto(index ?? nearest(data.epsilons, data.epsilon));
    if (focused) this.input.focus({ preventScroll: true });
  }

  buildTrack() {
    const row = this.root.appendChild(el("div", "row"));
    this.output = row.appendChild(el("output", "eps"));
    this.input = slider(row, this.data.epsilons.length - 1, "ε, the largest change of a pixel value", (index) => this.goto(index));
    this.input.onchange = () => this.report("left", { turn: this.data.turn, epsilon: this.data.epsilons[this.index] });
  }

  buildLegend() {
    const list = this.root.appendChild(el("ul", "legend"));
    for (const [place, colour] of Object.entries(this.data.colours)) {
      const item = list.appendChild(el("li"));
      item.appendChild(el("i")).style.background = colour;
      item.append(this.data.names[place] + (Number(place) === this.data.label ? ", the true class" : ""));
    }
    list.appendChild(el("li", "faint", "fainter: less confident"));
    figureButtons(list.appendChild(el("li", "files")), this.data.file, () => this.picture());
  }

  goto(index) {
    this.index = index;
    this.input.value = index;
    showEpsilon(this.output, this.input, this.data.epsilons[index]);
    this.point(null);
  }

  // Show the same place of both planes; null is the attack at the current ε.
  point(place) {
    this.cards.forEach((card) => card.point(place ?? card.model.path[this.index], place !== null));
  }

  // Both maps as one drawing.
  picture() {
    const high = SIZE + 46;
    const whole = svg("svg", { viewBox: `0 0 ${SIZE * this.cards.length} ${high}` });
    this.cards.forEach((card, place) => {
      const group = whole.appendChild(svg("g", { transform: `translate(${place * SIZE} 26)` }));
      group.appendChild(svg("text", { x: EDGE.left, y: -8, "font-size": 14, fill: "#111" }, `${card.letter}: ${card.model.title}`));
      for (const child of card.svg.children) group.appendChild(child.cloneNode(true));
    });
    const names = Object.entries(this.data.colours);
    let at = 8;
    for (const [place, colour] of names) {
      whole.appendChild(svg("rect", { x: at, y: high - 15, width: 11, height: 11, fill: colour }));
      whole.appendChild(svg("text", { x: at + 15, y: high - 5, "font-size": 12, fill: "#111" }, this.data.names[place]));
      at += 28 + 7 * this.data.names[place].length;
    }
    return whole;
  }
}

class Card {
  constructor(maps, parent, model, letter) {
    Object.assign(this, { maps, model, letter, data: maps.data });
    this.classes = new Int16Array(bytes(model.classes).buffer);
    this.confidence = bytes(model.confidence);
    this.u = new Int8Array(bytes(model.u).buffer);
    this.v = new Int8Array(bytes(model.v).buffer);
    this.frames = model.frames && bytes(model.frames);
    const [card] = modelCard(parent, model, letter);
    this.svg = card.appendChild(svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, tabindex: 0, role: "img" }));
    this.svg.setAttribute("aria-label", `The answers of model ${letter} around the image; the arrow keys move the point`);
    this.draw();
    const below = card.appendChild(el("div", "below"));
    this.canvas = imageCanvas(below, this.data.shape);
    this.says = below.appendChild(el("p", "says"));
    this.says.setAttribute("aria-live", "polite");
    this.listen();
  }

  x(a) {
    return EDGE.left + ((a / this.data.reach[0] + 1) / 2) * (SIZE - EDGE.left - EDGE.right);
  }

  y(b) {
    return EDGE.top + ((1 - b / this.data.reach[1]) / 2) * (SIZE - EDGE.top - EDGE.bottom);
  }

  draw() {
    const [left, right, top, bottom] = [this.x(-this.data.reach[0]), this.x(this.data.reach[0]), this.y(this.data.reach[1]), this.y(-this.data.reach[1])];
    // Each answer fills the square around its point: the picture is half a square wider than the grid on each side.
    const cell = [(right - left) / (this.model.side - 1), (bottom - top) / (this.model.side - 1)];
    const clip = `map${this.letter}`;
    const defs = this.svg.appendChild(svg("defs", {}));
    defs.appendChild(svg("clipPath", { id: clip })).appendChild(svg("rect", { x: left, y: top, width: right - left, height: bottom - top }));
    const inner = this.svg.appendChild(svg("g", { "clip-path": `url(#${clip})` }));
    inner.appendChild(svg("image", { href: this.bitmap(), x: left - cell[0] / 2, y: top - cell[1] / 2, width: right - left + cell[0], height: bottom - top + cell[1], preserveAspectRatio: "none", style: "image-rendering: pixelated" }));
    this.names(inner);
    const line = { fill: "none", stroke: "currentColor", "vector-effect": "non-scaling-stroke" };
    this.box = inner.appendChild(svg("polygon", { ...line, "stroke-width": 1.5, "stroke-dasharray": "5 3" }));
    const path = this.model.path.map(([a, b]) => `${this.x(a).toFixed(1)},${this.y(b).toFixed(1)}`).join(" ");
    inner.appendChild(svg("polyline", { ...line, points: path, "stroke-width": 2 }));
    if (this.model.fooled !== null) {
      const [a, b] = this.model.path[this.model.fooled];
      const cross = `M${this.x(a) - 6} ${this.y(b) - 6}l12 12m0 -12l-12 12`;
      inner.appendChild(svg("path", { ...line, d: cross, "stroke-width": 6, stroke: "#fff" }));
      inner.appendChild(svg("path", { ...line, d: cross, "stroke-width": 2.5, stroke: "#000" }));
    }
    inner.appendChild(svg("circle", { cx: this.x(0), cy: this.y(0), r: 4.5, fill: "#fff", stroke: "#000", "stroke-width": 1.5 }));
    this.mark = inner.appendChild(svg("circle", { r: 7, fill: "none", stroke: "#000", "stroke-width": 2 }));
    this.halo = inner.appendChild(svg("circle", { r: 9, fill: "none", stroke: "#fff", "stroke-width": 2 }));
    const text = { class: "axis", "font-size": 14, fill: "currentColor", y: bottom + 22 };
    const [a, b] = this.data.axes;
    const [end, high] = this.data.reach.map((reach) => reach.toPrecision(2));
    const upright = (y) => ({ ...text, x: 0, y: 0, transform: `translate(20 ${y}) rotate(-90)` });
    this.svg.appendChild(svg("rect", { ...line, x: left, y: top, width: right - left, height: bottom - top, "stroke-width": 1, opacity: 0.5 }));
    this.svg.appendChild(svg("text", { ...text, x: left }, `−${end}`));
    this.svg.appendChild(svg("text", { ...text, x: right, "text-anchor": "end" }, end));
    this.svg.appendChild(svg("text", { ...text, x: (left + right) / 2, "text-anchor": "middle" }, a));
    this.svg.appendChild(svg("text", upright(bottom), `−${high}`));
    this.svg.appendChild(svg("text", { ...upright(top), "text-anchor": "end" }, high));
    this.svg.appendChild(svg("text", { ...upright((top + bottom) / 2), "text-anchor": "middle" }, b));
  }

  // One pixel for each point, the row of the largest b on top; the colour is the class, its opacity the confidence.
  bitmap() {
    const { side } = this.model;
    const canvas = el("canvas");
    Object.assign(canvas, { width: side, height: side });
    const picture = new ImageData(side, side);
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const from = (side - 1 - row) * side + column;
        const at = 4 * (row * side + column);
        picture.data.set(rgb(this.data.colours[this.classes[from]]), at);
        picture.data[at + 3] = 60 + 0.76 * this.confidence[from];
      }
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas.toDataURL();
  }

  // The name of each class in the middle of its region, where that is large enough.
  names(parent) {
    const { side } = this.model;
    const places = new Map();
    this.classes.forEach((name, at) => { if (!places.has(name)) places.set(name, []); places.get(name).push([at % side, Math.floor(at / side)]); });
    for (const [name, points] of places) {
      if (points.length < 0.025 * side * side) continue;
      const mean = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
      const far = ([column, row]) => (column - mean[0]) ** 2 + (row - mean[1]) ** 2;
      const [column, row] = points.reduce((best, point) => (far(point) < far(best) ? point : best));
      const [a, b] = [[column, 0], [row, 1]].map(([at, axis]) => ((2 * at) / (side - 1) - 1) * this.data.reach[axis]);
      const own = name === this.data.label ? 34 : 0; // above the path, which begins in the middle
      const long = this.data.names[name];
      parent.appendChild(svg("text", { class: "region", x: Math.min(SIZE - 40, Math.max(60, this.x(a))), y: Math.max(26, this.y(b) - own), "text-anchor": "middle", "font-size": 17, "font-weight": 700, fill: "#fff", stroke: "#000", "stroke-width": 3, "paint-order": "stroke" }, long.length > 14 ? `${long.slice(0, 13)}…` : long));
    }
  }

  // The image and the answer at a place of the plane.
  point([a, b], chosen) {
    const { reach, shape, names, epsilons } = this.data;
    const epsilon = epsilons[this.maps.index];
    this.box.setAttribute("points", this.model.box.map(([p, q]) => `${this.x(epsilon * p).toFixed(1)},${this.y(epsilon * q).toFixed(1)}`).join(" "));
    for (const ring of [this.mark, this.halo]) {
      ring.setAttribute("cx", this.x(a));
      ring.setAttribute("cy", this.y(b));
    }
    this.at = [a, b];
    const { model, maps } = this;
    const frames = chosen ? null : this.frames;
    const start = maps.index * maps.clean.length;
    let largest = 0;
    paint(this.canvas, shape, (at) => {
      const moved = maps.clean[at] + (255 / 127) * (a * this.u[at] + b * this.v[at]);
      const value = frames ? frames[start + at] : Math.min(255, Math.max(0, moved));
      largest = Math.max(largest, Math.abs(value - maps.clean[at]));
      return value;
    });
    // On the attack's path the answer is the model's to that image, elsewhere that at the nearest point of the grid.
    const [column, row] = [a / reach[0], b / reach[1]].map((share) => Math.round(((share + 1) / 2) * (model.side - 1)));
    const cell = row * model.side + column;
    const answer = chosen ? this.classes[cell] : model.answers[maps.index];
    const share = chosen ? this.confidence[cell] / 255 : model.shares[maps.index];
    const wrong = answer !== this.data.label;
    const says = el("b", wrong ? "wrong" : "", `${wrong ? "✗" : "✓"} ${names[answer]}`);
    const where = chosen ? `a = ${a.toFixed(3)}, b = ${b.toFixed(3)}, nearest point of the grid` : `the attack at ε = ${epsilon.toFixed(3)}`;
    this.says.replaceChildren(says, ` ${percent(share)}`, el("small", "", where), el("small", "", `largest change of a pixel ${levels(largest / 255)}`));
  }

  listen() {
    const place = (event) => {
      const box = this.svg.getBoundingClientRect();
      const [x, y] = [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
      const a = (((x - EDGE.left) / (SIZE - EDGE.left - EDGE.right)) * 2 - 1) * this.data.reach[0];
      const b = (1 - ((y - EDGE.top) / (SIZE - EDGE.top - EDGE.bottom)) * 2) * this.data.reach[1];
      return [a, b].map((value, axis) => Math.max(-this.data.reach[axis], Math.min(this.data.reach[axis], value)));
    };
    this.svg.onpointermove = (event) => this.maps.point(place(event));
    this.svg.onpointerdown = (event) => { if (event.pointerType !== "mouse") this.svg.setPointerCapture(event.pointerId); this.maps.point(place(event)); };
    this.svg.onpointerleave = (event) => { if (event.pointerType === "mouse") this.maps.point(null); };
    this.svg.onkeydown = (event) => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (event.key === "Escape") return this.maps.point(null);
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.maps.point(this.at.map((value, axis) => Math.max(-this.data.reach[axis], Math.min(this.data.reach[axis], value + (steps[event.key][axis] * this.data.reach[axis]) / 50))));
    };
  }
}
