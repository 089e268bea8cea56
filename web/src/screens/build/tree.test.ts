import { expect, test } from "vitest";
import { parseBlocks } from "./parse";
import {
	type Block,
	blockAt,
	describe,
	enter,
	insert,
	leave,
	move,
	paths,
	places,
	relocate,
	remove,
	update,
} from "./tree";

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

test("a block moves to any place, whatever its own leaving does to the paths behind it", () => {
	expect(relocate(NETWORK, "0", "1.main.1")).toEqual({
		blocks: [{ ...NETWORK[1], main: [{ kind: "ReLU" }, NETWORK[0], { kind: "Tanh" }] }, { kind: "Flatten" }],
		path: "0.main.1",
	});
	expect(relocate(NETWORK, "1.main.1", "1.shortcut.0")?.path).toBe("1.shortcut.0");
	expect(relocate(NETWORK, "0", "3")?.path).toBe("2");
	expect(relocate(NETWORK, "2", "0")?.path).toBe("0");
});

test("a block that moves to where it is, or into itself, does not move", () => {
	expect(relocate(NETWORK, "1", "1")).toBeNull();
	expect(relocate(NETWORK, "1", "2")).toBeNull();
	expect(relocate(NETWORK, "1", "1.main.0")).toBeNull();
	expect(relocate(NETWORK, "7", "0")).toBeNull();
});

test("the places that a block may move to are walked from top to bottom", () => {
	expect(places(NETWORK, "0")).toEqual([
		"0",
		"1.main.0",
		"1.main.1",
		"1.main.2",
		"1.shortcut.0",
		"1.shortcut.1",
		"2",
		"3",
	]);
	// A group has no place within itself.
	expect(places(NETWORK, "1")).toEqual(["0", "1", "3"]);
	expect(places(NETWORK, "1.main.1")).toEqual([
		"0",
		"1",
		"1.main.0",
		"1.main.1",
		"1.shortcut.0",
		"1.shortcut.1",
		"2",
		"3",
	]);
});

test("a place is told in words", () => {
	expect(describe(NETWORK, "2")).toBe("before 2 Flatten");
	expect(describe(NETWORK, "1.main.2")).toBe("at the end of 1.main");
	expect(describe([{ kind: "Residual", main: [] }], "0.main.0")).toBe("into 0.main");
	expect(describe(NETWORK, "3")).toBe("at the end of the network");
});

test("JSON is read as it was written, and what is none says where", () => {
	expect(parseBlocks(JSON.stringify(NETWORK))).toEqual(NETWORK);
	// A group always has a main branch, where its first block is dropped.
	expect(parseBlocks('[{"kind": "Residual"}]')).toEqual([{ kind: "Residual", main: [] }]);
	expect(() => parseBlocks("[")).toThrow("not JSON");
	expect(() => parseBlocks("{}")).toThrow("A network must be a list of blocks.");
	expect(() => parseBlocks('[{"kind": "Residual", "main": [{}]}]')).toThrow("Block 0.main.0");
	expect(() => parseBlocks('[{"kind": "Residual", "main": 7}]')).toThrow("The branch 0.main must be a list");
	expect(() => parseBlocks('[{"kind": "ReLU", "parameters": 1}]')).toThrow("parameters of block 0");
	expect(() => parseBlocks(`${'[{"kind": "Residual", "main": '.repeat(40)}[]${"}]".repeat(40)}`)).toThrow("no deeper");
	expect(() => parseBlocks(JSON.stringify(Array(2_001).fill({ kind: "ReLU" })))).toThrow("at most 2000 blocks");
});
