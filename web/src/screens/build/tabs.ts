import { readStored, useDraft } from "./draft";
import { say } from "./notice";
import { blockAt } from "./tree";

// All tabs show the same network, so that none overwrites what another one did. A change of another tab can be undone like an own one.
window.addEventListener("storage", ({ key, newValue }) => {
	if (key !== useDraft.persist.getOptions().name || newValue === null) return;
	const found = readStored(JSON.parse(newValue).state);
	const { dataset, blocks, selected, set } = useDraft.getState();
	if (!found || JSON.stringify([found.dataset, found.blocks]) === JSON.stringify([dataset, blocks])) return;
	set({
		dataset: found.dataset,
		blocks: found.blocks,
		selected: blockAt(found.blocks, selected) ? selected : "0",
	});
	say("Another tab changed the network. Undo brings back the one that was here.");
});
