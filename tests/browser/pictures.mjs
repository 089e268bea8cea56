// Takes the pictures of docs/page.md: `node pictures.mjs SERVER DIRECTORY`. The server has the library of the demo.
import { join } from "node:path";
import { withPage } from "./page.mjs";

const [server, directory] = process.argv.slice(2);

/** The file, the address, and what has to be there. */
const PICTURES = [
	["library", "/", "residual-hasty"],
	["network", "/models/residual-1/versions/1?at=3", "Layers that compute the same"],
	["evaluation", "/models/plain-1/versions/1?tab=evaluation&actual=9&predicted=3", "9 taken for 3"],
	["similar", "/models/plain-1/versions/1/layers/2", "by chance"],
	["maps", "/models/plain-1/versions/1/layers/2?tab=maps&image=7", "channel 12"],
	["compare", "/compare?a=plain-1&b=residual-1&row=5&column=8", "Pair"],
];

await withPage(
	server,
	async (page) => {
		for (const [name, address, content] of PICTURES) {
			await page.goto(address);
			await page.locator("#screen").getByText(content).first().waitFor();
			await page.waitForLoadState("networkidle");
			await page.screenshot({ path: join(directory, `${name}.png`) });
		}
	},
	{ viewport: { width: 1280, height: 860 }, colorScheme: "light" },
);
