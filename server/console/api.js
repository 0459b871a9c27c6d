/* Requests to this server: the token, problems, and Server-Timing. */
import { askToken } from "./token.js";

const KEY = "cleave-token";

/* An RFC 9457 problem, or a server that did not answer. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function problem(response) {
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch { /* not a problem document */ }
  return new Problem(response.status, detail);
}

function headers(given) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...given, Authorization: `Bearer ${token}` } : given;
}

/* Fetches `path`. Where the server wants a token the visitor is asked for one,
 * unless `quiet`. Resolves to a response that is ok; throws a Problem. */
export async function call(path, { type, body, quiet = false } = {}) {
  for (;;) {
    const sent = sessionStorage.getItem(KEY);
    let response;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET",
        headers: headers(type ? { "Content-Type": type } : {}),
        body,
      });
    } catch {
      throw new Problem(0, "the server does not answer");
    }
    if (response.ok) return response;
    if (response.status === 401 && sent !== sessionStorage.getItem(KEY)) continue;
    const refusal = await problem(response);
    if (response.status !== 401 || quiet) throw refusal;
    const token = await askToken(refusal.message);
    if (!token) throw refusal;
    sessionStorage.setItem(KEY, token);
  }
}

/* {name: milliseconds} of a response (W3C Server Timing). */
export function serverTiming(response) {
  const text = response.headers.get("Server-Timing") ?? "";
  const stages = {};
  for (const match of text.matchAll(/([\w-]+);dur=([\d.]+)/g))
    stages[match[1]] = Number(match[2]);
  return stages;
}
