// A frame on a picture: drag it to move it, drag a corner to resize it, or use the keys; its position is sent to the server.
const CROPPERS = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  if (!CROPPERS.has(root)) CROPPERS.set(root, new Cropper(root));
  const cropper = CROPPERS.get(root);
  cropper.report = (crop) => setStateValue("crop", crop);
  cropper.show(data);
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);
const WHOLE = { zoom: 1, x: 0.5, y: 0.5 };

class Cropper {
  constructor(root) {
    this.crop = { ...WHOLE };
    this.stage = root.appendChild(el("div", "stage"));
    this.image = this.stage.appendChild(el("img"));
    this.image.draggable = false;
    this.found = this.stage.appendChild(el("div", "found"));
    this.frame = this.stage.appendChild(el("div", "frame"));
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "slider");
    this.frame.setAttribute("aria-label", "Crop: arrow keys move it, plus and minus size it");
    this.frame.setAttribute("aria-valuemin", "1");
    for (const corner of ["nw", "ne", "sw", "se"]) this.frame.appendChild(el("i", corner)).dataset.corner = corner;
    const row = root.appendChild(el("div", "row"));
    this.smaller = button(row, "−", () => this.zoomBy(1 / 1.15), "Larger frame");
    this.larger = button(row, "+", () => this.zoomBy(1.15), "Smaller frame: look closer");
    this.reset = button(row, "Whole picture", () => { this.crop = { ...WHOLE }; this.left(); }, "Back to the whole picture");
    this.frame.addEventListener("pointerdown", (event) => this.grab(event));
    this.frame.addEventListener("keydown", (event) => this.key(event));
    this.stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !this.frame.matches(":focus")) return; // scrolling the page must not crop
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.05 : 1 / 1.05);
    }, { passive: false });
  }

  show(data) {
    if (this.data?.picture !== data.picture || this.data?.proportion !== data.proportion) this.crop = { ...data.crop };
    const source = `data:image/png;base64,${data.source}`;
    this.data = data;
    if (this.image.src !== source) this.image.src = source;
    this.image.alt = data.label;
    const ratio = data.size[0] / data.size[1];
    this.stage.style.aspectRatio = String(ratio);
    this.stage.style.width = `min(100%, ${15 * ratio}rem)`; // at most 15rem high
    this.stage.classList.toggle("hard", Math.max(...data.size) <= 96);
    this.place();
  }

  // The frame in shares of the picture.
  box() {
    const [width, height] = this.data.size;
    const scale = Math.min(width / this.data.proportion, height) / this.crop.zoom;
    const across = (scale * this.data.proportion) / width;
    const down = scale / height;
    return [this.crop.x * (1 - across), this.crop.y * (1 - down), across, down];
  }

  setBox(left, top, across) {
    const [width, height] = this.data.size;
    const largest = Math.min(width / this.data.proportion, height);
    this.crop.zoom = within((largest * this.data.proportion) / (across * width), 1, this.data.longest);
    const [, , wide, tall] = this.box();
    this.crop.x = wide < 1 ? within(left / (1 - wide), 0, 1) : 0.5;
    this.crop.y = tall < 1 ? within(top / (1 - tall), 0, 1) : 0.5;
    this.place();
  }

  place() {
    const put = (node, [left, top, across, down]) => Object.assign(node.style, {
      left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * across}%`, height: `${100 * down}%`,
    });
    put(this.frame, this.box());
    const { found, size } = this.data;
    this.found.hidden = !found;
    if (found) put(this.found, [found[0] / size[0], found[1] / size[1], found[2] / size[0], found[3] / size[1]]);
    this.frame.setAttribute("aria-valuemax", String(this.data.longest));
    this.frame.setAttribute("aria-valuenow", this.crop.zoom.toFixed(2));
    this.frame.setAttribute("aria-valuetext", `${this.crop.zoom.toFixed(1)} times enlarged`);
    const whole = this.crop.zoom === 1 && this.crop.x === 0.5 && this.crop.y === 0.5;
    this.reset.disabled = whole;
    this.smaller.disabled = this.crop.zoom <= 1;
    this.larger.disabled = this.crop.zoom >= this.data.longest;
  }

  grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.frame.focus({ preventScroll: true });
    const corner = event.target.dataset?.corner;
    const area = this.stage.getBoundingClientRect();
    const [left, top, across, down] = this.box();
    const start = [event.clientX, event.clientY];
    this.frame.setPointerCapture(event.pointerId);
    const move = (next) => {
      const dx = (next.clientX - start[0]) / area.width;
      const dy = (next.clientY - start[1]) / area.height;
      this.found.hidden = true; // it belongs to the previous frame
      if (!corner) return this.setBox(left + dx, top + dy, across);
      const [west, north] = [corner.includes("w"), corner.includes("n")];
      // The corner opposite the dragged one keeps its place.
      const room = Math.min(west ? left + across : 1 - left, ((north ? top + down : 1 - top) * across) / down);
      const wide = within(across + (west ? -dx : dx), 0.01, room);
      const tall = (wide * down) / across;
      return this.setBox(west ? left + across - wide : left, north ? top + down - tall : top, wide);
    };
    const end = () => {
      this.frame.removeEventListener("pointermove", move);
      this.left();
    };
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("lostpointercapture", end, { once: true });
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "+" || event.key === "=") this.zoomBy(1.15);
    else if (event.key === "-") this.zoomBy(1 / 1.15);
    else if (event.key in steps) {
      const [left, top, across] = this.box();
      const [dx, dy] = steps[event.key];
      this.setBox(left + 0.02 * dx, top + 0.02 * dy, across);
      this.later();
    } else return;
    event.preventDefault();
  }

  zoomBy(factor) {
    const [left, top, across, down] = this.box();
    const zoom = within(this.crop.zoom * factor, 1, this.data.longest);
    const wide = (across * this.crop.zoom) / zoom;
    const tall = (down * this.crop.zoom) / zoom;
    this.setBox(left + (across - wide) / 2, top + (down - tall) / 2, wide);
    this.later();
  }

  // Key and wheel events come in bursts: only the last is sent.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.left(), 350);
  }

  left() {
    clearTimeout(this.timer);
    this.place();
    this.report({ picture: this.data.picture, ...this.crop });
  }
}
