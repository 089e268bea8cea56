import { type KeyboardEvent, useEffect } from "react";
import { choose, drop, giveUp, pickUp, useCarry } from "./carry";
import { isTyping } from "./clipboard";
import { useDraft } from "./draft";
import { say } from "./notice";
import { blockAt, describe, enter, leave, move, type Path, paths, places } from "./tree";

/** What a key acts on: the draft, and the paths or places that arrows walk through, with the place of the present one. */
interface Situation {
	draft: ReturnType<typeof useDraft.getState>;
	all: readonly Path[];
	at: number;
}

type Keys = ReadonlyMap<string, (situation: Situation) => void>;

/** With Alt: the block moves. */
const MOVES: Keys = new Map<string, (situation: Situation) => void>([
	["ArrowUp", ({ draft }) => draft.moveSelected((blocks, path) => move(blocks, path, -1))],
	["ArrowDown", ({ draft }) => draft.moveSelected((blocks, path) => move(blocks, path, 1))],
	["ArrowRight", ({ draft }) => draft.moveSelected(enter)],
	["ArrowLeft", ({ draft }) => draft.moveSelected(leave)],
]);

/** With Ctrl. */
const CHANGES: Keys = new Map<string, (situation: Situation) => void>([
	["d", ({ draft }) => draft.duplicateSelected()],
]);

/** Alone: the selection walks. */
const WALKS: Keys = new Map<string, (situation: Situation) => void>([
	["ArrowUp", ({ all, at }) => focusBlock(all[at - 1])],
	["ArrowDown", ({ all, at }) => focusBlock(all[at + 1])],
	["Home", ({ all }) => focusBlock(all[0])],
	["End", ({ all }) => focusBlock(all.at(-1))],
	["Delete", ({ draft }) => draft.removeSelected()],
	["Backspace", ({ draft }) => draft.removeSelected()],
	["Enter", ({ draft }) => take(draft)],
]);

/** While a block is picked up: its place walks. */
const CARRYING: Keys = new Map<string, (situation: Situation) => void>([
	["ArrowUp", ({ draft, all, at }) => put(draft, all[at - 1])],
	["ArrowDown", ({ draft, all, at }) => put(draft, all[at + 1])],
	["Home", ({ draft, all }) => put(draft, all[0])],
	["End", ({ draft, all }) => put(draft, all.at(-1))],
	["Enter", drop],
	[
		"Escape",
		() => {
			giveUp();
			say("The block stays where it was.");
		},
	],
]);

/** A key on a block of the tree. */
export function press(event: KeyboardEvent) {
	const draft = useDraft.getState();
	const { from, place } = useCarry.getState();
	const isCarrying = from !== null && place !== null;
	const all = isCarrying ? places(draft.blocks, from) : paths(draft.blocks);
	const at = all.indexOf(isCarrying ? place : draft.selected);
	const keys = isCarrying ? CARRYING : event.altKey ? MOVES : event.ctrlKey || event.metaKey ? CHANGES : WALKS;
	// With Caps Lock, letters are large.
	const step = keys.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
	// An arrow with Alt would leave the page.
	if (step || (event.altKey && MOVES.has(event.key))) event.preventDefault();
	if (!step) return;
	step({ draft, all, at });
}

/** Keys that work on the whole screen: Ctrl Z and Ctrl Y where one does not type, and F8 everywhere. */
export function useScreenKeys(errors: readonly { path: Path }[]) {
	useEffect(() => {
		const listen = (event: globalThis.KeyboardEvent) => {
			const step = screenStep(event, errors);
			if (!step) return;
			event.preventDefault();
			step();
		};
		document.addEventListener("keydown", listen);
		return () => document.removeEventListener("keydown", listen);
	}, [errors]);
}

/** Leads to a block of the tree, which selects it. */
export function focusBlock(path: Path | undefined) {
	if (path !== undefined) document.querySelector<HTMLElement>(`[data-path="${CSS.escape(path)}"]`)?.focus();
}

function screenStep(event: globalThis.KeyboardEvent, errors: readonly { path: Path }[]): (() => void) | null {
	const { blocks, selected } = useDraft.getState();
	if (event.key === "F8") return () => seek(faultAfter(paths(blocks), selected, errors));
	if (!(event.ctrlKey || event.metaKey) || isTyping(event.target)) return null;
	const { undo, redo } = useDraft.temporal.getState();
	const key = event.key.toLowerCase();
	if (key === "z") return () => (event.shiftKey ? redo() : undo());
	return key === "y" ? () => redo() : null;
}

function seek(fault: Path | undefined) {
	if (fault === undefined) say("No block has a fault.");
	else focusBlock(fault);
}

/** The next block that has a fault, from the start again at the end. */
function faultAfter(all: readonly Path[], selected: Path, errors: readonly { path: Path }[]): Path | undefined {
	const faulty = new Set(errors.map(({ path }) => path));
	const next = all.indexOf(selected) + 1;
	return [...all.slice(next), ...all.slice(0, next)].find((path) => faulty.has(path));
}

function take({ blocks, selected }: Situation["draft"]) {
	const block = blockAt(blocks, selected);
	if (!block) return;
	pickUp(block, selected);
	choose(selected);
	say(`${block.kind} is picked up. Arrows choose a place, Enter drops it there, Escape gives up.`);
}

function put({ blocks }: Situation["draft"], place: Path | undefined) {
	if (place === undefined) return;
	choose(place);
	const { from } = useCarry.getState();
	const words = place === from ? "where it was" : describe(blocks, place);
	say(`${words[0]?.toUpperCase()}${words.slice(1)}.`);
	document.querySelector(".place")?.scrollIntoView({ block: "nearest" });
}
