/* A small line chart that moves from right to left. */
import { h, s } from "./dom.js";

const WIDTH = 480, HEIGHT = 120;

/* 1, 2 or 5 times a power of ten, not below `value`. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((m) => m * power).find((one) => one >= value * 0.999);
}

/* `series`: [{name, class}]; `write(value)` makes text of a value. Returns
 * {element, push(values)}, where null means that there was no value. */
export function lineChart({ title, series, write, least_top, length }) {
  const lines = series.map((one) => s("path", { class: `trace ${one.class}` }));
  const area = s("path", { class: `under ${series[0].class}` });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" },
    [0, 0.5, 1].map((f) => s("line", { class: "gridline", x1: 0, x2: WIDTH, y1: 2 + f * (HEIGHT - 4), y2: 2 + f * (HEIGHT - 4) })),
    area, ...lines);
  const scale = h("span", { class: "scale-top fine" });
  const now = series.map(() => h("strong", { class: "number" }, "–"));
  const legend = h("p", { class: "keys" }, series.map((one, i) =>
    h("span", {}, h("span", { class: `key ${one.class}` }), `${one.name} `, now[i])));
  const element = h("div", { class: "card chart" }, h("h3", {}, title), legend,
    h("div", { class: "plot" }, svg, scale));
  const values = series.map(() => []);

  const push = (latest) => {
    values.forEach((list, i) => {
      list.push(latest[i]);
      if (list.length > length) list.shift();
      now[i].textContent = latest[i] == null ? "–" : write(latest[i]);
    });
    const most = nice(Math.max(least_top, ...values.flat().filter((one) => one != null)));
    const at = (list, i) => [
      WIDTH - (list.length - 1 - i) * (WIDTH / (length - 1)),
      HEIGHT - 2 - (list[i] / most) * (HEIGHT - 4),
    ].map((one) => one.toFixed(1)).join(" ");
    const path = (list) => list
      .map((value, i) => value == null ? "" : `${i > 0 && list[i - 1] != null ? "L" : "M"}${at(list, i)}`)
      .join("");
    lines.forEach((line, i) => line.setAttribute("d", path(values[i])));
    const first = values[0];
    area.setAttribute("d", first.includes(null) || series.length > 1 ? "" :
      `${path(first)}L${WIDTH} ${HEIGHT}L${at(first, 0).split(" ")[0]} ${HEIGHT}Z`);
    scale.textContent = write(most);
    svg.setAttribute("aria-label", `${title}: ${series.map((one, i) => `${one.name} ${now[i].textContent}`).join(", ")}`);
  };
  return { element, push };
}
