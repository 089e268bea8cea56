// Opens every screen by its address, in light and dark and in three widths: `node screens.mjs SERVER`.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

/** Addresses, with the heading of the screen and something that is on it once all has loaded. */
const SCREENS = [
	["/", "Library", "plain"],
	["/models/plain", "plain", "version 1"],
	["/models/plain/versions/1", "plain, version 1", "Conv2d"],
	["/models/plain/versions/1?at=1", "plain, version 1", "Layers that compute the same"],
	["/models/plain/versions/1?view=table", "plain, version 1", "Conv2d"],
	["/models/plain/versions/1?tab=evaluation", "plain, version 1", "Surest mistakes"],
	["/models/plain/versions/1?tab=evaluation&actual=3&predicted=3", "plain, version 1", "3 taken for 3"],
	["/models/plain/versions/1?tab=relatives", "plain, version 1", "wide"],
	["/models/plain/versions/1?tab=files", "plain, version 1", "import torch"],
	["/models/plain/versions/1/layers/0", "Layer 0 (Conv2d)", "Proven"],
	["/models/plain/versions/1/layers/0?tab=channels", "Layer 0 (Conv2d)", "Look for them"],
	["/models/plain/versions/1/layers/0?tab=maps&image=3", "Layer 0 (Conv2d)", "yellow most"],
	["/models/plain/versions/1/layers/0?tab=maps&method=SMOOTH_GRAD&class=5", "Layer 0 (Conv2d)", "against it blue"],
	["/compare", "Compare two versions", "Enter two versions"],
	["/compare?a=plain&b=wide:1&row=0&column=0", "Compare two versions", "Pair"],
	["/compare?a=plain&b=wide:1&tab=structure&measure=CKA", "Compare two versions", "Only in wide:1"],
	["/compare?a=plain&b=wide:1&tab=evaluations", "Compare two versions", "F1 of each class"],
	["/build", "Build a network", "convolution"],
	["/try", "Try an image", "Enter the name"],
	["/try?a=plain&b=nobody", "Try an image", "Draw something"],
	["/ask?measure=CKA", "Ask with a file of activations", "Choose or drop"],
	["/datasets", "Data sets", "10 classes"],
	["/datasets/digits", "digits", "355 images"],
	["/datasets/digits?split=TRAIN&class=3", "digits", "147 images"],
	["/datasets/digits?class=12", "digits", "class 12 of data set digits is out of range"],
	["/datasets/nobody", "There is no data set nobody", "library"],
	["/settings", "Settings", "This server is open"],
	["/jobs", "Jobs", "version 1"],
	["/models/nobody", "There is no model nobody", "library"],
	["/models/plain/versions/7", "There is no version 7 of plain", "library"],
	["/models/plain/versions/one", "There is no version one of plain", "library"],
	["/models/plain/versions/1/layers/99", "There is no layer 99 in version 1 of plain", "library"],
	["/compare?a=plain&b=nobody", "Compare two versions", "There is no version nobody"],
	["/nowhere", "There is nothing at this address", "library"],
];

const VIEWS = [
	{ colorScheme: "light", viewport: { width: 1280, height: 900 } },
	{ colorScheme: "dark", viewport: { width: 768, height: 900 } },
	{ colorScheme: "light", viewport: { width: 390, height: 800 } },
];

const found = [];
for (const view of VIEWS) {
	await withPage(
		server,
		async (page) => {
			for (const [address, heading, content] of SCREENS) {
				await page.goto(address);
				await assertHeading(page, heading);
				await page.locator("#screen").getByText(content, { exact: false }).first().waitFor();
				found.push(...(await barriers(page)));
				const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
				if (wide > 0) found.push(`${address} is ${wide} pixels wider than ${view.viewport.width}`);
			}
		},
		view,
	);
}
assert.deepEqual(found, []);
