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

/** Which blocks are where. */
export function outline(blocks: readonly Block[]): string {
	return paths(blocks)
		.map((path) => `${path} ${blockAt(blocks, path)?.kind}`)
		.join();
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

/** The network with blocks from a path on, and those that were there moved on. */
export function insert(blocks: readonly Block[], path: Path, ...added: readonly Block[]): Block[] {
	const { list, index } = split(path);
	return withList(blocks, list, (found) => found.toSpliced(index, 0, ...added));
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

/** Moves a block to a place of the network as it is. Null if it stays where it is, or would go into itself. */
export function relocate(blocks: readonly Block[], from: Path, to: Path): Moved | null {
	const block = blockAt(blocks, from);
	const path = after(from, to);
	if (!block || isWithin(to, from) || path === from) return null;
	return { blocks: insert(remove(blocks, from), path, block), path };
}

/** Moves a block within its list. Null at the end of the list. */
export function move(blocks: readonly Block[], path: Path, step: -1 | 1): Moved | null {
	const { list, index } = split(path);
	const isPossible = blockAt(blocks, join(list, index + step)) !== undefined;
	return isPossible ? relocate(blocks, path, join(list, step === 1 ? index + 2 : index - 1)) : null;
}

/** Moves a block to the end of the group before it. Null if there is none. */
export function enter(blocks: readonly Block[], path: Path): Moved | null {
	const { list, index } = split(path);
	const group = join(list, index - 1);
	const main = blockAt(blocks, group)?.main;
	return main ? relocate(blocks, path, join(`${group}.main`, main.length)) : null;
}

/** Moves a block out of its group, behind it. Null if it is in none. */
export function leave(blocks: readonly Block[], path: Path): Moved | null {
	const { list } = split(path);
	if (list === "") return null;
	const group = split(list.slice(0, list.lastIndexOf(".")));
	return relocate(blocks, path, join(group.list, group.index + 1));
}

/** Whether a place is in one of the branches of a block. */
export function isWithin(place: Path, path: Path): boolean {
	return place.startsWith(`${path}.`);
}

/** What a path is called once the block `gone` is away. */
function after(gone: Path, path: Path): Path {
	const { list, index } = split(gone);
	const start = list === "" ? "" : `${list}.`;
	if (!path.startsWith(start)) return path;
	const [own, ...inner] = path.slice(start.length).split(".");
	return Number(own) > index ? [start + (Number(own) - 1), ...inner].join(".") : path;
}

/**
 * The places that a block may move to, from top to bottom: before each block, and at the end of each list. The one where it is counts
 * once, and those within it are none.
 */
export function places(blocks: readonly Block[], moving: Path, list: ListPath = ""): Path[] {
	const before = blocks.flatMap((block, index) => {
		const path = join(list, index);
		if (path === moving || !block.main) return [path];
		return [path, ...BRANCHES.flatMap((branch) => places(block[branch] ?? [], moving, `${path}.${branch}`))];
	});
	return [...before, join(list, blocks.length)].filter((place) => place === moving || after(moving, place) !== moving);
}

/** A place in words, such as "before 3 Flatten" or "at the end of 1.main". */
export function describe(blocks: readonly Block[], place: Path): string {
	const next = blockAt(blocks, place);
	if (next) return `before ${place} ${next.kind}`;
	const { list, index } = split(place);
	const name = list === "" ? "the network" : list;
	return index === 0 ? `into ${name}` : `at the end of ${name}`;
}
