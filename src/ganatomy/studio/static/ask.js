// Questions to the studio's server, and the banner that says what has gone wrong.

const banner = document.getElementById("banner");
let lost = false;

export function tell(sentence) {
  banner.textContent = sentence;
  banner.hidden = !sentence;
}

const REPLACED = "replaced";  // a newer request of this page has replaced one that was waiting

/** Fetch a path of the studio; throws an Error with the server's sentence where it refuses. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    lost = true;
    tell("The studio does not answer. It was stopped, or the connection was lost; this page goes on when it is back.");
    throw new Error("no connection");
  }
  if (lost) {
    lost = false;
    tell("");
  }
  if (answer.status === 204) {
    throw new Error(REPLACED);
  }
  if (answer.ok) {
    return answer;
  }
  const text = await answer.text();
  let problem = text;
  try {
    problem = JSON.parse(text).problem;
  } catch { /* the sentence is plain text */ }
  throw new Error(problem || `The studio has answered with error ${answer.status}.`);
}

export async function askJson(path, body) {
  return (await ask(path, body)).json();
}

/** Show the sentence of an error in the banner, unless it is about a connection, which has its own, or about nothing. */
export function tellError(error) {
  if (error.message !== "no connection" && error.message !== REPLACED) {
    tell(error.message);
  }
}

export function find(id) {
  return document.getElementById(id);
}

/** Make an element with a class and a text; texts never become markup. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
