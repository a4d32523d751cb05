// Keeps the visitor's key in a cookie for two days after the last visit; a cookie that is there already counts.
export default function (component) {
  const { data, setStateValue } = component;
  if (!data) return;
  const found = document.cookie.match(new RegExp(`(?:^|; )${data.name}=([\\w-]{32})(?:;|$)`));
  const key = found ? found[1] : data.key;
  // Inside another site's page, as on Hugging Face Spaces, a cookie is only kept with these words.
  const where = window.location.protocol === "https:" ? "SameSite=None; Secure; Partitioned" : "SameSite=Lax";
  document.cookie = `${data.name}=${key}; Path=/; Max-Age=172800; ${where}`;
  if (key !== data.key) setStateValue("key", key);
}
