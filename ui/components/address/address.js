// The address of the page: completed without a new entry in the history; Back and Forward are reported.
let turn = null;
let page = null;
let report = null;

// Streamlit's own listener was added first and sends its request before this one. A move to another page is not reported: that
// would request this page again. There is one listener for all pages, since a page that is left is not notified.
window.addEventListener("popstate", () => {
  if (window.location.pathname === page) report("moved", { at: Date.now(), query: window.location.search.slice(1) });
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
  if (data.query !== null && data.turn !== turn) {
    turn = data.turn;
    const query = new URLSearchParams(data.query);
    const before = new URLSearchParams(window.location.search);
    for (const name of ["embed", "embed_options"]) before.getAll(name).forEach((value) => query.append(name, value));
    const address = window.location.pathname + (query.size ? `?${query}` : "");
    if (query.toString() !== before.toString()) window.history.replaceState(window.history.state, "", address);
  }
  page = window.location.pathname;
  report = setStateValue;
}
