import { expect, test } from "vitest";
import { fragmentOf, readFragment } from "./link";
import type { Block } from "./tree";

const BLOCKS: Block[] = [
	{ kind: "Conv2d", parameters: { out_channels: 8 } },
	{ kind: "Residual", main: [{ kind: "ReLU" }] },
];

test("a link shows the network and the data set that it was made of", async () => {
	const fragment = (await fragmentOf({ dataset: "digits ☃", blocks: BLOCKS })) ?? "";
	expect(fragment).toMatch(/^draft=[\w-]+$/);
	expect(await readFragment(fragment)).toEqual({ dataset: "digits ☃", blocks: BLOCKS });
});

test("no network needs no link, and an address without one is none", async () => {
	expect(await fragmentOf({ dataset: "digits", blocks: [] })).toBe("");
	expect(await readFragment("")).toBeNull();
	expect(await readFragment("network")).toBeNull();
});

test("a network that stays large when it is compressed has no link", async () => {
	const noise = Array.from({ length: 2_000 }, (_, index) => ({ kind: `${Math.sin(index)}` }));
	expect(await fragmentOf({ dataset: "digits", blocks: noise })).toBeNull();
	// One that repeats itself has.
	expect(await fragmentOf({ dataset: "digits", blocks: Array(2_000).fill({ kind: "ReLU" }) })).not.toBeNull();
});

test("a link that is cut off, changed or too large says so", async () => {
	const fragment = (await fragmentOf({ dataset: "digits", blocks: BLOCKS })) ?? "";
	const damaged = [
		fragment.slice(0, -9),
		"draft=",
		"draft=%%%",
		"draft=AAAA",
		`draft=${"A".repeat(9_000)}`,
		`draft=${await packed(" ".repeat(2_000_000))}`,
	];
	for (const text of damaged) await expect(readFragment(text)).rejects.toThrow("Its text is cut off or changed.");
	await expect(readFragment(`draft=${await packed("null")}`)).rejects.toThrow("It names no data set.");
	await expect(readFragment(`draft=${await packed('{"dataset":"digits","blocks":[{}]}')}`)).rejects.toThrow(
		"Block 0 must be",
	);
});

async function packed(text: string): Promise<string> {
	const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
	return Buffer.from(await new Response(stream).arrayBuffer()).toString("base64url");
}
