// The address of the page: completed without a new entry in the history; reports when the person went Back or Forward.
let turn = null;

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
  // Streamlit's own listener was added first: its request is on the way before this one.
  const moved = () => setStateValue("moved", { at: Date.now(), query: window.location.search.slice(1) });
  window.addEventListener("popstate", moved);
  return () => window.removeEventListener("popstate", moved);
}
