import { Follower, Network } from "./pose.js";

const $ = id => document.getElementById(id);
const LEFT = "#ff963c", RIGHT = "#3cbeff", MIDDLE = "#f0f0f0", SURE = 0.4;
const picture = $("picture"), pen = picture.getContext("2d", { willReadFrequently: true });
let network = null, running = 0;

// What runs the network. Each is loaded from its folder beside the page, and gives what `Network` calls.
const RUNTIMES = {
  onnx: async () => {
    const ort = await loaded("onnxruntime-web", "ort", "ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("./ort/", location.href).href;
    if (!crossOriginIsolated) ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create("network.onnx", { executionProviders: ["wasm"] });
    return async (crop, shape) => Object.values(await session.run({ [session.inputNames[0]]: new ort.Tensor("float32", crop, shape) }))[0];
  },
  litert: async () => {
    const litert = await loaded("LiteRT.js", "litert", "index.js");
    await litert.loadLiteRt("./litert/wasm/");
    const model = await litert.loadAndCompile("network.tflite", { accelerator: "wasm" });
    return async (crop, shape) => {
      const input = new litert.Tensor(crop, shape), [output] = await model.run([input]);
      const found = { data: (await output.data()).slice(), dims: [...output.type.layout.dimensions] };
      for (const tensor of [input, output]) tensor.delete();
      return found;
    };
  },
};

async function loaded(name, folder, file) {
  try { return await import(`./${folder}/${file}`); }
  catch { throw new Error(`${name} is missing. Put its files into the folder ${folder}; the manual of posecli has the command.`); }
}

async function begin() {
  const about = await (await fetch("network.json")).json();
  network = new Network(await RUNTIMES[about.runtime](), about);
  window.posecli = { network };  // for tests and for your own scripts
  $("state").textContent = "Ready.";
  document.documentElement.dataset.ready = "yes";
}

const colour = name => name.startsWith("left") ? LEFT : name.startsWith("right") ? RIGHT : MIDDLE;

function draw(joints) {
  const { joints: names, edges } = network.about, size = Math.max(2, picture.height / 160);
  const sure = joints.map(j => j[2] >= SURE);
  pen.lineWidth = size;
  for (const [a, b] of edges) {
    if (!sure[a] || !sure[b]) continue;
    pen.strokeStyle = names[a][0] === names[b][0] ? colour(names[a]) : MIDDLE;
    pen.beginPath(); pen.moveTo(joints[a][0], joints[a][1]); pen.lineTo(joints[b][0], joints[b][1]); pen.stroke();
  }
  joints.forEach(([x, y], k) => {
    pen.beginPath(); pen.arc(x, y, 1.3 * size, 0, 2 * Math.PI);
    pen.fillStyle = pen.strokeStyle = colour(names[k]);
    if (sure[k]) pen.fill(); else pen.stroke();
  });
}

async function look(source, width, height, follower) {
  picture.width = width; picture.height = height;
  pen.drawImage(source, 0, 0, width, height);
  const joints = await follower.next(pen.getImageData(0, 0, width, height));
  if (joints) draw(joints);
  return joints;
}

async function play(video) {
  const own = ++running, follower = new Follower(network);
  picture.hidden = false; $("stop").hidden = false;
  await video.play();
  let frames = 0, began = performance.now();
  while (own === running && !video.ended) {
    const joints = await look(video, video.videoWidth, video.videoHeight, follower);
    const seconds = (performance.now() - began) / 1000;
    frames += 1;
    $("state").textContent = `${(frames / seconds).toFixed(1)} frames/s${joints ? "" : ", nobody is seen"}`;
    document.documentElement.dataset.frames = frames;
    await new Promise(requestAnimationFrame);
  }
}

async function camera() {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    $("state").textContent = `The camera cannot be used: ${error.message}.`;
    return;
  }
  await play(video);
  for (const track of video.srcObject.getTracks()) track.stop();
}

async function file() {
  const [chosen] = $("file").files;
  if (!chosen || !network) return;
  if (chosen.type.startsWith("image/")) {
    const image = await createImageBitmap(chosen);
    running += 1;
    picture.hidden = false;
    const joints = await look(image, image.width, image.height, new Follower(network));
    $("state").textContent = joints ? `${joints.filter(j => j[2] >= SURE).length} sure joints.` : "Nobody is seen.";
    return;
  }
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.src = URL.createObjectURL(chosen);
  video.addEventListener("error", () => { $("state").textContent = "This browser cannot play that file."; });
  await play(video);
}

$("camera").addEventListener("click", () => network && camera());
$("file").addEventListener("change", file);
$("stop").addEventListener("click", () => { running += 1; $("stop").hidden = true; });
begin().catch(error => { $("state").textContent = `The network cannot be loaded: ${error.message}`; });
