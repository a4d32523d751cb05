// The address of the page: completed without a new entry in the history; reports when the person went Back or Forward.
let turn = null;
let page = null;
let report = null;

// Streamlit's own listener was added first: its request is on the way before this one. A move to another page is Streamlit's
// alone, since a report would ask for this page again. One listener for all pages: a page that is left is not told so.
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
