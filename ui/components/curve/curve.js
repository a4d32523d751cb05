// Accuracy against ε. Dragging ε moves a line over the chart and shows each curve's figure there.
const DRAWN = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  DRAWN.get(root)?.end();
  const chart = new Chart(root, data);
  DRAWN.set(root, chart);
  return () => chart.end();
}

const DASHES = { solid: "", dot: "2 5", dash: "8 5", longdash: "14 5", dashdot: "8 4 2 4", longdashdot: "14 4 2 4" };
const HIGH = 380;
const PLOT = { left: 56, right: 16, top: 12, bottom: 44 };
// An accuracy, which may be exactly 0 or 1.
const accuracy = (share) => (share === 0 ? "0.0 %" : share === 1 ? "100.0 %" : percent(share));

class Chart {
  constructor(root, data) {
    this.data = data;
    this.grid = [...new Set(data.lines.flatMap((line) => line.epsilons))].sort((a, b) => a - b);
    this.index = nearest(this.grid, data.epsilon);
    root.replaceChildren();
    this.output = root.appendChild(el("output", "eps"));
    this.chart = root.appendChild(svg("svg", { role: "img", height: HIGH, "aria-label": `${data.y} against ${data.x}; the figures at one ε follow` }));
    this.input = slider(root, this.grid.length - 1, "ε at which the figures are read", (index) => { this.index = index; this.move(); });
    this.input.value = this.index;
    const list = root.appendChild(el("ul", "lines"));
    this.figures = data.lines.map((line) => {
      const item = list.appendChild(el("li"));
      const mark = item.appendChild(svg("svg", { width: 34, height: 10, "aria-hidden": "true" }));
      mark.appendChild(svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, ...this.stroke(line) }));
      item.appendChild(el("span", "name", line.name));
      const figure = item.appendChild(el("b"));
      return { figure, more: item.appendChild(el("small")) };
    });
    figureButtons(root.appendChild(el("p", "files")), "accuracy", () => this.picture());
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(root);
    this.root = root;
    this.draw();
  }

  end() {
    this.watch.disconnect();
  }

  stroke(line) {
    return { stroke: line.colour, "stroke-width": 2.5, fill: "none", "stroke-dasharray": DASHES[line.dash] ?? line.dash.replaceAll("px", "") };
  }

  x(epsilon) {
    const [first, last] = [this.grid[0], this.grid.at(-1)];
    return PLOT.left + ((epsilon - first) / (last - first || 1)) * (this.wide - PLOT.left - PLOT.right);
  }

  y(share) {
    return PLOT.top + (1 - share) * (HIGH - PLOT.top - PLOT.bottom);
  }

  draw() {
    this.wide = Math.max(260, this.root.clientWidth);
    this.chart.setAttribute("width", this.wide);
    this.input.style.marginLeft = `${PLOT.left - 10}px`; // half a thumb before the axis
    this.input.style.width = `${this.wide - PLOT.left - PLOT.right + 20}px`;
    const nodes = [];
    for (let share = 0; share <= 1; share += 0.25) {
      nodes.push(svg("line", { class: "grid", x1: PLOT.left, x2: this.wide - PLOT.right, y1: this.y(share), y2: this.y(share) }));
      nodes.push(svg("text", { x: PLOT.left - 8, y: this.y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
    }
    for (const at of this.ticks()) {
      nodes.push(svg("text", { x: this.x(at), y: HIGH - PLOT.bottom + 18, "text-anchor": "middle" }, String(at)));
    }
    nodes.push(svg("text", { class: "title", x: (PLOT.left + this.wide - PLOT.right) / 2, y: HIGH - 6, "text-anchor": "middle" }, this.data.x));
    for (const line of this.data.lines) {
      const edge = (side) => line.epsilons.map((at, place) => `${this.x(at)},${this.y(line.interval[place][side])}`);
      nodes.push(svg("polygon", { points: [...edge(1), ...edge(0).reverse()].join(" "), fill: line.colour, opacity: 0.16 }));
      const points = line.epsilons.map((at, place) => `${this.x(at)},${this.y(line.accuracy[place])}`).join(" ");
      nodes.push(svg("polyline", { points, ...this.stroke(line) }));
    }
    this.cursor = svg("line", { class: "cursor", y1: PLOT.top, y2: HIGH - PLOT.bottom });
    this.dots = this.data.lines.map((line) => svg("circle", { r: 5.5, fill: line.colour, class: "dot" }));
    this.chart.replaceChildren(...nodes, this.cursor, ...this.dots);
    this.move();
  }

  // The chart with the names of its lines and their figures at the current ε.
  picture() {
    const names = this.data.lines.map((line, number) => `${line.name}: ${this.figures[number].figure.textContent}`);
    const whole = svg("svg", { viewBox: `0 0 ${this.wide} ${HIGH + 34 + 22 * names.length}`, "font-size": 13 });
    const text = (at, words, more) => whole.appendChild(svg("text", { ...at, fill: "#14202b", ...more }, words));
    text({ x: PLOT.left, y: 14 }, this.output.textContent, { "font-weight": 700 });
    const chart = whole.appendChild(svg("g", { transform: "translate(0 24)" }));
    for (const node of this.chart.children) {
      const copy = chart.appendChild(node.cloneNode(true)); // the page's style does not go with it
      if (copy.matches(".grid, .cursor")) copy.setAttribute("stroke", copy.matches(".grid") ? "#d9e0e6" : "#14202b");
      if (copy.matches("text")) copy.setAttribute("fill", "#14202b");
    }
    this.data.lines.forEach((line, number) => {
      const y = HIGH + 40 + 22 * number;
      whole.appendChild(svg("line", { x1: PLOT.left, x2: PLOT.left + 32, y1: y - 4, y2: y - 4, ...this.stroke(line) }));
      text({ x: PLOT.left + 42, y }, names[number]);
    });
    return whole;
  }

  ticks() {
    const [first, last] = [this.grid[0], this.grid.at(-1)];
    const rough = (last - first) / Math.max(2, Math.floor(this.wide / 90));
    const unit = 10 ** Math.floor(Math.log10(rough || 1));
    const step = unit * [1, 2, 5, 10].find((factor) => unit * factor >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(first / step); at * step <= last * 1.0001; at++) found.push(Number((at * step).toPrecision(6)));
    return found;
  }

  move() {
    const epsilon = this.grid[this.index];
    const text = `ε = ${epsilon.toFixed(3)}${this.data.levels ? ` (${levels(epsilon)})` : ""}`;
    this.output.textContent = `${this.data.y} at ${text}`;
    this.input.setAttribute("aria-valuetext", text);
    this.cursor.setAttribute("x1", this.x(epsilon));
    this.cursor.setAttribute("x2", this.x(epsilon));
    this.data.lines.forEach((line, number) => {
      const place = line.epsilons.indexOf(epsilon);
      const { figure, more } = this.figures[number];
      this.dots[number].style.display = place < 0 ? "none" : "";
      if (place < 0) {
        figure.textContent = "not measured here";
        more.textContent = "";
        return;
      }
      const [low, high] = line.interval[place];
      figure.textContent = accuracy(line.accuracy[place]);
      more.textContent = `95 %: ${accuracy(low)} to ${accuracy(high)}; ${line.correct[place]} of ${line.total}`;
      this.dots[number].setAttribute("cx", this.x(epsilon));
      this.dots[number].setAttribute("cy", this.y(line.accuracy[place]));
    });
  }
}
