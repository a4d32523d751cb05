// The address of the page: completed without a new entry in the history; Back and Forward are reported.
let turn = null;
let report = null;

// Where the browser stood before it went Back or Forward. Streamlit pushes the path of another page as soon as its run begins,
// long before this component is drawn there.
let path = window.location.pathname;
const push = window.history.pushState;
window.history.pushState = function (...entry) {
  push.apply(this, entry);
  path = window.location.pathname;
};

// Streamlit's own listener was added first and sends its request before this one. A move to another page is not reported: that
// would request the page that is left. There is one listener for all pages, since a page that is left is not notified.
window.addEventListener("popstate", () => {
  const stays = window.location.pathname === path;
  path = window.location.pathname;
  if (stays && report) report("moved", { at: Date.now(), query: window.location.search.slice(1) });
});

// The presenter view asks for another state of this page; cancelling the event tells it that the page listens.
window.addEventListener("show state", (event) => {
  if (!report) return;
  event.preventDefault();
  report("moved", { at: Date.now(), query: event.detail });
});

export default function (component) {
  const { data, setStateValue } = component;
  if (!data) return;
  report = setStateValue;
  // What was drawn for a page that the person has gone Back from comes too late.
  if (data.query === null || data.turn === turn || !window.location.pathname.endsWith(`/${data.page}`)) return;
  turn = data.turn;
  const query = new URLSearchParams(data.query);
  const before = new URLSearchParams(window.location.search);
  for (const name of ["embed", "embed_options"]) before.getAll(name).forEach((value) => query.append(name, value));
  const address = window.location.pathname + (query.size ? `?${query}` : "");
  if (query.toString() !== before.toString()) window.history.replaceState(window.history.state, "", address);
}
