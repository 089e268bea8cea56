// Takes networks out of the page and brings them in again: `node files.mjs SERVER`.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

await withPage(server, async (page) => {
	const files = async (name) => {
		const address = await page.getByRole("link", { name, exact: true }).getAttribute("href");
		return (await page.request.get(address)).body();
	};
	const dialog = (name) => page.getByRole("dialog", { name });

	// The files of a version, and its network in the editor.
	await page.goto("/models/plain/versions/1?tab=files");
	await page.getByRole("link", { name: "ONNX", exact: true }).waitFor();
	const [onnx, weights] = [await files("ONNX"), await files("weights as safetensors")];
	await page.getByRole("link", { name: "Open in Build" }).click();
	await assertHeading(page, "Build a network");
	const blocks = page.getByRole("treeitem");
	await blocks.first().waitFor();
	const count = await blocks.count();

	// As code, and as a list of blocks.
	await page.getByRole("button", { name: "Export" }).click();
	await dialog("Export the network").getByText("import torch").waitFor();
	assert.deepEqual(await barriers(page), []);
	const [download] = await Promise.all([
		page.waitForEvent("download"),
		dialog("Export the network").getByRole("button", { name: "Download" }).last().click(),
	]);
	assert.equal(download.suggestedFilename(), "network.py");
	await page.keyboard.press("Escape");

	// With weights: first what becomes what, then a version.
	const chooseWeights = (buffer) =>
		page
			.getByLabel("Choose or drop a .safetensors or PyTorch file")
			.setInputFiles({ name: "weights.safetensors", mimeType: "application/octet-stream", buffer });
	await chooseWeights(weights);
	await page.getByText(/\d+ tensors fit, matched by key/).click();
	await page.getByRole("table", { name: "Which tensor becomes which" }).getByText("0.weight").first().waitFor();
	assert.deepEqual(await barriers(page), []);
	const register = page.getByRole("region", { name: "Weights from a file" });
	await register.getByLabel("Model, new or known").fill("brought");
	await register.getByRole("button", { name: "Register" }).click();
	await register.getByRole("link", { name: "Open brought, version 1" }).click();
	await assertHeading(page, "brought, version 1");

	// What does not fit is told tensor by tensor, and so is a file that holds none.
	await page.goto("/build");
	await blocks.first().click();
	await page.getByRole("textbox", { name: "out_channels" }).fill("5");
	await page.getByLabel("Choose or drop a .safetensors or PyTorch file").waitFor({ state: "attached" });
	await chooseWeights(weights);
	const misfits = page.getByRole("table", { name: "What does not fit" });
	await misfits.getByRole("row").filter({ hasText: "0.weight" }).first().waitFor();
	await page.getByText("Nothing was registered").waitFor();
	await chooseWeights(Buffer.from("these are no weights"));
	await register.getByRole("alert").waitFor();

	// A network of an ONNX file replaces the one that is there; a file that is none leaves it.
	const chooseNetwork = (buffer) =>
		dialog("Import an ONNX file")
			.getByLabel("Choose or drop an .onnx file")
			.setInputFiles({ name: "network.onnx", mimeType: "application/octet-stream", buffer });
	await page.getByRole("button", { name: "Undo" }).click();
	await page.getByRole("button", { name: "Import" }).click();
	await chooseNetwork(Buffer.from("this is no network"));
	await dialog("Import an ONNX file").getByRole("alert").waitFor();
	assert.deepEqual(await barriers(page), []);
	assert.equal(await blocks.count(), count);
	// What one no longer waits for changes nothing.
	const letGo = await holdUploads(page);
	await chooseNetwork(onnx);
	await dialog("Import an ONNX file").getByText("Reading the file.").waitFor();
	await page.keyboard.press("Escape");
	const [answer] = await Promise.all([page.waitForResponse("**/graphql"), letGo()]);
	await answer.finished();
	assert.ok(await page.getByRole("button", { name: "Undo" }).isDisabled());
	await page.getByRole("button", { name: "Import" }).click();
	await chooseNetwork(onnx);
	await dialog("Import an ONNX file").waitFor({ state: "detached" });
	await blocks.filter({ hasText: "Conv2d" }).first().waitFor();

	// A version is deleted once one is sure.
	await page.goto("/models/wide/versions/2");
	await page.getByRole("button", { name: "Delete" }).click();
	await dialog("Delete wide, version 2").getByRole("button", { name: "Cancel" }).click();
	await page.getByRole("button", { name: "Delete" }).click();
	await dialog("Delete wide, version 2").getByRole("button", { name: "Delete for good" }).click();
	await assertHeading(page, "wide");
	await page.getByRole("link", { name: "version 1", exact: true }).waitFor();
	assert.equal(await page.getByRole("link", { name: "version 2", exact: true }).count(), 0);
});

/** Holds back all requests that send files, until the function that it returns is called. */
async function holdUploads(page) {
	const address = "**/graphql";
	let letGo;
	const released = new Promise((resolve) => {
		letGo = resolve;
	});
	await page.route(address, async (route) => {
		if (route.request().headers()["content-type"].startsWith("multipart/")) await released;
		await route.continue();
	});
	return letGo;
}
