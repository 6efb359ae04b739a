(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const [diagram, overview, tip] = [at("diagram"), at("overview"), at("tip")];

  // [colour, shown at first]
  const KINDS = {
    fault: ["#b3541e", true], crash: ["#d11f2e", true], start: ["#2a9d4a", true], complaint: ["#d11f2e", true],
    call: ["#8aa4c8", true], ack: ["#2f7de1", true], failure: ["#c77d0a", true], read: ["#7fb58a", false],
    admin: ["#9467bd", true], disk: ["#a9a9a9", false],
    append: ["#3a6ea5", true], "append answer": ["#9bb8d3", false], heartbeat: ["#c9c9c9", false],
    election: ["#c2278d", true], peer: ["#6d5bd0", true], client: ["#8c8c8c", false],
  };
  // [colour, row in its lane]
  const BANDS = {
    follows: ["#d6e2ef", 0], leads: ["#f2b705", 0], down: ["#d11f2e", 1], paused: ["#c2278d", 1], stopping: ["#e08a8f", 1],
    "slow disk": ["#b3541e", 1], "full disk": ["#8a5a00", 1], clock: ["#6d5bd0", 1], cut: ["#555c66", 2], storm: ["#6b7480", 1],
  };
  const MARGIN = 86, ROW = 13, LIST_MAX = 300, S = 1e9;

  // Everything that can be pointed at, in the order of time.
  const items = [
    ...data.events.map(([time, lane, kind, text]) => ({ time, lane, kind, text, type: "event" })),
    ...data.messages.map(([time, arrived, lane, to, kind, text]) => ({ time, arrived, lane, to, kind, text, type: "message" })),
    ...data.bands.map(([time, until, lane, kind, text]) => ({ time, until, lane, kind, text, type: "band" })),
  ].sort((one, other) => one.time - other.time);
  const violation = data.violations[0];
  const isNode = (lane) => data.nodes.includes(lane);
  const hidden = { kinds: new Set(), lanes: new Set() };
  let word = "", view = { from: 0, to: data.end }, drawn = [], kept = null, queued = false;

  const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const seconds = (ns, digits = 6) => (ns / S).toFixed(digits);
  const colour = (item) => (item.type === "band" ? BANDS : KINDS)[item.kind]?.[0] ?? "#888";
  const isShown = (item) => !hidden.kinds.has(item.kind) && !hidden.lanes.has(item.lane) && !(item.type === "message" && hidden.lanes.has(item.to))
    && (item.type === "band" || word === "" || item.text.toLowerCase().includes(word));
  const isInView = (item) => item.time <= view.to && (item.until ?? item.arrived ?? item.time) >= view.from;
  const told = (item) => {
    const who = item.type === "message" ? `${data.lanes[item.lane]} → ${data.lanes[item.to]}` : data.lanes[item.lane];
    const when = item.type === "band" ? `${seconds(item.time)} … ${seconds(item.until)} s` : `${seconds(item.time)} s`;
    return [when, who, `${item.kind}${item.text ? ": " + item.text : ""}`];
  };

  function layout() {
    const lanes = data.lanes.map((_, lane) => lane).filter((lane) => !hidden.lanes.has(lane));
    const places = new Map();
    let y = 22;
    for (const lane of lanes) {
      const height = isNode(lane) ? 3 * ROW + 22 : 26;
      places.set(lane, { top: y, line: y + height - 12 });
      y += height;
    }
    return { places, height: y + 20 };
  }

  function draw() {
    queued = false;
    const width = Math.max(diagram.clientWidth, 300), { places, height } = layout();
    const x = (ns) => MARGIN + (ns - view.from) / (view.to - view.from) * (width - MARGIN - 8);
    const edge = (ns) => Math.min(Math.max(x(ns), MARGIN), width - 8);
    diagram.style.height = `${height}px`;
    diagram.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const svg = [], lines = [], bands = [], points = [], marks = new Map();
    drawn = [];
    for (const time of ticks()) {
      svg.push(`<line class="grid" x1="${x(time)}" x2="${x(time)}" y1="16" y2="${height - 14}"/>`);
      svg.push(`<text class="soft" x="${x(time)}" y="${height - 3}" text-anchor="middle">${Number((time / S).toPrecision(9))} s</text>`);
    }
    for (const [lane, { line }] of places) {
      svg.push(`<line class="lane" x1="${MARGIN}" x2="${width - 8}" y1="${line}" y2="${line}"/>`);
      svg.push(`<text x="4" y="${line + 4}">${escaped(data.lanes[lane])}</text>`);
    }
    for (const item of items) {
      if (!isShown(item) || !isInView(item)) continue;
      const place = places.get(item.lane);
      if (item.type === "band") {
        const [from, to, y] = [edge(item.time), edge(item.until), place.top + (isNode(item.lane) ? (BANDS[item.kind]?.[1] ?? 1) * ROW : 2)];
        bands.push(`<rect class="band ${item.kind.replace(" ", "-")}" x="${from}" y="${y}" width="${Math.max(to - from, 1)}" height="${ROW - 2}" fill="${colour(item)}" fill-opacity=".8"/>`);
        const label = `${item.kind === "leads" ? "leads " : item.kind === "follows" ? "" : item.kind + " "}${item.text}`.trim();
        if (to - from > 6 * label.length) bands.push(`<text x="${from + 3}" y="${y + ROW - 4}">${escaped(label)}</text>`);
        drawn.push({ item, box: [from, y, to, y + ROW] });
        continue;
      }
      const key = `${item.type}|${item.lane}|${item.to ?? ""}|${item.kind}|${Math.round(x(item.time) * 2)}`;
      const mark = marks.get(key);
      if (mark) { mark.more += 1; continue; }
      marks.set(key, { item, more: 0 });
    }
    for (const { item, more } of marks.values()) {
      const from = places.get(item.lane).line;
      if (item.type === "message") {
        const to = places.get(item.to).line, [x1, x2] = [x(item.time), x(item.arrived)];
        lines.push(`<g class="message" stroke="${colour(item)}" fill="${colour(item)}"><line x1="${x1}" y1="${from}" x2="${x2}" y2="${to}" stroke-opacity="${marks.size > 600 ? .35 : .75}"/><circle cx="${x2}" cy="${to}" r="2"/></g>`);
        drawn.push({ item, more, line: [x1, from, x2, to] });
      } else {
        const px = x(item.time), isBig = ["crash", "fault", "complaint", "start"].includes(item.kind);
        if (item.lane === 0 && item.kind === "fault") lines.push(`<line x1="${px}" x2="${px}" y1="16" y2="${height - 14}" stroke="${colour(item)}" stroke-opacity=".4"/>`);
        points.push(`<circle class="event ${item.kind}" cx="${px}" cy="${from}" r="${isBig ? 5 : 3}" fill="${colour(item)}"/>`);
        drawn.push({ item, more, line: [px, from, px, from] });
      }
    }
    svg.push(...lines, ...bands, ...points);
    for (const { check, at_ns, is_moment_known } of data.violations) {
      if (at_ns < view.from || at_ns > view.to) continue;
      const px = x(at_ns), left = px > width / 2;
      svg.push(`<line class="violation" x1="${px}" x2="${px}" y1="4" y2="${height - 14}"/>`);
      svg.push(`<text class="violation-name" x="${px + (left ? -5 : 5)}" y="13" text-anchor="${left ? "end" : "start"}">${escaped(check)}${is_moment_known ? "" : " (found in the end)"}</text>`);
    }
    diagram.innerHTML = svg.join("");
    drawOverview();
    list();
    at("span").textContent = `${seconds(view.from, 3)} … ${seconds(view.to, 3)} s of ${seconds(data.end, 3)} s, ${drawn.length} marks`;
    document.documentElement.dataset.marks = drawn.length;
  }

  function ticks() {
    const rough = (view.to - view.from) / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough);
    const all = [];
    for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) all.push(time);
    return all;
  }

  function drawOverview() {
    const width = Math.max(overview.clientWidth, 300), x = (ns) => ns / data.end * width;
    overview.setAttribute("viewBox", `0 0 ${width} 34`);
    const rows = Math.max(data.nodes.length, 1), row = 26 / rows;
    const bands = data.bands.filter(([, , lane, kind]) => isNode(lane) && kind !== "follows").map(([from, to, lane, kind]) =>
      `<rect x="${x(from)}" width="${Math.max(x(to) - x(from), .5)}" y="${4 + data.nodes.indexOf(lane) * row}" height="${Math.max(row - 1, 1)}" fill="${BANDS[kind]?.[0] ?? "#888"}"/>`);
    const lines = data.violations.map(({ at_ns }) => `<line class="violation" x1="${x(at_ns)}" x2="${x(at_ns)}" y1="0" y2="34"/>`);
    overview.innerHTML = `${bands.join("")}${lines.join("")}<rect class="window" x="${x(view.from)}" y="1" width="${Math.max(x(view.to) - x(view.from), 2)}" height="32"/>`;
  }

  function list() {
    const all = items.filter((item) => item.type !== "band" && isShown(item) && item.time >= view.from && item.time <= view.to);
    at("list").caption.textContent = all.length > LIST_MAX ? `The first ${LIST_MAX} of ${all.length} in view: come closer, or search.` : `${all.length} in view`;
    at("list").tBodies[0].replaceChildren(...all.slice(0, LIST_MAX).map((item) => {
      const row = document.createElement("tr");
      row.className = ["crash", "complaint"].includes(item.kind) ? "bad" : "";
      row.append(...told(item).map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }));
  }

  const redraw = () => { if (!queued) { queued = true; setTimeout(draw, 0); } };
  function look(from, to) {
    const length = Math.min(Math.max(to - from, 1e5), data.end);
    const start = Math.min(Math.max(from, 0), data.end - length);
    view = { from: start, to: start + length };
    redraw();
  }
  function closer(factor, centre = (view.from + view.to) / 2) {
    look(centre - (centre - view.from) * factor, centre + (view.to - centre) * factor);
  }
  const toViolation = () => violation ? look(violation.at_ns - 1.5 * S, violation.at_ns + .5 * S) : look(0, data.end);

  const timeAt = (event) => {
    const box = diagram.getBoundingClientRect();
    return view.from + (event.clientX - box.left - MARGIN) / (box.width - MARGIN - 8) * (view.to - view.from);
  };
  function nearest(event) {
    const box = diagram.getBoundingClientRect(), [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = 8;
    for (const mark of drawn) {
      if (mark.box) {
        const [x1, y1, x2, y2] = mark.box;
        if (px >= x1 - 1 && px <= x2 + 1 && py >= y1 && py <= y2 && least === 8) best = mark;
        continue;
      }
      const [x1, y1, x2, y2] = mark.line, [dx, dy] = [x2 - x1, y2 - y1], square = dx * dx + dy * dy;
      const along = square ? Math.min(Math.max(((px - x1) * dx + (py - y1) * dy) / square, 0), 1) : 0;
      const far = Math.hypot(px - x1 - along * dx, py - y1 - along * dy);
      if (far < least) [best, least] = [mark, far];
    }
    return best;
  }
  function show(mark, event) {
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = told(mark.item).join("\n") + (mark.more ? `\n… and ${mark.more} more here: come closer` : "");
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  let dragged = null;
  diagram.addEventListener("pointerdown", (event) => { dragged = { x: event.clientX, ...view, moved: false }; });
  addEventListener("pointerup", () => { dragged = null; });
  diagram.addEventListener("pointermove", (event) => {
    if (!dragged) { if (!kept) show(nearest(event), event); return; }
    const width = diagram.getBoundingClientRect().width - MARGIN - 8;
    const by = (dragged.x - event.clientX) / width * (dragged.to - dragged.from);
    if (Math.abs(dragged.x - event.clientX) > 3) look(dragged.from + by, dragged.to + by);
  });
  diagram.addEventListener("click", (event) => { kept = kept ? null : nearest(event); show(kept, event); });
  diagram.addEventListener("pointerleave", () => { if (!kept) tip.hidden = true; });
  diagram.addEventListener("wheel", (event) => { event.preventDefault(); closer(event.deltaY > 0 ? 1.25 : .8, timeAt(event)); }, { passive: false });
  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect(), centre = (event.clientX - box.left) / box.width * data.end, half = (view.to - view.from) / 2;
    look(centre - half, centre + half);
  });
  at("in").onclick = () => closer(.5);
  at("out").onclick = () => closer(2);
  at("whole").onclick = () => look(0, data.end);
  at("to-violation").onclick = toViolation;
  at("search").oninput = (event) => { word = event.target.value.toLowerCase(); redraw(); };
  addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" && event.target.type === "search") return;
    const by = (view.to - view.from) / 4;
    const keys = {
      "+": () => closer(.5), "-": () => closer(2), 0: () => look(0, data.end), v: toViolation,
      ArrowLeft: () => look(view.from - by, view.to - by), ArrowRight: () => look(view.from + by, view.to + by),
    };
    keys[event.key]?.();
  });
  addEventListener("resize", redraw);

  function filter(parent, set, key, name, dot, isOn) {
    const label = document.createElement("label"), box = Object.assign(document.createElement("input"), { type: "checkbox", checked: isOn });
    if (!isOn) set.add(key);
    box.onchange = () => { box.checked ? set.delete(key) : set.add(key); redraw(); };
    label.append(box);
    if (dot) label.append(Object.assign(document.createElement("i"), { style: `background:${dot}` }));
    label.append(name);
    label.dataset.filter = name;
    parent.append(label);
  }
  const present = new Set(items.map((item) => item.kind));
  for (const [kind, [dot, isOn]] of Object.entries(KINDS)) if (present.has(kind)) filter(at("kinds"), hidden.kinds, kind, kind, dot, isOn);
  for (const [kind, [dot]] of Object.entries(BANDS)) if (present.has(kind)) filter(at("kinds"), hidden.kinds, kind, kind, dot, true);
  data.lanes.forEach((name, lane) => filter(at("lanes"), hidden.lanes, lane, name, null, true));
  at("to-violation").hidden = !violation;
  at("violations").textContent = data.violations.map(({ check, what, at_ns, is_moment_known }) =>
    `${check}: ${what}${is_moment_known ? ` (at ${seconds(at_ns)} s)` : ""}`).join("\n");
  toViolation();
})();
