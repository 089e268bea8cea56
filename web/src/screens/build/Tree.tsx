import { type FocusEvent, memo, useEffect, useId, useMemo, useRef } from "react";
import { compact, shape } from "../../ui/format";
import { Coded } from "./Coded";
import { giveUp, useCarry } from "./carry";
import { useClipboard } from "./clipboard";
import { useDraft } from "./draft";
import { drag } from "./drag";
import { focusBlock, press, useScreenKeys } from "./keys";
import { Tools } from "./Tools";
import { type Block, BRANCHES, join, type ListPath, type Path } from "./tree";

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

/** The network as a tree: a list of blocks, with groups that have lists of their own. */
export function Tree({ errors, layers }: TreeProps) {
	const { blocks, selected } = useDraft();
	const hasFocus = useRef(false);
	const nothing = useRef<HTMLParagraphElement>(null);
	const keys = useId();
	const findings = useMemo(() => findingsOf(errors, layers), [errors, layers]);
	const isEmpty = blocks.length === 0;
	useClipboard();
	useScreenKeys(errors);
	useEffect(() => {
		if (!hasFocus.current) return;
		if (isEmpty) nothing.current?.focus();
		else focusBlock(selected);
	}, [selected, isEmpty]);
	const focus = {
		onFocus: () => {
			hasFocus.current = true;
		},
		onBlur: ({ currentTarget, relatedTarget }: FocusEvent) => {
			hasFocus.current = false;
			if (!currentTarget.contains(relatedTarget)) giveUp();
		},
	};
	return (
		<section className="tree" aria-labelledby="network">
			<h2 id="network">Network</h2>
			<Tools />
			{isEmpty ? (
				<p ref={nothing} className="no-blocks" data-list="" tabIndex={-1} {...focus}>
					<Place path="0" />
					The network has no blocks yet. Click a kind of block, or drag it here, or bring a whole network with{" "}
					<q>JSON</q> or <kbd>Ctrl V</kbd>.
				</p>
			) : (
				<>
					<div
						role="tree"
						aria-label="Blocks of the network"
						aria-describedby={keys}
						data-list=""
						onKeyDown={press}
						{...focus}
					>
						<List blocks={blocks} list="" findings={findings} />
					</div>
					<p id={keys} className="quiet">
						Drag a block to its place, or <kbd>Enter</kbd> picks it up, arrows choose the place and <kbd>Enter</kbd>{" "}
						drops it. <kbd>Alt</kbd> with arrows moves it, into groups too; <kbd>Delete</kbd> removes it,{" "}
						<kbd>Ctrl D</kbd> duplicates it, <kbd>Ctrl X</kbd>, <kbd>Ctrl C</kbd> and <kbd>Ctrl V</kbd> cut, copy and
						paste it as JSON, <kbd>Ctrl Z</kbd> undoes the last step, <kbd>F8</kbd> leads to the next fault.
					</p>
				</>
			)}
		</section>
	);
}

/** The line that shows where the block would be dropped that is on its way. */
function Place({ path }: { path: Path }) {
	const isHere = useCarry(({ place }) => place === path);
	return isHere ? <span className="place" /> : null;
}

/** What the server says of the blocks, by their paths. */
interface Findings {
	/** The messages of a block, one a line. */
	faults: ReadonlyMap<Path, string>;
	costs: ReadonlyMap<Path, string>;
}

function findingsOf(errors: TreeProps["errors"], layers: TreeProps["layers"]): Findings {
	const faults = new Map<Path, string>();
	for (const { path, message } of errors)
		faults.set(path, [...(faults.get(path)?.split("\n") ?? []), message].join("\n"));
	return { faults, costs: new Map(layers.map((layer) => [layer.path, costs(layer)])) };
}

interface ListProps {
	blocks: readonly Block[];
	list: ListPath;
	findings: Findings;
}

function List({ blocks, list, findings }: ListProps) {
	return (
		<>
			{blocks.map((block, index) => {
				const path = join(list, index);
				return (
					<Item
						// biome-ignore lint/suspicious/noArrayIndexKey: a block is known by its place
						key={index}
						block={block}
						path={path}
						faults={findings.faults.get(path)}
						costs={findings.costs.get(path)}
						inner={block.main && findings}
					/>
				);
			})}
			<Place path={join(list, blocks.length)} />
		</>
	);
}

interface ItemProps {
	block: Block;
	path: Path;
	faults: string | undefined;
	costs: string | undefined;
	/** What is said of the blocks of a group. */
	inner: Findings | undefined;
}

/** A block, drawn again only if something of it changes: a network may have hundreds. */
const Item = memo(function Item({ block, path, faults, costs, inner }: ItemProps) {
	const isSelected = useDraft(({ selected }) => selected === path);
	const isCarried = useCarry(({ from }) => from === path);
	const id = useId();
	const parameters = Object.entries(block.parameters ?? {});
	return (
		<>
			<Place path={path} />
			<div className={isCarried ? "box carried" : "box"} onPointerDown={(event) => drag(event, block, path)}>
				<div
					role="treeitem"
					data-path={path}
					aria-selected={isSelected}
					aria-level={Math.ceil(path.split(".").length / 2)}
					aria-expanded={block.main ? true : undefined}
					aria-owns={block.main ? BRANCHES.map((branch) => `${id}-${branch}`).join(" ") : undefined}
					tabIndex={isSelected ? 0 : -1}
					onFocus={() => {
						if (!isSelected) useDraft.getState().set({ selected: path });
					}}
				>
					<span className="quiet">{path}</span>
					<strong>{block.kind}</strong>
					{costs && <span className="quiet costs">{costs}</span>}
					{parameters.length > 0 && (
						<span className="quiet parameters">
							{parameters.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ")}
						</span>
					)}
					{faults?.split("\n").map((message) => (
						<span key={message} className="fault">
							<Coded>{message}</Coded>
						</span>
					))}
				</div>
				{inner && (
					<div className="branches">
						{BRANCHES.map((branch) => (
							<div key={branch} data-list={`${path}.${branch}`}>
								<span className="quiet">{branch}</span>
								<div role="group" id={`${id}-${branch}`} aria-label={`${path}.${branch}`}>
									<List blocks={block[branch] ?? []} list={`${path}.${branch}`} findings={inner} />
								</div>
								{!block[branch]?.length && <span className="no-blocks">{EMPTY[branch]}</span>}
							</div>
						))}
					</div>
				)}
			</div>
		</>
	);
});

/** What a block puts out, and what it costs if it does. */
function costs({ outputShape, parameterCount, multiplyAccumulates }: Layer): string {
	const parameters = parameterCount > 0 && `${compact(parameterCount)} parameters`;
	const operations = multiplyAccumulates > 0 && `${compact(multiplyAccumulates)} operations`;
	return [shape(outputShape), parameters, operations].filter(Boolean).join(", ");
}

/** What a branch without blocks is. */
const EMPTY = { main: "Needs a block: drag one here.", shortcut: "Passes its input on." };
