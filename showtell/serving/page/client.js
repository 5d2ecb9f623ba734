// What the pages of the service share: the token, errors of the server, buttons.
let token = "";

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const say = (text) => { element("status").textContent = text; };
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const button = (text, act) => {
  const node = make("button", text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
};

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

async function problem(response) {
  try {
    return (await response.json()).detail || response.statusText;
  } catch {
    return response.statusText || `error ${response.status}`;
  }
}
