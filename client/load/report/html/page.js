// SPDX-License-Identifier: MIT
// Draws the run from its JSON, which is in the page.  Values are added as text,
// never as markup.
"use strict";
(() => {
const run = JSON.parse(document.getElementById("run").textContent);
const main = document.querySelector("main");
const m = run.metrics;
const oneWay = run.plan.mode === "upload" || run.plan.mode === "download";

function el(name, attrs, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attrs || {}))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

// ------------------------------------------------------------------ figures

function three(x) {
	return x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1)
		: x.toFixed(2);
}

function time(ns) {
	if (ns == null)
		return "-";
	if (ns < 1000)
		return Math.round(ns) + " ns";
	const units = ["\u00b5s", "ms", "s"];
	let x = ns / 1e3, i = 0;
	for (; x >= 999.5 && i < 2; i++)
		x /= 1e3;
	return three(x) + " " + units[i];
}

// A lower bound has a ">".
const bound = (ns, isMore) => (isMore ? ">" : "") + time(ns);

// Values of an axis are round, and shown without trailing zeros.
function tick(ns) {
	for (const [size, unit] of [[1e9, " s"], [1e6, " ms"], [1e3, " \u00b5s"]])
		if (ns >= size)
			return +(ns / size).toPrecision(6) + unit;
	return ns + " ns";
}

const count = (n) => n == null ? "-" : Math.round(n).toLocaleString("en");

const perSecond = (n) => n == null || n >= 99.95 ? count(n)
	: String(+n.toPrecision(3));

function bytes(n) {
	const units = ["B", "kB", "MB", "GB", "TB"];
	let i = 0;
	for (; n >= 999.5 && i < 4; i++)
		n /= 1e3;
	return (i ? three(n) : Math.round(n)) + " " + units[i];
}

function figure(gate) {
	if (gate.absent)
		return gate.absent;
	const name = gate.metric, v = gate.value;
	const text = name.endsWith("%") || name === "cpu" || name === "fairness"
		? +v.toPrecision(4) + "%"
		: /(^|\.)(p[0-9.]+|max|mean)$|^(stall|silence)$/.test(name)
			? time(v) : name === "rate" ? perSecond(v) : count(v);
	return (gate.at_least ? ">" : "") + text;
}

// --------------------------------------------------------------------- text

function heading() {
	const p = run.plan, parts = [run.run.mode];
	if (p.rate)
		parts[0] += " at " + perSecond(p.rate) + "/s";
	parts.push(count(p.connections) +
		(p.connections === 1 ? " connection" : " connections"),
		"depth " + p.depth,
		p.threads + (p.threads === 1 ? " thread" : " threads"));
	if (!oneWay)
		parts.push(p.content.size_min === p.content.size_max
			? p.content.size_max + " B"
			: p.content.size_min + "-" + p.content.size_max + " B");
	const early = run.run.cut ? "cut short after "
		: run.run.stopped ? "stopped after "
		: run.run.ended_early ? "ended after " : "";
	parts.push(early + time(run.run.elapsed_ns) +
		(early && p.times.duration_ns && run.run.ids.length === 1
			? " of " + time(p.times.duration_ns) : ""));
	parts.push(new Date(run.run.started * 1000).toISOString()
		.replace("T", " ").slice(0, 19) + " UTC");
	main.append(el("h1", {}, "Load on " + run.run.target),
		el("div", { class: "about" }, parts.join("  \u00b7  ")));
	document.title = "Load on " + run.run.target;
}

function verdict() {
	const word = run.verdict.verdict;
	const tone = { "TRUSTWORTHY": "good", "WITH CARE": "care" }[word] || "bad";
	main.append(el("div", { class: "card verdict " + tone }, el("b", {}, word),
		el("ul", {}, ...run.verdict.reasons.map(r => el("li", {}, r)))));
}

function tiles() {
	const all = oneWay
		? [["throughput", bytes(run.plan.mode === "upload"
			? m["bytes-out"] : m["bytes-in"]) + "/s"]]
		: [["replies/s", perSecond(m.rate)],
			...["p50", "p99", "p99.9", "max"].map(k => [k,
				bound(m[k], run.metrics_at_least.includes(k))])];
	const passed = run.gates.filter(g => g.outcome === "PASS").length;
	all.push(["errors", count(m.errors), m.errors]);
	if (run.gates.length)
		all.push(["gates passed", passed + " of " + run.gates.length,
			passed < run.gates.length]);
	main.append(el("div", { class: "tiles" }, ...all.map(
		([name, value, isBad]) => el("div", { class: "tile" },
			el("span", {}, name),
			el("b", isBad ? { class: "bad" } : {}, value)))));
}

function card(title, note, ...children) {
	return el("section", { class: "card" },
		el("h2", {}, title, el("small", {}, note)), ...children);
}

function table(head, rows, kind) {
	const body = rows.map(row => el("tr", {}, ...row.map(cell =>
		cell instanceof Node ? cell : el("td", {}, cell))));
	if (head)
		body.unshift(el("tr", {}, ...head.map(h => el("th", {}, h))));
	return el("div", { class: "scroll" },
		el("table", kind ? { class: kind } : {}, ...body));
}

const notes = {
	"from-plan": run.plan.schedule === "closed" ? "with the connect"
		: "as users see it",
	"from-send": "server + network",
	"client-lag": "our own delay",
	"connect": "",
	"handshake": "of TLS",
	"once": "before the loop",
};

function clocks() {
	const points = [50, 90, 99, 99.9, 99.99];
	const rows = Object.entries(run.clocks).filter(([, c]) => c)
		.map(([name, c]) => [name.replace("-", " "),
			...points.map(p => {
				const at = c.percentiles.find(x => x.percent === p);
				return bound(at.ns, at.at_least);
			}), bound(c.max_ns, c.max_at_least), count(c.samples), notes[name]]);
	if (rows.length)
		main.append(card("Latency", "\u201c-\u201d: too few samples",
			table(["", ...points.map(p => "p" + p), "max", "samples", ""],
				rows)));
}

function facts() {
	const c = run.connections;
	const sum = [["answered", "answered"], ["timed-out", "timed out"],
		["reset", "reset"], ["closed-early", "closed early"],
		["open", "open"]].filter(([k]) => m[k] || k === "answered")
		.map(([k, name]) => count(m[k]) + " " + name).join(" + ");
	const rows = [];
	if (m.planned)
		rows.push(["messages", count(m.planned) + " planned = " +
			count(m.sent) + " sent + " + count(m["never-sent"]) +
			" never sent"], ["", count(m.sent) + " sent = " + sum]);
	rows.push(["bytes", bytes(run.run.bytes_out) + " out, " +
		bytes(run.run.bytes_in) + " in"]);
	rows.push(["connections", count(c.asked) + " asked, " + count(m.opened) +
		" opened, " + count(m.served) + " served, " + count(m.starved) +
		" starved, " + count(m.lost) + " lost"]);
	if (run.plan.tls)
		rows.push(["handshakes", count(m["full-handshakes"]) + " full, " +
			count(m["resumed-handshakes"]) + " resumed, " +
			count(m["handshake-failed"]) + " failed"]);
	if (m.checked)
		rows.push(["content", count(m.checked) + " checked: " +
			["wrong", "bad", "missing", "swapped", "surplus", "crossed", "late"]
				.map(k => count(m[k]) + " " + k).join(", ")]);
	rows.push(["this client", +m.cpu.toPrecision(3) + "% of a core, " +
		"longest stall " + time(m.stall) + ", " + count(m["late-ours"]) +
		" sent late through its own fault"]);
	rows.push(["machine", run.host.name + ", " + run.host.cpus +
		" processors, " + run.host.system + " " + run.host.release]);
	for (const e of run.errors)
		rows.push(["error", count(e.count) + " in " + e.phase + ": " +
			e.text]);
	if (run.first_bad)
		rows.push(["first bad reply", run.first_bad.received],
			["to the message", run.first_bad.sent],
			["", run.first_bad.why]);
	for (const x of run.bad_clients)
		rows.push(["bad clients", x.asked + " " + x.kind + ": " +
			x.let_go + " dropped, " + x.open + " kept"]);
	return card("Account", "", table(null, rows, "facts"));
}

function gates() {
	const tone = { PASS: "good", FAIL: "bad" };
	return card("Gates", "", table(["gate", "found", ""],
		run.gates.map(g => [g.gate, figure(g),
			el("td", { class: tone[g.outcome] || "care" }, g.outcome)])));
}

// ------------------------------------------------------------------- charts

const colour = (name) =>
	getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = "12px system-ui, 'Liberation Sans', sans-serif";
const plots = [];

function axis(more) {
	return Object.assign({
		stroke: () => colour("--soft"), font,
		grid: { stroke: () => colour("--grid"), width: 1 },
		ticks: { stroke: () => colour("--grid"), width: 1 },
	}, more);
}

function series(label, tone, more) {
	return Object.assign({
		label, stroke: () => colour(tone), width: 2,
		points: { show: false },
	}, more);
}

function plot(place, height, options, data) {
	const width = () => place.clientWidth;
	const u = new uPlot(Object.assign({
		width: width(), height,
		cursor: { points: { size: 7 }, drag: { x: true, y: false } },
	}, options), data, place);
	new ResizeObserver(() => u.setSize({ width: width(), height }))
		.observe(place);
	plots.push(u);
}

// Times on a logarithmic axis that shows little more than what there is.
function timeScale(data) {
	const all = data.flat().filter(v => v > 0);
	const low = Math.min(...all), high = Math.max(...all);
	return { distr: 3, range: () => [low / 1.25, Math.max(high * 1.25,
		low * 4)] };
}

// Few lines, at round values: 1, 3, 10 or 1, 2, 5, 10 when there is room.
function timeSplits(u) {
	const { min, max } = u.scales.y, decades = Math.log10(max / min);
	const steps = decades > 2.6 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 5];
	const splits = [];
	for (let e = Math.floor(Math.log10(min)); e <= Math.log10(max); e++)
		for (const step of steps)
			if (step * 10 ** e >= min && step * 10 ** e <= max)
				splits.push(step * 10 ** e);
	return splits;
}

const timeAxis = () => axis({
	size: 64, splits: timeSplits, filter: (u, splits) => splits,
	values: (u, splits) => splits.map(tick),
});

// Percentiles as HdrHistogram plots them: each nine takes the same width.
function byPercentile() {
	const shown = [["from-plan", "from plan", "--c1"],
		["from-send", "from send", "--c2"],
		["client-lag", "client lag", "--c3"], ["connect", "connect", "--c4"]]
		.filter(([k]) => run.clocks[k] && (k !== "connect" ||
			run.plan.mode === "churn" || oneWay));
	if (!shown.length)
		return;
	const nines = (percent, samples) => percent >= 100
		? Math.log10(samples) : -Math.log10(1 - percent / 100);
	const tables = shown.map(([k]) => {
		const c = run.clocks[k];
		const xs = new Map();
		for (const [ns, percent] of c.spectrum.slice(1))
			xs.set(+nines(percent, c.samples).toFixed(9), Math.max(ns, 1));
		return [[...xs.keys()], [...xs.values()]];
	});
	const data = uPlot.join(tables);
	const place = el("div");
	main.append(card("Latency by percentile",
		"each further nine has the same width" + (run.run.censored
			? "; from " + time(run.run.censored_min_ns) +
			" on, values may be lower bounds: " +
			count(run.run.censored) + " messages were not answered"
			: ""), place));
	const percent = (x) => x <= 0 ? "0" :
		x < 1 ? String(Math.round(100 - 100 * 10 ** -x))
			: (100 - 100 * 10 ** -x).toFixed(Math.max(0, Math.round(x) - 2));
	plot(place, 320, {
		scales: { x: { time: false, range: (u, low, high) => [0, high] },
			y: timeScale(data.slice(1)) },
		axes: [axis({
			splits: (u) => [...(u.width > 600 ? [0] : []),
				Math.log10(2), ...Array.from(
				{ length: Math.floor(u.scales.x.max) }, (_, i) => i + 1)],
			values: (u, splits) => splits.map(x => percent(x) + "%"),
		}), timeAxis()],
		series: [{ label: "percentile", value: (u, x) => x == null ? "" :
			(100 - 100 * 10 ** -x).toFixed(Math.max(1, Math.ceil(x))) + "%" },
		...shown.map(([, label, tone]) => series(label, tone,
			{ spanGaps: true, value: (u, v) => v == null ? "" : time(v) }))],
	}, data);
}

function overTime() {
	const s = run.seconds.filter(second => !second.drain);
	if (s.length < 2)
		return;
	const x = s.map(r => r.at_ns / 1e9);
	const xAxis = () => axis({ values: (u, v) => v.map(t => t + " s") });
	const xSeries = { label: "at", value: (u, t) => t == null ? "" : t + " s" };
	const badClients = {
		drawClear: (u) => {
			u.ctx.save();
			u.ctx.fillStyle = colour("--c2") + "1c";
			for (const r of s) {
				if (!r.bad_clients)
					continue;
				const from = u.valToPos(r.at_ns / 1e9, "x", true);
				const to = u.valToPos((r.at_ns + r.length_ns) / 1e9, "x",
					true);
				u.ctx.fillRect(from, u.bbox.top, to - from, u.bbox.height);
			}
			u.ctx.restore();
		},
	};
	const seen = (r, k) => r[k] > 0 ? r[k] : null;
	const data = [x, ...["max_ns", "p99_ns", "p50_ns"].map(k =>
		s.map(r => seen(r, k)))];
	const note = s.some(r => r.bad_clients) ? "shaded: misbehaving clients" : "";
	if (data[1].some(v => v)) {
		const place = el("div");
		main.append(card("Latency over time", note, place));
		plot(place, 240, {
			cursor: { sync: { key: "time" }, drag: { x: true, y: false } },
			scales: { x: { time: false }, y: timeScale(data.slice(1)) },
			axes: [xAxis(), timeAxis()],
			hooks: { drawClear: [badClients.drawClear] },
			series: [xSeries, ...[["max", "--c3"], ["p99", "--c2"],
				["p50", "--c1"]].map(([label, tone]) =>
				series(label, tone, { value: (u, v, i, at) => v == null ? "" : bound(v,
					at != null && s[at].at_least.includes(label +
						"_ns")) }))],
		}, data);
	}
	const per = (r, n) => n * 1e9 / r.length_ns;
	const rate = oneWay ? s.map(r => per(r, r.bytes_in + r.bytes_out))
		: s.map(r => per(r, r.answered));
	const say = oneWay ? (v) => v == null ? "" : bytes(v) + "/s"
		: (v) => v == null ? "" : perSecond(v) + "/s";
	const place = el("div");
	main.append(card("Rate over time", note, place));
	plot(place, 200, {
		cursor: { sync: { key: "time" }, drag: { x: true, y: false } },
		scales: { x: { time: false },
			y: { range: (u, low, high) => [0, (high || 1) * 1.1] } },
		axes: [xAxis(), axis({ size: 64, values: (u, v) => v.map(n =>
			oneWay ? bytes(n) : n.toLocaleString("en")) })],
		hooks: { drawClear: [badClients.drawClear] },
		series: [xSeries, series(oneWay ? "bytes" : "replies", "--c1",
			{ value: (u, v) => say(v), fill: () => colour("--c1") + "22" }),
		series("errors", "--bad", { value: (u, v) => say(v) })],
	}, [x, rate, s.map(r => per(r, r.errors))]);
}

heading();
tiles();
verdict();
byPercentile();
overTime();
clocks();
if (run.gates.length)
	main.append(el("div", { class: "two" }, facts(), gates()));
else
	main.append(facts());
main.append(el("footer", {}, "weir-client load " + run.weir +
	". Its JSON is in this page. Charts: uPlot 1.6.32, " +
	"MIT licence, \u00a9 Leon Sorokin."));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
	() => plots.forEach(u => u.redraw(false, true)));
})();
