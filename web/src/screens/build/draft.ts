import { temporal } from "zundo";
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { type Block, blockAt, insert, join, type Moved, type Path, remove, split, update } from "./tree";

/** The network that is being built, and its data set. It outlives the window, and each change of it can be undone. */
interface Draft {
	dataset: string;
	blocks: Block[];
	/** The block that keys and the form change. */
	selected: Path;
	set: (change: Partial<Pick<Draft, "dataset" | "blocks" | "selected">>) => void;
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
				dataset: "digits",
				blocks: [],
				selected: "0",
				set: (change) => set(change),
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
		{ name: "scv-draft", partialize: ({ dataset, blocks }) => ({ dataset, blocks }) },
	),
);
