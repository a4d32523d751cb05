// A drawing pad: strokes are kept as points; undo draws all but the last again.
const PADS = new WeakMap();
const INK = "#111111";
const PAPER = "#ffffff";

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  if (!PADS.has(root)) PADS.set(root, new Pad(root, data));
  PADS.get(root).report = (drawing) => setStateValue("drawing", drawing);
}

class Pad {
  constructor(root, data) {
    Object.assign(this, { side: data.side, strokes: [], tool: "pen", width: 0.075 });
    const sheet = root.appendChild(el("div", "sheet"));
    this.canvas = sheet.appendChild(el("canvas"));
    Object.assign(this.canvas, { width: data.side, height: data.side, tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Drawing pad: draw with mouse, finger or pen");
    this.hint = sheet.appendChild(el("div", "hint", data.hint));
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.buildTools(root);
    this.listen();
    this.redraw();
    if (data.kept) this.restore(data.kept);
  }

  // The drawing from before the pad was hidden lies below the strokes, as one picture.
  restore(kept) {
    const image = new Image();
    image.onload = () => {
      this.below = image;
      this.redraw();
    };
    image.src = `data:image/png;base64,${kept}`;
  }

  buildTools(root) {
    const tools = root.appendChild(el("div", "tools"));
    tools.setAttribute("role", "toolbar");
    tools.setAttribute("aria-label", "Drawing tools");
    const tool = (text, title, act) => Object.assign(button(tools, text, act), { title });
    this.pen = tool("Pen", "Draw", () => this.use("pen"));
    this.eraser = tool("Eraser", "Erase", () => this.use("eraser"));
    this.back = tool("Undo", "Undo the last stroke (Ctrl+Z)", () => this.undo());
    this.clear = tool("Clear", "Clear the drawing", () => this.wipe());
    const size = tools.appendChild(el("label", "size"));
    size.appendChild(el("span", "", "Thickness"));
    const input = size.appendChild(el("input"));
    Object.assign(input, { type: "range", min: 2, max: 14, step: 0.5, value: 100 * this.width });
    input.oninput = () => { this.width = Number(input.value) / 100; };
    root.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
        event.preventDefault();
        this.undo();
      }
    });
    this.use("pen");
  }

  use(tool) {
    this.tool = tool;
    for (const name of ["pen", "eraser"]) this[name].setAttribute("aria-pressed", String(name === tool));
    this.canvas.classList.toggle("erasing", tool === "eraser");
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.pointer !== undefined || (event.pointerType === "mouse" && event.button !== 0)) return;
      event.preventDefault();
      this.pointer = event.pointerId; // only one pointer draws, so that the palm beside a pen does not
      try { canvas.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
      const eraser = this.tool === "eraser" || (event.buttons & 32) !== 0; // a stylus turned round
      this.stroke = { eraser, width: (eraser ? 1.8 : 1) * this.width * this.side, points: [] };
      this.strokes.push(this.stroke);
      this.add(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.pointer) return;
      const finer = event.getCoalescedEvents?.() ?? [];
      for (const each of finer.length ? finer : [event]) this.add(each);
    });
    const end = (event) => {
      if (event.pointerId !== this.pointer) return;
      this.pointer = undefined;
      this.send();
    };
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end);
  }

  add(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.side;
    const y = ((event.clientY - box.top) / box.height) * this.side;
    // A mouse always reports 0 or 0.5; only a stylus reports its pressure.
    const force = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    this.stroke.points.push([x, y, this.stroke.width * force]);
    this.paint(this.stroke, Math.max(0, this.stroke.points.length - 3));
    this.hint.hidden = true;
  }

  // Paint a stroke from its point `from` on, as quadratic curves through the middles of its segments.
  paint(stroke, from) {
    const { context } = this;
    const { points } = stroke;
    context.strokeStyle = context.fillStyle = stroke.eraser ? PAPER : INK;
    context.lineCap = context.lineJoin = "round";
    if (points.length === 1) {
      const [x, y, width] = points[0];
      context.beginPath();
      context.arc(x, y, width / 2, 0, 2 * Math.PI);
      context.fill();
      return;
    }
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    for (let index = Math.max(1, from); index < points.length; index++) {
      const [before, now] = [points[index - 1], points[index]];
      const start = index === 1 ? before : middle(points[index - 2], before);
      const end = index === points.length - 1 ? now : middle(before, now);
      context.lineWidth = (before[2] + now[2]) / 2;
      context.beginPath();
      context.moveTo(start[0], start[1]);
      context.quadraticCurveTo(before[0], before[1], end[0], end[1]);
      context.stroke();
    }
  }

  redraw() {
    this.context.fillStyle = PAPER;
    this.context.fillRect(0, 0, this.side, this.side);
    if (this.below) this.context.drawImage(this.below, 0, 0, this.side, this.side);
    this.strokes.forEach((stroke) => this.paint(stroke, 0));
    this.hint.hidden = Boolean(this.below) || this.strokes.length > 0;
    this.mark();
  }

  mark() {
    this.back.disabled = this.strokes.length === 0;
    this.clear.disabled = this.strokes.length === 0 && !this.below;
  }

  undo() {
    if (!this.strokes.length) return;
    this.strokes.pop();
    this.redraw();
    this.send();
  }

  wipe() {
    this.strokes = [];
    this.below = null;
    this.redraw();
    this.send();
    this.canvas.focus({ preventScroll: true }); // the button that had the focus is disabled now
  }

  send() {
    this.mark();
    const inked = this.below || this.strokes.some((stroke) => !stroke.eraser);
    this.report?.(inked ? this.canvas.toDataURL("image/png").split(",")[1] : "");
  }
}
