// Imports data sets with files that it makes: `node import.mjs SERVER`.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

/** An IDX file of one byte per number. */
function idx(dimensions, byteAt) {
	const header = Buffer.alloc(4 + 4 * dimensions.length);
	header.set([0, 0, 8, dimensions.length]);
	dimensions.forEach((dimension, index) => header.writeUInt32BE(dimension, 4 + 4 * index));
	const count = dimensions.reduce((product, dimension) => product * dimension);
	return Buffer.concat([header, Buffer.from(Array.from({ length: count }, (_, index) => byteAt(index)))]);
}

const images = (count) => idx([count, 8, 8], (index) => (index * 7919) % 251);
const labels = (count) => idx([count], (index) => index % 2);

await withPage(server, async (page) => {
	const dialog = page.getByRole("dialog", { name: "Import a data set" });
	const button = dialog.getByRole("button", { name: "Import", exact: true });
	const choose = (content, buffer) =>
		dialog
			.getByLabel(`${content}: choose or drop the file`)
			.setInputFiles({ name: `${content}.idx`, mimeType: "application/octet-stream", buffer });

	await page.goto("/datasets");
	await assertHeading(page, "Data sets");
	await page.getByRole("button", { name: "Import" }).click();
	assert.ok(await button.isDisabled(), "four files are required");
	await dialog.getByLabel("Name").fill("digits");
	await choose("Training images", Buffer.from("these are no images"));
	await choose("Training labels", labels(120));
	await choose("Test images", images(30));
	await choose("Test labels", labels(30));
	assert.deepEqual(await barriers(page), []);

	// What is wrong is told in place, and corrected there.
	const refusal = dialog.getByRole("alert");
	await button.click();
	await refusal.filter({ hasText: "a data set with this name exists already" }).waitFor();
	await dialog.getByLabel("Name").fill("stripes");
	await button.click();
	await refusal.filter({ hasText: "the IDX file of train images is not IDX" }).waitFor();
	assert.deepEqual(await barriers(page), []);
	await choose("Training images", images(120));
	await button.click();
	await dialog.getByRole("status").filter({ hasText: "Data set stripes is imported" }).waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("link", { name: "stripes", exact: true }).waitFor();

	// A file that is damaged further on fails the job.
	await page.getByRole("button", { name: "Import" }).click();
	await dialog.getByLabel("Name").fill("short");
	await choose("Training images", images(120).subarray(0, 500));
	await choose("Training labels", labels(120));
	await choose("Test images", images(30));
	await choose("Test labels", labels(30));
	await button.click();
	await dialog.getByRole("link", { name: "Jobs" }).click();
	await assertHeading(page, "Jobs");
	await page.getByRole("row").filter({ hasText: /data set short.*train images is truncated/ }).waitFor();
	assert.deepEqual(await barriers(page), []);
	await page.getByRole("link", { name: "data set stripes" }).click();
	await assertHeading(page, "stripes");
});
