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
const sections = ["begin", "live", "choose", "job"];
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
  stop_watching();
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
  // A server that refuses a file does not wait for its end: the answer can be cut off behind its status.
  let status = 0;
  sent.addEventListener("readystatechange", () => { status = sent.status || status; });
  const refused = () => new Error(text({ 401: "token", 413: "large" }[status] ?? "offline"));
  sent.addEventListener("error", async () => {
    // The connection can end before the status arrives. Then a small request tells whether the token is missing.
    status ||= await fetch("/v1/jobs/none", { method: "DELETE" }).then(answer => answer.status === 401 ? 401 : 0, () => 0);
    reject(refused());
  });
  sent.addEventListener("load", () => {
    const told = JSON.parse(sent.responseText || "{}");
    if (sent.status === 401) reject(refused());
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

// ---------------------------------------------------------------- watch live

let watched = null;  // {stream, socket}

$("watch").addEventListener("click", attempt(async () => {
  let stream;
  try { stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } }); }
  catch (error) { throw new Error(text("no_camera", { error: error.message })); }
  const { skeleton } = await ask("/v1/models");
  const video = document.createElement("video"), sent = document.createElement("canvas"), answers = [];
  video.srcObject = stream;
  video.muted = video.playsInline = true;
  await video.play();
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live`);
  watched = { stream, socket };
  show("live");
  say(text("started"));
  // One picture is on its way at a time; the next is the newest.
  const send = () => {
    if (socket.readyState !== WebSocket.OPEN) return;
    sent.width = video.videoWidth;
    sent.height = video.videoHeight;
    sent.getContext("2d").drawImage(video, 0, 0);
    sent.toBlob(blob => { if (socket.readyState === WebSocket.OPEN) socket.send(blob); }, "image/jpeg", 0.8);
  };
  socket.addEventListener("open", send);
  socket.addEventListener("close", () => { if (watched?.socket === socket) home(); });
  socket.addEventListener("message", e => {
    const found = JSON.parse(e.data), canvas = $("mirror");
    say(found.error ?? "", Boolean(found.error));
    if (found.error) return;
    canvas.width = sent.width;
    canvas.height = sent.height;
    const g = canvas.getContext("2d"), unit = canvas.width / 640;
    g.drawImage(sent, 0, 0);
    for (const { keypoints } of found.people) draw_skeleton(g, unit, skeleton.edges, skeleton.joints.map((name, k) => {
      const [x, y, sure] = keypoints[k];
      return { name, place: x === null ? null : [x, y], sure };
    }));
    answers.push(performance.now());
    while (answers.length > 20) answers.shift();
    const seconds = (answers[answers.length - 1] - answers[0]) / 1000;
    $("rate").textContent = text("live", { count: found.people.length, rate: seconds ? ((answers.length - 1) / seconds).toFixed(0) : "" });
    send();
  });
}));

function stop_watching() {
  if (!watched) return;
  const { stream, socket } = watched;
  watched = null;
  for (const track of stream.getTracks()) track.stop();
  socket.close();
}

function draw_skeleton(g, unit, edges, joints) {
  g.lineWidth = 2 * unit;
  for (const [a, b] of edges) {
    if (!joints[a]?.place || !joints[b]?.place) continue;
    g.strokeStyle = "#fff8";
    g.beginPath(); g.moveTo(...joints[a].place); g.lineTo(...joints[b].place); g.stroke();
  }
  for (const joint of joints) {
    if (!joint.place) continue;
    const [x, y] = joint.place, r = (joint.corrected ? 6 : 4) * unit;
    g.beginPath();
    if (joint.name.startsWith("right")) g.rect(x - r, y - r, 2 * r, 2 * r); else g.arc(x, y, r, 0, 7);  // told apart without colour
    g.fillStyle = joint.name.startsWith("left") ? "#e69f00" : joint.name.startsWith("right") ? "#56b4e9" : "#fff";
    g.strokeStyle = joint.corrected ? "#d55e00" : "#000";
    if (joint.sure >= 0.4) g.fill();
    g.stroke();
  }
}

// ---------------------------------------------------------------- what is drawn into the video

function drawing_options() {
  const options = { blur_faces: $("blur").checked };
  for (const name of ["draw_angles", "trails", "events"]) options[name] = $(name).value || null;
  options.horizontal = $("has_level").checked ? Number($("level").value) : null;
  return options;
}

let models = null;  // what the server says of its networks and of the angles that can be drawn

// The menu has the angles that these joints give, and what was chosen elsewhere.
async function offer_angles(joints, chosen) {
  models ??= await ask("/v1/models");
  joints ??= models.skeleton.joints;
  const menu = $("draw_angles"), given = Object.keys(models.angles).filter(name => models.angles[name].every(j => joints.includes(`left_${j}`)));
  menu.querySelector(".other")?.remove();
  $("all_angles").value = given.join(",");
  for (const option of menu.options) option.hidden = option.disabled = option.value !== "" && !option.value.split(",").every(name => given.includes(name));
  if (!chosen || [...menu.options].some(option => option.value === chosen)) return;
  const other = new Option(chosen.replaceAll("_", " ").replaceAll(",", ", "), chosen);
  other.className = "other";
  menu.append(other);
}

async function show_drawing(parent, before, options, height, joints) {
  await offer_angles(joints, options.draw_angles);
  parent.insertBefore($("drawing"), before);
  $("redraw").hidden = parent.id === "choose";
  for (const name of ["draw_angles", "trails", "events"]) $(name).value = options[name] ?? "";
  $("blur").checked = Boolean(options.blur_faces);
  $("has_level").checked = options.horizontal != null;
  $("level").max = height;
  $("level").value = options.horizontal ?? Math.round(height * 0.8);
  $("level").hidden = !$("has_level").checked;
}

function draw_level(g, unit) {
  if (!$("has_level").checked) return;
  g.fillStyle = "#fff";
  g.fillRect(0, Number($("level").value) - unit, g.canvas.width, 2 * unit);
}

for (const id of ["has_level", "level"]) $(id).addEventListener("input", () => {
  $("level").hidden = !$("has_level").checked;
  if (!$("choose").hidden) draw_people(); else draw_frame();
});
$("redraw").addEventListener("click", attempt(async () => {
  say(text("drawing_now"));
  $("redraw").disabled = true;
  try {
    const body = JSON.stringify(drawing_options());
    await ask(`/v1/jobs/${job.id}/drawing`, { method: "POST", body, headers: { "content-type": "application/json" } });
  } finally { $("redraw").disabled = false; }
  job.options = { ...job.options, ...drawing_options() };
  say(text("drawn"));
  if (!$("report").hidden) tab("report");
}));

// ---------------------------------------------------------------- choose people

let people = [], chosen = new Map();  // "x,y@t" by the index of a box

async function choose(told) {
  clip = told;
  chosen = new Map();
  $("when").value = 0;
  if (clip.duration) $("when").max = clip.duration;
  await show_drawing($("choose"), $("sides").closest("p"), {}, told.height);
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
  draw_level(g, scale);
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
  const options = { ...drawing_options(), repair_sides: $("sides").checked };
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
  $("get_summary").href = `/v1/jobs/${job.id}/summary.html?download=true`;
  job.data = await ask(`/v1/jobs/${job.id}/result.json`);
  $("get_original").href = `/v1/jobs/${job.id}/original.json`;
  $("get_original").hidden = !job.data.options.edits?.length;
  await show_drawing($("result"), $("result").lastElementChild, job.options, job.data.source.height, job.data.skeleton.joints);
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
  const seen = new Map();  // how many frames, by track ID
  for (const { people } of frames) for (const { track } of people) seen.set(track, (seen.get(track) ?? 0) + 1);
  const tracks = [...seen.keys()].sort((a, b) => a - b);
  if (!tracks.length) { say(text("nobody")); return; }
  list_people(tracks, tracks.reduce((a, b) => seen.get(b) > seen.get(a) ? b : a));
  $("blanked").replaceChildren(...job.data.skeleton.joints.map(name => new Option(name.replaceAll("_", " "), name)));
  $("seek").max = frames.length - 1;
  $("from").value = (Math.floor(frames[0].time * 100) / 100).toFixed(2);
  $("to").value = (Math.ceil(frames[frames.length - 1].time * 100) / 100).toFixed(2);
  go(person() ? index : Math.max(0, frames.findIndex(f => f.people.some(p => p.track === Number($("who").value)))));
}

function list_people(tracks, longest) {
  const names = job.data.names ?? {}, kept = $("who").value;
  for (const id of ["who", "other"]) $(id).replaceChildren(...tracks.map(n => new Option(names[n] ?? n, n)));
  $("who").value = tracks.includes(Number(kept)) ? kept : longest;
  $("exchange").parentElement.hidden = tracks.length < 2;
  show_person();
}

function show_person() {
  const own = $("who").value;
  for (const option of $("other").options) option.disabled = option.value === own;
  if ($("other").value === own || !$("other").value) $("other").value = [...$("other").options].find(o => !o.disabled)?.value ?? "";
  $("called").value = job.data.names?.[own] ?? "";
  draw_frame();
}

const person = () => frames[index]?.people.find(p => p.track === Number($("who").value));
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

let playing = false;
async function play() {
  while (playing && index < frames.length - 1 && !$("correct").hidden) {
    const before = performance.now();
    await go(index + 1);
    const rest = 1000 * (frames[index].time - frames[index - 1].time) - (performance.now() - before);
    await new Promise(done => setTimeout(done, Math.max(rest, 0)));
  }
  playing = false;
}

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
  draw_skeleton(g, unit, job.data.skeleton.edges, all);
  draw_level(g, unit);
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
$("who").addEventListener("change", show_person);
$("undo").addEventListener("click", () => { edits.pop(); draw_frame(); });
const stretch = () => `@${$("from").value}-${$("to").value}`;
function change(kind, what) { edits.push({ kind, text: what }); draw_frame(); }
$("swap").addEventListener("click", () => change("swap-sides", $("who").value + stretch()));
$("exchange").addEventListener("click", () => change("swap-ids", `${$("who").value},${$("other").value}${stretch()}`));
$("blank").addEventListener("click", () => change("blank", `${$("who").value}:${$("blanked").value}${stretch()}`));
$("rename").addEventListener("click", () => { if ($("called").value.trim()) change("rename", `${$("who").value}=${$("called").value.trim()}`); });
$("save").addEventListener("click", attempt(async () => {
  if (!edits.length) return;
  say(text("saving"));
  $("save").disabled = true;
  try {
    const body = JSON.stringify({ edits: edits.map(({ kind, text }) => ({ kind, text })) });
    await ask(`/v1/jobs/${job.id}/edits`, { method: "POST", body, headers: { "content-type": "application/json" } });
  } finally { $("save").disabled = false; }
  job.data = await ask(`/v1/jobs/${job.id}/result.json`);
  $("get_original").hidden = false;
  begin_correcting();
  say(text("saved"));
}));
addEventListener("keydown", e => {
  if ($("correct").hidden || $("job").hidden || e.target.matches("input[type=number], input[type=text], select")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[e.key];
  if (step) { e.preventDefault(); go(index + step); }
  if (e.key === " " && !e.target.matches("button, a, input")) { e.preventDefault(); playing = !playing; if (playing) play(); }
  if (e.key === "z") { edits.pop(); draw_frame(); }
});
addEventListener("beforeunload", e => { if (edits.length) e.preventDefault(); });

await home();
