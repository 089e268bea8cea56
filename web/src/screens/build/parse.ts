import { type Block, join, type ListPath, paths } from "./tree";

/** More than any server takes, and few enough to be shown. */
const MAX_BLOCKS = 2_000;
const MAX_NESTING = 32;

/** Reads a list of blocks as `examples/plain.json` has it. Throws an error that says where it is none. */
export function parseBlocks(text: string): Block[] {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		throw new Error(`This is not JSON: ${(error as Error).message}`);
	}
	return readBlocks(value);
}

/** A network, and the data set it is for. */
export interface Network {
	/** Empty until the server's data sets are known. */
	dataset: string;
	blocks: Block[];
}

/** Takes a value as a network. Throws an error that says why it is none. */
export function readNetwork({ dataset, blocks }: Record<string, unknown>): Network {
	if (typeof dataset !== "string") throw new Error("It names no data set.");
	return { dataset, blocks: readBlocks(blocks) };
}

/** Takes a value as a list of blocks. Throws an error that says where it is none. */
export function readBlocks(value: unknown): Block[] {
	const blocks = blocksOf(value, "");
	const count = paths(blocks).length;
	if (count > MAX_BLOCKS)
		throw new Error(`A network may have at most ${MAX_BLOCKS} blocks here; this one has ${count}.`);
	return blocks;
}

function blocksOf(value: unknown, list: ListPath): Block[] {
	const place = list === "" ? "A network" : `The branch ${list}`;
	if (list.split(".").length / 2 > MAX_NESTING)
		throw new Error(`Groups may be nested ${MAX_NESTING} deep here, and no deeper.`);
	if (!Array.isArray(value)) throw new Error(`${place} must be a list of blocks.`);
	return value.map((entry: unknown, index) => {
		const path = join(list, index);
		if (typeof entry !== "object" || entry === null || !("kind" in entry) || typeof entry.kind !== "string") {
			throw new Error(`Block ${path} must be an object with a kind, such as {"kind": "ReLU"}.`);
		}
		const { kind, parameters, main, shortcut } = entry as Record<string, unknown> & { kind: string };
		if (parameters !== undefined && (typeof parameters !== "object" || parameters === null)) {
			throw new Error(`The parameters of block ${path} must be an object.`);
		}
		const isGroup = kind === "Residual" || main !== undefined || shortcut !== undefined;
		return {
			kind,
			...(parameters === undefined ? {} : { parameters: parameters as Record<string, unknown> }),
			...(isGroup ? { main: blocksOf(main ?? [], `${path}.main`) } : {}),
			...(shortcut === undefined ? {} : { shortcut: blocksOf(shortcut, `${path}.shortcut`) }),
		};
	});
}
