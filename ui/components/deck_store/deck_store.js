// Keeps the list of screens in this browser, and reports it when another tab or an earlier visit has left another one.
const PLACE = "adversarial lab deck";
let written = null;
let latest = null;
let works = true;

window.addEventListener("storage", (event) => {
  if (event.key === PLACE) look();
});

export default function (component) {
  const { data, setStateValue } = component;
  if (!data) return;
  latest = { data, report: setStateValue };
  if (data.write !== null && data.turn !== written) {
    written = data.turn;
    store(data.write);
  }
  look();
}

function look() {
  const found = stored();
  if (latest && found !== null && found.length <= latest.data.most && found !== latest.data.known) {
    latest.report("deck", { text: found, at: Date.now() });
  }
}

// The stored list; null if there is none, or if the browser forbids storing: the list is then the session's alone.
function stored() {
  try {
    return works ? window.localStorage.getItem(PLACE) : null;
  } catch {
    return null;
  }
}

function store(text) {
  try {
    window.localStorage.setItem(PLACE, text);
  } catch {
    works = false;
  }
}
