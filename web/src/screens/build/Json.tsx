import { useState } from "react";
import { Dialog } from "../../ui/Dialog";
import { copyText } from "./clipboard";
import { useDraft } from "./draft";
import { parseBlocks } from "./parse";

/** The network as JSON, to copy it or to bring another one. */
export function Json({ onClose }: { onClose: () => void }) {
	const { blocks, set } = useDraft();
	const [text, setText] = useState(() => JSON.stringify(blocks, null, 2));
	const [error, setError] = useState<string | null>(null);
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
				onSubmit={(event) => {
					event.preventDefault();
					take();
				}}
			>
				<label className="field">
					<span>A list of blocks, or a file of one</span>
					<textarea rows={16} value={text} spellCheck={false} onChange={(event) => setText(event.target.value)} />
				</label>
				<input
					type="file"
					aria-label="A file of blocks"
					accept=".json,application/json"
					onChange={(event) => void event.target.files?.[0]?.text().then(setText)}
				/>
				{error && (
					<p className="fault" role="alert">
						{error}
					</p>
				)}
				<p className="actions">
					<button type="submit" className="primary">
						Use it
					</button>
					<button type="button" onClick={() => void copyText(text).catch(({ message }: Error) => setError(message))}>
						Copy
					</button>
					<button type="button" onClick={onClose}>
						Cancel
					</button>
				</p>
			</form>
		</Dialog>
	);
}
