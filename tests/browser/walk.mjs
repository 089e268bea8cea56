// Walks through the page by clicks and by keys: `node walk.mjs SERVER`.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

await withPage(server, async (page) => {
	const link = (name) => page.locator("#screen").getByRole("link", { name, exact: true }).first().click();
	const path = () => new URL(page.url()).pathname + new URL(page.url()).search;

	// From the front to a pair of layers.
	await page.goto("/");
	await page.getByText("learned to compute the same thing").waitFor();
	await link("plain");
	await assertHeading(page, "plain");
	await link("version 1");
	await assertHeading(page, "plain, version 1");
	await page.getByRole("button", { name: "Table" }).click();
	await page.waitForURL("**?view=table");
	await page.getByRole("row").filter({ hasText: "Conv2d" }).first().waitFor();
	await page.getByRole("button", { name: "Graph" }).click();
	// Each box is reached by keys, also one that is not in view; they are a single stop for Tab.
	const first = page.getByRole("button", { name: /^Conv2d 0 / });
	await first.focus();
	await page.keyboard.press("End");
	const last = page.getByRole("button", { name: /^Linear / }).and(page.locator(":focus"));
	await last.waitFor();
	assert.equal(await page.locator(".graph-box[tabindex='0']").count(), 1);
	await page.keyboard.press("ArrowUp");
	await last.waitFor({ state: "detached" });
	await page.keyboard.press("Home");
	await first.and(page.locator(":focus")).waitFor();
	await page.keyboard.press("Enter");
	await page.waitForURL("**at=0*");
	await page.reload();
	await page.getByRole("complementary", { name: "Selected layer" }).getByText("Parameters").waitFor();
	await link("Layers that compute the same");
	await assertHeading(page, "Layer 0 (Conv2d)");
	await page.getByLabel("Measure").selectOption("CKA");
	await page.getByLabel("Kind").selectOption("Linear");
	await page.waitForURL("**?*kind=Linear*");
	assert.match(path(), /measure=CKA/);
	const hits = page.getByRole("row").filter({ hasText: "wide" });
	await hits.filter({ hasText: "Linear" }).first().waitFor();
	await page.waitForFunction(() => !document.querySelector("main table").innerText.includes("AvgPool2d"));

	// The address is the state: a reload keeps it, and back leads to where one was.
	const filtered = path();
	await page.reload();
	await assertHeading(page, "Layer 0 (Conv2d)");
	assert.equal(path(), filtered);
	assert.equal(await page.getByLabel("Measure").inputValue(), "CKA");
	await page.goBack();
	await assertHeading(page, "plain, version 1");
	await link("Evaluation");
	await page.getByRole("gridcell", { name: /^1 taken for 1/ }).click();
	await page.waitForURL("**actual=1*");
	// All images of the cell, not the surest alone.
	const [, count] = /(\d+) images/.exec(await page.locator(".selected").innerText());
	await page.waitForFunction(
		(count) => document.querySelector(".confusion + .answer")?.querySelectorAll("img").length === count,
		Number(count),
	);
	await page.keyboard.press("ArrowRight");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "1 taken for 2" }).waitFor();
	await page.reload();
	await page.getByRole("heading", { name: "1 taken for 2" }).waitFor();

	// A cell that there is not selects none, and the matrix can still be reached.
	await page.goto("/models/plain/versions/1?tab=evaluation&actual=900&predicted=2");
	await page.getByRole("gridcell", { name: /^0 taken for 0/ }).waitFor();
	assert.equal(await page.locator(".confusion-grid [role=gridcell][tabindex='0']").count(), 1);
	assert.equal(await page.locator(".selected").count(), 0);

	// With many classes there is a list of mistakes, each of which shows its images.
	const names = JSON.stringify([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(String));
	const many = JSON.stringify(Array.from({ length: 50 }, (_, index) => String(index)));
	await page.route("**/graphql", async (route) => {
		const response = await route.fetch();
		await route.fulfill({ response, body: (await response.text()).replaceAll(names, many) });
	});
	await page.goto("/models/wide/versions/2?tab=evaluation");
	await page.getByText("kinds of mistakes, the most frequent first").waitFor();
	const mistake = page.locator(".pictures").getByRole("button", { name: / taken for / }).first();
	const taken = await mistake.innerText();
	await mistake.click();
	await page.getByRole("region", { name: taken }).getByRole("img").first().waitFor();
	assert.deepEqual(await barriers(page), []);
	await page.unrouteAll({ behavior: "wait" });

	// The images of a data set, by split and class.
	await page.goto("/datasets");
	await link("digits");
	await assertHeading(page, "digits");
	await page.getByLabel("Split").selectOption("Training");
	await page.getByLabel("Class").selectOption("3");
	await page.waitForURL("**?split=TRAIN&class=3");
	await page.getByText("147 images").waitFor();
	await page.getByRole("button", { name: "Show more" }).click();
	await page.waitForFunction(() => document.querySelectorAll(".pictures img").length === 147);

	// What a layer makes of an image, beside what matters for a class; both are of the same image.
	await page.goto("/models/plain/versions/1/layers/0?tab=maps");
	await page.getByLabel("Test image").fill("5");
	await page.getByRole("img", { name: "Test image 5" }).waitFor();
	await page.getByLabel("Attribution by").selectOption("integrated gradients");
	await page.getByLabel("for class").selectOption("8");
	await page.getByRole("img", { name: "The pixels that matter for 8" }).waitFor();
	await page.getByRole("img", { name: /^Activations of channel/ }).first().waitFor();
	await page.reload();
	await page.getByRole("img", { name: "The pixels that matter for 8" }).waitFor();
	assert.match(path(), /image=5&method=INTEGRATED_GRADIENTS&class=8/);

	// The keys: palette, filter, rows, go.
	await page.keyboard.press("Control+k");
	const palette = page.getByRole("dialog", { name: "Find" });
	// A dialog that is closed has no role any more, and is gone a little later.
	const closed = page.locator("dialog");
	await palette.getByRole("combobox").fill("something");
	await page.keyboard.press("Escape");
	await closed.waitFor({ state: "detached" });
	await page.keyboard.press("Control+k");
	await palette.getByRole("combobox").pressSequentially("wid");
	await page.keyboard.press("Enter");
	await assertHeading(page, "wide");
	await page.keyboard.press("Control+k");
	await palette.getByRole("option", { name: /^plain/, selected: true }).waitFor();
	await page.keyboard.press("ArrowDown");
	await palette.getByRole("option", { name: /^wide/, selected: true }).waitFor();
	await page.keyboard.press("Escape");
	await closed.waitFor({ state: "detached" });
	await page.keyboard.press("g");
	await page.keyboard.press("l");
	await assertHeading(page, "Library");
	await page.keyboard.press("/");
	await page.keyboard.type("pla");
	await page.waitForURL("**?name=pla");
	await page.getByText("1 model", { exact: true }).waitFor();
	await page.keyboard.press("Escape");
	await page.getByLabel("Order").selectOption("largest first");
	await page.waitForURL("**order=size*");
	await page.getByLabel("Accuracy at least, %").fill("100.0");
	await page.getByText("No model matches the filter").waitFor();
	await page.getByLabel("Accuracy at least, %").fill("10");
	await page.getByText("1 model", { exact: true }).waitFor();
	await page.getByRole("heading", { level: 1 }).click();
	await page.keyboard.press("j");
	await page.keyboard.press("Enter");
	await assertHeading(page, "plain");
	await page.keyboard.press("g");
	await page.keyboard.press("a");
	await assertHeading(page, "Ask with a file of activations");
	await page.keyboard.press("?");
	await page.getByRole("dialog", { name: "Keys" }).waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });

	// Two versions, by the map of their layers.
	await page.goto("/compare?a=plain&b=wide");
	const map = page.getByRole("grid", { name: "Similarity of all pairs of layers" });
	await map.focus();
	await page.keyboard.press("ArrowDown");
	await page.keyboard.press("ArrowRight");
	await page.keyboard.press("Enter");
	await page.waitForURL("**row=1&column=1*");
	// Another measure keeps the pair, and cells that there are not select none.
	await page.getByLabel("Measure").selectOption("CKA");
	await page.waitForURL("**row=1&column=1&measure=CKA");
	await page.getByRole("complementary").waitFor();
	await page.goto("/compare?a=plain&b=wide&row=900&column=1");
	await page.getByText(/^Conv2d 0 and Conv2d 0: /).waitFor();
	assert.equal(await page.getByRole("complementary").count(), 0);
	await page.getByText("The best match of each layer").click();
	await page.getByRole("table", { name: "Best matches" }).getByRole("link", { name: "layer 12" }).first().waitFor();
	await page.goto("/compare?a=plain&b=wide&row=1&column=1");
	await page.getByRole("complementary").getByRole("link", { name: "layer 1" }).first().click();
	await assertHeading(page, /^Layer 1 /);

	// Their structure and their evaluations, which keep what is compared.
	await page.goto("/compare?a=plain&b=wide:1&measure=CKA&row=1&column=1");
	await link("Structure");
	await page.waitForURL("**tab=structure*");
	assert.match(path(), /a=plain&b=wide/);
	assert.match(path(), /measure=CKA/);
	await page.getByRole("row").filter({ hasText: /Conv2d.*Conv2d.*changed.*out_channels/ }).first().waitFor();
	await link("Evaluations");
	const accuracy = page.getByRole("row").filter({ hasText: "Accuracy" });
	await accuracy.filter({ hasText: /[+−±][0-9.]+ points/ }).waitFor();
	await page.getByRole("heading", { name: "F1 of each class" }).waitFor();
	await page.reload();
	await accuracy.waitFor();

	const isComparison = ({ pathname, searchParams }) =>
		`${pathname} ${searchParams.get("a")} ${searchParams.get("b")}` === "/compare plain:1 wide:1";

	// Two marks, by the key in a list and by the mouse on a version, and Enter compares them.
	const marks = page.getByRole("region", { name: "Marked for comparison" });
	await page.goto("/");
	await page.getByRole("link", { name: "plain", exact: true }).focus();
	await page.keyboard.press("c");
	await marks.getByText("plain:1").waitFor();
	assert.ok(await page.getByLabel("Mark plain:1 for comparison").isChecked());
	await page.reload();
	await marks.getByText("plain:1").waitFor();
	await page.goto("/models/wide/versions/1");
	await page.getByLabel("Mark for comparison").check();
	await marks.getByRole("link", { name: "Compare" }).waitFor();
	assert.deepEqual(await barriers(page), []);
	await page.keyboard.press("Enter");
	await page.waitForURL(isComparison);
	await map.waitFor();
	// The comparison itself needs no bar, and the empty screen offers what is marked.
	assert.equal(await marks.count(), 0);
	await page.getByRole("link", { name: "Compare", exact: true }).click();
	await link("Compare plain:1 and wide:1");
	await page.waitForURL(isComparison);
	await page.goto("/models/wide/versions/1?view=table");
	await assertHeading(page, "wide, version 1");
	await page.getByRole("link", { name: "0", exact: true }).focus();
	await page.keyboard.press("c");
	await marks.getByText("Mark another version").waitFor();
	await page.keyboard.press("c");
	await page.keyboard.press("Enter");
	await page.waitForURL(isComparison);
	await page.goto("/");
	await marks.getByRole("button", { name: "Clear" }).click();
	await marks.waitFor({ state: "detached" });
	await page.getByText("Nothing is marked for comparison").waitFor();

	// Where the window is narrow, a button opens the list of screens.
	await page.setViewportSize({ width: 390, height: 800 });
	await page.getByRole("button", { name: "Menu" }).click();
	const menu = page.getByRole("navigation", { name: "Screens" });
	await menu.getByRole("link", { name: "Settings" }).waitFor();
	assert.deepEqual(await barriers(page), []);
	await menu.getByRole("link", { name: "Jobs" }).click();
	await assertHeading(page, "Jobs");
	await menu.waitFor({ state: "hidden" });
	await page.setViewportSize({ width: 1280, height: 720 });

	// Two versions of one model, by one click.
	await page.goto("/models/wide");
	await link("with version 1");
	await map.waitFor();
	await page.getByText("wide, version 2").first().waitFor();
	assert.deepEqual([...new URL(page.url()).searchParams.values()], ["wide:1", "wide:2"]);
});
