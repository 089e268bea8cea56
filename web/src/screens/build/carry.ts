import { create } from "zustand";
import { useDraft } from "./draft";
import { say } from "./notice";
import { type Block, describe, isWithin, type Path, relocate } from "./tree";

interface Carry {
	/** The block that is on its way, by pointer or by keys. */
	block: Block | null;
	/** Where it is in the network. Null if it is new. */
	from: Path | null;
	/** Where it would be dropped. */
	place: Path | null;
}

const NOTHING: Carry = { block: null, from: null, place: null };

export const useCarry = create<Carry>(() => NOTHING);

/** Takes up a block of the network, or a new one. */
export function pickUp(block: Block, from: Path | null) {
	if (from !== null) useDraft.getState().set({ selected: from });
	useCarry.setState({ block, from, place: null });
}

/** Chooses where the block would be dropped. A group goes nowhere within itself. */
export function choose(place: Path | null) {
	const { from } = useCarry.getState();
	const isPossible = place !== null && (from === null || !isWithin(place, from));
	useCarry.setState({ place: isPossible ? place : null });
}

export function drop() {
	const { block, from, place } = useCarry.getState();
	giveUp();
	if (!block || place === null) return;
	const draft = useDraft.getState();
	if (from !== null && !relocate(draft.blocks, from, place)) {
		say("The block stays where it was.");
		return;
	}
	const words = describe(draft.blocks, place);
	if (from === null) draft.add([block], place);
	else draft.moveSelected((blocks) => relocate(blocks, from, place));
	say(`${block.kind} is dropped ${words}.`);
}

export function giveUp() {
	if (useCarry.getState().block) say("");
	useCarry.setState(NOTHING);
}

// Places are those of the network as it was.
useDraft.subscribe((draft, before) => {
	if (draft.blocks !== before.blocks) giveUp();
});
