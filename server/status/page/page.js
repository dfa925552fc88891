// SPDX-License-Identifier: MIT
// Asks for status.json each second and shows it.  All of it is text, nothing
// of it is markup.  The history is kept here and extended by what is new.
"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const KEPT = 600, PERIOD_MS = 1000;
const columns = ["t", "accepted", "ended", "refused", "failed", "callbacks",
	"bytes_in", "bytes_out", "open", "queued", "busy", "queue_p50",
	"queue_p99", "callback_p50", "callback_p99"];
const history = Object.fromEntries(columns.map((name) => [name, []]));
let seq = 0, pid = 0, range = 300, heard = null;

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

function time(s) {
	if (s == null)
		return "-";
	if (s === 0)
		return "0";
	for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"],
		[1, "s"], [1e-3, "ms"]])
		if (s >= size)
			return three(s / size) + " " + unit;
	return three(s * 1e6) + " \u00b5s";
}

function bytes(n) {
	const units = ["B", "kB", "MB", "GB", "TB", "PB"];
	let i = 0;
	for (; n >= 999.5 && i < units.length - 1; i++)
		n /= 1e3;
	return (i ? three(n) : Math.round(n)) + " " + units[i];
}

const count = (n) => n == null ? "-" : Math.round(n).toLocaleString("en");
const rate = (n) => n == null ? "-" : (n < 10 && n > 0 ? three(n) : count(n)) + "/s";
const mean = (sum, n) => n > 0 ? time(sum / n) : "-";
const clock = (t, hasSeconds) => new Date(t * 1e3).toLocaleTimeString([], {
	hour: "2-digit", minute: "2-digit", hourCycle: "h23",
	second: hasSeconds ? "2-digit" : undefined });
const last = (name) => history[name][history[name].length - 1];

// ------------------------------------------------------------------- graphs

const color = (name) =>
	getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const graphs = [
	{ title: "Connections", unit: "each second", text: rate,
		lines: [["accepted", "accepted", "--c1"], ["ended", "ended", "--c4"],
			["refused", "refused", "--bad"], ["failed", "failed", "--c2"]] },
	{ title: "Latency", unit: "p50 and p99", text: time, log: true,
		lines: [["queue_p50", "queue p50", "--c3"], ["queue_p99", "queue p99", "--c1"],
			["callback_p50", "callback p50", "--c4"],
			["callback_p99", "callback p99", "--c2"]] },
	{ title: "Throughput", unit: "each second", text: (n) => n == null ? "-" : bytes(n),
		lines: [["bytes_in", "in", "--c1"], ["bytes_out", "out", "--c2"]] },
	{ title: "In the server", unit: "at the moment", text: count,
		lines: [["open", "open", "--c1"], ["queued", "queued", "--bad"],
			["busy", "workers busy", "--c2"]] },
];

// A logarithmic axis cannot show a zero.
function rows(graph) {
	return [history.t, ...graph.lines.map(([name]) => graph.log
		? history[name].map((v) => v > 0 ? v : null) : history[name])];
}

// A logarithmic axis has its grid at the powers of ten.
const round = (u, at) => at.map((v) =>
	Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9 ? v : null);

function axis(graph) {
	return { stroke: color("--soft"), size: 62,
		grid: { stroke: color("--grid"), width: 1,
			...(graph.log ? { filter: round } : {}) },
		ticks: { show: false },
		values: (u, at) => at.map((v) => v == null ? "" : graph.text(v)) };
}

function draw(graph) {
	const fill = graph.lines.length < 3;
	if (graph.plot)
		graph.plot.destroy();
	graph.plot = new uPlot({
		width: graph.box.clientWidth, height: 210,
		cursor: { sync: { key: "status" }, drag: { x: false } },
		scales: { y: { distr: graph.log ? 3 : 1,
			range: graph.log ? undefined
				: (u, min, max) => [0, Math.max(max * 1.1, 1)] } },
		axes: [{ stroke: color("--soft"), grid: { show: false },
			ticks: { show: false }, space: 70,
			values: (u, at) => at.map((t) => clock(t, range <= 60)) },
		axis(graph)],
		series: [{ label: "at",
			value: (u, t) => t == null ? "-" : clock(t, true) },
		...graph.lines.map(([, label, tone]) => ({ label,
			stroke: color(tone), width: 1.75, points: { show: false },
			fill: fill ? color(tone) + "22" : undefined,
			value: (u, v) => graph.text(v) }))],
	}, rows(graph), graph.box);
	show(graph);
}

function show(graph) {
	const end = last("t") || Date.now() / 1e3;
	graph.plot.batch(() => {
		graph.plot.setData(rows(graph), false);
		graph.plot.setScale("x", { min: end - range, max: end });
	});
	if (graph.plot.cursor.idx == null) // no cursor: show the last sample
		graph.plot.setLegend({ idx: history.t.length - 1 });
}

function drawAll() {
	graphs.forEach(draw);
}

function makeGraphs() {
	for (const graph of graphs) {
		graph.box = el("div");
		$("graphs").append(el("section", { class: "card" },
			el("h2", {}, graph.title, el("small", {}, graph.unit)),
			graph.box));
	}
	for (const [s, label] of [[60, "1 min"], [300, "5 min"], [600, "10 min"]]) {
		const button = el("button", { "aria-pressed": s === range }, label);
		button.onclick = () => {
			range = s;
			for (const b of $("ranges").children)
				b.setAttribute("aria-pressed", b === button);
			graphs.forEach(show);
		};
		$("ranges").append(button);
	}
	drawAll();
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
	let width = innerWidth;
	addEventListener("resize", () => {
		if (width !== innerWidth) // a phone's bars change the height
			drawAll();
		width = innerWidth;
	});
}

// --------------------------------------------------------------------- page

function tile(label, value, tone) {
	return el("div", { class: "tile" }, el("span", {}, label),
		el("b", tone ? { class: tone } : {}, value));
}

function showState(s) {
	const state = s.draining ? ["stopping", "care"] : s.ready ? ["ready", "good"]
		: ["starting", "care"];
	$("state").textContent = state[0];
	$("state").className = "pill " + state[1];
	$("version").textContent = s.version;
	$("about").textContent = "process " + s.pid + ", " + s.listeners.length +
		(s.listeners.length === 1 ? " listener" : " listeners");
	$("banner").hidden = s.ready;
	if (s.ready)
		return;
	$("banner").className = "banner care";
	$("banner").replaceChildren(el("b", {}, "Not ready: "), s.unready + ".  " +
		(s.draining ? count(s.ledger.open) +
		(s.ledger.open === 1 ? " connection is" : " connections are") +
		" still served." : ""));
}

function showTiles(s) {
	const l = s.ledger, nearly = (n, max) => n >= max ? "bad"
		: n >= 0.8 * max ? "care" : "";
	const lost = l.refused + l.failed + l.cut;
	$("tiles").replaceChildren(
		tile("open connections", count(l.open), nearly(l.open, s.limits.max_connections)),
		tile("new connections", rate(last("accepted"))),
		tile("callbacks", rate(last("callbacks"))),
		tile("callback p99", time(last("callback_p99"))),
		tile("queue wait p99", time(last("queue_p99"))),
		tile("received", last("bytes_in") == null ? "-" : bytes(last("bytes_in")) + "/s"),
		tile("sent", last("bytes_out") == null ? "-" : bytes(last("bytes_out")) + "/s"),
		tile("refused, failed, cut", count(lost), lost > 0 ? "care" : ""));
}

function showWorkers(s) {
	const shown = Math.min(s.limits.workers, 256);
	const busy = Math.round(s.now.busy * shown / s.limits.workers);
	const cells = [];
	for (let i = 0; i < shown; i++)
		cells.push(el("i", i < busy ? { class: "busy" } : {}));
	$("workers").replaceChildren(...cells);
	$("workers-text").textContent = s.now.busy + " of " + s.limits.workers + " busy" +
		(s.now.longest_callback >= 1 ? ", one for " + time(s.now.longest_callback) : "");
	$("workers").setAttribute("aria-label", $("workers-text").textContent);
	const full = s.now.queued / s.limits.queue_length;
	$("queue").style.width = Math.min(100 * full, 100) + "%";
	$("queue").className = full >= 1 ? "bad" : full >= 0.5 ? "care" : "";
	$("queue-text").textContent = count(s.now.queued) + " of " +
		count(s.limits.queue_length) + " wait";
}

function showStates(s) {
	const n = s.now, apart = n.queued + n.parked + n.lingering;
	const states = [["active", Math.max(s.ledger.open - apart, 0), "--c2"],
		["parked", n.parked, "--c1"], ["queued", n.queued, "--bad"],
		["lingering", n.lingering, "--c3"]];
	const sum = Math.max(states.reduce((a, [, v]) => a + v, 0), 1);
	const part = (v) => (100 * v / sum) + "%";
	$("states").replaceChildren(...states.map(([, v, tone]) => {
		const i = el("i");
		i.style.width = part(v);
		i.style.background = "var(" + tone + ")";
		return i;
	}));
	$("legend").replaceChildren(...states.map(([name, v, tone]) => {
		const i = el("i");
		i.style.background = "var(" + tone + ")";
		return el("li", {}, i, name + " ", el("b", {}, count(v)));
	}));
	$("states-text").textContent = count(s.ledger.open) + " of " +
		count(s.limits.max_connections) + " open";
}

function row(cell, values, wrong) {
	return el("tr", {}, ...values.map((v, i) =>
		el(cell, wrong && wrong(v, i) ? { class: "care" } : {}, v)));
}

function showTables(s) {
	const names = ["", "open", "accepted", "completed", "failed", "timed out",
		"refused", "cut", "received", "sent", "callback", "connection"];
	const of = (l) => [count(l.ledger.open), count(l.ledger.accepted),
		count(l.ledger.completed), count(l.ledger.failed),
		count(l.ledger.timed_out), count(l.ledger.refused),
		count(l.ledger.cut), bytes(l.bytes_in), bytes(l.bytes_out),
		mean(l.callback_time, l.callbacks),
		mean(l.connection_time, l.ledger.accepted - l.ledger.open)];
	const wrong = (v, i) => (i === 4 || i === 6 || i === 7) && v !== "0";
	$("listeners").replaceChildren(row("th", names), ...s.listeners.map((l) =>
		row("td", [l.service + "@" + l.address, ...of(l)], wrong)));
	const totals = [["callbacks", s.callbacks],
		["health checks by proxies", s.ledger.probed],
		["accept errors", s.accept_errors],
		["shortages", s.shortages], ["starvations", s.starvations],
		["sends refused", s.sends_refused],
		["gone before a worker came", s.dead_on_arrival],
		["refused: queue full", s.ledger.refused_full],
		["refused: too old", s.ledger.refused_age],
		["refused: server full", s.ledger.refused_limit],
		["refused: stop", s.ledger.refused_drain],
		["refused: rules", s.ledger.refused_access],
		["refused: address", s.ledger.refused_source],
		["refused: rate", s.ledger.refused_rate],
		["refused: early", s.ledger.refused_early],
		["refused: no trusted proxy", s.ledger.refused_proxy],
		["refused: wrong PROXY header", s.ledger.refused_header],
		["log lines dropped", s.log_dropped]];
	$("totals").replaceChildren(...totals.map(([name, n], i) =>
		row("td", [name, count(n)], (v, k) => k === 1 && i > 1 && v !== "0")));
}

function extend(h) {
	for (const name of columns) {
		history[name].push(...h[name]);
		history[name].splice(0, Math.max(history[name].length - KEPT, 0));
	}
	seq = h.seq;
}

function showAll(s) {
	extend(s.history);
	showState(s);
	showTiles(s);
	showWorkers(s);
	showStates(s);
	showTables(s);
	graphs.forEach(show);
}

function forget() {
	seq = 0;
	for (const name of columns)
		history[name].length = 0;
}

function showSilence() {
	$("state").textContent = "no answer";
	$("state").className = "pill bad";
	$("banner").hidden = false;
	$("banner").className = "banner bad";
	$("banner").replaceChildren(el("b", {}, "No answer"), heard
		? " since " + clock(heard, true) + ".  The figures are from then."
		: ".");
}

async function update() {
	try {
		let s = await (await fetch("status.json?since=" + seq)).json();
		if (pid && s.pid !== pid) { // another process has taken over
			forget();
			s = await (await fetch("status.json")).json();
		}
		pid = s.pid;
		heard = Date.now() / 1e3;
		showAll(s);
	} catch (e) {
		showSilence();
	}
	setTimeout(update, PERIOD_MS);
}

makeGraphs();
update();
})();
