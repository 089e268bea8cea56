// Watches jobs while the server restarts: `node restart.mjs SERVER`. Prints "watching" when it may, and "seen" when the job of the model
// `late` has ended.
import { assertHeading, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

await withPage(
	server,
	async (page) => {
		const connected = page.waitForEvent("websocket").then((socket) =>
			socket.waitForEvent("framereceived", ({ payload }) => String(payload).includes("connection_ack")),
		);
		await page.goto("/jobs");
		await assertHeading(page, "Jobs");
		await page.getByRole("link", { name: "plain, version 1" }).first().waitFor();
		await connected;
		console.log("watching");
		await page.getByRole("row").filter({ hasText: "late, version 1" }).filter({ hasText: "succeeded" }).waitFor();
		console.log("seen");
	},
	{ expectedErrors: ["WebSocket", "ERR_CONNECTION", "Failed to load resource"] },
);
