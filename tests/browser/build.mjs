// Builds networks, by mouse and by keyboard alone: `node build.mjs SERVER FILE`. The file has a list of blocks.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server, file] = process.argv.slice(2);

/** Longer than the address takes to follow the network. */
const SLOW_MILLISECONDS = 1_000;

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
	// Text is selected to beyond the edge, and the dialog stays. Closed by a button, it returns the focus.
	const { x, y } = await dialog.boundingBox();
	await dialog.getByRole("heading").hover();
	await page.mouse.down();
	await page.mouse.move(x - 20, y + 20);
	await page.mouse.up();
	await dialog.getByRole("button", { name: "Cancel" }).click();
	await dialog.waitFor({ state: "detached" });
	assert.equal(await page.evaluate(() => document.activeElement.textContent), "JSON");
	await page.keyboard.press("Enter");
	await dialog.getByLabel("Choose or drop a file of blocks").setInputFiles(file);
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
	// An empty setting is shown even if it is folded away; a double click trains once.
	await page.getByText("More settings").click();
	await page.getByLabel("Batch size").fill("");
	await page.getByText("More settings").click();
	await page.getByRole("button", { name: "Train" }).click();
	await page.getByLabel("Batch size").fill("64");
	await page.getByRole("button", { name: "Train" }).dblclick();
	await page.getByText(/^succeeded, epoch 2: loss/).waitFor();
	await page.getByRole("link", { name: "Open built, version 1" }).click();
	await assertHeading(page, "built, version 1");
	await page.getByRole("button", { name: "Table" }).click();
	await page.getByRole("link", { name: "10", exact: true }).click();
	await assertHeading(page, "Layer 10 (Linear)");
	await page.getByText(/^Proven: none of the/).waitFor();

	// What came of the training is still there. A screen that loads slowly is reached.
	await page.getByRole("link", { name: "Build", exact: true }).click();
	await page.getByText(/^succeeded, epoch 2: loss/).waitFor();
	await page.getByRole("link", { name: "Open built, version 1" }).waitFor();
	await page.route("**/assets/Jobs-*.js", async (route) => {
		await new Promise((resolve) => setTimeout(resolve, SLOW_MILLISECONDS));
		await route.continue();
	});
	await page.getByRole("link", { name: "Jobs", exact: true }).click();
	await assertHeading(page, "Jobs");
});

await withPage(server, async (page) => {
	const { keyboard } = page;
	const until = (expected) => outline(page, expected);

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
	await page.locator('[data-path="1"] .fault').waitFor();
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

// Blocks are moved, by mouse, by touch and by keys, and taken elsewhere.
const NESTED = [
	{ kind: "Conv2d", parameters: { out_channels: 8, kernel_size: 1 } },
	{ kind: "Residual", main: [{ kind: "ReLU" }, { kind: "Residual", main: [{ kind: "RELU" }] }], shortcut: [] },
	{ kind: "Flatten" },
	{ kind: "Linear", parameters: { out_features: 9 } },
];
const PASTED = ["0 Conv2d", "1 Residual", "1.main.0 RELU", "2 Residual", "2.main.0 ReLU", "3 Flatten", "4 Linear"];
let link;
const UNCHANGED = [
	"0 Conv2d",
	"1 Residual",
	"1.main.0 ReLU",
	"1.main.1 Residual",
	"1.main.1.main.0 RELU",
	"2 Flatten",
	"3 Linear",
];

await withPage(
	server,
	async (page) => {
		const { keyboard, mouse } = page;
		const block = (path) => page.locator(`[role=treeitem][data-path="${path}"]`);
		const handle = (path) => block(path).locator("strong").first();
		const until = (expected) => outline(page, expected);
		const said = (text) => page.locator(".tools [role=status]").getByText(text).waitFor();
		const status = (text) => page.getByRole("status").filter({ hasText: text }).waitFor();
		const use = async (blocks) => {
			await page.getByRole("button", { name: "JSON" }).click();
			const dialog = page.getByRole("dialog", { name: "The network as JSON" });
			await dialog.getByRole("textbox").fill(JSON.stringify(blocks));
			await dialog.getByRole("button", { name: "Use it" }).click();
		};
		/** Presses at one element and lets go at a part of the height of another one. */
		const drag = async (from, to, part = 0.5) => {
			// What the server says of the last step takes its place first.
			await page.waitForFunction(() => !document.querySelector(".faults button:disabled"));
			await from.hover();
			await mouse.down();
			await point(to, part, (x, y) => mouse.move(x, y, { steps: 4 }));
			await mouse.up();
		};

		// A kind is dragged to where there is nothing yet.
		await page.goto("/build");
		await page.locator(".no-blocks").waitFor();
		assert.ok(await page.getByRole("button", { name: "Undo" }).isDisabled());
		await drag(page.getByRole("button", { name: "Tanh", exact: true }), page.locator(".no-blocks"));
		await until(["0 Tanh"]);
		await use(NESTED);
		await until(UNCHANGED);
		await block("3").locator(".fault").waitFor();

		// By mouse: within the list, into both branches of a group, and out of it; each is one step back.
		await drag(handle("3"), handle("0"), 0);
		await until([
			"0 Linear",
			"1 Conv2d",
			"2 Residual",
			"2.main.0 ReLU",
			"2.main.1 Residual",
			"2.main.1.main.0 RELU",
			"3 Flatten",
		]);
		await said("Linear is dropped before 0 Conv2d.");
		await keyboard.press("Control+z");
		await until(UNCHANGED);
		await drag(handle("0"), handle("1.main.0"), 0);
		await until([
			"0 Residual",
			"0.main.0 Conv2d",
			"0.main.1 ReLU",
			"0.main.2 Residual",
			"0.main.2.main.0 RELU",
			"1 Flatten",
			"2 Linear",
		]);
		await page.getByRole("button", { name: "Undo" }).click();
		await until(UNCHANGED);
		await drag(handle("2"), page.locator('[data-list="1.shortcut"]'));
		await until([
			"0 Conv2d",
			"1 Residual",
			"1.main.0 ReLU",
			"1.main.1 Residual",
			"1.main.1.main.0 RELU",
			"1.shortcut.0 Flatten",
			"2 Linear",
		]);
		await drag(handle("1.shortcut.0"), handle("2"), 0);
		await until(UNCHANGED);
		// A group does not go into itself, and Escape gives up.
		await drag(handle("1"), handle("1.main.0"));
		await until(UNCHANGED);
		await handle("3").hover();
		await mouse.down();
		await point(handle("0"), 0, (x, y) => mouse.move(x, y, { steps: 4 }));
		await page.locator(".place").waitFor({ state: "attached" });
		await keyboard.press("Escape");
		await page.locator(".place").waitFor({ state: "detached" });
		await mouse.up();
		await until(UNCHANGED);

		// By keys: picked up, carried into the groups and out of them, dropped.
		await block("0").focus();
		await keyboard.press("Enter");
		await said("Conv2d is picked up.");
		assert.deepEqual(await barriers(page), []);
		for (const place of ["Before 1.main.0 ReLU.", "Before 1.main.1 Residual.", "Before 1.main.1.main.0 RELU."]) {
			await keyboard.press("ArrowDown");
			await said(place);
		}
		await keyboard.press("ArrowUp");
		await keyboard.press("Enter");
		await until([
			"0 Residual",
			"0.main.0 ReLU",
			"0.main.1 Conv2d",
			"0.main.2 Residual",
			"0.main.2.main.0 RELU",
			"1 Flatten",
			"2 Linear",
		]);
		assert.equal(await page.evaluate(() => document.activeElement.dataset.path), "0.main.1");
		await keyboard.press("Enter");
		await keyboard.press("Home");
		await keyboard.press("Enter");
		await until(UNCHANGED);
		await keyboard.press("Enter");
		await keyboard.press("Alt+ArrowLeft");
		await keyboard.press("Enter");
		await said("The block stays where it was.");
		// A group skips itself; what is given up changes nothing.
		await block("1").focus();
		await keyboard.press("Enter");
		await keyboard.press("ArrowDown");
		await said("Before 3 Linear.");
		await keyboard.press("Escape");
		await said("The block stays where it was.");
		await until(UNCHANGED);

		// F8 leads through the groups, and from the form, too.
		await block("1.main.1.main.0").locator(".fault").waitFor();
		await keyboard.press("F8");
		await page.waitForFunction(() => document.activeElement.dataset.path === "1.main.1.main.0");
		await keyboard.press("F8");
		await page.waitForFunction(() => document.activeElement.dataset.path === "3");
		await page.getByRole("textbox", { name: "out_features" }).focus();
		await keyboard.press("F8");
		await page.waitForFunction(() => document.activeElement.dataset.path === "1.main.1.main.0");

		// Cut and pasted with what is in it, and text from elsewhere is refused where it stands.
		await block("1.main.1").focus();
		await keyboard.press("Control+x");
		await said("Residual is cut.");
		await until(["0 Conv2d", "1 Residual", "1.main.0 ReLU", "2 Flatten", "3 Linear"]);
		await block("0").focus();
		await keyboard.press("Control+v");
		await said("Residual is pasted.");
		await until(PASTED);
		await page.evaluate(() => navigator.clipboard.writeText("[{}]"));
		await keyboard.press("Control+v");
		await said("Nothing is pasted. Block 0 must be an object with a kind");
		assert.deepEqual(await barriers(page), []);
		await until(PASTED);
		await block("3").focus();
		await page.getByRole("button", { name: "Copy", exact: true }).click();
		await said("Flatten is copied.");
		await page.getByRole("button", { name: "Paste" }).click();
		await until([...PASTED.slice(0, 6), "4 Flatten", "5 Linear"]);
		await page.getByRole("button", { name: "Remove" }).click();
		await until(PASTED);

		await page.getByRole("button", { name: "Copy link" }).click();
		await status("The link is copied.");
		link = await page.evaluate(() => navigator.clipboard.readText());
		await page.waitForURL(link);
		// What is too large for a link is told once one is asked for.
		await use(Array.from({ length: 1_000 }, (_, index) => ({ kind: `${Math.sin(index)}` })));
		await page.waitForURL(/build$/);
		await page.getByRole("button", { name: "Copy link" }).click();
		await status("The network is too large for a link. Copy it as JSON.");
	},
	// High enough that nothing scrolls while it is dragged.
	{ permissions: ["clipboard-read", "clipboard-write"], viewport: { width: 1280, height: 1100 } },
);

// A link shows the network to somebody else, who gets back the one before.
await withPage(server, async (page, context) => {
	await page.goto("/build");
	await page.getByRole("button", { name: "ELU", exact: true }).click();
	await outline(page, ["0 ELU"]);
	await page.goto(link);
	await outline(page, PASTED);
	await page.getByText("This is the network of the link or version that you opened.").waitFor();
	assert.deepEqual(await barriers(page), []);
	await page.reload();
	await outline(page, PASTED);
	await page.getByRole("button", { name: "Undo" }).click();
	await outline(page, ["0 ELU"]);
	// A link that is cut off says so, and the network stays.
	await page.goto(link.slice(0, -20));
	await page.getByText("The network of this link cannot be read: Its text is cut off or changed.").waitFor();
	await outline(page, ["0 ELU"]);
	assert.deepEqual(await barriers(page), []);
	// Without its last block the tree keeps the focus, so that one step back is one key.
	await page.getByRole("treeitem").focus();
	await page.keyboard.press("Backspace");
	await outline(page, []);
	await page.keyboard.press("Control+z");
	await outline(page, ["0 ELU"]);
	assert.equal(await page.evaluate(() => document.activeElement.dataset.path), "0");
	// So does the form where it adds a block to a group.
	await page.getByRole("button", { name: "Residual", exact: true }).click();
	await page.getByRole("button", { name: "Add a ReLU to main" }).click();
	await outline(page, ["0 ELU", "1 Residual", "1.main.0 ReLU"]);
	assert.equal(await page.evaluate(() => document.activeElement.dataset.path), "1.main.0");
	// Another tab shows the same network, and neither loses what the other one does.
	const other = await context.newPage();
	await other.goto("/build");
	await outline(other, ["0 ELU", "1 Residual", "1.main.0 ReLU"]);
	await other.getByRole("button", { name: "Tanh", exact: true }).click();
	await outline(other, ["0 ELU", "1 Tanh", "2 Residual", "2.main.0 ReLU"]);
	await outline(page, ["0 ELU", "1 Tanh", "2 Residual", "2.main.0 ReLU"]);
	await page.getByText("Another tab changed the network.").waitFor();
	await page.getByRole("button", { name: "Undo" }).click();
	await outline(page, ["0 ELU", "1 Residual", "1.main.0 ReLU"]);
	await outline(other, ["0 ELU", "1 Residual", "1.main.0 ReLU"]);
	await other.close();
	// A value that is none of the options is shown, and a data set that the server does not have.
	await page.evaluate(() => {
		const blocks = [{ kind: "Conv2d", parameters: { bias: "maybe" } }];
		const draft = { state: { dataset: "gone", blocks }, version: 0 };
		localStorage.setItem("scv-draft", JSON.stringify(draft));
	});
	await page.goto("/jobs");
	await page.goto("/build");
	assert.equal(await page.getByLabel("bias").inputValue(), "maybe");
	assert.equal(await page.getByLabel("Data set").inputValue(), "gone");
	await page.getByLabel("Data set").selectOption("digits");
	await page.locator(".totals").getByRole("button", { name: "0" }).first().waitFor();
});

await withPage(
	server,
	async (page, context) => {
		const session = await context.newCDPSession(page);
		const touch = (type, touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
		const strong = (path) => page.locator(`[role=treeitem][data-path="${path}"] strong`).first();
		await page.goto("/build");
		for (const kind of ["ReLU", "Tanh", "ELU"]) await page.getByRole("button", { name: kind, exact: true }).tap();
		await outline(page, ["0 ReLU", "1 Tanh", "2 ELU"]);
		// What the server says of the blocks takes its place first.
		await page.waitForFunction(() => document.querySelectorAll("[role=treeitem] .costs").length === 3);
		// A finger that rests drags.
		// Not at an edge of the window, where it would scroll.
		await strong("2").evaluate((element) => element.scrollIntoView({ block: "center" }));
		await point(strong("2"), 0.5, (x, y) => touch("touchStart", [{ x, y }]));
		await page.locator(".carried").waitFor();
		await point(strong("0"), 0, (x, y) => touch("touchMove", [{ x, y }]));
		await page.locator(".place").waitFor({ state: "attached" });
		await touch("touchEnd", []);
		await outline(page, ["0 ELU", "1 ReLU", "2 Tanh"]);
		assert.deepEqual(await barriers(page), []);
	},
	{ hasTouch: true, viewport: { width: 390, height: 850 } },
);

/** Waits until the blocks are these. */
async function outline(page, expected) {
	await page.waitForFunction((expected) => {
		const items = [...document.querySelectorAll("[role=treeitem]")];
		const names = items.map((item) => `${item.dataset.path} ${item.querySelector("strong").textContent}`);
		return JSON.stringify(names) === expected;
	}, JSON.stringify(expected));
}

/** Does something at a part of the height of an element. */
async function point(element, part, act) {
	const { x, y, width, height } = await element.boundingBox();
	await act(x + width / 2, y + height * part);
}
