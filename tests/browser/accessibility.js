// What is wrong with the page's headings, names and contrast (WCAG 2.2 AA), as a list of sentences.
() => {
  const wrong = [];
  const all = function* (root) {
    for (const node of root.querySelectorAll("*")) {
      yield node;
      if (node.shadowRoot) yield* all(node.shadowRoot);
    }
  };
  const nodes = [...all(document)];
  const seen = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && node.getClientRects().length > 0;
  const parent = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null;
  const parse = (text) => {
    const canvas = (parse.canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true }));
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backgroundOf = (node) => {
    const layers = [];
    for (let at = node; at; at = parent(at)) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null;
      const colour = parse(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] > 0.99) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const levels = nodes.filter((node) => /^H[1-6]$/.test(node.tagName) && seen(node)).map((node) => Number(node.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) wrong.push(`${levels.filter((level) => level === 1).length} headings h1`);
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push(`h${levels[at - 1]} is followed by h${level}`); });
  for (const node of nodes) {
    if (node.closest("[data-testid=stHeader] button, svg, [aria-hidden=true], .js-plotly-plot")) continue;
    if (/^(BUTTON|A)$/.test(node.tagName) && seen(node)) {
      const name = node.getAttribute("aria-label") || node.textContent.trim() || node.title || node.getAttribute("aria-labelledby");
      if (!name) wrong.push(`no name: ${node.outerHTML.slice(0, 160)}`);
    }
    if (node.tagName === "IMG" && seen(node) && !node.hasAttribute("alt")) wrong.push(`no alt: ${node.outerHTML.slice(0, 120)}`);
    const text = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data.trim()).join(" ").trim();
    if (!text || !seen(node) || node.disabled || node.closest(":disabled, [aria-disabled=true], style, script")) continue;
    if (node.closest("[role=slider], [data-testid=stSliderThumbValue]")) continue; // its value stands beside the thumb, not on it
    const style = getComputedStyle(node);
    const background = backgroundOf(node);
    if (!background || parseFloat(style.fontSize) < 2) continue;
    const colour = parse(style.color);
    for (let at = node; at; at = parent(at)) colour[3] *= Number(getComputedStyle(at).opacity);
    const [one, two] = [light(over(colour, background)), light(background)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`${ratio.toFixed(2)}:1 “${text.slice(0, 50)}” (${node.tagName} ${node.className?.toString?.().slice(0, 40)})`);
  }
  return [...new Set(wrong)];
}
