// One page: drop a video, choose people, follow the work, look at the result, correct joints.
const $ = id => document.getElementById(id);
const texts = await (await fetch("/texts.en.json")).json();
const text = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);

function say(words, bad = false) {
  $("message").textContent = words;
  $("message").classList.toggle("bad", bad);
}

async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 401) throw new Error(text("token"));
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error || `${answer.status} ${answer.statusText}`);
  }
  return answer.status === 204 ? null : answer.headers.get("content-type")?.includes("json") ? answer.json() : answer.blob();
}

const attempt = work => async (...given) => { try { await work(...given); } catch (error) { say(error.message, true); } };
const sections = ["begin", "choose", "job"];
function show(name) { for (const s of sections) $(s).hidden = s !== name; }

// ---------------------------------------------------------------- the token becomes a cookie, and leaves the address

const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname);
  await attempt(() => ask("/v1/session", { method: "POST", body: JSON.stringify({ token }) }))();
}

// ---------------------------------------------------------------- begin

let clip = null, job = null;

const home = attempt(async () => {
  clip = job = null;
  show("begin");
  const { jobs } = await ask("/v1/jobs");
  $("videos").replaceChildren(...jobs.reverse().map(entry));
  if (!jobs.length) $("videos").textContent = text("none");
});

function entry(one) {
  const item = document.createElement("li"), name = document.createElement("span"), open = document.createElement("button");
  name.className = "name";
  name.textContent = one.name;
  open.textContent = one.state === "done" ? text("done") : one.state;
  open.addEventListener("click", () => follow(one.id));
  item.append(name, open);
  return item;
}

const upload = attempt(file => new Promise((resolve, reject) => {
  if (!file) return resolve();
  const sent = new XMLHttpRequest(), form = new FormData();
  form.append("file", file);
  sent.open("POST", "/v1/clips");
  sent.upload.addEventListener("progress", e => say(text("uploading", { percent: Math.round(100 * e.loaded / e.total) })));
  sent.addEventListener("error", () => reject(new Error(sent.statusText || "network error")));
  sent.addEventListener("load", () => {
    const told = JSON.parse(sent.responseText || "{}");
    if (sent.status === 401) reject(new Error(text("token")));
    else if (sent.status !== 201) reject(new Error(told.error || sent.statusText));
    else { say(""); choose(told).then(resolve, reject); }
  });
  sent.send(form);
}));

for (const id of ["file", "camera"]) $(id).addEventListener("change", e => { upload(e.target.files[0]); e.target.value = ""; });
for (const kind of ["dragover", "dragleave", "drop"]) $("drop").addEventListener(kind, e => {
  e.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  if (kind === "drop") upload(e.dataTransfer.files[0]);
});
for (const label of document.querySelectorAll("label[tabindex]")) label.addEventListener("keydown", e => {
  if (e.key === "Enter" || e.key === " ") { e.preventDefault(); label.querySelector("input").click(); }
});

// ---------------------------------------------------------------- choose people

let people = [], chosen = new Map();  // "x,y@t" by the index of a box

async function choose(told) {
  clip = told;
  chosen = new Map();
  $("when").value = 0;
  if (clip.duration) $("when").max = clip.duration;
  show("choose");
  await look();
}

const look = attempt(async () => {
  const time = Number($("when").value) || 0;
  const [picture, found] = await Promise.all([
    ask(`/v1/clips/${clip.id}/frame.jpg?time=${time}`), ask(`/v1/clips/${clip.id}/people?time=${time}`),
  ]);
  clip.picture = await createImageBitmap(picture);
  people = found.people.map(box => ({ box, time: found.time }));
  chosen = new Map();
  $("picture").width = clip.picture.width;
  $("picture").height = clip.picture.height;
  draw_people();
});

function draw_people() {
  const g = $("picture").getContext("2d"), scale = clip.picture.width / 640;
  g.drawImage(clip.picture, 0, 0);
  people.forEach(({ box: [x, y, w, h] }, n) => {
    g.lineWidth = (chosen.has(n) ? 5 : 2) * scale;
    g.strokeStyle = chosen.has(n) ? "#d55e00" : "#56b4e9";
    g.setLineDash(chosen.has(n) ? [] : [6 * scale, 4 * scale]);  // told apart without colour
    g.strokeRect(x, y, w, h);
  });
  $("count").textContent = chosen.size ? text("chosen", { count: chosen.size }) : text("everybody");
}

const at = (canvas, e) => {
  const place = canvas.getBoundingClientRect();
  return [(e.clientX - place.left) * canvas.width / place.width, (e.clientY - place.top) * canvas.height / place.height];
};

$("picture").addEventListener("click", e => {
  const [px, py] = at($("picture"), e);
  const hits = people.map(({ box: [x, y, w, h] }, n) => ({ n, area: w * h, hit: px >= x && px <= x + w && py >= y && py <= y + h }))
    .filter(p => p.hit).sort((a, b) => a.area - b.area);
  if (!hits.length) chosen.clear();
  else if (chosen.has(hits[0].n)) chosen.delete(hits[0].n);
  else {
    const { box: [x, y, w, h], time } = people[hits[0].n];
    chosen.set(hits[0].n, `${(x + w / 2).toFixed(1)},${(y + h / 2).toFixed(1)}@${time.toFixed(3)}`);
  }
  draw_people();
});
$("when").addEventListener("change", look);

$("run").addEventListener("click", attempt(async () => {
  const options = { blur_faces: $("blur").checked, repair_sides: $("sides").checked };
  if (chosen.size) options.select = [...chosen.values()].join(";");
  const begun = await ask(`/v1/jobs?clip=${clip.id}`, { method: "POST", body: JSON.stringify(options) });
  await follow(begun.id);
}));

// ---------------------------------------------------------------- follow a job

const follow = attempt(async id => {
  job = { id };
  show("job");
  $("result").hidden = true;
  const answer = await fetch(`/v1/jobs/${id}`, { headers: { accept: "application/x-ndjson" } });
  if (!answer.ok) throw new Error(text("token"));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done || job?.id !== id) { reader.cancel(); break; }
    rest += value;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) await progress(JSON.parse(line));
  }
});

async function progress(now) {
  job = { ...job, ...now };
  $("name").textContent = now.name;
  $("bar").hidden = now.state !== "running" && now.state !== "queued";
  if (now.total) $("bar").value = now.frames / now.total; else $("bar").removeAttribute("value");
  if (now.state === "running") {
    const values = { what: now.what, frames: now.frames, total: now.total ?? "?", speed: (now.frames_per_second ?? 0).toFixed(1), left: Math.ceil(now.seconds_left ?? 0) };
    say(now.what ? text("running", values) : text("started"));
  } else say(text(now.state, { error: now.error }), now.state === "failed");
  if (now.state === "done") await show_result(now.messages);
}

async function show_result(messages) {
  if (messages.length) say(`${text("done")}. ${messages.join(" ")}`);
  $("result").hidden = false;
  for (const kind of ["mp4", "csv", "json", "html"]) $(`get_${kind}`).href = `/v1/jobs/${job.id}/result.${kind}?download=true`;
  job.data = await ask(`/v1/jobs/${job.id}/result.json`);
  tab("report");
}

function tab(name) {
  $("report").hidden = name !== "report";
  $("correct").hidden = name !== "correct";
  for (const t of ["report", "correct"]) $(`to_${t}`).setAttribute("aria-pressed", t === name);
  if (name === "report") $("report").src = `/v1/jobs/${job.id}/result.html?${Date.now()}`;
  else begin_correcting();
}
$("to_report").addEventListener("click", () => tab("report"));
$("to_correct").addEventListener("click", () => tab("correct"));
$("delete").addEventListener("click", attempt(async () => { await ask(`/v1/jobs/${job.id}`, { method: "DELETE" }); say(""); await home(); }));
for (const button of document.querySelectorAll(".home")) button.addEventListener("click", () => { say(""); home(); });

// ---------------------------------------------------------------- correct joints

let frames = [], index = 0, edits = [], held = null, picture = null, asked = 0;

function begin_correcting() {
  frames = job.data.frames;
  edits = [];
  const tracks = [...new Set(frames.flatMap(f => f.people.map(p => p.track)))].sort((a, b) => a - b);
  if (!tracks.length) { say(text("nobody")); return; }
  $("who").replaceChildren(...tracks.map(n => new Option(job.data.names?.[n] ?? n, n)));
  $("seek").max = frames.length - 1;
  $("from").value = frames[0].time;
  $("to").value = frames[frames.length - 1].time;
  go(Math.max(0, frames.findIndex(f => f.people.length)));
}

const person = () => frames[index].people.find(p => p.track === Number($("who").value));
const moved = () => {  // corrections that are not saved, of this frame, by joint
  const found = {};
  for (const e of edits) if (e.frame === frames[index].frame && e.who === Number($("who").value) && e.joint) found[e.joint] = e.place;
  return found;
};

const go = attempt(async n => {
  index = Math.min(Math.max(n, 0), frames.length - 1);
  $("seek").value = index;
  $("where").textContent = text("frame", { frame: frames[index].frame, time: frames[index].time.toFixed(3) });
  const mine = ++asked;
  const got = await ask(`/v1/clips/${job.id}/frame.jpg?time=${frames[index].time}`);
  if (mine !== asked) return;  // a later one was asked for
  picture = await createImageBitmap(got);
  $("frame").width = picture.width;
  $("frame").height = picture.height;
  draw_frame();
});

function joints() {
  const shown = person();
  if (!shown) return [];
  const changed = moved();
  return job.data.skeleton.joints.map((name, k) => {
    const [x, y, sure] = shown.keypoints[k];
    const place = changed[name] ?? (x === null ? null : [x, y]);
    return { name, place, sure: changed[name] ? 1 : sure, corrected: name in changed };
  });
}

function draw_frame() {
  if (!picture) return;
  const g = $("frame").getContext("2d"), unit = Math.max(picture.width, picture.height) / 640, all = joints();
  g.drawImage(picture, 0, 0);
  g.lineWidth = 2 * unit;
  for (const [a, b] of job.data.skeleton.edges) {
    if (!all[a]?.place || !all[b]?.place) continue;
    g.strokeStyle = "#fff8";
    g.beginPath(); g.moveTo(...all[a].place); g.lineTo(...all[b].place); g.stroke();
  }
  for (const joint of all) {
    if (!joint.place) continue;
    g.beginPath();
    g.arc(...joint.place, (joint.corrected ? 6 : 4) * unit, 0, 7);
    g.fillStyle = joint.name.startsWith("left") ? "#e69f00" : joint.name.startsWith("right") ? "#56b4e9" : "#fff";
    g.strokeStyle = joint.corrected ? "#d55e00" : "#000";
    if (joint.sure >= 0.4) g.fill();
    g.stroke();
  }
  if (held) { g.font = `${14 * unit}px sans-serif`; g.fillStyle = "#fff"; g.fillText(held.name.replace("_", " "), held.place[0] + 8 * unit, held.place[1]); }
  $("unsaved").textContent = edits.length ? text("unsaved", { count: edits.length }) : "";
}

$("frame").addEventListener("pointerdown", e => {
  const place = at($("frame"), e), reach = 18 * Math.max($("frame").width, $("frame").height) / 640;
  const near = joints().filter(j => j.place).map(j => ({ ...j, away: Math.hypot(j.place[0] - place[0], j.place[1] - place[1]) }))
    .sort((a, b) => a.away - b.away)[0];
  if (!near || near.away > reach) return;
  held = { name: near.name, place };
  $("frame").setPointerCapture(e.pointerId);
});
$("frame").addEventListener("pointermove", e => { if (held) { held.place = at($("frame"), e); draw_held(); } });
$("frame").addEventListener("pointerup", () => {
  if (!held) return;
  const { name, place } = held, frame = frames[index].frame, who = Number($("who").value);
  edits = edits.filter(e => !(e.frame === frame && e.who === who && e.joint === name));
  edits.push({ kind: "move", frame, who, joint: name, place, text: `${who}:${name}@#${frame}=${place[0].toFixed(1)},${place[1].toFixed(1)}` });
  held = null;
  draw_frame();
});
function draw_held() {
  const frame = frames[index].frame, who = Number($("who").value), before = edits;
  edits = [...edits.filter(e => !(e.frame === frame && e.who === who && e.joint === held.name)), { kind: "move", frame, who, joint: held.name, place: held.place }];
  draw_frame();
  edits = before;
}

$("seek").addEventListener("input", e => go(Number(e.target.value)));
$("who").addEventListener("change", draw_frame);
$("undo").addEventListener("click", () => { edits.pop(); draw_frame(); });
$("swap").addEventListener("click", () => {
  edits.push({ kind: "swap-sides", text: `${$("who").value}@${$("from").value}-${$("to").value}` });
  draw_frame();
});
$("save").addEventListener("click", attempt(async () => {
  if (!edits.length) return;
  say(text("saving"));
  $("save").disabled = true;
  try {
    const body = JSON.stringify({ edits: edits.map(({ kind, text }) => ({ kind, text })) });
    await ask(`/v1/jobs/${job.id}/edits`, { method: "POST", body, headers: { "content-type": "application/json" } });
  } finally { $("save").disabled = false; }
  job.data = await ask(`/v1/jobs/${job.id}/result.json`);
  frames = job.data.frames;
  edits = [];
  say(text("saved"));
  draw_frame();
}));
addEventListener("keydown", e => {
  if ($("correct").hidden || $("job").hidden || e.target.matches("input[type=number], select")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[e.key];
  if (step) { e.preventDefault(); go(index + step); }
  if (e.key === "z") { edits.pop(); draw_frame(); }
});
addEventListener("beforeunload", e => { if (edits.length) e.preventDefault(); });

await home();
