// A page in Chromium, for the scripts beside this one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How long something may take to appear, on a machine that does much else. */
const TIMEOUT = 30_000;

/**
 * Opens a page of a server and runs steps on it. Fails if the page logs an error, throws one, or sends a request to another host,
 * also if the steps succeed.
 */
export async function withPage(server, steps, { expectedErrors = [], ...settings } = {}) {
	const browser = await playwright.launch({
		executablePath: await chromium.executablePath(),
		args: ["--no-sandbox", "--disable-gpu", "--headless=shell"],
	});
	const faults = [];
	try {
		const context = await browser.newContext({ baseURL: server, reducedMotion: "reduce", ...settings });
		context.setDefaultTimeout(TIMEOUT);
		const page = await context.newPage();
		page.on("console", (message) => {
			if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
		});
		page.on("pageerror", (error) => faults.push(`exception: ${error.stack}`));
		page.on("request", (request) => {
			const { protocol, origin } = new URL(request.url());
			const isOwn = origin === new URL(server).origin || protocol === "data:" || protocol === "blob:";
			if (!isOwn) faults.push(`request to another host: ${request.url()}`);
		});
		try {
			await steps(page, context);
		} catch (error) {
			const content = await page.evaluate(() => document.body.innerText).catch((reason) => `no page: ${reason.message}`);
			error.message += `\nat ${page.url()}\n${faults.join("\n")}\n${content}`;
			throw error;
		}
	} finally {
		await browser.close();
	}
	const unexpected = faults.filter((fault) => !expectedErrors.some((expected) => fault.includes(expected)));
	assert.deepEqual(unexpected, []);
}

/** What axe finds on a page that keeps people from using it. */
export async function barriers(page) {
	await page.evaluate(AXE);
	const { violations } = await page.evaluate(() =>
		window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
	);
	return violations.map(
		({ id, help, nodes }) => `${page.url()}: ${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`,
	);
}

/** Breaks the connection of all requests that send files, until the function that it returns is called. */
export async function loseUploads(page) {
	const address = "**/graphql";
	await page.route(address, (route) =>
		route.request().headers()["content-type"].startsWith("multipart/") ? route.abort("connectionreset") : route.continue(),
	);
	return () => page.unroute(address);
}

/** The heading of a screen, once it is there. */
export async function assertHeading(page, text) {
	await page.getByRole("heading", { level: 1, name: text, exact: true }).waitFor();
}
