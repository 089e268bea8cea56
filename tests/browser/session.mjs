// Signs in and out on a server that requires tokens: `node session.mjs SERVER TOKEN OTHER_TOKEN`. The model `secret` is private to the
// first token's account.
import assert from "node:assert/strict";
import { assertHeading, barriers, withPage } from "./page.mjs";

const [server, token, otherToken] = process.argv.slice(2);

const READ_ONLY = "Your token allows only reading.";

async function signIn(page, secret) {
	const form = page.locator("#screen").getByRole("form", { name: "Sign in" });
	await form.getByLabel("Token").fill(secret);
	await form.getByRole("button", { name: "Sign in" }).click();
}

await withPage(
	server,
	async (page) => {
		// Every address asks for a token, and stays as it is.
		await page.goto("/models/secret/versions/1?tab=evaluation");
		await page.locator("#screen").getByRole("form", { name: "Sign in" }).waitFor();
		assert.deepEqual(await barriers(page), []);
		await signIn(page, "scv_wrong");
		await page.getByText("the token is unknown, expired or revoked").waitFor();
		await signIn(page, token);
		await assertHeading(page, "secret, version 1");

		// Pictures and plots come with the cookie.
		await page.getByRole("heading", { name: "Training" }).waitFor();
		const picture = page.locator(".confusion-grid img").first();
		await picture.waitFor();
		for (const image of [picture, page.locator("img.plot")]) {
			await page.waitForFunction((element) => element.complete && element.naturalWidth > 0, await image.elementHandle());
		}

		// So does GraphiQL.
		await page.goto("/graphiql?query={viewer{account}}");
		await page.getByRole("button", { name: /^Execute query/ }).click();
		await page.getByText("owner").first().waitFor();

		// Signing out ends it.
		await page.goto("/settings");
		await page.getByText("owner").waitFor();
		await page.getByRole("button", { name: "Sign out" }).click();
		await page.locator("#screen").getByRole("form", { name: "Sign in" }).waitFor();

		// Somebody else finds nothing of it.
		await signIn(page, otherToken);
		await page.getByText("other", { exact: true }).waitFor();
		await page.goto("/models/secret/versions/1");
		await assertHeading(page, "There is no version 1 of secret");
		await page.goto("/");
		await page.locator("#screen").getByText("public").first().waitFor();
		assert.equal(await page.locator("#screen").getByText("secret").count(), 0);

		// Nor can a token change anything that allows only reading; what cannot be done says so.
		const refused = async (name) => {
			const button = page.locator("#screen").getByRole("button", { name, exact: true });
			await button.and(page.locator(":disabled")).waitFor();
			assert.equal(await button.getAttribute("title"), READ_ONLY);
		};
		await page.goto("/models/public");
		await refused("Edit");
		await page.goto("/build");
		await refused("Import");
		await refused("Train");
		await page.getByRole("region", { name: "Weights from a file" }).getByText(READ_ONLY).waitFor();
		assert.deepEqual(await barriers(page), []);
	},
	// Until one has signed in, browsers report each refusal.
	{ expectedErrors: ["401 (Unauthorized)", "WebSocket connection"] },
);
