// Draws, chooses and drops images: `node try.mjs SERVER`.
import assert from "node:assert/strict";
import { assertHeading, barriers, loseUploads, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

await withPage(
	server,
	async (page) => {
		// Models are suggested, half a name is not looked for, and the most accurate version is offered.
		await page.goto("/try");
		await page.getByRole("link", { name: /^Try (plain|wide):\d$/ }).waitFor();
		await page.getByLabel("Version", { exact: true }).pressSequentially("wid");
		await page.locator("datalist option[value='wide']").first().waitFor({ state: "attached" });
		assert.equal(await page.getByText("There is no version").count(), 0);
		await page.getByLabel("Version", { exact: true }).fill("wide");
		await page.waitForURL("**?a=wide");

		await page.goto("/try?a=plain&b=wide:1");
		await assertHeading(page, "Try an image");
		const predictions = page.getByRole("list", { name: "Most likely classes" });

		// The probabilities follow the pen.
		const pad = await page.getByRole("img", { name: "Pad to draw on" }).boundingBox();
		const [x, y] = [pad.x + pad.width / 2, pad.y];
		await page.mouse.move(x, y + 40);
		await page.mouse.down();
		await page.mouse.move(x, y + 150, { steps: 10 });
		await predictions.first().waitFor();
		await page.mouse.move(x, y + 240, { steps: 10 });
		await page.mouse.up();
		assert.equal(await predictions.count(), 2);
		const drawn = await page.getByRole("img", { name: "Pad to draw on" }).evaluate((canvas) => {
			const { data } = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1);
			return data[0];
		});
		assert.ok(drawn < 50, "the drawing stays while the answers come");
		const first = predictions.first().getByRole("listitem").first();
		await first.filter({ hasText: /^[0-9]/ }).waitFor();

		// What the network was given, and what it looked at.
		await page.getByText("as the network sees it").first().waitFor();
		await page.getByText("What was done to the image").first().click();
		await page.getByText(/resized/).first().waitFor();
		await page.getByRole("button", { name: "Which pixels matter?" }).first().click();
		await page.getByRole("img", { name: /^The pixels that speak for/ }).waitFor();
		assert.deepEqual(await barriers(page), []);

		// A file is as good as a drawing, and one that is no image says so.
		const file = page.getByLabel("Choose, photograph or drop an image");
		await file.setInputFiles({ name: "note.png", mimeType: "image/png", buffer: Buffer.from("no image") });
		await page.getByRole("alert").first().waitFor();
		assert.match(await page.getByRole("alert").first().innerText(), /PNG|image/);

		// A connection that is lost while an image is sent loses nothing: it is sent again.
		const restore = await loseUploads(page);
		const picture = await page.getByRole("img", { name: "Pad to draw on" }).evaluate((canvas) => canvas.toDataURL());
		const buffer = Buffer.from(picture.split(",")[1], "base64");
		await file.setInputFiles({ name: "drawing.png", mimeType: "image/png", buffer });
		await page.getByText("The file was not sent").first().waitFor();
		await restore();
		await page.getByRole("button", { name: "Try again" }).first().click();
		await predictions.first().waitFor();
		await page.getByRole("button", { name: "Clear" }).click();
		await page.getByText("Draw something, or choose an image.").first().waitFor();
	},
	{ expectedErrors: ["400 (Bad Request)", "ERR_CONNECTION_RESET"] },
);
