/* Building elements, and writing numbers as people read them. */

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/* An HTML or SVG element; a member "onclick" of attributes is a listener. */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const whole = new Intl.NumberFormat("en");
export const count = (value) => whole.format(Math.round(value));
export const percent = (fraction, digits = 1) => `${(fraction * 100).toFixed(digits)} %`;
export const ms = (value) => (value < 9.95 ? value.toFixed(1) : count(value));
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const compact = (value) => short.format(value);

export function bytes(value) {
  if (value < 1000) return `${count(value)} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)} kB`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}
