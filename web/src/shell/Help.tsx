import { Dialog } from "../ui/Dialog";
import { KEYS } from "./keys";
import "./Help.css";

/** The keys of the page. */
export function Help({ onClose }: { onClose: () => void }) {
	return (
		<Dialog title="Keys" onClose={onClose}>
			<dl className="keys">
				{KEYS.map(([keys, meaning]) => (
					<div key={keys}>
						<dt>
							<kbd>{keys}</kbd>
						</dt>
						<dd>{meaning}</dd>
					</div>
				))}
			</dl>
		</Dialog>
	);
}
