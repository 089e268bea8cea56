// Takes the pictures of docs/page.md: `node pictures.mjs SERVER DIRECTORY`. The server has the library of the demo.
import { join } from "node:path";
import { withPage } from "./page.mjs";

const [server, directory] = process.argv.slice(2);

const WIDTH = 1280;
const HEIGHT = 860;

/** The file, the address, what has to be there, and the height of the window where it is another one. */
const PICTURES = [
	["library", "/", "residual-hasty"],
	["network", "/models/residual-1/versions/1?at=3", "Layers that compute the same"],
	["evaluation", "/models/plain-1/versions/1?tab=evaluation&actual=9&predicted=3", "9 taken for 3"],
	["similar", "/models/plain-1/versions/1/layers/2", "by chance"],
	["maps", "/models/plain-1/versions/1/layers/2?tab=maps&image=7", "channel 12"],
	["compare", "/compare?a=plain-1&b=residual-1&row=5&column=8", "Pair", 1010],
];

await withPage(
	server,
	async (page) => {
		for (const [name, address, content, height = HEIGHT] of PICTURES) {
			await page.setViewportSize({ width: WIDTH, height });
			await page.goto(address);
			await page.locator("#screen").getByText(content).first().waitFor();
			await page.waitForLoadState("networkidle");
			await page.screenshot({ path: join(directory, `${name}.png`) });
		}
	},
	{ colorScheme: "light" },
);
