// Reads lists of more than a page: `node pages.mjs SERVER`. The library has 102 models, and the newest has 101 versions.
import assert from "node:assert/strict";
import { withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

await withPage(server, async (page) => {
	let isSpoilt = true;
	await page.route("**/graphql", async (route) => {
		const request = route.request().postDataJSON();
		if (isSpoilt && request?.variables?.after) request.variables.after = "b2xk";
		await route.continue({ postData: JSON.stringify(request) });
	});
	await page.goto("/");
	await page.getByText("102 models").waitFor();
	await page.keyboard.press("End");
	const alert = page.locator("#screen").getByRole("alert");
	await alert.getByText("`after`").waitFor();
	// What was read stays, and once the cursor is taken, the list goes on.
	await page.keyboard.press("Home");
	await page.getByRole("link", { name: "model 100", exact: true }).waitFor();
	isSpoilt = false;
	await alert.getByRole("button", { name: "Try again" }).click();
	await alert.waitFor({ state: "detached" });
	await page.keyboard.press("End");
	await page.getByRole("link", { name: "model 0", exact: true }).waitFor();
	assert.equal(await page.getByRole("alert").count(), 0);

	// After a job, the page in view is read again, and the one behind it when one gets there.
	await page.keyboard.press("Home");
	await page.getByRole("link", { name: "of many versions", exact: true }).waitFor();
	const read = [];
	const isOfList = (request) => request.postDataJSON()?.variables?.filter !== undefined;
	page.on("request", (request) => isOfList(request) && read.push(request.postDataJSON().variables.after));
	const ask = async (query) => (await (await page.request.post("/graphql", { data: { query } })).json()).data;
	const { model } = await ask('{ model(name: "of many versions") { version(alias: "latest") { id } } }');
	const input = `{ versionId: "${model.version.id}" }`;
	const [answer] = await Promise.all([
		page.waitForResponse((response) => isOfList(response.request())),
		ask(`mutation { evaluateVersion(input: ${input}) { job { id } } }`),
	]);
	await answer.finished();
	await ask("{ viewer { scope } }");
	assert.deepEqual([...new Set(read)], [null]);
	await page.keyboard.press("End");
	await page.getByRole("link", { name: "model 0", exact: true }).waitFor();

	// The newest version stands first, and older ones are read when one asks for them.
	await page.goto("/models/of many versions");
	await page.getByRole("heading", { name: "101 versions" }).waitFor();
	await page.getByRole("link", { name: "version 101", exact: true }).waitFor();
	assert.equal(await page.getByRole("link", { name: "version 1", exact: true }).count(), 0);
	await page.getByRole("button", { name: "Show older versions" }).click();
	await page.getByRole("link", { name: "version 1", exact: true }).waitFor();
	await page.getByRole("button", { name: "Show older versions" }).waitFor({ state: "detached" });
});
