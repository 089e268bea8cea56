// Builds networks, by mouse and by keyboard alone: `node build.mjs SERVER FILE`. The file has a list of blocks.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server, file] = process.argv.slice(2);

await withPage(server, async (page) => {
	const block = (path) => page.locator(`[role=treeitem][data-path="${path}"]`);
	const fact = (text) => page.locator(".facts").getByText(text).first().waitFor();

	// Brought as JSON, after text that is none was refused where it stands.
	await page.goto("/build");
	await assertHeading(page, "Build a network");
	await page.getByRole("button", { name: "JSON" }).click();
	const dialog = page.getByRole("dialog", { name: "The network as JSON" });
	await dialog.getByRole("textbox").fill('[{"kind": "Residual", "main": [{}]}]');
	await dialog.getByRole("button", { name: "Use it" }).click();
	await dialog.getByText("Block 0.main.0 must be an object with a kind").waitFor();
	await dialog.getByLabel("A file of blocks").setInputFiles(file);
	await page.waitForFunction(() => document.querySelector("dialog textarea").value.includes("MaxPool2d"));
	await dialog.getByRole("button", { name: "Use it" }).click();
	await fact("none");
	await block("12").getByText("10, 650 parameters").waitFor();
	assert.deepEqual(await barriers(page), []);

	// Broken, and the fault is seen at its block, at its parameter, and in the list.
	await block("12").click();
	await page.getByRole("textbox", { name: "out_features" }).fill("11");
	await block("12").locator(".fault").waitFor();
	await page.locator(".facts").getByRole("button", { name: "12" }).waitFor();
	assert.ok(await page.getByRole("button", { name: "Train" }).isDisabled());

	// The draft outlives the window.
	await page.reload();
	await block("12").locator(".fault").waitFor();
	await block("12").click();
	await page.getByRole("textbox", { name: "out_features" }).fill("10");
	await fact("none");

	// Trained, and its layers are found.
	await page.getByLabel("Model, new or known").fill("built");
	await page.getByLabel("Epochs").fill("2");
	await page.getByRole("button", { name: "Train" }).click();
	await page.getByText(/^succeeded, epoch 2: loss/).waitFor();
	await page.getByRole("link", { name: "Open built, version 1" }).click();
	await assertHeading(page, "built, version 1");
	await page.getByRole("link", { name: "10", exact: true }).click();
	await assertHeading(page, "Layer 10 (Linear)");
	await page.getByText(/^Proven: none of the/).waitFor();
});

await withPage(server, async (page) => {
	const { keyboard } = page;
	const until = async (expected) => {
		await page.waitForFunction(
			(expected) => {
				const items = [...document.querySelectorAll("[role=treeitem]")];
				const names = items.map((item) => `${item.dataset.path} ${item.querySelector("strong").textContent}`);
				return JSON.stringify(names) === expected;
			},
			JSON.stringify(expected),
		);
	};

	await page.goto("/build");
	await assertHeading(page, "Build a network");
	await page.getByRole("heading", { name: "Blocks" }).waitFor();
	// To the list of kinds, and three blocks by their names.
	await keyboard.press("/");
	for (const kind of ["Linear", "Residual", "Flatten"]) {
		await keyboard.press("Control+a");
		await keyboard.type(kind);
		await keyboard.press("Enter");
	}
	await until(["0 Linear", "1 Residual", "2 Flatten"]);
	// Into the tree: the block that was added last is selected.
	await keyboard.press("Escape");
	for (let presses = 0; presses < 60; presses += 1) {
		await keyboard.press("Tab");
		if (await page.evaluate(() => document.activeElement.getAttribute("role") === "treeitem")) break;
	}
	assert.equal(await page.evaluate(() => document.activeElement.dataset.path), "2");
	await keyboard.press("Alt+ArrowRight");
	await until(["0 Linear", "1 Residual", "1.main.0 Flatten"]);
	await keyboard.press("Alt+ArrowLeft");
	await until(["0 Linear", "1 Residual", "2 Flatten"]);
	await keyboard.press("ArrowUp");
	await keyboard.press("Delete");
	await until(["0 Linear", "1 Flatten"]);
	await keyboard.press("Alt+ArrowUp");
	await until(["0 Flatten", "1 Linear"]);
	await keyboard.press("Control+d");
	await until(["0 Flatten", "1 Flatten", "2 Linear"]);
	await keyboard.press("Control+z");
	await until(["0 Flatten", "1 Linear"]);
	// The last layer has 64 outputs, which is not the number of classes. F8 leads to it.
	await page.waitForFunction(() => document.querySelector(".facts")?.innerText.includes("10"));
	await keyboard.press("F8");
	await page.waitForFunction(() => document.activeElement.dataset.path === "1");
	// To the form of the block.
	for (let presses = 0; presses < 10; presses += 1) {
		await keyboard.press("Tab");
		if (await page.evaluate(() => document.activeElement.labels?.[0]?.innerText.startsWith("out_features"))) break;
	}
	await keyboard.press("Control+a");
	await keyboard.type("10");
	await page.locator(".facts").getByText("none").waitFor();
});
