// Measures the screens on the library of scripts/bench_page: `node bench.mjs SERVER ROUNDS [SCREEN...]`. Prints for each screen its
// name and a record for each round: when its first content was drawn and the longest time between two frames from then on, both in
// milliseconds, and the bytes that came until the first content, compressed, of the program and of its data.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { deflateRawSync } from "node:zlib";
import { withPage } from "./page.mjs";

const [server, rounds, ...chosen] = process.argv.slice(2);

/** How far the wheel turns between two frames: nearly a window. */
const WHEEL_PIXELS = 600;
/** Frames in which the mouse crosses a map. */
const CROSSING = 200;
/** The rows of a page of the library, and all of them. */
const [PAGE, LIBRARY] = [100, 10_000];

/** What is measured of each screen: its address, its heading, the first of its data, and how one moves over it. */
const SCREENS = [
	{ name: "Library, 10,000 models", address: "/", heading: "Library", content: "tr[data-row]" },
	{ name: "Model", address: "/models/plain", heading: "plain", content: "tr[data-row]" },
	{
		name: "Version, graph of 1,000 layers",
		address: "/models/deep-a/versions/1",
		heading: "deep-a, version 1",
		content: "button.graph-box",
		move: (page) => pull(page, ".react-flow__minimap-svg"),
	},
	{
		name: "Version, table of 2,000 layers",
		address: "/models/deeper/versions/1?view=table",
		heading: "deeper, version 1",
		content: "tr[data-row]",
	},
	{
		name: "Evaluation",
		address: "/models/plain/versions/1?tab=evaluation",
		heading: "plain, version 1",
		content: "[role=gridcell]",
	},
	{
		name: "Relatives",
		address: "/models/plain/versions/1?tab=relatives",
		heading: "plain, version 1",
		content: ".relatives li",
	},
	{
		name: "Layer, similar ones",
		address: "/models/plain/versions/1/layers/0",
		heading: "Layer 0 (Conv2d)",
		content: "tr[data-row]",
	},
	{
		name: "Compare, 1,000 by 1,000 layers",
		address: "/compare?a=deep-a&b=deep-b",
		heading: "Compare two versions",
		content: ".matrix canvas",
		move: (page) => point(page, ".matrix-map"),
	},
	{ name: "Data sets", address: "/datasets", heading: "Data sets", content: "#screen section h2" },
	{ name: "Jobs, 10,000 of them", address: "/jobs", heading: "Jobs", content: "tr[data-row]" },
	{
		name: "Build, 100 blocks",
		address: `/build#draft=${draft()}`,
		heading: "Build a network",
		content: "[role=treeitem]",
	},
	{ name: "Try", address: "/try?a=plain&b=wide", heading: "Try an image", content: ".tried h2" },
	{ name: "Settings", address: "/settings", heading: "Settings", content: "tr[data-row]" },
];

const plain = await plainLists();
try {
	const baseline = [PAGE, LIBRARY].map((count) => ({
		name: `Baseline: plain HTML, ${count.toLocaleString("en")} models`,
		server: plain.address,
		address: `/${count}`,
		heading: "Library",
		content: "tr[data-row]",
	}));
	const isChosen = ({ name }) => chosen.length === 0 || chosen.some((part) => name.includes(part));
	const screens = [...baseline, ...SCREENS].filter(isChosen);
	assert.ok(screens.length > 0, `no screen is called ${chosen.join(" or ")}`);
	const records = screens.map(({ name }) => ({ name, rounds: [] }));
	for (let round = 1; round <= Number(rounds); round += 1) {
		for (const [index, screen] of screens.entries()) {
			const record = measured(screen).catch((cause) => {
				throw new Error(`${screen.name} cannot be measured`, { cause });
			});
			records[index].rounds.push(await record);
		}
		console.error(`bench_page: round ${round} of ${rounds}`);
	}
	console.log(JSON.stringify(records));
} finally {
	plain.close();
}

/** Opens a screen in a browser of its own, which has nothing in its cache, and moves over it. */
async function measured({ move = scroll, ...screen }) {
	let record;
	await withPage(screen.server ?? server, async (page) => {
		await page.addInitScript(watch, { heading: screen.heading, content: screen.content });
		await page.goto(screen.address, { waitUntil: "commit" });
		await page.waitForFunction(() => window.bench.firstContent !== null);
		await move(page);
		record = await page.evaluate(() => window.bench);
	});
	return record;
}

/** Runs in the page before all else: records when the first content is drawn, and the longest time between two frames after it. */
function watch({ heading, content }) {
	const record = { firstContent: null, longestFrame: 0, program: 0, data: 0 };
	window.bench = record;
	let before = null;
	const isThere = () =>
		document.querySelector("h1")?.textContent === heading &&
		document.querySelector(content)?.getClientRects().length > 0;
	const frame = (now) => {
		if (before !== null) {
			record.longestFrame = Math.max(record.longestFrame, now - before);
			before = now;
		} else if (isThere()) {
			before = now;
			record.firstContent = performance.now();
			const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
			for (const { initiatorType, encodedBodySize } of entries) {
				record[initiatorType === "fetch" ? "data" : "program"] += encodedBodySize;
			}
		}
		requestAnimationFrame(frame);
	};
	requestAnimationFrame(frame);
}

/** Scrolls to the end by the wheel, and on as long as rows are added there. */
async function scroll(page) {
	await page.mouse.move(640, 400);
	while (!(await page.evaluate(isAtEnd))) {
		await page.mouse.wheel(0, WHEEL_PIXELS);
		await nextFrame(page);
	}
}

function isAtEnd() {
	const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
	const table = document.querySelector("table[aria-rowcount]");
	const isWhole = !table || table.querySelector(`[aria-rowindex="${table.ariaRowCount}"]`);
	return isWhole && scrollTop + clientHeight >= scrollHeight - 1;
}

/** Points at the cells of a map from the first to the last one. */
async function point(page, map) {
	await cross(page, map, (share) => [share, share]);
}

/** Pulls the view through a graph, from its beginning to its end, by its small map. */
async function pull(page, map) {
	await cross(page, map, (share) => [0.5, share], { isPressed: true });
}

/** Moves the mouse over an element, a step a frame. */
async function cross(page, element, place, { isPressed = false } = {}) {
	await page.locator(element).scrollIntoViewIfNeeded();
	const { x, y, width, height } = await page.locator(element).boundingBox();
	for (let step = 1; step < CROSSING; step += 1) {
		const [across, down] = place(step / CROSSING);
		await page.mouse.move(x + width * across, y + height * down);
		if (isPressed && step === 1) await page.mouse.down();
		await nextFrame(page);
	}
	if (isPressed) await page.mouse.up();
}

async function nextFrame(page) {
	await page.evaluate(() => new Promise(requestAnimationFrame));
}

/** A network for the address of the screen that builds networks. */
function draft() {
	const block = [
		{ kind: "Conv2d", parameters: { out_channels: 8, kernel_size: 3, padding: 1 } },
		{ kind: "BatchNorm2d" },
		{ kind: "ReLU" },
	];
	const last = [{ kind: "Linear", parameters: { out_features: 10 } }];
	const blocks = [
		...Array.from({ length: 32 }, () => block).flat(),
		{ kind: "AdaptiveAvgPool2d", parameters: { output_size: 1 } },
		{ kind: "Flatten" },
		{ kind: "ReLU" },
		...last,
	];
	return deflateRawSync(JSON.stringify({ dataset: "digits", blocks })).toString("base64url");
}

/** A server of lists of models as plain HTML. The address says how many rows: those of the first page of the library, repeated. */
async function plainLists() {
	const query = `{ models(first: ${PAGE}) { nodes { name tags createdAt best: version(alias: "best") { accuracy } } } }`;
	const answer = await fetch(`${server}/graphql`, {
		method: "POST",
		headers: { "content-type": "application/json" },
		body: JSON.stringify({ query }),
	});
	const models = (await answer.json()).data.models.nodes;
	const rows = models.map(({ name, tags, createdAt, best }) =>
		[`<a href="/models/${name}">${name}</a>`, tags.join(" "), best?.accuracy, createdAt]
			.map((cell) => `<td>${cell}`)
			.join(""),
	);
	const lists = createServer(({ url }, response) => {
		const list = Array.from(
			{ length: Number(url.slice(1)) || 0 },
			(_, index) => `<tr data-row>${rows[index % rows.length]}`,
		);
		response.setHeader("content-type", "text/html; charset=utf-8");
		response.end(
			`<!doctype html><title>Library</title><link rel="icon" href="data:,"><h1>Library</h1><table>${list.join("")}</table>`,
		);
	});
	await new Promise((ready) => lists.listen(0, "127.0.0.1", ready));
	return { address: `http://127.0.0.1:${lists.address().port}`, close: () => lists.close() };
}
