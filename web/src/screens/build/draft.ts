import { temporal } from "zundo";
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { type Block, blockAt, insert, join, type Moved, type Path, paths, remove, split, update } from "./tree";

/** The network that is being built. It outlives the window, and each change of its blocks can be undone. */
interface Draft {
	dataset: string;
	blocks: Block[];
	/** The block that keys and the form change. */
	selected: Path;
	set: (change: Partial<Pick<Draft, "dataset" | "blocks" | "selected">>) => void;
	/** Adds a block behind the selected one. */
	add: (block: Block) => void;
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
				selected: "",
				set: (change) => set(change),
				add: (block) => {
					const { blocks, selected } = get();
					const at = blockAt(blocks, selected) ? split(selected) : { list: "", index: blocks.length - 1 };
					const path = join(at.list, at.index + 1);
					set({ blocks: insert(blocks, path, block), selected: path });
				},
				removeSelected: () => {
					const { blocks, selected } = get();
					if (!blockAt(blocks, selected)) return;
					const rest = remove(blocks, selected);
					const { list, index } = split(selected);
					const next = [selected, join(list, index - 1)].find((path) => blockAt(rest, path));
					set({ blocks: rest, selected: next ?? paths(rest)[0] ?? "" });
				},
				duplicateSelected: () => {
					const block = blockAt(get().blocks, get().selected);
					if (block) get().add(structuredClone(block));
				},
				changeSelected: (change) => set(({ blocks, selected }) => ({ blocks: update(blocks, selected, change) })),
				moveSelected: (move) => {
					const moved = move(get().blocks, get().selected);
					if (moved) set({ blocks: moved.blocks, selected: moved.path });
				},
			}),
			{ partialize: ({ blocks, selected }) => ({ blocks, selected }), equality: (a, b) => a.blocks === b.blocks },
		),
		{ name: "scv-draft", partialize: ({ dataset, blocks }) => ({ dataset, blocks }) },
	),
);
