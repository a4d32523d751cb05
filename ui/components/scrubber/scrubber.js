// Drag ε: the images, bars and verdicts of all models are updated in the browser.
const LAST = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  let lab = LAST.get(root);
  let fresh = false;
  if (lab && lab.token !== data.token && lab.continues(data)) {
    lab.takeMore(data);
  } else if (!lab || lab.token !== data.token) {
    lab?.stop();
    lab = new Lab(root, data, lab);
    fresh = true;
    LAST.set(root, lab);
  } else if (lab.turn !== data.turn) {
    lab.turnTo(data);
  }
  lab.report = setStateValue;
  if (fresh && lab.unknown()) lab.released(); // nobody holds the thumb there: the server has to be told
  return () => lab.stop();
}

const floats = (text) => new Float32Array(bytes(text).buffer);
// A button's text, and a shorter one for small screens; the long one is its name for screen readers.
const label = (button, long, short = long) => {
  button.setAttribute("aria-label", long);
  button.replaceChildren(el("span", "long", long), el("span", "short", short));
};
const written = (x, y, words, more) => svg("text", { x, y, fill: "#14202b", ...more }, words);
// A small picture enlarged with hard pixel edges: some programs smooth what they enlarge.
const enlarged = (canvas) => {
  const factor = Math.ceil(400 / Math.max(canvas.width, canvas.height));
  const large = el("canvas");
  Object.assign(large, { width: factor * canvas.width, height: factor * canvas.height });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  return large;
};

class Lab {
  constructor(root, data, before) {
    Object.assign(this, { root, data, token: data.token, epsilons: data.epsilons, walksTo: null });
    this.clean = bytes(data.clean);
    root.replaceChildren();
    this.buildTrack();
    const cards = root.appendChild(el("div", "cards"));
    const longest = Math.max(...data.names.map((name) => name.length));
    cards.style.setProperty("--names", `${Math.min(16, Math.max(3, longest + 2))}ch`);
    this.cards = data.models.map((model, index) => new Card(this, cards, model, "ABCD"[index]));
    // Touching anything stops a walk where it stands.
    root.onpointerdown = root.onkeydown = () => { if (this.walksTo !== null) this.stop(true); };
    this.files = root.appendChild(el("p", "files"));
    figureButtons(this.files, "adversarial-example", () => this.picture());
    this.turnTo(data);
    // What the server knows of the position may be older than where the thumb stands.
    if (before?.turn === data.turn) {
      if (!before.waits) this.noise = Boolean(before.noise && data.models[0].noise);
      this.mode();
      this.goto(nearest(this.epsilons, before.epsilons[before.index]));
    }
    if (before?.hadFocus) this.input.focus({ preventScroll: true });
    if (before?.waits) this.toggle?.focus({ preventScroll: true });
  }

  // Whether the data are of the same pictures and models, with answers at more places.
  continues(data) {
    const same = (name) => JSON.stringify(this.data[name]) === JSON.stringify(data[name]);
    const alike = (model, index) => model.title === this.data.models[index]?.title && Boolean(model.noise) === Boolean(this.data.models[index].noise);
    return this.data.models.some((model) => model.attack.places) && this.turn === data.turn && ["clean", "epsilons", "target"].every(same) && data.models.every(alike);
  }

  // Nothing that a person may be touching is made anew.
  takeMore(data) {
    this.data = data;
    this.token = data.token;
    this.cards.forEach((card, index) => { card.model = data.models[index]; });
    this.mode();
    this.draw();
  }

  // Whether answers are missing.
  partial() {
    return !this.noise && this.data.models.some((model) => model.attack.places);
  }

  // Whether one is missing where the thumb stands.
  unknown() {
    return this.cards.some((card) => card.row(this.index) < 0);
  }

  // Take the position from the server, until the person moves something.
  turnTo(data) {
    this.stop();
    this.turn = data.turn;
    this.root.classList.toggle("bare", Boolean(data.bare));
    this.noise = Boolean(data.noise && data.models[0].noise);
    this.mode();
    this.goto(nearest(this.epsilons, data.epsilon));
    if (data.walks && this.index && !this.partial() && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) this.walk();
  }

  buildTrack() {
    const track = this.root.appendChild(el("div", "track"));
    const row = track.appendChild(el("div", "row"));
    this.output = row.appendChild(el("output", "eps"));
    row.appendChild(el("span", "grow"));
    this.play = button(row, "", () => this.sweep());
    label(this.play, "▶ Sweep ε", "▶");
    if (this.data.models[0].noise || this.data.offersNoise) {
      this.toggle = button(row, "", () => {
        if (!this.data.models[0].noise) { // the server computes it now
          this.toggle.setAttribute("aria-busy", "true");
          this.waits = true;
          this.released(true);
          return;
        }
        this.noise = !this.noise;
        this.mode();
        this.draw();
        this.released();
      });
      label(this.toggle, "Same ε, random noise", "Noise");
      this.toggle.title = "Show random noise within the same ε instead of the attack";
    }
    if (this.data.link && window.parent === window) { // the address of a page in a frame is not one to pass on
      this.link = button(row, "", () => this.copyLink());
      label(this.link, "Copy link", "Link");
    }
    this.rail = track.appendChild(el("div", "rail"));
    this.input = slider(this.rail, this.epsilons.length - 1, "ε, the largest change of a pixel value", (index) => { this.stop(); this.goto(index); });
    this.input.onchange = () => this.released();
    this.input.onfocus = () => { this.hadFocus = true; };
    this.input.onblur = () => { this.hadFocus = false; };
  }

  // Set the marks on the track and each card's data, from the attack or the noise.
  mode() {
    if (this.partial()) this.stop();
    this.play.disabled = this.partial();
    this.toggle?.setAttribute("aria-pressed", String(this.noise));
    this.rail.querySelectorAll(".mark").forEach((mark) => mark.remove());
    this.cards.forEach((card, index) => {
      card.use(this.noise ? "noise" : "attack");
      const first = card.wrong.indexOf(true);
      if (first < 0 || card.known) return;
      const mark = this.rail.appendChild(el("span", `mark ${index % 2 ? "below" : "above"}`, card.letter));
      mark.style.color = inkOn(card.model.colour);
      mark.style.setProperty("--at", first / (this.epsilons.length - 1));
      mark.style.setProperty("--role", card.model.colour);
      mark.title = `${card.letter}: ${card.limit()}`;
    });
  }

  goto(index) {
    this.index = index;
    this.input.value = index;
    this.input.style.setProperty("--fill", `${(100 * index) / (this.epsilons.length - 1)}%`);
    showEpsilon(this.output, this.input, this.epsilons[index]);
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.cards.forEach((card) => card.draw(this.index));
      this.files.hidden = this.unknown();
    });
  }

  released(noise = this.noise) {
    this.report("left", { turn: this.turn, epsilon: this.epsilons[this.index], noise });
  }

  sweep() {
    if (this.timer) return this.stop(true);
    label(this.play, "❚❚ Stop", "❚❚");
    this.play.setAttribute("aria-pressed", "true");
    if (this.index >= this.epsilons.length - 1) this.goto(0);
    this.move(this.epsilons.length - 1, Math.max(30, 5000 / this.epsilons.length), true);
  }

  // From 0 to where the thumb stands, which the server knows.
  walk() {
    this.walksTo = this.index;
    this.goto(0);
    this.move(this.walksTo, 1200 / this.walksTo, false);
  }

  move(last, each, report) {
    this.timer = setInterval(() => {
      this.goto(this.index + 1);
      if (this.index >= last) this.stop(report);
    }, each);
  }

  stop(report) {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
    if (this.walksTo !== null && !report) this.goto(this.walksTo);
    this.walksTo = null;
    label(this.play, "▶ Sweep ε", "▶");
    this.play.setAttribute("aria-pressed", "false");
    if (report) this.released();
  }

  // All cards as one drawing.
  picture() {
    const wide = 560;
    const whole = svg("svg", { viewBox: `0 0 ${wide * this.cards.length} 480`, "font-size": 15 });
    whole.appendChild(written(24, 20, this.output.textContent, { "font-weight": 700 }));
    this.cards.forEach((card, place) => whole.appendChild(card.picture(24 + place * wide, 44, wide - 48)));
    return whole;
  }

  async copyLink() {
    const url = new URL(window.location.href);
    url.searchParams.set("epsilon", String(Number(this.epsilons[this.index].toPrecision(6))));
    if (this.noise) url.searchParams.set("noise", "1");
    try {
      await navigator.clipboard.writeText(url.href);
      label(this.link, "Link copied ✓", "✓");
    } catch {
      window.prompt("Copy this link:", url.href); // pages without https cannot use the clipboard
    }
    setTimeout(() => { label(this.link, "Copy link", "Link"); }, 2000);
  }
}

class Card {
  constructor(lab, parent, model, letter) {
    Object.assign(this, { lab, model, letter });
    const [card, head] = modelCard(parent, model, letter);
    this.card = card;
    this.verdict = head.appendChild(el("span", "verdict"));
    this.verdict.setAttribute("role", "status");
    const equation = card.appendChild(el("div", "sized")).appendChild(el("div", "equation"));
    [this.cleanCanvas, , this.cleanSays] = this.figure(equation, "clean");
    equation.appendChild(el("span", "sign", "+"));
    [this.shownCanvas, this.shownCap] = this.figure(equation, "", "small");
    equation.appendChild(el("span", "sign", "="));
    [this.attackedCanvas, this.attackedCap, this.attackedSays] = this.figure(equation, "attacked");
    this.note = card.appendChild(el("div", "note"));
    const details = card.appendChild(el("div", "sized")).appendChild(el("div", "details"));
    const bars = details.appendChild(el("div", "bars"));
    this.barsBox = bars;
    this.bars = [0, 1, 2, 3, 4].slice(0, Math.min(5, model.ranks)).map(() => {
      const bar = bars.appendChild(el("div", "bar"));
      const label = bar.appendChild(el("span", "label"));
      const part = bar.appendChild(el("span", "full")).appendChild(el("div", "part"));
      return { bar, label, part, value: bar.appendChild(el("span", "value")) };
    });
    this.buildSpark(details);
    paint(this.cleanCanvas, lab.data.shape, (at) => lab.clean[at]);
  }

  figure(parent, caption, kind = "") {
    const figure = parent.appendChild(el("figure", kind));
    const canvas = imageCanvas(figure, this.lab.data.shape);
    const below = figure.appendChild(el("div", "below"));
    return [canvas, below.appendChild(el("span", "cap", caption)), below.appendChild(el("span", "says"))];
  }

  buildSpark(card) {
    const spark = card.appendChild(el("figure", "spark"));
    this.spark = spark.appendChild(svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" }));
    const caption = spark.appendChild(el("figcaption"));
    this.sparkLabel = caption.appendChild(el("span"));
    this.limitLabel = caption.appendChild(el("span"));
  }

  // Use the attack's answers, or the noise's.
  use(kind) {
    const source = kind === "noise" ? this.model.noise : this.model.attack;
    if (!source.ready) {
      source.ready = {
        direction: source.direction ? new Int8Array(bytes(source.direction).buffer) : null,
        frames: source.frames ? bytes(source.frames) : null,
        classes: new Int16Array(bytes(source.classes).buffer),
        shares: floats(source.shares),
        label: floats(source.label),
      };
    }
    this.now = source.ready;
    this.known = source.places;
    const ranks = this.model.ranks;
    this.answers = this.lab.epsilons.map((_, index) => this.now.classes[this.row(index) * ranks]);
    this.wrong = this.answers.map((answer) => answer !== undefined && answer !== this.model.label);
    this.drawSpark();
  }

  // Where the data of a place of the track lie; −1 if the server has not sent them yet.
  row(index) {
    return this.known ? this.known.indexOf(index) : index;
  }

  drawSpark() {
    const { data, epsilons } = this.lab;
    const last = epsilons.length - 1;
    const across = (row) => ((100 * (this.known?.[row] ?? row)) / last).toFixed(2);
    const rows = [...this.now.label];
    const line = rows.map((share, row) => `${across(row)},${(39 - 38 * share).toFixed(2)}`).join(" ");
    const nodes = [];
    this.wrong.forEach((bad, index) => {
      if (!bad) return;
      const from = Math.max(0, (100 * (index - 0.5)) / last);
      const to = Math.min(100, (100 * (index + 0.5)) / last);
      nodes.push(svg("rect", { class: "bad", x: from, width: to - from, y: 0, height: 40 }));
    });
    nodes.push(svg("line", { class: "base", x1: 0, x2: 100, y1: 39, y2: 39 }));
    nodes.push(svg("polygon", { class: "area", points: `0,39 ${line} ${across(rows.length - 1)},39` }));
    nodes.push(svg("polyline", { class: "line", points: line }));
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: 40 });
    nodes.push(this.cursor);
    this.spark.replaceChildren(...nodes);
    const name = data.names[this.model.label];
    this.sparkLabel.textContent = `confidence in “${name}”, ε 0 to ${epsilons.at(-1).toFixed(3)}`;
    this.limitLabel.textContent = [this.limit(), ...this.aim()].join(" · ");
    const shaded = this.model.judged ? "the model is wrong" : "its answer is another";
    this.spark.setAttribute("aria-label", `Confidence in ${name} as ε grows; shaded where ${shaded}`);
  }

  draw(index) {
    const { data, clean, epsilons } = this.lab;
    const { direction, frames, classes, shares } = this.now;
    const row = this.row(index);
    this.card.classList.toggle("unknown", row < 0);
    this.barsBox.setAttribute("aria-hidden", String(row < 0));
    const at = (100 * index) / (epsilons.length - 1);
    this.cursor.setAttribute("x1", at);
    this.cursor.setAttribute("x2", at);
    if (row < 0) {
      this.verdict.className = "verdict open";
      this.verdict.textContent = "not computed yet";
      this.note.textContent = "This ε is computed next when you stop here.";
      this.attackedSays.replaceChildren();
      return;
    }
    const step = (255 * epsilons[index]) / 127;
    const offset = row * clean.length;
    const attacked = frames
      ? (at) => frames[offset + at]
      : (at) => Math.min(255, Math.max(0, clean[at] + step * direction[at]));
    paint(this.attackedCanvas, data.shape, attacked);
    paint(this.shownCanvas, data.shape, (at) => 127.5 + data.amplify * (attacked(at) - clean[at]));
    this.shownCap.textContent = `${this.lab.noise ? "noise" : "perturbation"} ×${data.amplify}`;
    this.attackedCap.textContent = this.lab.noise ? "with noise" : "attacked";
    const ranks = this.model.ranks;
    this.say(this.cleanSays, classes[0], shares[0]);
    this.say(this.attackedSays, classes[row * ranks], shares[row * ranks]);
    this.judge(index);
    this.bars.forEach(({ bar, label, part, value }, rank) => {
      const name = classes[row * ranks + rank];
      const share = shares[row * ranks + rank];
      label.textContent = data.names[name];
      label.title = data.names[name];
      part.style.width = `${100 * share}%`;
      value.textContent = percent(share);
      bar.classList.toggle("truth", name === this.model.label);
      bar.style.setProperty("--bar", rank === 0 && this.wrong[index] ? "var(--fooled)" : "var(--role)");
    });
  }

  // The card as a drawing: its name and verdict, the pictures and what the model says of them, the sentence and the bars.
  picture(left, top, wide) {
    const group = svg("g", { transform: `translate(${left} ${top})` });
    const add = (node) => group.appendChild(node);
    const { data } = this.lab;
    const wrong = this.wrong[this.lab.index];
    add(svg("rect", { width: wide, height: 4, fill: this.model.colour }));
    add(written(0, 28, `${this.letter}: ${this.model.role}`, { "font-weight": 700, "font-size": 17 }));
    add(written(0, 48, this.model.title, { fill: "#55606b", "font-size": 13 }));
    add(written(wide, 34, this.verdict.textContent, { "text-anchor": "end", "font-weight": 700, "font-size": 20, fill: wrong ? "#B34700" : "#14202b" }));
    const shown = [[this.cleanCanvas, "clean", this.cleanSays, 0, 196], [this.shownCanvas, this.shownCap.textContent, null, 218, 76], [this.attackedCanvas, this.attackedCap.textContent, this.attackedSays, 316, 196]];
    for (const [canvas, name, says, x, side] of shown) {
      const y = 64 + (196 - side) / 2;
      const hard = canvas.classList.contains("hard");
      add(svg("image", { href: (hard ? enlarged(canvas) : canvas).toDataURL(), x, y, width: side, height: side }));
      const words = says ? `${name}: ${[...says.childNodes].map((node) => node.textContent).join(" ")}` : name;
      add(written(x + side / 2, y + side + 18, words, { "text-anchor": "middle", "font-size": says ? 15 : 12, fill: says?.classList.contains("wrong") ? "#B34700" : "#14202b" }));
    }
    add(written(207, 168, "+", { "text-anchor": "middle", "font-size": 20 }));
    add(written(305, 168, "=", { "text-anchor": "middle", "font-size": 20 }));
    add(written(0, 308, this.note.textContent, { "font-weight": 700 }));
    const { classes, shares } = this.now;
    for (let rank = 0; rank < this.model.ranks; rank++) {
      const at = this.row(this.lab.index) * this.model.ranks + rank;
      const y = 322 + 20 * rank;
      const name = data.names[classes[at]];
      add(written(112, y + 13, name.length > 15 ? `${name.slice(0, 14)}…` : name, { "text-anchor": "end", "font-size": 14 }));
      add(svg("rect", { x: 122, y, width: 300, height: 15, rx: 3, fill: "#eef1f4" }));
      add(svg("rect", { x: 122, y, width: Math.max(1, 300 * shares[at]), height: 15, rx: 3, fill: rank === 0 && wrong ? "#D55E00" : this.model.colour }));
      add(written(432, y + 13, percent(shares[at]), { "font-size": 14 }));
    }
    return group;
  }

  say(node, answer, share) {
    const name = this.lab.data.names[answer];
    const small = el("small", "", percent(share));
    // A name as long as the picture is wide takes a line of its own: the share stands before it.
    const long = name.length > 14;
    node.replaceChildren(...(long ? [small, el("span", "", name)] : [name, small]));
    node.classList.toggle("long", long);
    node.classList.toggle("wrong", answer !== this.model.label);
  }

  judge(index) {
    const { judged } = this.model;
    const wrong = this.wrong[index];
    this.verdict.className = `verdict ${judged ? (wrong ? "fooled" : "held") : "open"}`;
    // An answer that was wrong before the attack is not called fooled.
    const [bad, good] = !judged ? ["answer changed", "answer unchanged"]
      : this.wrong[0] ? ["✗ WRONG", "✓ RIGHT"] : ["✗ FOOLED", "✓ HELD"];
    this.verdict.textContent = wrong ? bad : good;
    this.note.textContent = this.sentence(index);
  }

  // What the model says at this ε.
  sentence(index) {
    const { data, epsilons } = this.lab;
    const answer = this.answers[index];
    const name = data.names[answer];
    if (this.wrong[0] && this.wrong[index]) return `${this.letter} says ${name}: wrong even without an attack.`;
    const how = epsilons[index] === 0 ? "says" : answer === this.answers[0] ? "still says" : "now says";
    const wanted = data.target === null || data.target === this.model.label ? null : data.names[data.target];
    const beside = wanted === null || !this.wrong[index] ? "" : answer === data.target ? ", as wanted" : `, not the wanted ${wanted}`;
    return `${this.letter} ${how} ${name}${beside}.${this.model.began ? ` ${this.model.began}` : ""}`;
  }

  // Up to which ε the answer stays.
  limit() {
    const { epsilons } = this.lab;
    const first = this.wrong.indexOf(true);
    const [lost, kept] = this.model.judged ? ["fooled", "holds"] : ["changes", "unchanged"];
    if (first === 0) return "wrong even without an attack";
    if (this.known) return `known at ${this.known.length} of ${epsilons.length} values of ε`;
    const apart = epsilons.length > 21 ? "" : `, in steps of ${levels(epsilons[1])}`; // an attack that runs again at every ε
    if (first > 0) return `first ${lost} at ε = ${epsilons[first].toFixed(3)} (${levels(epsilons[first])})${apart}`;
    return `${kept} up to ε = ${epsilons.at(-1).toFixed(3)}, the largest one here`;
  }

  // The first ε at which the target class is the answer, if there is a target.
  aim() {
    const { data, epsilons } = this.lab;
    if (data.target === null) return [];
    const wanted = data.names[data.target];
    if (data.target === this.model.label) return [`${wanted} is its own answer, no target`];
    if (this.known) return [];
    const first = this.answers.indexOf(data.target);
    return [first < 0 ? `never ${wanted}` : `first says ${wanted} at ε = ${epsilons[first].toFixed(3)}`];
  }
}
