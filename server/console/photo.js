/* Where photos come from: a file, a drop, the clipboard, the camera, a sample.
 * Whatever it was, what comes out is a JPEG. */
import { $, h } from "./dom.js";

const SAMPLES = ["cat", "coffee", "rocket", "photographer"];
const QUALITY = 0.9;

async function toJpeg(source, width, height) {
  const canvas = h("canvas", { width, height });
  canvas.getContext("2d").drawImage(source, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

async function read(file) {
  if (file.type === "image/jpeg") return file;
  const bitmap = await createImageBitmap(file);
  return toJpeg(bitmap, bitmap.width, bitmap.height);
}

function camera(take) {
  const video = $("viewfinder");
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = $("shoot").hidden = true;
    $("camera").textContent = "Use the camera";
  };
  if (!navigator.mediaDevices?.getUserMedia) return stop;
  $("camera").hidden = false;
  $("camera").addEventListener("click", async () => {
    if (stream) return stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 1280 } },
      });
    } catch (error) {
      $("status").textContent = `No camera: ${error.message}`;
      return;
    }
    video.srcObject = stream;
    await video.play();
    video.hidden = $("shoot").hidden = false;
    $("preview").hidden = $("drop-hint").hidden = true;
    $("camera").textContent = "Stop the camera";
    $("shoot").focus();
  });
  $("shoot").addEventListener("click", async () => {
    const jpeg = await toJpeg(video, video.videoWidth, video.videoHeight);
    stop();
    take(jpeg);
  });
  return stop;
}

/* Calls onPhoto({jpeg, url}) for each photo. */
export function watchPhotos(onPhoto) {
  let url = null;
  const show = (jpeg) => {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(jpeg);
    $("preview").src = url;
    $("preview").hidden = false;
    $("drop-hint").hidden = true;
    onPhoto({ jpeg, url });
  };
  const stopCamera = camera(show);
  const take = async (file) => {
    stopCamera();
    try {
      show(await read(file));
    } catch {
      $("status").textContent = "That file is no picture that this browser can read.";
    }
  };
  const takeAny = (list) => {
    const file = [...list].find((one) => one.type.startsWith("image/"));
    if (file) take(file);
  };

  const drop = $("drop");
  $("file").addEventListener("change", (event) => takeAny(event.target.files));
  $("choose").addEventListener("click", () => $("file").click());
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    takeAny(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => takeAny(event.clipboardData.files));

  for (const name of SAMPLES) {
    const path = `/console/samples/${name}.jpg`;
    const pick = async () => take(await (await fetch(path)).blob());
    $("samples").append(h("li", {}, h("button", { type: "button", onclick: pick },
      h("img", { src: path, alt: name, width: 72, height: 54 }))));
  }
}
