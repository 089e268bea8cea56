import { expect, test } from "vitest";
import { readStored } from "./draft";

test("a draft that a browser kept is read with what a link had replaced", () => {
	const own = { dataset: "digits", blocks: [{ kind: "ReLU" }] };
	const link = { dataset: "letters", blocks: [{ kind: "Tanh" }] };
	expect(readStored({ ...link, isOpened: true, replaced: own })).toEqual({
		...link,
		opened: link.blocks,
		replaced: own,
	});
	expect(readStored(own)).toEqual({ ...own, opened: null, replaced: null });
});

test("what is no draft is left alone", () => {
	for (const stored of [undefined, null, 7, {}, { dataset: "digits", blocks: null }, { dataset: 1, blocks: [] }]) {
		expect(readStored(stored)).toBeNull();
	}
});
