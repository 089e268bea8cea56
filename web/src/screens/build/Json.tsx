import { useState } from "react";
import { CopyButton } from "../../ui/CopyButton";
import { Dialog } from "../../ui/Dialog";
import { FileField, useFileChoice } from "../../ui/FileField";
import { useDraft } from "./draft";
import { parseBlocks } from "./parse";

/** The network as JSON, to copy it or to bring another one. */
export function Json({ onClose }: { onClose: () => void }) {
	const { blocks, set } = useDraft();
	const [text, setText] = useState(() => JSON.stringify(blocks, null, 2));
	const [error, setError] = useState<string | null>(null);
	const choice = useFileChoice((file) => void file.text().then(setText, ({ message }: Error) => setError(message)));
	const take = () => {
		try {
			set({ blocks: parseBlocks(text), selected: "0" });
			onClose();
		} catch (problem) {
			setError((problem as Error).message);
		}
	};
	return (
		<Dialog title="The network as JSON" onClose={onClose}>
			<form
				{...choice.target}
				onSubmit={(event) => {
					event.preventDefault();
					take();
				}}
			>
				<label className="field">
					<span>A list of blocks</span>
					<textarea rows={16} value={text} spellCheck={false} onChange={(event) => setText(event.target.value)} />
				</label>
				<FileField label="Choose or drop a file of blocks" accept=".json,application/json" choice={choice} />
				{error && (
					<p className="fault" role="alert">
						{error}
					</p>
				)}
				<p className="actions">
					<button type="submit" className="primary">
						Use it
					</button>
					<button type="button" onClick={onClose}>
						Cancel
					</button>
					<CopyButton text={text} />
				</p>
			</form>
		</Dialog>
	);
}
