import { type KeyboardEvent, useEffect, useId, useRef } from "react";
import { compact, shape } from "../../ui/format";
import { useDraft } from "./draft";
import { type Block, BRANCHES, enter, join, type ListPath, leave, move, type Path, paths } from "./tree";

interface Layer {
	path: string;
	outputShape: readonly number[];
	parameterCount: number;
	multiplyAccumulates: number;
}

interface TreeProps {
	errors: readonly { path: string; message: string }[];
	layers: readonly Layer[];
}

/** What a key acts on: the draft, all paths, and the place of the selected block among them. */
interface Situation {
	draft: ReturnType<typeof useDraft.getState>;
	all: readonly Path[];
	at: number;
	errors: TreeProps["errors"];
}

type Keys = ReadonlyMap<string, (situation: Situation) => void>;

/** With Alt: the block moves. */
const MOVES: Keys = new Map<string, (situation: Situation) => void>([
	["ArrowUp", ({ draft }) => draft.moveSelected((blocks, path) => move(blocks, path, -1))],
	["ArrowDown", ({ draft }) => draft.moveSelected((blocks, path) => move(blocks, path, 1))],
	["ArrowRight", ({ draft }) => draft.moveSelected(enter)],
	["ArrowLeft", ({ draft }) => draft.moveSelected(leave)],
]);

/** With Ctrl: the network changes. */
const CHANGES: Keys = new Map<string, (situation: Situation) => void>([
	["z", () => useDraft.temporal.getState().undo()],
	["y", () => useDraft.temporal.getState().redo()],
	["d", ({ draft }) => draft.duplicateSelected()],
]);

/** Alone: the selection walks. */
const WALKS: Keys = new Map<string, (situation: Situation) => void>([
	["ArrowUp", ({ draft, all, at }) => select(draft, all[at - 1])],
	["ArrowDown", ({ draft, all, at }) => select(draft, all[at + 1])],
	["Home", ({ draft, all }) => select(draft, all[0])],
	["End", ({ draft, all }) => select(draft, all.at(-1))],
	["Delete", ({ draft }) => draft.removeSelected()],
	["F8", ({ draft, all, at, errors }) => select(draft, faultAfter(all, at, errors))],
]);

function select(draft: Situation["draft"], path: Path | undefined) {
	if (path !== undefined) draft.set({ selected: path });
}

/** The network as a tree: a list of blocks, with groups that have lists of their own. */
export function Tree({ errors, layers }: TreeProps) {
	const draft = useDraft();
	const { blocks, selected } = draft;
	const place = useRef<HTMLDivElement>(null);
	const hasFocus = useRef(false);
	useEffect(() => {
		if (!hasFocus.current) return;
		const item = place.current?.querySelector<HTMLElement>(`[data-path="${CSS.escape(selected)}"]`);
		item?.focus();
	}, [selected]);
	const press = (event: KeyboardEvent) => {
		const all = paths(blocks);
		const at = all.indexOf(selected);
		const step = (event.altKey ? MOVES : event.ctrlKey || event.metaKey ? CHANGES : WALKS).get(event.key);
		if (!step) return;
		event.preventDefault();
		hasFocus.current = true;
		step({ draft, all, at, errors });
	};
	return (
		<section className="tree" aria-labelledby="network">
			<h2 id="network">Network</h2>
			{blocks.length === 0 ? (
				<p className="quiet">
					The network has no blocks yet. Choose one on the left, or bring a whole network with <q>JSON</q>.
				</p>
			) : (
				<>
					<div
						ref={place}
						role="tree"
						aria-label="Blocks of the network"
						onKeyDown={press}
						onFocus={() => {
							hasFocus.current = true;
						}}
						onBlur={() => {
							hasFocus.current = false;
						}}
					>
						<List
							blocks={blocks}
							list=""
							selected={selected}
							onSelect={(path) => select(draft, path)}
							errors={errors}
							layers={layers}
						/>
					</div>
					<p className="quiet">
						<kbd>Alt</kbd> with arrows moves the block, into groups too; <kbd>Delete</kbd> removes it, <kbd>Ctrl D</kbd>{" "}
						doubles it, <kbd>Ctrl Z</kbd> takes back, <kbd>F8</kbd> leads to the next fault.
					</p>
				</>
			)}
		</section>
	);
}

/** The next block that has a fault, from the start again at the end. */
function faultAfter(all: readonly Path[], at: number, errors: TreeProps["errors"]): Path | undefined {
	const faulty = new Set(errors.map(({ path }) => path));
	return [...all.slice(at + 1), ...all.slice(0, at + 1)].find((path) => faulty.has(path));
}

interface ListProps extends TreeProps {
	blocks: readonly Block[];
	list: ListPath;
	selected: Path;
	onSelect: (path: Path) => void;
}

function List({ blocks, list, ...props }: ListProps) {
	return blocks.map((block, index) => (
		// biome-ignore lint/suspicious/noArrayIndexKey: a block is known by its place
		<Item key={index} block={block} path={join(list, index)} {...props} />
	));
}

function Item({ block, path, ...props }: Omit<ListProps, "blocks" | "list"> & { block: Block; path: Path }) {
	const { selected, onSelect, errors, layers } = props;
	const own = errors.filter((error) => error.path === path);
	const layer = layers.find((layer) => layer.path === path);
	const isFirst = path === "0";
	const label = useId();
	const parameters = Object.entries(block.parameters ?? {});
	return (
		<div
			role="treeitem"
			data-path={path}
			aria-selected={selected === path}
			aria-expanded={block.main ? true : undefined}
			aria-labelledby={label}
			tabIndex={selected === path || (selected === "" && isFirst) ? 0 : -1}
			onClick={(event) => {
				event.stopPropagation();
				onSelect(path);
			}}
			onKeyDown={() => {}}
			onFocus={(event) => {
				event.stopPropagation();
				if (event.target === event.currentTarget && selected !== path) onSelect(path);
			}}
		>
			<div className="block" id={label}>
				<span className="quiet">{path}</span>
				<strong>{block.kind}</strong>
				<span className="quiet">
					{parameters.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ")}
				</span>
				{layer && (
					<span className="quiet number">
						{shape(layer.outputShape)}, {compact(layer.parameterCount)} parameters
					</span>
				)}
				{own.map(({ message }) => (
					<span key={message} className="fault">
						{message}
					</span>
				))}
			</div>
			{block.main && (
				<div className="branches">
					{BRANCHES.map((branch) => (
						<div key={branch}>
							<span className="quiet">{branch}</span>
							<div role="group" aria-label={`${path}.${branch}`}>
								<List {...props} blocks={block[branch] ?? []} list={`${path}.${branch}`} />
							</div>
						</div>
					))}
				</div>
			)}
		</div>
	);
}
