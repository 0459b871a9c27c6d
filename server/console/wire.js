/* What crosses the wire: the latent as a heat map beside the JPEG. */
import { $, bytes, count, h } from "./dom.js";
import { latent } from "./paths.js";

/* Colour stops, dark to bright; and cold, neutral, warm for signed values. */
const HEAT = [[13, 8, 38], [84, 15, 109], [187, 55, 84], [249, 142, 9], [252, 255, 164]];
const SIGNED = [[37, 99, 235], [226, 232, 240], [234, 88, 12]];

function colour(stops, fraction) {
  const at = Math.min(Math.max(fraction, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((value, c) => value + (stops[i + 1][c] - value) * (at - i));
}

/* Paints width x height cells; `shade(i)` gives [r, g, b] or null. */
function paint(canvas, width, height, shade) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const rgb = shade(i);
    if (rgb) image.data.set([...rgb, 255], i * 4);
  }
  context.putImageData(image, 0, 0);
}

/* Root mean square over the channels, for each position. */
function energy(picture, [height, width, channels]) {
  const columns = picture.width / width;
  const sums = new Float64Array(height * width);
  for (let c = 0; c < channels; c++) {
    const left = (c % columns) * width, top = Math.floor(c / columns) * height;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = picture.grey[(top + y) * picture.width + left + x] - 128;
        sums[y * width + x] += value * value;
      }
  }
  return sums.map((sum) => Math.sqrt(sum / channels));
}

function scaleBar(name, size, most) {
  const bar = h("span", { class: "fill" });
  bar.style.width = `max(2px, ${(size / most) * 100}%)`;
  return h("div", {}, h("span", { class: "label" }, name),
    h("span", { class: "number" }, `${count(size)} bytes`),
    h("span", { class: "track", "aria-hidden": "true" }, bar));
}

/* Shows frame and JPEG, or hides the card where nothing is split. */
export async function showWire(model, point, photo, result) {
  $("wire-card").hidden = true;
  if (!result.frame) return;
  const picture = await latent(model, result.frame);
  const [height, width, channels] = point.latent;
  const values = energy(picture, point.latent);
  const least = Math.min(...values), most = Math.max(...values, least + 1e-9);
  paint($("wire-energy"), width, height,
    (i) => colour(HEAT, (values[i] - least) / (most - least)));
  paint($("wire-channels"), picture.width, picture.height,
    (i) => picture.grey[i] && colour(SIGNED, (picture.grey[i] - 1) / 254));
  $("wire-photo").src = photo.url;
  $("wire-photo-caption").textContent = `The JPEG, cropped as the network sees it`;
  $("wire-energy-caption").textContent =
    `The latent's strength at each of ${height} × ${width} positions`;
  $("wire-channels-caption").textContent =
    `All its ${channels} channels: blue below zero, orange above`;
  const ratio = photo.jpeg.size / result.bytes;
  $("wire-scale").replaceChildren(
    scaleBar("JPEG", photo.jpeg.size, Math.max(photo.jpeg.size, result.bytes)),
    scaleBar(`frame, ${point.id}`, result.bytes, Math.max(photo.jpeg.size, result.bytes)),
    h("p", {}, h("strong", {}, ratio >= 1
      ? `${ratio.toFixed(ratio < 10 ? 1 : 0)} times fewer bytes`
      : `${bytes(result.bytes - photo.jpeg.size)} more than the JPEG`),
      ratio >= 1 ? " on the wire than the JPEG." : ""));
  $("wire-card").hidden = false;
}
