// Shows names and descriptions as text, whatever they contain: `node text.mjs SERVER NAME`.
import assert from "node:assert/strict";
import { assertHeading, withPage } from "./page.mjs";

const [server, name] = process.argv.slice(2);

await withPage(server, async (page) => {
	await page.goto("/");
	await page.locator("#screen").getByRole("link", { name, exact: true }).click();
	await assertHeading(page, name);
	assert.equal(await page.locator("#screen b, #screen script, #screen img").count(), 0);
	await page.reload();
	await assertHeading(page, name);
	assert.equal(await page.title(), `${name} · SCV`);

	// It is renamed to another one of the kind, and found by that.
	await page.getByRole("button", { name: "Edit" }).click();
	const renamed = `${name}/?#%`;
	await page.getByLabel("Name", { exact: true }).fill(renamed);
	await page.getByRole("button", { name: "Save" }).click();
	await assertHeading(page, renamed);
	await page.reload();
	await assertHeading(page, renamed);

	// A name that is taken is refused where it was typed, and nothing is lost.
	await page.getByRole("button", { name: "Edit" }).click();
	await page.getByLabel("Name", { exact: true }).fill("plain");
	await page.getByRole("button", { name: "Save" }).click();
	await page.getByRole("alert").waitFor();
	assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "plain");
	await page.getByRole("button", { name: "Cancel" }).click();

	// It is deleted after a second word, and comes back.
	await page.getByRole("button", { name: "Edit" }).click();
	await page.getByRole("button", { name: "Delete the model" }).click();
	await page.getByRole("button", { name: `Yes, delete ${renamed}` }).click();
	await assertHeading(page, "Library");
	await page.getByText("1 model", { exact: true }).waitFor();
	await page.getByLabel("deleted models").check();
	await page.getByRole("row").filter({ hasText: renamed }).getByRole("button", { name: "Restore" }).click();
	await page.getByText("No model matches the filter.").waitFor();
	await page.getByLabel("deleted models").uncheck();
	await page.getByText("2 models", { exact: true }).waitFor();
});
