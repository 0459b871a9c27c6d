/* The dialog that asks for a bearer token. */
import { $ } from "./dom.js";

let open = null; /* the answer that everyone waits for */

/* Resolves to the token, or "" if the visitor would rather not. */
export function askToken(why) {
  open ??= new Promise((resolve) => {
    const dialog = $("token");
    $("token-why").textContent = why;
    $("token-text").value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      open = null;
      resolve(dialog.returnValue === "ok" ? $("token-text").value.trim() : "");
    }, { once: true });
    dialog.showModal();
  });
  return open;
}
