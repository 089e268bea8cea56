// Asks with files of activations, also with such that do not fit: `node ask.mjs SERVER`.
import assert from "node:assert/strict";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { assertHeading, barriers, loseUploads, withPage } from "./page.mjs";

const [server] = process.argv.slice(2);

/** Images of the default probe set. */
const IMAGES = 100;

/** An array of the numbers that a function gives, as a `.npy` file. */
function npy(rows, columns, number) {
	const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
	const header = `${description.padEnd(117)}\n`;
	const start = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, header.length, 0]);
	const numbers = Float32Array.from({ length: rows * columns }, (_, place) =>
		number(Math.floor(place / columns), place % columns),
	);
	return Buffer.concat([start, Buffer.from(header), Buffer.from(numbers.buffer)]);
}

/** Files as a zip, which does not compress them. */
function zip(files) {
	const [parts, directory] = [[], []];
	let offset = 0;
	for (const [name, content] of Object.entries(files)) {
		// From the version to the length of the name, as both the file's own header and the directory have them.
		const facts = Buffer.alloc(26);
		facts.writeUInt16LE(20, 0);
		facts.writeUInt32LE(crc32(content), 10);
		facts.writeUInt32LE(content.length, 14);
		facts.writeUInt32LE(content.length, 18);
		facts.writeUInt16LE(name.length, 22);
		const place = Buffer.alloc(14);
		place.writeUInt32LE(offset, 10);
		const file = Buffer.concat([Buffer.from("PK\x03\x04"), facts, Buffer.from(name), content]);
		directory.push(Buffer.from("PK\x01\x02\x14\0"), facts, place, Buffer.from(name));
		parts.push(file);
		offset += file.length;
	}
	const listed = Buffer.concat(directory);
	const end = Buffer.alloc(22);
	end.write("PK\x05\x06");
	end.writeUInt16LE(parts.length, 8);
	end.writeUInt16LE(parts.length, 10);
	end.writeUInt32LE(listed.length, 12);
	end.writeUInt32LE(offset, 16);
	return Buffer.concat([...parts, listed, end]);
}

const wave = npy(IMAGES, 6, (image, unit) => Math.sin(image * (unit + 1)));
const flat = npy(IMAGES, 3, () => 1);

await withPage(
	server,
	async (page) => {
		const file = page.getByLabel("Choose or drop a .npz or .safetensors file");
		const button = page.getByRole("button", { name: "Find similar layers" });
		const choose = (name, buffer) => file.setInputFiles({ name, mimeType: "application/octet-stream", buffer });
		const problem = page.getByRole("alert");

		// By the palette.
		await page.goto("/");
		await assertHeading(page, "Library");
		await page.keyboard.press("Control+k");
		await page.getByPlaceholder("Name of a model or a screen").fill("activations");
		await page.getByRole("option", { name: /^Ask with a file/ }).click();
		await assertHeading(page, "Ask with a file of activations");

		// Files that do not fit are refused with what is wrong with them.
		assert.ok(await button.isDisabled());
		await choose("single.npy", wave);
		await button.click();
		await problem.filter({ hasText: "a single .npy file" }).waitFor();
		await choose("short.npz", zip({ "conv.npy": npy(IMAGES - 1, 2, (image) => image) }));
		await button.click();
		await problem.filter({ hasText: /Array conv has shape \[99, 2\].*the 100 probe images/ }).waitFor();
		assert.equal(await problem.getByRole("button", { name: "Try again" }).count(), 0);
		assert.deepEqual(await barriers(page), []);

		// A lost connection loses nothing of what was chosen.
		const restore = await loseUploads(page);
		await choose("mine.npz", zip({ "wave.npy": wave, "flat.npy": flat }));
		await page.getByText("mine.npz").first().waitFor();
		await button.click();
		await problem.filter({ hasText: "The file was not sent" }).waitFor();
		await restore();
		await problem.getByRole("button", { name: "Try again" }).click();

		// Each layer has its own hits, or says why it has none.
		const layer = page.getByRole("group").filter({ has: page.getByRole("heading", { name: "wave" }) });
		assert.equal(await page.getByRole("region").count(), 0);
		await layer.getByText(/^Proven: none of the candidate layers/).waitFor();
		assert.equal(await layer.getByRole("row").filter({ hasText: /plain|wide/ }).count(), 5);
		await page.getByText("This layer cannot be compared: its output is the same for every probe image.").waitFor();
		assert.deepEqual(await barriers(page), []);

		// A file that is too large is not sent, and what was chosen before stays.
		const folder = await mkdtemp(join(tmpdir(), "ask-"));
		const large = join(folder, "large.npz");
		await writeFile(large, "");
		await truncate(large, 2 ** 40);
		await file.setInputFiles(large);
		await problem.filter({ hasText: /large.npz is too large: it has 1 TiB, and this server takes at most/ }).waitFor();
		await rm(folder, { recursive: true });
		assert.equal(await page.getByText("mine.npz").count(), 2);

		// What is dropped anywhere on the form is taken.
		const dataTransfer = await page.evaluateHandle(() => {
			const transfer = new DataTransfer();
			transfer.items.add(new File(["text"], "dropped.npz"));
			return transfer;
		});
		await button.dispatchEvent("drop", { dataTransfer });
		await page.getByText("dropped.npz").waitFor();
		await button.click();
		await problem.filter({ hasText: "cannot be read" }).waitFor();
		await choose("mine.npz", zip({ "wave.npy": wave, "flat.npy": flat }));

		// The measure stands in the address, and a hit leads to its layer.
		await page.getByLabel("Measure").selectOption("CKA");
		await page.waitForURL("**?measure=CKA");
		await button.click();
		const hit = layer.getByRole("row").filter({ hasText: /plain|wide/ }).first().getByRole("link").first();
		await hit.waitFor();
		const name = await hit.innerText();
		await hit.click();
		await page.getByRole("heading", { level: 1, name: `Layer ${name} (` }).waitFor();
	},
	{ expectedErrors: ["400 (Bad Request)", "ERR_CONNECTION_RESET"] },
);
