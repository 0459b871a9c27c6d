/* Accuracy against bytes: every measured point, and the frontier. */
import { $, bytes, compact, h, percent, s } from "./dom.js";

const HEIGHT = 320;
const LEFT = 46, RIGHT = 20, TOP = 14, BOTTOM = 40;
const ZERO = 28; /* room left of the logarithmic axis for "0 bytes" */

let observer, picked;

/* The points that no other beats in both bytes and accuracy. A local point
 * sends nothing and would beat them all, at the price of the whole network. */
export function frontier(points) {
  const sent = points.filter((one) => one.kind !== "local" && one.top1 != null && one.bytes_mean);
  return sent
    .filter((one) => !sent.some((other) => other !== one &&
      other.top1 >= one.top1 && other.bytes_mean <= one.bytes_mean))
    .sort((a, b) => a.bytes_mean - b.bytes_mean);
}

const text = (x, y, content, attributes = {}) => s("text", { x, y, ...attributes }, content);

/* Where a point lies, for a chart of `width` pixels. */
function axes(points, width) {
  const sizes = points.filter((one) => one.bytes_mean > 0).map((one) => one.bytes_mean);
  const least = Math.log10(Math.min(...sizes, 1e9)) - 0.12;
  const most = Math.log10(Math.max(...sizes, 1)) + 0.12;
  const floor = Math.floor(Math.min(...points.map((one) => one.top1)) * 10) / 10;
  const heaviest = Math.max(1, ...points.map((one) => one.head_macs));
  const left = LEFT + ZERO;
  return {
    x: (size) => size > 0
      ? left + (Math.log10(size) - least) / (most - least) * (width - RIGHT - left) : LEFT + 10,
    y: (top1) => HEIGHT - BOTTOM - (top1 - floor) / (1 - floor) * (HEIGHT - TOP - BOTTOM),
    radius: (one) => 4 + 9 * Math.sqrt(one.head_macs / heaviest),
    shares: Array.from({ length: 11 }, (_, i) => i / 10).filter((share) => share > floor - 0.01),
    sizes: (width < 500 ? [500, 2e3, 1e4] : [100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4])
      .filter((size) => Math.log10(size) > least && Math.log10(size) < most),
  };
}

function dot(one, { x, y, radius }, onPick) {
  const label = `${one.id}: ${percent(one.top1)} top-1, ${bytes(one.bytes_mean)}, ` +
    `${compact(one.head_macs)} multiplications on the device`;
  return s("circle", { class: `dot ${one.kind}`, cx: x(one.bytes_mean), cy: y(one.top1),
    r: radius(one), "data-point": one.id, onclick: () => onPick(one) }, s("title", {}, label));
}

function draw(model, onPick) {
  const points = model.points.filter((one) => one.top1 != null && one.bytes_mean != null);
  if (points.length === 0) {
    $("frontier").textContent = "This bundle carries no measurements.";
    return;
  }
  const width = Math.max(280, $("frontier").clientWidth);
  const axis = axes(points, width);
  const { x, y, radius } = axis;
  const best = frontier(points);
  const chart = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
    "aria-label": "Top-1 accuracy against bytes sent; the table below has the numbers" },
    axis.shares.map((share) => [
      s("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: y(share), y2: y(share) }),
      text(LEFT - 6, y(share) + 4, percent(share, 0), { class: "end" }),
    ]).flat(),
    [0, ...axis.sizes].map((size) =>
      text(x(size), HEIGHT - 20, size ? bytes(size).replace(".0", "") : "0", { class: "middle" })),
    text((LEFT + width) / 2, HEIGHT - 3, "bytes sent, mean", { class: "middle" }),
    s("polyline", { class: "line", points: best.map((one) => `${x(one.bytes_mean)},${y(one.top1)}`).join(" ") }),
    points.map((one) => dot(one, axis, onPick)),
    (width < 500 ? [] : best).map((one) => {
      const right = x(one.bytes_mean) < width - 90;
      return text(x(one.bytes_mean) + (right ? 1 : -1) * (radius(one) + 3), y(one.top1) + 15, one.id,
        { class: right ? "name" : "name end" });
    }));
  const keys = [["split", "split"], ["offload", "offload: the JPEG"], ["local", "local: nothing"]];
  $("frontier").replaceChildren(chart,
    h("p", { class: "keys" }, keys.map(([kind, name]) =>
      h("span", {}, h("span", { class: `key ${kind}` }), name))),
    h("p", { class: "fine" },
      "A dot's size is the device's work; the line joins the points that no other beats."));
}

/* Draws the chart, again whenever its width changes; onPick(point) when a dot
 * is clicked. */
export function showFrontier(model, onPick) {
  let width = 0;
  observer?.disconnect();
  observer = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return;
    width = contentRect.width;
    draw(model, onPick);
    mark();
  });
  observer.observe($("frontier"));
  draw(model, onPick);
}

function mark() {
  for (const one of $("frontier").querySelectorAll(".dot"))
    one.classList.toggle("picked", one.dataset.point === picked);
}

export function markDot(point) {
  picked = point.id;
  mark();
}
