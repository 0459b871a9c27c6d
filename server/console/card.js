/* The model card: what the metadata says, in words. */
import { $, bytes, compact, count, h, percent } from "./dom.js";
import { frontier } from "./frontier.js";

const range = (values, write) => {
  const least = Math.min(...values), most = Math.max(...values);
  return write(least) === write(most) ? write(least) : `${write(least)} to ${write(most)}`;
};

export function showCard(model) {
  const splits = model.points.filter((one) => one.kind === "split");
  const measured = splits.filter((one) => one.top1 != null);
  const whole = model.points.find((one) => one.kind !== "split");
  const latents = [...new Set(splits.map((one) => one.latent.join(" × ")))];
  const facts = [
    ["Name and version", `${model.name} ${model.version}`],
    ["Fingerprint", h("code", {}, model.fingerprint)],
    ["Input", `JPEG, used at ${model.input.width} × ${model.input.height} pixels`],
    ["Classes", count(model.classes)],
    ["Whole network", whole && [`${compact(whole.head_macs + whole.tail_macs)} multiplications`,
      whole.top1 == null ? "" : `, ${percent(whole.top1)} top-1`].join("")],
    ["Split points", `${splits.length}, ${new Set(splits.map((one) => one.head_macs)).size} heads`],
    ["Heads", splits.length > 0 &&
      `${range(splits.map((one) => one.head_macs), compact)} multiplications`],
    ["Latent", latents.join(", ") || null],
    ["Frame, mean", measured.length > 0 && range(measured.map((one) => one.bytes_mean), bytes)],
    ["Split accuracy", measured.length > 0 &&
      `${range(measured.map((one) => one.top1), percent)} top-1`],
    ["On the frontier", frontier(model.points).map((one) => one.id).join(", ") || null],
  ];
  $("card").replaceChildren(...facts.filter(([, value]) => value)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  const pictures = Math.max(0, ...model.points.map((one) => one.pictures ?? 0));
  $("pictures").textContent = pictures ? `on ${count(pictures)} validation pictures` : "where the bundle says so";
}
