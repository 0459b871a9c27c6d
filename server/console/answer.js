/* The answer to one photo: five bars, and where the time went. */
import { $, h, ms, percent } from "./dom.js";
import { spent } from "./paths.js";

/* A bar of stacked steps; `most_ms` is the whole width. */
export function timeBar(steps, most_ms) {
  const bar = h("div", { class: "bar", "aria-hidden": "true" });
  for (const { side, name, ms: length } of steps) {
    const part = h("span", { class: side, title: `${side}, ${name}: ${ms(length)} ms` });
    part.style.width = `${(length / most_ms) * 100}%`;
    bar.append(part);
  }
  return bar;
}

function row({ label, probability }) {
  const bar = h("span", { class: "fill" });
  bar.style.width = `${probability * 100}%`;
  return h("li", {}, h("span", { class: "label" }, label),
    h("span", { class: "number" }, percent(probability)),
    h("span", { class: "track", "aria-hidden": "true" }, bar));
}

export function showAnswer({ top, steps }) {
  $("top").replaceChildren(...top.slice(0, 5).map(row));
  const groups = ["device", "link", "server"]
    .map((side) => [side, steps.filter((one) => one.side === side)])
    .filter(([, own]) => own.length > 0)
    .map(([side, own]) => h("li", {},
      h("span", { class: `key ${side}` }), h("strong", {}, side),
      ` ${ms(spent(own))} ms`,
      own.length > 1 &&
        h("span", { class: "fine" }, own.map((one) => ` ${one.name} ${ms(one.ms)}`).join(" ·"))));
  $("time").replaceChildren(timeBar(steps, spent(steps)),
    h("ul", { class: "keys" }, ...groups),
    h("p", { class: "fine" }, `${ms(spent(steps))} ms together. ` +
      "The device's steps ran on the server; the link is the one to this browser."));
}
