import { copySelected, cutSelected, pasteBlocks } from "./clipboard";
import { useDraft } from "./draft";
import { useNotice } from "./notice";
import { blockAt } from "./tree";

/** What can be done with the selected block, and what came of the last step. */
export function Tools() {
	const { blocks, selected, duplicateSelected, removeSelected } = useDraft();
	const { text, isFault } = useNotice();
	const isNone = blockAt(blocks, selected) === undefined;
	return (
		<div className="tools">
			<div className="actions">
				<button type="button" disabled={isNone} onClick={duplicateSelected}>
					Duplicate
				</button>
				<button type="button" disabled={isNone} onClick={() => void cutSelected()}>
					Cut
				</button>
				<button type="button" disabled={isNone} onClick={() => void copySelected()}>
					Copy
				</button>
				<button type="button" onClick={() => void pasteBlocks()}>
					Paste
				</button>
				<button type="button" disabled={isNone} onClick={removeSelected}>
					Remove
				</button>
			</div>
			<p role="status" className={isFault ? "fault" : "quiet"}>
				{text}
			</p>
		</div>
	);
}
