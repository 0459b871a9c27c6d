/* The table of operating points: what the card says, and what one photo did. */
import { timeBar } from "./answer.js";
import { $, compact, count, h, ms, percent } from "./dom.js";
import { spent } from "./paths.js";

const cell = (name, attributes, ...children) =>
  h("td", { "data-name": name, ...attributes }, ...children);

function meaning(point) {
  if (point.kind === "offload") return "send the JPEG";
  if (point.kind === "local") return "send nothing";
  return `head of ${compact(point.head_macs)} multiplications`;
}

/* One row for each point; onPick(point) when its name is pressed. */
export function showTable(model, onPick) {
  $("table").tBodies[0].replaceChildren(...model.points.map((point) =>
    h("tr", { id: `row-${point.id}` },
      h("th", { scope: "row" },
        h("button", { class: "link", type: "button", onclick: () => onPick(point) }, point.id),
        h("span", { class: "fine" }, meaning(point))),
      cell("Top-1", { class: "number" }, point.top1 == null ? "–" : percent(point.top1)),
      cell("Bytes", { class: "number" },
        point.bytes_mean == null ? "–" : h("span", { class: "fine" }, `mean ${count(point.bytes_mean)}`)),
      cell("Time", { class: "when" }, "–"), cell("Answer", {}, "–"))));
}

/* Fills the row of `point`. `most_ms`: the width of the time bars. */
export function fillRow(point, { bytes, top, steps }, most_ms) {
  const [, size, time, answer] = $(`row-${point.id}`).querySelectorAll("td");
  const parts = ["device", "link", "server"].map((side) => ms(spent(steps, side)));
  size.replaceChildren(count(bytes));
  time.replaceChildren(timeBar(steps, most_ms),
    h("span", { class: "fine" }, `${parts.join(" + ")} ms`));
  answer.replaceChildren(top[0].label, " ",
    h("span", { class: "fine" }, percent(top[0].probability, 0)));
}

export function failRow(point, reason) {
  $(`row-${point.id}`).lastElementChild.replaceChildren(
    h("span", { class: "wrong" }, reason));
}

export function markRow(point) {
  for (const row of $("table").tBodies[0].rows)
    row.classList.toggle("picked", row.id === `row-${point.id}`);
}
