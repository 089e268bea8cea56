import { expect, test } from "vitest";
import { type Block, blockAt, enter, insert, leave, move, parseBlocks, paths, remove, update } from "./tree";

const NETWORK: Block[] = [
	{ kind: "Conv2d", parameters: { out_channels: 8 } },
	{ kind: "Residual", main: [{ kind: "ReLU" }, { kind: "Tanh" }], shortcut: [{ kind: "ELU" }] },
	{ kind: "Flatten" },
];

test("paths name all blocks from top to bottom, as the server does", () => {
	expect(paths(NETWORK)).toEqual(["0", "1", "1.main.0", "1.main.1", "1.shortcut.0", "2"]);
	expect(paths(NETWORK).map((path) => blockAt(NETWORK, path)?.kind)).toEqual([
		"Conv2d",
		"Residual",
		"ReLU",
		"Tanh",
		"ELU",
		"Flatten",
	]);
	expect(blockAt(NETWORK, "1.main.7")).toBeUndefined();
});

test("a block is added, changed and removed where its path says, and nothing else changes", () => {
	const added = insert(NETWORK, "1.main.1", { kind: "SiLU" });
	expect(blockAt(added, "1.main.1")?.kind).toBe("SiLU");
	expect(blockAt(added, "1.main.2")?.kind).toBe("Tanh");
	expect(remove(added, "1.main.1")).toEqual(NETWORK);
	const changed = update(NETWORK, "1.shortcut.0", (block) => ({ ...block, kind: "GELU" }));
	expect(blockAt(changed, "1.shortcut.0")?.kind).toBe("GELU");
	expect(blockAt(NETWORK, "1.shortcut.0")?.kind).toBe("ELU");
});

test("a block moves within its list and stops at its ends", () => {
	const moved = move(NETWORK, "1.main.0", 1);
	expect(moved?.path).toBe("1.main.1");
	expect(blockAt(moved?.blocks ?? [], "1.main.0")?.kind).toBe("Tanh");
	expect(move(NETWORK, "0", -1)).toBeNull();
	expect(move(NETWORK, "1.shortcut.0", 1)).toBeNull();
});

test("a block that enters a group and leaves it again is where it was", () => {
	const inside = enter(NETWORK, "2");
	expect(inside?.path).toBe("1.main.2");
	expect(leave(inside?.blocks ?? [], "1.main.2")).toEqual({ blocks: NETWORK, path: "2" });
	expect(enter(NETWORK, "1")).toBeNull();
	expect(leave(NETWORK, "0")).toBeNull();
});

test("JSON is read as it was written, and what is none says where", () => {
	expect(parseBlocks(JSON.stringify(NETWORK))).toEqual(NETWORK);
	expect(() => parseBlocks("[")).toThrow("not JSON");
	expect(() => parseBlocks("{}")).toThrow("A network must be a list of blocks.");
	expect(() => parseBlocks('[{"kind": "Residual", "main": [{}]}]')).toThrow("Block 0.main.0");
	expect(() => parseBlocks('[{"kind": "Residual", "main": 7}]')).toThrow("The branch 0.main must be a list");
	expect(() => parseBlocks('[{"kind": "ReLU", "parameters": 1}]')).toThrow("parameters of block 0");
});
