// Saves the Plotly chart that stands in the same container at the size of a slide, as PNG or SVG, by Plotly's own button.
export default function (component) {
  const { data, parentElement } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  root.replaceChildren(...["png", "svg"].map((format) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `↓ ${format.toUpperCase()}` });
    button.setAttribute("aria-label", `Download the chart as ${format.toUpperCase()}`);
    button.title = "1920 × 1080";
    button.onclick = () => {
      const chart = root.getRootNode().host.closest('[class*="st-key-figure"]').querySelector(".js-plotly-plot");
      Object.assign(chart._context.toImageButtonOptions, data, { format });
      chart.querySelector('.modebar-btn[data-attr="toImage"], .modebar-btn[data-title^="Download plot"]').click();
    };
    return button;
  }));
}
