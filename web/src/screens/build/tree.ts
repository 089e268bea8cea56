/** A block of a network, as the API takes it. */
export interface Block {
	kind: string;
	parameters?: Record<string, unknown>;
	main?: Block[];
	shortcut?: Block[];
}

export const BRANCHES = ["main", "shortcut"] as const;

/** A list of blocks: that of the network (an empty text), or a branch such as `3.main`. */
export type ListPath = string;

/** Where a block stands, as the server writes it: `3`, or `3.main.0`. */
export type Path = string;

/** The list that a block is in, and its index there. */
export function split(path: Path): { list: ListPath; index: number } {
	const end = path.lastIndexOf(".");
	return { list: path.slice(0, Math.max(0, end)), index: Number(path.slice(end + 1)) };
}

/** The path of a block of a list. */
export function join(list: ListPath, index: number): Path {
	return list === "" ? String(index) : `${list}.${index}`;
}

/** The paths of all blocks from top to bottom. */
export function paths(blocks: readonly Block[], list: ListPath = ""): Path[] {
	return blocks.flatMap((block, index) => {
		const path = join(list, index);
		return [path, ...BRANCHES.flatMap((branch) => paths(block[branch] ?? [], `${path}.${branch}`))];
	});
}

/** The block at a path, if there is one. */
export function blockAt(blocks: readonly Block[], path: Path): Block | undefined {
	const { list, index } = split(path);
	return listAt(blocks, list)[index];
}

function listAt(blocks: readonly Block[], list: ListPath): readonly Block[] {
	if (list === "") return blocks;
	const end = list.lastIndexOf(".");
	return blockAt(blocks, list.slice(0, end))?.[list.slice(end + 1) as (typeof BRANCHES)[number]] ?? [];
}

/** The network with one list changed. */
function withList(blocks: readonly Block[], list: ListPath, change: (list: readonly Block[]) => Block[]): Block[] {
	if (list === "") return change(blocks);
	const end = list.lastIndexOf(".");
	const branch = list.slice(end + 1) as (typeof BRANCHES)[number];
	return update(blocks, list.slice(0, end), (block) => ({ ...block, [branch]: change(block[branch] ?? []) }));
}

/** The network with one block changed. */
export function update(blocks: readonly Block[], path: Path, change: (block: Block) => Block): Block[] {
	const { list, index } = split(path);
	return withList(blocks, list, (found) => found.map((block, at) => (at === index ? change(block) : block)));
}

/** The network with a block at a path, and those behind it moved on. */
export function insert(blocks: readonly Block[], path: Path, block: Block): Block[] {
	const { list, index } = split(path);
	return withList(blocks, list, (found) => found.toSpliced(index, 0, block));
}

/** The network without a block. */
export function remove(blocks: readonly Block[], path: Path): Block[] {
	const { list, index } = split(path);
	return withList(blocks, list, (found) => found.toSpliced(index, 1));
}

/** A network, and where the block is that was moved. */
export interface Moved {
	blocks: Block[];
	path: Path;
}

/** Moves a block within its list. Null at the end of the list. */
export function move(blocks: readonly Block[], path: Path, step: -1 | 1): Moved | null {
	const { list, index } = split(path);
	const [block, to] = [blockAt(blocks, path), index + step];
	if (!block || to < 0 || to >= listAt(blocks, list).length) return null;
	return { blocks: insert(remove(blocks, path), join(list, to), block), path: join(list, to) };
}

/** Moves a block to the end of the group before it. Null if there is none. */
export function enter(blocks: readonly Block[], path: Path): Moved | null {
	const { list, index } = split(path);
	const [block, group] = [blockAt(blocks, path), join(list, index - 1)];
	if (!block || !blockAt(blocks, group)?.main) return null;
	const branch = `${group}.main`;
	const target = join(branch, listAt(blocks, branch).length);
	return { blocks: insert(remove(blocks, path), target, block), path: target };
}

/** Moves a block out of its group, behind it. Null if it is in none. */
export function leave(blocks: readonly Block[], path: Path): Moved | null {
	const { list } = split(path);
	const block = blockAt(blocks, path);
	if (!block || list === "") return null;
	const group = split(list.slice(0, list.lastIndexOf(".")));
	const target = join(group.list, group.index + 1);
	return { blocks: insert(remove(blocks, path), target, block), path: target };
}

/** Reads a list of blocks as `examples/plain.json` has it. Throws an error that says where it is none. */
export function parseBlocks(text: string): Block[] {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		throw new Error(`This is not JSON: ${(error as Error).message}`);
	}
	return blocksOf(value, "");
}

function blocksOf(value: unknown, list: ListPath): Block[] {
	const place = list === "" ? "A network" : `The branch ${list}`;
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
		return {
			kind,
			...(parameters === undefined ? {} : { parameters: parameters as Record<string, unknown> }),
			...(main === undefined ? {} : { main: blocksOf(main, `${path}.main`) }),
			...(shortcut === undefined ? {} : { shortcut: blocksOf(shortcut, `${path}.shortcut`) }),
		};
	});
}
