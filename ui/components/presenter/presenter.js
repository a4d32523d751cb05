// The presenter view. Each screen is a live page of this app in a frame and a session of its own; the screens of one lesson share
// a frame. The screens before and after the current one are loaded in advance.
const LAST = new WeakMap();
// Controls that use the arrow keys themselves. Page Up and Page Down, which a clicker sends, always change the screen.
const USES_ARROWS = "input, textarea, select, [contenteditable], [role=radio], [role=tab], [role=slider], [role=listbox], svg[tabindex]";

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  let show = LAST.get(root);
  if (show?.token !== data.token) {
    show?.close();
    show = new Show(root, data);
    LAST.set(root, show);
    show.report = setStateValue;
    if (data.at !== null) show.open(data.at);
  }
  show.report = setStateValue;
}

class Show {
  constructor(root, data) {
    Object.assign(this, { root, screens: data.screens, token: data.token, at: null, used: 0, frames: new Map() });
    this.keys = (event) => this.key(event);
    root.replaceChildren();
    const count = data.screens.length;
    button(root, `▶ Present ${count} ${count === 1 ? "screen" : "screens"}`, () => { this.open(0); this.wholeScreen(); }).className = "start";
    this.dialog = root.appendChild(el("dialog"));
    this.dialog.setAttribute("aria-label", "Presenter view");
    this.dialog.onclose = () => this.closed();
    this.dialog.onkeydown = this.keys;
    this.stage = this.dialog.appendChild(el("div", "stage"));
    this.area = this.stage.appendChild(el("div", "area"));
    this.area.tabIndex = -1;
    this.code = this.area.appendChild(el("figure"));
    this.code.hidden = true;
    const bar = this.stage.appendChild(el("div", "bar"));
    this.said = bar.appendChild(el("p", "said"));
    this.said.setAttribute("role", "status");
    this.back = button(bar, "‹", () => this.go(this.at - 1), "Previous screen");
    this.count = bar.appendChild(el("span", "count"));
    this.next = button(bar, "›", () => this.go(this.at + 1), "Next screen");
    this.phones = button(bar, "QR code", () => this.toggleCode(), "QR code of this screen, for phones");
    this.phones.setAttribute("aria-pressed", "false");
    button(bar, "Notes", () => this.openNotes(), "Notes, in a second window");
    button(bar, "Full screen", () => this.wholeScreen(), "Full screen");
    button(bar, "✕", () => this.dialog.close(), "End the presentation");
  }

  open(at) {
    this.began = Date.now();
    this.dialog.showModal();
    this.go(at);
  }

  close() {
    this.dialog.close();
    this.closed();
  }

  closed() {
    if (this.at === null) return;
    this.at = null;
    this.frames.forEach((frame) => frame.remove());
    this.frames.clear();
    this.notes?.close();
    if (document.fullscreenElement) document.exitFullscreen();
    this.report("left", { token: this.token, at: null });
  }

  go(at) {
    if (at < 0 || at >= this.screens.length || at === this.at) return;
    this.at = at;
    const near = [at, at + 1, at - 1].filter((place) => this.screens[place]);
    const sessions = new Set(near.map((place) => this.screens[place].session));
    for (const [session, frame] of this.frames) {
      if (sessions.has(session)) continue;
      frame.remove();
      this.frames.delete(session);
    }
    near.forEach((place) => this.load(place, place === at));
    const { title, session } = this.screens[at];
    this.frames.forEach((frame, each) => {
      frame.classList.toggle("shown", each === session);
      frame.inert = each !== session;
    });
    this.frames.get(session).title = title || `Screen ${at + 1}`;
    this.said.textContent = `Screen ${at + 1} of ${this.screens.length}: ${title}`;
    this.phones.disabled = !this.screens[at].code;
    this.toggleCode(false);
    this.count.textContent = `${at + 1} / ${this.screens.length}`;
    this.back.disabled = at === 0;
    this.next.disabled = at === this.screens.length - 1;
    this.toStage();
    this.tellNotes();
    this.report("left", { token: this.token, at });
  }

  // Load a screen into its frame; if it is not shown now, only into a frame that is not used yet.
  load(place, now) {
    const { session, address } = this.screens[place];
    let frame = this.frames.get(session);
    if (!frame) {
      frame = this.area.appendChild(el("iframe"));
      frame.onload = () => frame.contentWindow.addEventListener("keydown", this.keys, true);
      this.frames.set(session, frame);
    } else if (!now || frame.place === place) {
      return;
    } else if (this.moved(frame, address)) {
      frame.place = place;
      return;
    }
    frame.place = place;
    frame.src = address;
  }

  // Ask the page in a frame to show another state in the same session; false if it does not listen yet.
  moved(frame, address) {
    const query = new URL(address, window.location.href).searchParams;
    ["embed", "embed_options"].forEach((name) => query.delete(name));
    return !frame.contentWindow.dispatchEvent(new CustomEvent("show state", { detail: query.toString(), cancelable: true }));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.composedPath()[0];
    const uses = target.closest?.(USES_ARROWS);
    if (uses) this.used = Date.now();
    // A control that is drawn again loses the focus for a moment: a key held down on it must not change the screen.
    const free = Date.now() - this.used > 1500;
    const turn = { PageDown: 1, PageUp: -1, ...(free ? { ArrowRight: 1, ArrowLeft: -1 } : {}) }[event.key];
    if (turn) this.go(this.at + turn);
    else if (!uses && event.key === "f") this.wholeScreen();
    else if (!uses && event.key === "n") this.openNotes();
    else if (!uses && event.key === "q") this.toggleCode();
    else if (event.key === "Escape" && event.view !== window) this.toStage();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  toggleCode(shown = this.code.hidden) {
    const { code } = this.screens[this.at];
    this.code.hidden = !shown || !code;
    this.phones.setAttribute("aria-pressed", String(!this.code.hidden));
    if (this.code.hidden) return;
    const picture = el("img");
    Object.assign(picture, { src: code.picture, alt: "QR code of the address below" });
    this.code.replaceChildren(picture, el("figcaption", "", code.address), el("p", "", code.reach));
  }

  // Give the arrow keys back to the presentation.
  toStage() {
    this.used = 0;
    this.area.focus();
  }

  wholeScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen?.().catch(() => {}); // where the browser does not allow it, the view stays in the window
  }

  openNotes() {
    this.notes = window.open("", "notes", "popup,width=720,height=640");
    if (!this.notes) {
      this.said.textContent = "The browser has blocked the second window; allow pop-ups for this page.";
      return;
    }
    const page = this.notes.document;
    page.title = "Notes";
    page.documentElement.lang = "en";
    page.head.replaceChildren(el("style", "", NOTES));
    page.body.replaceChildren();
    const row = page.body.appendChild(el("div", "row"));
    this.where = row.appendChild(el("span"));
    this.clock = row.appendChild(el("span"));
    button(row, "‹", () => this.go(this.at - 1), "Previous screen");
    button(row, "›", () => this.go(this.at + 1), "Next screen");
    this.heading = page.body.appendChild(el("h1"));
    this.words = page.body.appendChild(el("p", "words"));
    this.following = page.body.appendChild(el("p", "next"));
    page.onkeydown = this.keys;
    clearInterval(this.ticks);
    this.ticks = setInterval(() => this.tick(), 1000);
    this.tellNotes();
  }

  tellNotes() {
    if (!this.notes || this.notes.closed) return;
    const next = this.screens[this.at + 1];
    this.where.textContent = `${this.at + 1} / ${this.screens.length}`;
    this.heading.textContent = this.screens[this.at].title;
    this.words.textContent = this.screens[this.at].notes || "No notes.";
    this.following.textContent = next ? `Next: ${next.title}` : "The last screen.";
    this.tick();
  }

  tick() {
    if (this.notes.closed || this.at === null) return clearInterval(this.ticks);
    const seconds = Math.floor((Date.now() - this.began) / 1000);
    this.clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}

const NOTES = `
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
body { margin: 1.5rem; font-size: 1.4rem; }
.row { display: flex; gap: 1.5rem; align-items: center; font-variant-numeric: tabular-nums; }
button { font: inherit; padding: .1rem 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } .words { white-space: pre-wrap; } .next { opacity: .75; font-size: 1.1rem; }
`;
