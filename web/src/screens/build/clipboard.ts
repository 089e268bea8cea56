import { useEffect } from "react";
import { copyText } from "../../ui/CopyButton";
import { useDraft } from "./draft";
import { refuse, say } from "./notice";
import { parseBlocks } from "./parse";
import { type Block, blockAt } from "./tree";

export async function copySelected() {
	const block = selectedBlock();
	if (!block) return;
	try {
		await copyText(written(block));
		say(`${block.kind} is copied.`);
	} catch (error) {
		refuse(`${(error as Error).message} Press Ctrl C.`);
	}
}

export async function cutSelected() {
	const block = selectedBlock();
	if (!block) return;
	try {
		await copyText(written(block));
		// The reader may have gone on meanwhile.
		if (selectedBlock() === block) cut(block);
		else say(`${block.kind} is copied. It was not cut, since another block is selected by now.`);
	} catch (error) {
		refuse(`${(error as Error).message} Press Ctrl X.`);
	}
}

export async function pasteBlocks() {
	try {
		paste(await navigator.clipboard.readText());
	} catch {
		refuse("The browser does not let the page read the clipboard. Press Ctrl V.");
	}
}

/** Cuts, copies and pastes blocks as JSON with the keys of the system, wherever one does not type and has no text selected. */
export function useClipboard() {
	useEffect(() => {
		const listen = (event: ClipboardEvent) => {
			if (!event.clipboardData || isTyping(event.target)) return;
			if (event.type === "paste") {
				event.preventDefault();
				paste(event.clipboardData.getData("text/plain"));
				return;
			}
			const block = selectedBlock();
			if (!block || getSelection()?.isCollapsed === false) return;
			event.preventDefault();
			event.clipboardData.setData("text/plain", written(block));
			if (event.type === "cut") cut(block);
			else say(`${block.kind} is copied.`);
		};
		const kinds = ["cut", "copy", "paste"] as const;
		for (const kind of kinds) document.addEventListener(kind, listen);
		return () => {
			for (const kind of kinds) document.removeEventListener(kind, listen);
		};
	}, []);
}

/** Whether a key at this place belongs to a field or a dialog. */
export function isTyping(target: EventTarget | null): boolean {
	return target instanceof Element && target.closest("input, textarea, select, dialog") !== null;
}

function selectedBlock(): Block | undefined {
	const { blocks, selected } = useDraft.getState();
	return blockAt(blocks, selected);
}

/** What is copied can be pasted as a network elsewhere, too. */
function written(block: Block): string {
	return JSON.stringify([block], null, 2);
}

function cut(block: Block) {
	useDraft.getState().removeSelected();
	say(`${block.kind} is cut. Ctrl V puts it behind the selected block.`);
}

function paste(text: string) {
	try {
		const blocks = parseBlocks(text);
		if (blocks.length === 0) throw new Error("The list has no blocks.");
		useDraft.getState().add(blocks);
		say(blocks.length === 1 ? `${blocks[0]?.kind} is pasted.` : `${blocks.length} blocks are pasted.`);
	} catch (error) {
		refuse(`Nothing is pasted. ${(error as Error).message}`);
	}
}
