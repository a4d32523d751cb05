// Saves the Plotly chart in the same container at the size of a slide, by Plotly's own button.
export default function (component) {
  const { data, parentElement } = component;
  if (!data) return;
  const root = parentElement.querySelector(".lab");
  root.replaceChildren();
  saveButtons(root, "chart", (format) => {
    const chart = root.getRootNode().host.closest('[class*="st-key-figure"]').querySelector(".js-plotly-plot");
    Object.assign(chart._context.toImageButtonOptions, data, { format });
    chart.querySelector('.modebar-btn[data-attr="toImage"], .modebar-btn[data-title^="Download plot"]').click();
  });
}
