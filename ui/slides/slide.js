// What Streamlit gives a component: its element and its data. What the component reports goes nowhere: there is no server.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const parentElement = document.getElementById("slide").shadowRoot;
  component_({ data, parentElement, setStateValue() {}, setTriggerValue() {} });
  const dark = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.getElementById("theme").onclick = () => { document.documentElement.dataset.theme = dark() === "dark" ? "light" : "dark"; };
}
