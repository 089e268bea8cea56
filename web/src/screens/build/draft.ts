import { temporal } from "zundo";
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { type Network, readNetwork } from "./parse";
import { type Block, blockAt, insert, join, type Moved, type Path, remove, split, update } from "./tree";

/** The network that is being built, and its data set. It outlives the window, and each change of it can be undone. */
interface Draft extends Network {
	/** The block that keys and the form change. */
	selected: Path;
	/** The blocks that came last from a link or a version. */
	opened: Block[] | null;
	/** What they replaced. It outlives the window, too, so that nothing is lost by looking at a link. */
	replaced: Network | null;
	set: (change: Partial<Pick<Draft, "dataset" | "blocks" | "selected">>) => void;
	/** Takes over the network of a link or a version. */
	open: (network: Network) => void;
	/** Adds blocks at a place, or behind the selected one. */
	add: (blocks: readonly Block[], place?: Path) => void;
	removeSelected: () => void;
	duplicateSelected: () => void;
	changeSelected: (change: (block: Block) => Block) => void;
	/** Takes over a move of the selected block, if it was possible. */
	moveSelected: (move: (blocks: readonly Block[], path: Path) => Moved | null) => void;
}

export const useDraft = create<Draft>()(
	// What is kept is what is shown, also after undoing.
	persist(
		temporal(
			(set, get) => ({
				dataset: "",
				blocks: [],
				selected: "0",
				opened: null,
				replaced: null,
				set: (change) => set(change),
				open: (network) => {
					const { dataset, blocks, opened, replaced } = get();
					// A link after a link replaces nothing of the reader's own.
					const own = blocks === opened ? replaced : blocks.length > 0 ? { dataset, blocks } : null;
					set({ ...network, selected: "0", opened: network.blocks, replaced: own });
				},
				add: (added, place) => {
					const { blocks, selected } = get();
					const behind = blockAt(blocks, selected) ? split(selected) : { list: "", index: blocks.length - 1 };
					const { list, index } = place === undefined ? { ...behind, index: behind.index + 1 } : split(place);
					set({
						blocks: insert(blocks, join(list, index), ...added),
						selected: join(list, index + added.length - 1),
					});
				},
				removeSelected: () => {
					const { blocks, selected } = get();
					if (!blockAt(blocks, selected)) return;
					const rest = remove(blocks, selected);
					const { list, index } = split(selected);
					const group = list.slice(0, Math.max(0, list.lastIndexOf(".")));
					const next = [selected, join(list, index - 1), group].find((path) => blockAt(rest, path));
					set({ blocks: rest, selected: next || "0" });
				},
				duplicateSelected: () => {
					const block = blockAt(get().blocks, get().selected);
					if (block) get().add([structuredClone(block)]);
				},
				changeSelected: (change) => set(({ blocks, selected }) => ({ blocks: update(blocks, selected, change) })),
				moveSelected: (move) => {
					const moved = move(get().blocks, get().selected);
					if (moved) set({ blocks: moved.blocks, selected: moved.path });
				},
			}),
			{
				partialize: ({ dataset, blocks, selected }) => ({ dataset, blocks, selected }),
				equality: (a, b) => a.blocks === b.blocks && a.dataset === b.dataset,
			},
		),
		{
			name: "scv-draft",
			partialize: ({ dataset, blocks, opened, replaced }) => ({
				dataset,
				blocks,
				isOpened: blocks === opened,
				replaced: blocks === replaced?.blocks ? null : replaced,
			}),
			merge: (stored, draft) => ({ ...draft, ...readStored(stored) }),
		},
	),
);

// What was replaced can be brought back after a reload, too.
const { replaced } = useDraft.getState();
if (replaced) useDraft.temporal.setState({ pastStates: [{ ...replaced, selected: "0" }] });

/** Begins with a data set if none is chosen yet, which is no step to undo. */
export function beginWith(dataset: string) {
	if (useDraft.getState().dataset !== "") return;
	const { pause, resume } = useDraft.temporal.getState();
	pause();
	useDraft.setState({ dataset });
	resume();
}

/** What a browser kept, unless somebody changed it to what is no network. */
export function readStored(stored: unknown): Pick<Draft, "dataset" | "blocks" | "opened" | "replaced"> | null {
	try {
		const { isOpened, replaced, ...network } = Object(stored);
		const { dataset, blocks } = readNetwork(network);
		return {
			dataset,
			blocks,
			opened: isOpened === true ? blocks : null,
			replaced: replaced ? readNetwork(replaced) : null,
		};
	} catch {
		return null;
	}
}
